/* Opening and closing a token; what it can do; is it well. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/visible.h"
#include "pkcs11/token/internal.h"

#define SESSIONS_MAX 256

/* ---- what the token can do */

bool token_has_mechanism(const struct token *token, CK_MECHANISM_TYPE mechanism)
{
    for (size_t i = 0; i < token->mechanism_count; i++) {
        if (token->mechanisms[i] == mechanism)
            return true;
    }
    return false;
}

CK_MECHANISM_TYPE token_hmac_mechanism(enum hmac_hash hash)
{
    return hash == HMAC_SHA1 ? CKM_SHA_1_HMAC : CKM_SHA256_HMAC;
}

/* In whatever unit the token means: the known-answer tests find out. */
static size_t hmac_minimum(struct token *token, enum hmac_hash hash)
{
    CK_MECHANISM_INFO info = {0};
    CK_RV rv = token->f->C_GetMechanismInfo(token->slot, token_hmac_mechanism(hash), &info);
    return rv == CKR_OK ? info.ulMinKeySize : 0;
}

static void choose_profile(struct token *token)
{
    if (!token->profile_wanted)
        token->maker = profile_for(token->manufacturer, token->model);
    token->profile = *token->maker;
    profile_switch_on(&token->profile, token->switches);
    token->sessions_rw = token->read_write || token->profile.read_write;
    token->hash_keys = token->profile.hash_keys;
    token->module->leaks_session_objects = token->profile.leaks_objects;
    token->module->serialise = token->profile.serialise;
    log_info("token %s: profile %s (%s)%s", token->label, token->maker->name, token->maker->source,
             token->switches == 0 ? "" : ", and switches of the configuration");
}

enum mikeyd_status token_mechanisms_read(struct token *token, struct error *err)
{
    CK_ULONG count = TOKEN_MECHANISMS_MAX;
    CK_RV rv = token->f->C_GetMechanismList(token->slot, token->mechanisms, &count);
    if (rv != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: C_GetMechanismList: %s", token->label,
                         ckr_name(rv));
    token->mechanism_count = count;
    choose_profile(token);
    if (!token_has_mechanism(token, CKM_SHA_1_HMAC) || !token_has_mechanism(token, CKM_SHA256_HMAC))
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s cannot compute HMAC-SHA-1 and HMAC-SHA-256", token->label);
    token->hmac_min[HMAC_SHA1] = hmac_minimum(token, HMAC_SHA1);
    token->hmac_min[HMAC_SHA256] = hmac_minimum(token, HMAC_SHA256);
    return MIKEYD_OK;
}

/* ---- opening */

static void locks_init(struct token *token)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&token->pool_freed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&token->pool_lock, NULL);
    (void)pthread_mutex_init(&token->keeper_lock, NULL);
    (void)pthread_mutex_init(&token->guest_lock, NULL);
    (void)pthread_mutex_init(&token->reader_lock, NULL);
    (void)pthread_mutex_init(&token->reason_lock, NULL);
    (void)pthread_rwlock_init(&token->key_lock, NULL);
}

static void locks_destroy(struct token *token)
{
    (void)pthread_cond_destroy(&token->pool_freed);
    (void)pthread_mutex_destroy(&token->pool_lock);
    (void)pthread_mutex_destroy(&token->keeper_lock);
    (void)pthread_mutex_destroy(&token->guest_lock);
    (void)pthread_mutex_destroy(&token->reader_lock);
    (void)pthread_mutex_destroy(&token->reason_lock);
    (void)pthread_rwlock_destroy(&token->key_lock);
}

