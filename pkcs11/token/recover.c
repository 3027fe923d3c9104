/*
 * Bringing a token back, in stages: a new session; login and resolution of all handles; C_Finalize
 * and C_Initialize. One thread at a time per module does it while the token's gate is closed; the
 * others wait for it and go on, or are refused at once while the token is known to be down.
 */
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "pkcs11/token/internal.h"

#define PROBE_FIRST_MS 200
#define PROBE_LONGEST_MS 5000
/* More new sessions than this within the period, and the fault is not one session's. */
#define SOFT_MAX 3
#define SOFT_PERIOD_MS 10000
#define BUSY_FIRST_US 4000
#define BUSY_LONGEST_US 100000

enum profile_reaction token_reaction(const struct token *token, CK_RV rv)
{
    return profile_reaction(&token->profile, rv);
}

bool token_rv_recoverable(const struct token *token, CK_RV rv)
{
    const enum profile_reaction reaction = token_reaction(token, rv);
    return reaction != PROFILE_FINAL && reaction != PROFILE_FULL;
}

bool token_rv_busy(const struct token *token, CK_RV rv)
{
    const enum profile_reaction reaction = token_reaction(token, rv);
    return reaction == PROFILE_BUSY || reaction == PROFILE_FULL;
}

/* ---- refusing at once */

static enum mikeyd_status refuse_hung(const struct token *token, struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s: a call into the module has not returned within %u ms", token->label,
                     token->call_timeout_ms);
}

static enum mikeyd_status refuse_down(struct token *token, struct error *err)
{
    (void)pthread_mutex_lock(&token->reason_lock);
    enum mikeyd_status status = error_set(err, MIKEYD_TOKEN_DOWN, "%s", token->down_reason.text);
    (void)pthread_mutex_unlock(&token->reason_lock);
    return status;
}

static void mark_down(struct token *token, const struct error *reason)
{
    (void)pthread_mutex_lock(&token->reason_lock);
    token->down_reason = *reason;
    (void)pthread_mutex_unlock(&token->reason_lock);
    token->probe_wait_ms = token->probe_wait_ms == 0 ? PROBE_FIRST_MS : token->probe_wait_ms * 2;
    if (token->probe_wait_ms > PROBE_LONGEST_MS)
        token->probe_wait_ms = PROBE_LONGEST_MS;
    const int64_t now = clock_monotonic_ms();
    atomic_store(&token->next_probe_ms, now + token->probe_wait_ms);
    atomic_store(&token->next_check_ms, now + PROBE_FIRST_MS);
    unsigned before = atomic_fetch_or(&token->gate, TOKEN_GATE_DOWN);
    if ((before & TOKEN_GATE_DOWN) == 0)
        log_error("token %s is down: %s", token->label, reason->text);
}

static void mark_up(struct token *token)
{
    token->probe_wait_ms = 0;
    unsigned before =
        atomic_fetch_and(&token->gate, ~(unsigned)(TOKEN_GATE_DOWN | TOKEN_GATE_STALE));
    if ((before & TOKEN_GATE_DOWN) != 0)
        log_notice("token %s is back", token->label);
}

/* Whoever checks the health has pauses of his own, which end sooner than those between requests:
 * a token that is well again serves within the time that the front promises. */
static bool probe_due(const struct token *token, const struct token_session *session)
{
    const int64_t now = clock_monotonic_ms();
    return now >= atomic_load(&token->next_probe_ms) ||
           (session == &token->guest && now >= atomic_load(&token->next_check_ms));
}

/* ---- excluding the calls */

static void nap(long nanoseconds)
{
    const struct timespec pause = {.tv_nsec = nanoseconds};
    (void)nanosleep(&pause, NULL);
}

