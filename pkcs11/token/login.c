/* Finding the token and logging in: at the start and in every recovery. */
#include <string.h>

#include "base/log.h"
#include "pkcs11/token/internal.h"

/* Fields of CK_TOKEN_INFO are padded with blanks and not terminated. */
static void take_text(char *out, const unsigned char *field, size_t len)
{
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = field[i] >= ' ' && field[i] <= '~' ? (char)field[i] : '?';
    out[len] = '\0';
}

static void take_info(struct token *token, const CK_TOKEN_INFO *info)
{
    /* Names are written once, at opening: status queries read them without a lock. */
    token->info = *info;
    if (token->label[0] != '\0' || token->serial[0] != '\0')
        return;
    take_text(token->label, info->label, sizeof info->label);
    take_text(token->serial, info->serialNumber, sizeof info->serialNumber);
    take_text(token->manufacturer, info->manufacturerID, sizeof info->manufacturerID);
    take_text(token->model, info->model, sizeof info->model);
}

bool token_pin_is_refused(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_EXPIRED;
}

/* A token may have another word for it, but it counts. */
static bool attempt_was_counted(const struct token *token)
{
    CK_TOKEN_INFO now;
    return token->f->C_GetTokenInfo(token->slot, &now) == CKR_OK &&
           (now.flags & ~token->info.flags &
            (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)) != 0;
}

/*
 * One attempt: a token locks itself after a few wrong ones, and nobody but its operator can know
 * what the right PIN is. Once refused, the PIN is not tried again until its file is changed and the
 * operator asks.
 */
static enum mikeyd_status attempt_login(struct token *token, const struct secret *pin,
                                        struct error *err)
{
    CK_RV rv = token->f->C_Login(token->keeper.handle, CKU_USER, pin->data, (CK_ULONG)pin->len);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return MIKEYD_OK;
    token->pin_refused = token_pin_is_refused(rv) || attempt_was_counted(token);
    if (!token->pin_refused)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: C_Login: %s", token->label,
                         ckr_name(rv));
    return error_set(err, MIKEYD_PIN_REFUSED,
                     "token %s: C_Login: %s: not tried again: correct %.60s, then SIGHUP (or start "
                     "anew) makes one attempt",
                     token->label, ckr_name(rv), token->pin_file);
}

static enum mikeyd_status check_pin_state(const struct token *token, struct error *err)
{
    const CK_FLAGS flags = token->info.flags;
    if (token->pin_refused)
        return error_set(
            err, MIKEYD_PIN_REFUSED,
            "token %s: its PIN was refused and is not tried again: correct %.60s, then "
            "SIGHUP makes one attempt",
            token->label, token->pin_file);
    if ((flags & CKF_USER_PIN_LOCKED) != 0)
        return error_set(err, MIKEYD_PIN_REFUSED,
                         "token %s: the user PIN is locked: its security officer must set one",
                         token->label);
    if ((flags & CKF_USER_PIN_FINAL_TRY) != 0)
        return error_set(err, MIKEYD_PIN_REFUSED,
                         "token %s: one attempt is left before its PIN locks: log in by hand once",
                         token->label);
    if ((flags & CKF_USER_PIN_INITIALIZED) == 0)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s has no user PIN", token->label);
    if ((flags & CKF_USER_PIN_COUNT_LOW) != 0)
        log_warning("token %s: a wrong PIN has been tried since the last login", token->label);
    return MIKEYD_OK;
}

static enum mikeyd_status token_login(struct token *token, struct error *err)
{
    CK_SESSION_INFO info = {0};
    CK_RV rv = token->f->C_GetSessionInfo(token->keeper.handle, &info);
    if (rv == CKR_OK &&
        (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS))
        return MIKEYD_OK; /* logged in through another session of this process */
    enum mikeyd_status status = check_pin_state(token, err);
    if (status != MIKEYD_OK)
        return status;
    /* Read anew each time: between two logins the PIN is nowhere in this process. */
    SECRET_CLEANUP struct secret pin = {0};
    status = token_pin_read(token->pin_file, &pin, &token->pin_mark, err);
    if (status != MIKEYD_OK)
        return status;
    return attempt_login(token, &pin, err);
}

/* Some tokens have no read-only sessions: at the first opening the other kind is tried, too. */
static CK_RV open_keeper(struct token *token)
{
    const bool first = atomic_load(&token->generation) == 1;
    CK_RV rv = token_session_open(&token->keeper);
    if (rv == CKR_OK || !first || token->sessions_rw || rv == CKR_SESSION_COUNT)
        return rv;
    token->sessions_rw = true;
    if (token_session_open(&token->keeper) == CKR_OK)
        return CKR_OK;
    token->sessions_rw = false;
    return rv;
}

enum mikeyd_status token_connect(struct token *token, struct error *err)
{
    CK_TOKEN_INFO info;
    enum mikeyd_status status = token_uri_find_slot(
        token->module, token->uri, token->mechanism_count == 0 ? NULL : &token->info, &token->slot,
        &info, err);
    if (status != MIKEYD_OK)
        return status;
    take_info(token, &info);
    if (token->mechanism_count == 0)
        status = token_mechanisms_read(token, err);
    if (status != MIKEYD_OK)
        return status;
    /* From here on every handle of before is stale, whatever happens next. */
    (void)atomic_fetch_add(&token->generation, 1);
    token_call_mark(&token->keeper, "C_OpenSession");
    CK_RV rv = open_keeper(token);
    if (rv != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: C_OpenSession: %s", token->label,
                         ckr_name(rv));
    token_call_mark(&token->keeper, "C_Login");
    status = token_login(token, err);
    if (status != MIKEYD_OK)
        return status;
    const size_t expected = token_keys_expected(token);
    status = token_keys_load(token, err);
    if (status != MIKEYD_OK)
        return status;
    /* SoftHSM answers "no objects" when its directory is gone, also to the second attempt. */
    if (expected > 0 && token_keys_present(token) == 0)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: none of its %zu keys is there any more",
                         token->label, expected);
    token_copies_remake(token);
    return MIKEYD_OK;
}