static enum mikeyd_status token_new(const struct token_config *config, struct token **out,
                                    struct error *err)
{
    if (config->sessions == 0 || config->sessions > SESSIONS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "sessions must be 1 to %d", SESSIONS_MAX);
    if (config->call_timeout_ms == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "call_timeout must not be zero");
    struct token *token = calloc(1, sizeof *token);
    if (token == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    locks_init(token);
    *out = token;
    token->uri = strdup(config->uri == NULL ? "" : config->uri);
    token->pin_file = config->pin_file == NULL ? NULL : strdup(config->pin_file);
    token->session = calloc(config->sessions, sizeof *token->session);
    if (token->uri == NULL || token->session == NULL ||
        (config->pin_file != NULL && token->pin_file == NULL))
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    token->profile_wanted = config->profile != NULL && strcmp(config->profile, "auto") != 0;
    token->switches = config->switches;
    token->maker = profile_named(token->profile_wanted ? config->profile : "generic");
    if (token->maker == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "profile: there is none called %.60s",
                         config->profile);
    token->read_write = config->read_write;
    token->provisioning = config->provisioning;
    token->copies_wanted = config->session_copies;
    token->call_timeout_ms = config->call_timeout_ms;
    token->session_count = config->sessions;
    token->reader.token = token; /* of HMACs it makes none: no scratch */
    enum mikeyd_status status = token_session_prepare(token, &token->keeper, err);
    if (status == MIKEYD_OK)
        status = token_session_prepare(token, &token->guest, err);
    for (unsigned i = 0; status == MIKEYD_OK && i < config->sessions; i++)
        status = token_session_prepare(token, &token->session[i], err);
    return status;
}

/* A token with fewer sessions than wanted is used with what it has. */
static enum mikeyd_status open_pool(struct token *token, struct error *err)
{
    for (unsigned i = 0; i < token->session_count; i++) {
        CK_RV rv = token_session_open(&token->session[i]);
        if (rv == CKR_OK)
            continue;
        if (rv != CKR_SESSION_COUNT || i == 0)
            return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: C_OpenSession: %s", token->label,
                             ckr_name(rv));
        log_warning("token %s gives %u sessions of %u wanted", token->label, i,
                    token->session_count);
        for (unsigned spare = i; spare < token->session_count; spare++)
            token_session_dispose(&token->session[spare]);
        token->session_count = i;
    }
    return MIKEYD_OK;
}

/* Everything after the module is loaded; the recovery lock is held, so nobody else is at it. */
static enum mikeyd_status token_start(struct token *token, struct error *err)
{
    enum mikeyd_status status = token_connect(token, err);
    if (status == MIKEYD_OK)
        status = open_pool(token, err);
    if (status == MIKEYD_OK)
        status = token_known_answers(token, err);
    if (status == MIKEYD_OK && !token->provisioning)
        token_keys_report_unfit(token);
    if (status == MIKEYD_OK)
        token_measure(token);
    if (status == MIKEYD_OK)
        token_assist_start(token);
    token_call_end(&token->keeper);
    return status;
}

static void module_attach(struct token *token)
{
    struct token_module *module = token->module;
    token->f = module->f;
    token->next_on_module = module->tokens;
    module->tokens = token;
}

static void module_detach(struct token *token)
{
    (void)pthread_mutex_lock(&token->module->recovery);
    struct token **link = &token->module->tokens;
    while (*link != NULL && *link != token)
        link = &(*link)->next_on_module;
    if (*link == token)
        *link = token->next_on_module;
    (void)pthread_mutex_unlock(&token->module->recovery);
}