/* Not a timed lock: whoever waits here must be refused as soon as the holder is known to hang. */
static enum mikeyd_status lock_recovery(struct token *token, struct error *err)
{
    const int64_t deadline = clock_monotonic_ms() + token->call_timeout_ms;
    while (pthread_mutex_trylock(&token->module->recovery) != 0) {
        if ((atomic_load(&token->gate) & TOKEN_GATE_HUNG) != 0)
            return refuse_hung(token, err);
        if (clock_monotonic_ms() >= deadline)
            return error_set(err, MIKEYD_TOKEN_DOWN,
                             "token %s: its recovery has not finished within %u ms", token->label,
                             token->call_timeout_ms);
        nap(200000);
    }
    return MIKEYD_OK;
}

static void unlock_recovery(struct token *token)
{
    (void)pthread_mutex_unlock(&token->module->recovery);
}

/* Longer from time to time, and never at the same pace as the others who wait. */
bool token_wait_while_busy(struct token_session *session, CK_RV rv, struct token_patience *patience)
{
    const struct token *token = session->token;
    if (!token_rv_busy(token, rv))
        return false;
    const int64_t now = clock_monotonic_ms();
    if (patience->until_ms == 0) {
        patience->until_ms = now + token->call_timeout_ms / 2;
        patience->wait_us = BUSY_FIRST_US;
    }
    if (now >= patience->until_ms)
        return false;
    const unsigned part = (unsigned)clock_monotonic_us() % (patience->wait_us / 2);
    nap((long)(patience->wait_us - part) * 1000);
    if (patience->wait_us < BUSY_LONGEST_US)
        patience->wait_us *= 2;
    session->doubtful = false;
    return true;
}

static bool calls_running(struct token *token)
{
    for (unsigned i = 0; i < token->session_count; i++) {
        if (atomic_load(&token->session[i].busy_since_ms) != 0)
            return true;
    }
    return atomic_load(&token->keeper.busy_since_ms) != 0 ||
           atomic_load(&token->guest.busy_since_ms) != 0 ||
           atomic_load(&token->reader.busy_since_ms) != 0 || token_assist_running(token);
}

static void open_gate(struct token *token)
{
    (void)atomic_fetch_and(&token->gate, ~(unsigned)TOKEN_GATE_CLOSED);
}

/* Closes the gate, then waits for the calls that had passed it. */
static enum mikeyd_status drain(struct token *token, struct error *err)
{
    (void)atomic_fetch_or(&token->gate, TOKEN_GATE_CLOSED);
    const int64_t deadline = clock_monotonic_ms() + token->call_timeout_ms;
    while (calls_running(token)) {
        if (clock_monotonic_ms() >= deadline) {
            open_gate(token);
            (void)token_overdue(token, clock_monotonic_ms());
            return refuse_hung(token, err);
        }
        nap(50000);
    }
    return MIKEYD_OK;
}

static void open_gates(struct token_module *module, const struct token *end)
{
    for (struct token *t = module->tokens; t != NULL && t != end; t = t->next_on_module)
        open_gate(t);
}

static enum mikeyd_status drain_module(struct token_module *module, struct error *err)
{
    for (struct token *t = module->tokens; t != NULL; t = t->next_on_module) {
        enum mikeyd_status status = drain(t, err);
        if (status != MIKEYD_OK) {
            open_gates(module, t);
            return status;
        }
    }
    return MIKEYD_OK;
}

/* ---- the stages */

/* How often a new session may be taken for the cure. */
static bool may_be_one_session(struct token *token)
{
    int64_t now = clock_monotonic_ms();
    if (now - token->soft_since_ms > SOFT_PERIOD_MS) {
        token->soft_since_ms = now;
        token->soft_count = 0;
    }
    return token->soft_count++ < SOFT_MAX;
}

