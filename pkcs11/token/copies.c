/*
 * Session-object copies of hot keys. A token object is fetched and decrypted from the token's store
 * for each use; its copy as a session object (as sensitive, as little extractable) signs three
 * times faster on SoftHSM and a hundred times on NSS softokn.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "pkcs11/token/internal.h"

/* A copy must be faster by this much to be worth it. */
#define COPY_GAIN_PERCENT 130
#define MEASURE_ROUNDS 24
#define MEASURE_LONGEST_US 60000

/* The copy must be as shut as its original: the token is not believed, it is asked. */
static bool copy_is_shut(const struct token *token, CK_OBJECT_HANDLE copy)
{
    struct token_attributes attributes;
    CK_RV rv = token_attributes_read(token, token->keeper.handle, copy, &attributes);
    return rv == CKR_OK && attributes.sensitive && !attributes.extractable &&
           !attributes.readable && !attributes.wrap && !attributes.encrypt;
}

/* The keeper outlives the sessions that use the copy. */
CK_RV token_copy_make(struct token *token, CK_OBJECT_HANDLE original, CK_OBJECT_HANDLE *copy)
{
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE as_session_object = {CKA_TOKEN, &no, sizeof no};
    token_call_mark(&token->keeper, "C_CopyObject");
    CK_RV rv = token->f->C_CopyObject(token->keeper.handle, original, &as_session_object, 1, copy);
    if (rv != CKR_OK)
        return rv;
    (void)atomic_fetch_add(&token->calls, 1);
    (void)atomic_fetch_add(&token->objects_created, 1);
    (void)atomic_fetch_add(&token->module->session_objects, 1);
    if (copy_is_shut(token, *copy))
        return CKR_OK;
    (void)token->f->C_DestroyObject(token->keeper.handle, *copy);
    return CKR_ATTRIBUTE_VALUE_INVALID;
}

/* All blocks or none: a key half copied is still right, but there is no reason for one. */
static CK_RV entry_copy(struct token *token, struct token_key_entry *entry)
{
    struct token_key *key = &entry->key;
    for (size_t i = 0; i < key->block_count; i++) {
        struct token_object *object = &key->block[i];
        if (object->is_copy || object->handle == CK_INVALID_HANDLE)
            continue;
        CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
        CK_RV rv = token_copy_make(token, object->original, &copy);
        if (rv != CKR_OK)
            return rv;
        object->is_copy = true;
        __atomic_store_n(&object->handle, copy, __ATOMIC_RELEASE);
    }
    return CKR_OK;
}

void token_copies_drop(struct token *token)
{
    for (size_t i = 0; i < token->key_count; i++) {
        struct token_key *key = &token->key[i]->key;
        for (size_t j = 0; j < key->block_count; j++) {
            struct token_object *object = &key->block[j];
            if (!object->is_copy || object->generation != atomic_load(&token->generation))
                continue;
            token_call_mark(&token->keeper, "C_DestroyObject");
            CK_RV rv = token->f->C_DestroyObject(token->keeper.handle, object->handle);
            if (rv != CKR_OK)
                log_warning("token %s: C_DestroyObject: %s: a copy of key %s/%u stays in its "
                            "memory",
                            token->label, ckr_name(rv), key->name, key->generation);
            object->is_copy = false;
            __atomic_store_n(&object->handle, object->original, __ATOMIC_RELEASE);
        }
    }
}

void token_copies_remake(struct token *token)
{
    for (size_t i = 0; token->session_copies && i < token->key_count; i++) {
        struct token_key_entry *entry = token->key[i];
        if (!entry->hot || !entry->key.present)
            continue;
        CK_RV rv = entry_copy(token, entry);
        if (rv != CKR_OK)
            log_warning("token %s: C_CopyObject: %s: key %s/%u is used as token object",
                        token->label, ckr_name(rv), entry->key.name, entry->key.generation);
    }
}

static struct token_key_entry *entry_of_key(struct token *token, const struct token_key *key)
{
    struct token_key_entry *found = NULL;
    (void)pthread_rwlock_rdlock(&token->key_lock);
    for (size_t i = 0; i < token->key_count && found == NULL; i++) {
        if (&token->key[i]->key == key)
            found = token->key[i];
    }
    (void)pthread_rwlock_unlock(&token->key_lock);
    return found;
}

