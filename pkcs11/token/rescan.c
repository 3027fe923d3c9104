/*
 * The keys looked at again while the token serves: they are read, and the copies of those in use
 * made anew, beside the requests; only the exchange of handles has them shut out. That exchange is
 * also what makes the copies of before safe to destroy: no call that began with one is left.
 *
 * When the token is not well, and in the ceremony, where nobody waits, all of it is done under
 * exclusion.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "pkcs11/token/enumerate.h"

struct look {
    struct token *token;
    bool tried;  /* by the reader, which may be open */
    bool beside; /* list is what the token held in that generation */
    uint64_t generation;
    struct found_list list;
    CK_OBJECT_HANDLE *former; /* copies that no key has any more */
    size_t former_count;
};

/* ---- beside the requests */

/* By the keeper, in a bracket of the reader's. A key that gets no copy here gets it later. */
static void copy_one(struct look *look, struct found_object *object)
{
    struct token *token = look->token;
    struct error why = {0};
    if (token_call_begin_once(&token->reader, "C_CopyObject", &why) != MIKEYD_OK)
        return;
    if (atomic_load(&token->generation) == look->generation &&
        token_lock_within(token, &token->keeper_lock)) {
        if (token_copy_make(token, object->handle, &object->copy) != CKR_OK)
            object->copy = CK_INVALID_HANDLE;
        token_call_end(&token->keeper);
        (void)pthread_mutex_unlock(&token->keeper_lock);
    }
    token_call_end(&token->reader);
}

/* The copies are made anew: an object may have another value under the label and CKA_ID of before. */
static void copy_hot_keys(struct look *look)
{
    struct token *token = look->token;
    struct found_list *list = &look->list;
    size_t at = 0;
    for (size_t i = 0, count; token->session_copies && i < list->count; i += count) {
        count = found_blocks(list, i);
        (void)pthread_rwlock_rdlock(&token->key_lock);
        const struct token_key_entry *entry = token_entry_of(token, &list->object[i], count, &at);
        const bool wanted = entry != NULL && atomic_load(&entry->hot);
        (void)pthread_rwlock_unlock(&token->key_lock);
        for (size_t block = 0; wanted && block < count && block < TOKEN_BLOCKS_MAX; block++)
            copy_one(look, &list->object[i + block]);
    }
}

static void read_beside(struct look *look)
{
    struct token *token = look->token;
    struct error why = {0};
    if (token->provisioning || atomic_load(&token->gate) != 0)
        return;
    look->tried = true;
    look->generation = atomic_load(&token->generation);
    look->beside = token_enumerate_beside(&token->reader, &look->list, &why) == MIKEYD_OK;
    if (look->beside)
        copy_hot_keys(look);
}

/* A token that has begun anew since has forgotten them. */
static void destroy_copy(const struct look *look, CK_OBJECT_HANDLE copy)
{
    struct token *token = look->token;
    struct error why = {0};
    if (copy == CK_INVALID_HANDLE ||
        token_call_begin_once(&token->reader, "C_DestroyObject", &why) != MIKEYD_OK)
        return;
    if (atomic_load(&token->generation) == look->generation) {
        const CK_RV rv = token->f->C_DestroyObject(token->reader.handle, copy);
        if (rv != CKR_OK)
            log_warning("token %s: C_DestroyObject: %s: a copy of a key stays in its memory",
                        token->label, ckr_name(rv));
    }
    token_call_end(&token->reader);
}

static void close_reader(struct token *token)
{
    struct error why = {0};
    if (token_call_begin_once(&token->reader, "C_CloseSession", &why) != MIKEYD_OK)
        return; /* whoever brings the token back closes it */
    token_session_drop(&token->reader);
    token_call_end(&token->reader);
}

/* ---- under exclusion */

static size_t count_copies(const struct token *token)
{
    size_t count = 0;
    for (size_t i = 0; i < token->key_count; i++) {
        for (size_t j = 0; j < token->key[i]->key.block_count; j++)
            count += token->key[i]->key.block[j].is_copy ? 1 : 0;
    }
    return count;
}