/* Stage 1: is it only this session? A new one opens, is logged in, and the keeper lives. */
static bool renew_session(struct token_session *session)
{
    struct token *token = session->token;
    token_call_mark(session, "C_OpenSession");
    token_session_drop(session);
    CK_SESSION_INFO info = {0};
    CK_TOKEN_INFO token_info;
    CK_RV rv = token_session_open(session);
    if (rv == CKR_OK)
        rv = token->f->C_GetSessionInfo(session->handle, &info);
    const bool logged_in =
        info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
    if (rv == CKR_OK)
        rv = token->f->C_GetSessionInfo(token->keeper.handle, &info);
    if (rv == CKR_OK)
        rv = token->f->C_GetTokenInfo(token->slot, &token_info);
    const bool well = rv == CKR_OK && logged_in;
    if (!well)
        token_session_drop(session);
    token_call_end(session);
    return well;
}

/* Handles of an initialisation that is over must not be closed: the numbers may name new sessions.
 */
static void forget_sessions(struct token *token, bool close)
{
    for (unsigned i = 0; i < token->session_count; i++) {
        if (close)
            token_session_drop(&token->session[i]);
        token_session_forget(&token->session[i]);
    }
    if (close) {
        token_session_drop(&token->keeper);
        token_session_drop(&token->guest);
        token_session_drop(&token->reader);
    }
    token_session_forget(&token->reader);
    token->keeper.handle = token->guest.handle = CK_INVALID_HANDLE;
    token_assist_forget(token, close);
}

/* Stage 2: all sessions new, login, every handle resolved again by CKA_ID. Gate closed. */
static enum mikeyd_status reconnect(struct token *token, struct error *err)
{
    forget_sessions(token, true);
    return token_connect(token, err);
}

/* Stage 3: the module itself. Other tokens on it find themselves stale and reconnect in turn. */
static enum mikeyd_status reinitialise(struct token *token, struct error *err)
{
    struct token_module *module = token->module;
    if (token->profile.begins_once) {
        atomic_store(&token->spent, true);
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s: its module begins anew in another process only", token->label);
    }
    enum mikeyd_status status = drain_module(module, err);
    if (status != MIKEYD_OK)
        return status;
    token_call_mark(&token->keeper, "C_Finalize");
    for (struct token *t = module->tokens; t != NULL; t = t->next_on_module) {
        forget_sessions(t, false);
        if (t != token)
            (void)atomic_fetch_or(&t->gate, TOKEN_GATE_STALE);
    }
    status = token_module_reinitialise(module, err);
    if (status == MIKEYD_OK)
        status = token_connect(token, err);
    token_call_end(&token->keeper);
    open_gates(module, NULL);
    return status;
}

bool token_spent(const struct token *token)
{
    return atomic_load(&token->spent);
}

/* Stages 2 and 3 with everybody else shut out. */
static enum mikeyd_status recover_exclusively(struct token *token, bool try_login,
                                              struct error *err)
{
    struct error reason = {0};
    enum mikeyd_status status = MIKEYD_TOKEN_DOWN;
    if (try_login) {
        status = drain(token, err);
        if (status != MIKEYD_OK)
            return status;
        token_call_mark(&token->keeper, "recovery");
        status = reconnect(token, &reason);
        token_call_end(&token->keeper);
        open_gate(token);
    }
    /* A refused PIN is not mended by another attempt. */
    if (status != MIKEYD_OK && !token->pin_refused) {
        status = reinitialise(token, &reason);
        if (status != MIKEYD_OK && calls_running(token))
            return error_set(err, MIKEYD_TOKEN_DOWN, "%s", reason.text);
    }
    if (status == MIKEYD_OK) {
        mark_up(token);
        return status;
    }
    mark_down(token, &reason);
    return refuse_down(token, err);
}

/* May a token that is down be tried now? */
static bool worth_a_try(struct token *token, const struct token_session *session,
                        bool operator_asks)
{
    if (operator_asks && token->pin_refused &&
        !token_pin_file_is(token->pin_file, &token->pin_mark))
        token->pin_refused = false;
    return !token->pin_refused && (operator_asks || probe_due(token, session));
}