/* Before the module is loaded, which may read it as it is. */
static enum mikeyd_status set_environment(const struct token_config *config, struct error *err)
{
    for (unsigned i = 0; i < config->environment_count; i++) {
        if (setenv(config->environment[i].name, config->environment[i].value, 1) != 0)
            return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    return MIKEYD_OK;
}

enum mikeyd_status token_open(const struct token_config *config, struct token **out,
                              struct error *err)
{
    struct token *token = NULL;
    enum mikeyd_status status = set_environment(config, err);
    if (status == MIKEYD_OK)
        status = token_new(config, &token, err);
    if (status == MIKEYD_OK)
        status = token_module_open(config->module, config->init_args, &token->module, err);
    if (status == MIKEYD_OK) {
        (void)pthread_mutex_lock(&token->module->recovery);
        module_attach(token);
        status = token_start(token, err);
        (void)pthread_mutex_unlock(&token->module->recovery);
    }
    if (status != MIKEYD_OK) {
        token_close(token);
        return status;
    }
    *out = token;
    return MIKEYD_OK;
}

void token_close(struct token *token)
{
    if (token == NULL)
        return;
    token_assist_stop(token);
    if (token->module != NULL)
        module_detach(token);
    for (unsigned i = 0; token->session != NULL && i < token->session_count; i++)
        token_session_dispose(&token->session[i]);
    token_session_dispose(&token->keeper);
    token_session_dispose(&token->guest);
    token_session_drop(&token->reader);
    token_module_close(token->module);
    token_keys_free(token);
    locks_destroy(token);
    free(token->session);
    free(token->uri);
    free(token->pin_file);
    free(token);
}

/* ---- status */

void token_get_facts(const struct token *token, struct token_facts *out)
{
    *out = (struct token_facts){
        .module = token->module->path,
        .hkdf = token->hkdf,
        .prf_derive = token->prf_derive,
        .session_copies = token->session_copies,
        .profile = token->maker,
        .read_write = token->sessions_rw,
        .hash_keys = token->hash_keys,
        .session_keys = token->session_keys,
        .shares_objects = token->shares_objects,
        .hmac_least = {token->hmac_min[HMAC_SHA1], token->hmac_min[HMAC_SHA256]},
        .sessions = token->session_count,
        .generation = atomic_load(&token->generation),
        .calls = atomic_load(&token->calls),
        .hmacs = atomic_load(&token->hmacs),
        .derives = atomic_load(&token->derives),
        .objects_created = atomic_load(&token->objects_created),
        .hmac_us = token->hmac_us,
        .keys = token_keys_present(token),
        .spreads = token->assist != NULL,
        .up = (atomic_load(&token->gate) & (TOKEN_GATE_DOWN | TOKEN_GATE_HUNG)) == 0};
    /* For people: what a token calls itself may hold newlines and escape sequences. */
    (void)visible_text(token->label, strlen(token->label), out->label, sizeof out->label);
    (void)visible_text(token->serial, strlen(token->serial), out->serial, sizeof out->serial);
    (void)visible_text(token->manufacturer, strlen(token->manufacturer), out->manufacturer,
                       sizeof out->manufacturer);
    (void)visible_text(token->model, strlen(token->model), out->model, sizeof out->model);
}

uint64_t token_generation(const struct token *token)
{
    return atomic_load(&token->generation);
}

/* The key's object is where its handle says and is still itself. */
static CK_RV check_block(struct token_session *session, const struct token_object *object)
{
    uint8_t id[sizeof object->id];
    CK_ATTRIBUTE at = {CKA_ID, id, sizeof id};
    token_call_mark(session, "C_GetAttributeValue");
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, object->original, &at, 1);
    if (rv == CKR_OK && (at.ulValueLen != sizeof id || !secret_equal(id, object->id, sizeof id)))
        rv = CKR_OBJECT_HANDLE_INVALID;
    return rv;
}

static enum mikeyd_status key_missing(const struct token *token, const struct token_key *key,
                                      struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: key mikeyd/%s/%s/%u is no longer there",
                     token->label, token_kind_name(key->kind), key->name, key->generation);
}

/* Inside the bracket, which keeps the entries from changing. */
static enum mikeyd_status check_keys(struct token_session *session, CK_RV *rv, struct error *err)
{
    struct token *token = session->token;
    for (size_t i = 0; i < token->key_count; i++) {
        const struct token_key_entry *entry = token->key[i];
        if (entry->key.missing)
            return key_missing(token, &entry->key, err);
        if (!entry->key.present || entry->key.kind == TOKEN_KIND_COUNT)
            continue;
        for (size_t block = 0; block < entry->key.block_count; block++) {
            *rv = check_block(session, &entry->key.block[block]);
            if (*rv != CKR_OK)
                return key_missing(token, &entry->key, err);
        }
    }
    return MIKEYD_OK;
}

static enum mikeyd_status attempt_health(struct token_session *session, void *work, CK_RV *rv,
                                         struct error *err)
{
    (void)work;
    struct token *token = session->token;
    enum mikeyd_status status = token_call_begin(session, "C_GetTokenInfo", err);
    if (status != MIKEYD_OK)
        return status;
    CK_TOKEN_INFO info;
    *rv = token->f->C_GetTokenInfo(token->slot, &info);
    if (*rv != CKR_OK)
        return token_call_failed(session, "C_GetTokenInfo", *rv, err);
    status = check_keys(session, rv, err);
    if (*rv != CKR_OK)
        (void)token_call_failed(session, "C_GetAttributeValue", *rv, NULL);
    else
        token_call_end(session);
    return status;
}

/* By the guest session: the pool's may all be taken by workers for good. */
enum mikeyd_status token_check_health(struct token *token, struct error *err)
{
    enum mikeyd_status status = token_guest_lock(token, err);
    if (status != MIKEYD_OK)
        return status;
    status = token_try_twice(&token->guest, attempt_health, NULL, err);
    (void)pthread_mutex_unlock(&token->guest_lock);
    return status;
}