/* The copies that the keys have now are destroyed when they have new ones. */
static void note_copies(struct look *look)
{
    struct token *token = look->token;
    look->former = calloc(count_copies(token) + 1, sizeof *look->former);
    if (look->former == NULL) {
        token_copies_drop(token);
        return;
    }
    for (size_t i = 0; i < token->key_count; i++) {
        const struct token_key *key = &token->key[i]->key;
        for (size_t j = 0; j < key->block_count; j++) {
            if (key->block[j].is_copy && key->block[j].generation == look->generation)
                look->former[look->former_count++] = key->block[j].handle;
        }
    }
}

static enum mikeyd_status take_keys(struct look *look, struct error *err)
{
    struct token *token = look->token;
    if (look->beside && look->generation == atomic_load(&token->generation)) {
        note_copies(look);
        return token_keys_merge(token, &look->list, err);
    }
    token_copies_drop(token);
    return token_keys_load(token, err);
}

/* ---- both */

/* On OK the token is exclusively the caller's until look_end(). */
static enum mikeyd_status look_begin(struct look *look, bool operator_asks, struct error *err)
{
    struct token *token = look->token;
    read_beside(look);
    return token_exclusive_begin(token, operator_asks, err);
}

static enum mikeyd_status look_take(struct look *look, struct error *err)
{
    struct token *token = look->token;
    enum mikeyd_status status = take_keys(look, err);
    if (status == MIKEYD_OK && token->hmac_us == 0)
        token_measure(token);
    /* Of those that became hot meanwhile, or that were not copied beside. */
    token_copies_remake(token);
    return status;
}

static void look_end(struct look *look)
{
    if (look->beside) {
        for (size_t i = 0; i < look->list.count; i++)
            destroy_copy(look, look->list.object[i].copy);
        for (size_t i = 0; i < look->former_count; i++)
            destroy_copy(look, look->former[i]);
    }
    if (look->tried)
        close_reader(look->token);
    found_list_free(&look->list);
    free(look->former);
}

enum mikeyd_status token_rescan(struct token *token, struct error *err)
{
    struct look look = {.token = token};
    (void)pthread_mutex_lock(&token->reader_lock);
    enum mikeyd_status status = look_begin(&look, true, err);
    if (status == MIKEYD_OK) {
        status = look_take(&look, err);
        /* The operator asked: what is gone is meant to be gone. */
        (void)pthread_rwlock_wrlock(&token->key_lock);
        for (size_t i = 0; status == MIKEYD_OK && i < token->key_count; i++)
            token->key[i]->key.missing = false;
        (void)pthread_rwlock_unlock(&token->key_lock);
        if (status == MIKEYD_OK && !token->provisioning)
            token_keys_report_unfit(token);
        atomic_store(&token->keys_missing, token_keys_missing(token) != 0);
        token_exclusive_end(token);
    }
    look_end(&look);
    (void)pthread_mutex_unlock(&token->reader_lock);
    return status;
}

/* Enumerating many keys takes its time. */
#define LOOK_EVERY_MS 10000
#define LOOK_SHARE 50 /* of the time, at most one part in so many */

/* True when keys are back. */
static bool find_missing(struct token *token)
{
    struct look look = {.token = token};
    struct error err = {0};
    size_t before = 0, after = 0;
    const bool exclusive = look_begin(&look, false, &err) == MIKEYD_OK;
    if (exclusive) {
        before = token_keys_missing(token);
        if (look_take(&look, &err) != MIKEYD_OK)
            log_warning("token %s: looking for missing keys: %s", token->label, err.text);
        after = token_keys_missing(token);
        token_exclusive_end(token);
    }
    look_end(&look);
    if (after < before)
        log_notice("token %s: %zu keys are back, %zu are still missing", token->label,
                   before - after, after);
    return after < before;
}

bool token_find_missing(struct token *token)
{
    const int64_t start = clock_monotonic_ms();
    int64_t due = atomic_load(&token->next_look_ms);
    if (!atomic_load(&token->keys_missing) || start < due ||
        !atomic_compare_exchange_strong(&token->next_look_ms, &due, start + LOOK_EVERY_MS) ||
        pthread_mutex_trylock(&token->reader_lock) != 0)
        return false;
    const bool found = find_missing(token);
    (void)pthread_mutex_unlock(&token->reader_lock);
    const int64_t end = clock_monotonic_ms();
    if ((end - start) * LOOK_SHARE > LOOK_EVERY_MS)
        atomic_store(&token->next_look_ms, end + (end - start) * LOOK_SHARE);
    return found;
}