/* A token that is down or stale is brought back first. */
static enum mikeyd_status exclude(struct token *token, bool operator_asks, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    unsigned gate = atomic_load(&token->gate);
    if ((gate & TOKEN_GATE_DOWN) != 0 && !worth_a_try(token, NULL, operator_asks))
        return refuse_down(token, err);
    if ((gate & (TOKEN_GATE_DOWN | TOKEN_GATE_STALE)) != 0)
        status = recover_exclusively(token, (gate & TOKEN_GATE_DOWN) == 0, err);
    if (status == MIKEYD_OK)
        status = drain(token, err);
    return status;
}

enum mikeyd_status token_exclusive_begin(struct token *token, bool operator_asks, struct error *err)
{
    enum mikeyd_status status = lock_recovery(token, err);
    if (status != MIKEYD_OK)
        return status;
    status = exclude(token, operator_asks, err);
    if (status == MIKEYD_OK)
        token_call_mark(&token->keeper, "recovery");
    else
        unlock_recovery(token);
    return status;
}

void token_exclusive_end(struct token *token)
{
    token_call_end(&token->keeper);
    open_gate(token);
    unlock_recovery(token);
}

static enum mikeyd_status recover_locked(struct token_session *session, CK_RV rv, struct error *err)
{
    struct token *token = session->token;
    unsigned gate = atomic_load(&token->gate);
    if ((gate & TOKEN_GATE_HUNG) != 0)
        return refuse_hung(token, err);
    if ((gate & TOKEN_GATE_DOWN) != 0) {
        if (!worth_a_try(token, session, false))
            return refuse_down(token, err);
        return recover_exclusively(token, false, err);
    }
    if ((gate & TOKEN_GATE_STALE) != 0)
        return recover_exclusively(token, true, err);
    if (session->generation != atomic_load(&token->generation))
        return MIKEYD_OK; /* another thread has recovered since this session was opened */
    const enum profile_reaction reaction = token_reaction(token, rv);
    /* A token that is busy and well is left in peace, however often it says so. */
    const bool one_session =
        reaction == PROFILE_BUSY ||
        ((reaction == PROFILE_SESSION_SICK || reaction == PROFILE_SESSION_LOST) &&
         may_be_one_session(token));
    if (one_session && renew_session(session))
        return MIKEYD_OK;
    log_warning("token %s: recovering after %s", token->label, ckr_name(rv));
    return recover_exclusively(
        token, reaction == PROFILE_LOGIN_LOST || reaction == PROFILE_SESSION_LOST, err);
}

enum mikeyd_status token_recover(struct token_session *session, CK_RV rv, struct error *err)
{
    struct token *token = session->token;
    enum mikeyd_status status = lock_recovery(token, err);
    if (status != MIKEYD_OK)
        return status;
    status = recover_locked(session, rv, err);
    unlock_recovery(token);
    return status;
}

enum mikeyd_status token_gate_pass(struct token_session *session, unsigned gate, struct error *err)
{
    struct token *token = session->token;
    if ((gate & TOKEN_GATE_HUNG) != 0)
        return refuse_hung(token, err);
    if ((gate & TOKEN_GATE_CLOSED) != 0) {
        enum mikeyd_status status = lock_recovery(token, err);
        if (status == MIKEYD_OK)
            unlock_recovery(token);
        return status;
    }
    if ((gate & TOKEN_GATE_DOWN) != 0 && !probe_due(token, session))
        return refuse_down(token, err);
    return token_recover(session, CKR_DEVICE_ERROR, err);
}

void token_limit_leak(struct token_session *session)
{
    struct token *token = session->token;
    struct token_module *module = token->module;
    if (!module->leaks_session_objects ||
        atomic_load(&module->session_objects) < TOKEN_LEAK_OBJECTS_MAX)
        return;
    if (pthread_mutex_trylock(&module->recovery) != 0)
        return; /* somebody is at it */
    struct error err = {0};
    if (atomic_load(&module->session_objects) >= TOKEN_LEAK_OBJECTS_MAX &&
        atomic_load(&token->gate) == 0)
        (void)recover_exclusively(token, false, &err);
    unlock_recovery(token);
}