static bool kind_is_hot(enum token_kind kind)
{
    return kind == TOKEN_PSK || kind == TOKEN_PAIR || kind == TOKEN_TICKET || kind == TOKEN_EPSK;
}

enum mikeyd_status token_key_warm(struct token_session *session, const struct token_key *key,
                                  struct error *err)
{
    struct token *token = session->token;
    struct token_key_entry *entry = entry_of_key(token, key);
    if (entry == NULL)
        return error_set(err, MIKEYD_INTERNAL, "key is not of token %s", token->label);
    if (!token->session_copies || entry->hot || !kind_is_hot(key->kind))
        return MIKEYD_OK;
    /* The session's own bracket brings a lost token back; the keeper's calls follow in a second. */
    enum mikeyd_status status = token_call_begin(session, "C_CopyObject", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = CKR_CANT_LOCK;
    if (token_lock_within(token, &token->keeper_lock)) {
        rv = entry_copy(token, entry);
        entry->hot = rv == CKR_OK;
        token_call_end(&token->keeper);
        (void)pthread_mutex_unlock(&token->keeper_lock);
    }
    token_call_end(session);
    if (rv != CKR_OK)
        log_warning("token %s: C_CopyObject: %s: key %s/%u is used as token object", token->label,
                    ckr_name(rv), key->name, key->generation);
    return MIKEYD_OK;
}

/* ---- measuring */

/* Microseconds of one HMAC-SHA-256 with the object, rounded up; 0 when it failed. */
static unsigned measure_object(struct token *token, CK_OBJECT_HANDLE handle)
{
    static const uint8_t message[32] = {0};
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    uint8_t tag[HMAC_TAG_MAX];
    const int64_t start = clock_monotonic_us();
    unsigned rounds = 0;
    struct token_patience patience = {0};
    CK_RV rv = CKR_OK;
    while (rv == CKR_OK && rounds < MEASURE_ROUNDS &&
           clock_monotonic_us() - start < MEASURE_LONGEST_US) {
        rv = token_sign_hmac(&token->keeper, handle, HMAC_SHA256, data, len, 1, tag);
        rounds++;
        if (rv != CKR_OK && token_wait_while_busy(&token->keeper, rv, &patience))
            rv = CKR_OK;
    }
    secret_wipe(tag, sizeof tag);
    if (rv != CKR_OK) {
        token_session_drop(&token->keeper);
        (void)token_session_open(&token->keeper);
        return 0;
    }
    return (unsigned)((clock_monotonic_us() - start) / rounds) + 1;
}

static struct token_key_entry *signing_key(struct token *token)
{
    for (size_t i = 0; i < token->key_count; i++) {
        const struct token_key *key = &token->key[i]->key;
        if (key->present && (key->findings & KEY_FINDING_FATAL) == 0 &&
            (key->kind == TOKEN_PSK || key->kind == TOKEN_PAIR || key->kind == TOKEN_TICKET))
            return token->key[i];
    }
    return NULL;
}

const struct token_object *token_measured_key(struct token *token)
{
    struct token_key_entry *entry = signing_key(token);
    return entry == NULL ? NULL : &entry->key.block[0];
}

static void measure_with(struct token *token, struct token_key_entry *entry)
{
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    unsigned original_us = measure_object(token, entry->key.block[0].original);
    unsigned copy_us = 0;
    if (token->copies_wanted != TOKEN_COPIES_OFF && token->shares_objects &&
        !token->profile.no_copies &&
        token_copy_make(token, entry->key.block[0].original, &copy) == CKR_OK) {
        copy_us = measure_object(token, copy);
        (void)token->f->C_DestroyObject(token->keeper.handle, copy);
    }
    const bool faster = (uint64_t)original_us * 100 > (uint64_t)copy_us * COPY_GAIN_PERCENT;
    token->session_copies = copy_us != 0 && (token->copies_wanted == TOKEN_COPIES_ON || faster);
    token->hmac_us = token->session_copies ? copy_us : original_us;
}

void token_measure(struct token *token)
{
    struct token_key_entry *entry = signing_key(token);
    if (entry != NULL)
        measure_with(token, entry);
    else
        token->session_copies = token->copies_wanted == TOKEN_COPIES_ON && token->shares_objects &&
                                !token->profile.no_copies;
}
