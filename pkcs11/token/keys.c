/* The keys of a token: built from its objects, found by name, brought up to date by CKA_ID. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "pkcs11/token/enumerate.h"

/* ---- a key from its objects */

/* An object that must not be used gets no handle to use it by, except in the ceremony tool. */
static void key_take_block(struct token *token, struct found_object *object, bool usable,
                           struct token_object *out)
{
    const bool by_copy = usable && object->copy != CK_INVALID_HANDLE;
    const CK_OBJECT_HANDLE handle = by_copy ? object->copy : object->handle;
    memcpy(out->id, object->id, sizeof out->id);
    out->original = object->handle;
    out->is_copy = by_copy;
    out->generation = atomic_load(&token->generation);
    /* Other threads read the handle without a lock (token_handle_now). */
    __atomic_store_n(&out->handle, usable ? handle : CK_INVALID_HANDLE, __ATOMIC_RELEASE);
    if (by_copy)
        object->copy = CK_INVALID_HANDLE;
}

#define BLOCK_BYTES 32 /* RFC 3830 4.1.2: the PRF splits its key at 256 bits */

/*
 * A block of another length would make another key of it: the token runs HMAC under the object as
 * it is. Where the label tells the true length, zeros fill the object. 0: the token does not tell.
 */
static bool wrong_block_length(const struct found_object *object, bool last)
{
    const struct token_label *label = &object->label;
    if (label->kind == TOKEN_PAIR)
        return object->value_len != 0 && object->value_len != BLOCK_BYTES;
    if (label->kind != TOKEN_PSK || label->bits != 0 || object->value_len == 0)
        return false;
    return object->value_len > BLOCK_BYTES || (!last && object->value_len < BLOCK_BYTES);
}

/*
 * Objects of one key, sorted by block: a lone one without number, or #1 .. #n with n >= 2. A key
 * that has lost its last block would be another key: ~BITS in the label, where given, tells.
 */
static uint32_t block_findings(const struct found_object *object, size_t count)
{
    uint32_t findings = 0;
    for (size_t i = 1; i < count; i++) {
        if (object[i].label.block == object[i - 1].label.block)
            findings |= KEY_FINDING_DUPLICATE;
    }
    if (object[0].label.kind == TOKEN_PSK && object[0].label.bits != 0 &&
        (object[0].label.bits + 255) / 256 != count)
        findings |= KEY_FINDING_BLOCK_MISSING;
    for (size_t i = 0; i < count; i++) {
        if (wrong_block_length(&object[i], i + 1 == count))
            findings |= KEY_FINDING_BLOCK_MISSING;
    }
    if (count == 1)
        return object[0].label.block == 0 ? findings : findings | KEY_FINDING_BLOCK_MISSING;
    for (size_t i = 0; i < count; i++) {
        if (object[i].label.block != i + 1)
            findings |= KEY_FINDING_BLOCK_MISSING;
    }
    return findings;
}

/*
 * True length; 0: unknown. What the label says of a padded key, else the length of its objects: but
 * those of an epskx or pair have 32 bytes however short the EPSK was that they come from.
 */
static unsigned key_bits(const struct found_object *object, size_t count)
{
    unsigned bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (object[i].label.bits != 0)
            return object[i].label.bits;
        bits += (unsigned)object[i].value_len * 8;
    }
    const enum token_kind kind = object[0].label.kind;
    return kind == TOKEN_EPSKX || kind == TOKEN_PAIR ? 0 : bits;
}

static void key_build(struct token *token, struct found_object *object, size_t count,
                      struct token_key *out)
{
    /* Of an entry that stands already these are the same, and others read them without a lock. */
    if (out->block_count == 0) {
        out->kind = object[0].label.kind;
        memcpy(out->name, object[0].label.name, sizeof out->name);
        out->generation = object[0].label.generation;
        out->block_count = count < TOKEN_BLOCKS_MAX ? count : TOKEN_BLOCKS_MAX;
    }
    out->findings = out->kind == TOKEN_KIND_COUNT ? 0 : block_findings(object, count);
    for (size_t i = 0; i < count; i++)
        out->findings |= object[i].findings;
    const bool usable = token->provisioning || (out->findings & KEY_FINDING_FATAL) == 0;
    for (size_t i = 0; i < out->block_count; i++)
        key_take_block(token, &object[i], usable, &out->block[i]);
    out->bits = key_bits(object, count);
    out->rsa = object[0].key_type == CKK_RSA;
    if (out->bits != 0 && out->bits < 128 && out->kind != TOKEN_AUDIT &&
        out->kind != TOKEN_KIND_COUNT)
        out->findings |= KEY_FINDING_SHORT;
    memcpy(out->start_date, object[0].start_date, sizeof out->start_date);
    memcpy(out->end_date, object[0].end_date, sizeof out->end_date);
    out->present = true;
    out->missing = false;
}

/* ---- the list */

static bool key_named(const struct token_key *key, enum token_kind kind, const char *name,
                      unsigned generation)
{
    return key->kind == kind && key->generation == generation && strcmp(key->name, name) == 0;
}

struct token_key_entry *token_entry_of(const struct token *token, const struct found_object *object,
                                       size_t count, size_t *at)
{
    for (size_t i = 0; i < token->key_count; i++) {
        *at = (*at + 1) % token->key_count;
        struct token_key_entry *entry = token->key[*at];
        if (!key_named(&entry->key, object[0].label.kind, object[0].label.name,
                       object[0].label.generation) ||
            entry->key.block_count != (count < TOKEN_BLOCKS_MAX ? count : TOKEN_BLOCKS_MAX))
            continue;
        bool same = true;
        for (size_t j = 0; j < entry->key.block_count; j++)
            same = same && secret_equal(entry->key.block[j].id, object[j].id, sizeof object[j].id);
        if (same)
            return entry;
    }
    return NULL;
}

static struct token_key_entry *entry_append(struct token *token)
{
    if (token->key_count == token->key_room) {
        size_t room = token->key_room == 0 ? 64 : token->key_room * 2;
        struct token_key_entry **grown = reallocarray(token->key, room, sizeof *grown);
        if (grown == NULL)
            return NULL;
        token->key = grown;
        token->key_room = room;
    }
    struct token_key_entry *entry = calloc(1, sizeof *entry);
    if (entry != NULL)
        token->key[token->key_count++] = entry;
    return entry;
}

static void entry_forget(struct token *token, struct token_key_entry *entry)
{
    entry->key.missing = entry->key.missing || entry->key.present;
    entry->key.present = false;
    for (size_t i = 0; i < entry->key.block_count; i++) {
        entry->key.block[i].original = CK_INVALID_HANDLE;
        entry->key.block[i].is_copy = false;
        entry->key.block[i].generation = atomic_load(&token->generation);
        __atomic_store_n(&entry->key.block[i].handle, CK_INVALID_HANDLE, __ATOMIC_RELEASE);
    }
}

size_t token_keys_missing(const struct token *token)
{
    size_t missing = 0;
    for (size_t i = 0; i < token->key_count; i++)
        missing += token->key[i]->key.missing ? 1 : 0;
    return missing;
}

static enum mikeyd_status merge(struct token *token, struct found_list *list, struct error *err)
{
    /* At the first load nothing can be there already: no search per key. */
    const bool first = token->key_count == 0;
    size_t at = first ? 0 : token->key_count - 1;
    for (size_t i = 0; i < token->key_count; i++)
        entry_forget(token, token->key[i]);
    for (size_t i = 0; i < list->count;) {
        const size_t count = found_blocks(list, i);
        struct token_key_entry *entry =
            first ? NULL : token_entry_of(token, &list->object[i], count, &at);
        if (entry == NULL)
            entry = entry_append(token);
        if (entry == NULL)
            return error_set(err, MIKEYD_INTERNAL, "out of memory");
        key_build(token, &list->object[i], count, &entry->key);
        i += count;
    }
    atomic_store(&token->keys_missing, token_keys_missing(token) != 0);
    return MIKEYD_OK;
}

enum mikeyd_status token_keys_merge(struct token *token, struct found_list *list, struct error *err)
{
    (void)pthread_rwlock_wrlock(&token->key_lock);
    enum mikeyd_status status = merge(token, list, err);
    (void)pthread_rwlock_unlock(&token->key_lock);
    return status;
}

enum mikeyd_status token_keys_load(struct token *token, struct error *err)
{
    struct found_list list = {0};
    enum mikeyd_status status = token_enumerate(&token->keeper, &list, err);
    if (status == MIKEYD_OK)
        status = token_keys_merge(token, &list, err);
    found_list_free(&list);
    return status;
}

size_t token_keys_expected(const struct token *token)
{
    size_t expected = 0;
    for (size_t i = 0; i < token->key_count; i++) {
        const struct token_key *key = &token->key[i]->key;
        expected += (key->present || key->missing) && key->kind != TOKEN_KIND_COUNT ? 1 : 0;
    }
    return expected;
}

void token_keys_free(struct token *token)
{
    for (size_t i = 0; i < token->key_count; i++)
        free(token->key[i]);
    free(token->key);
    token->key = NULL;
    token->key_count = token->key_room = 0;
}

/* ---- finding */

/* The lock is the one member a reader changes. */
static pthread_rwlock_t *lock_of(const struct token *token)
{
    union {
        const struct token *in;
        struct token *out;
    } same = {.in = token};
    return &same.out->key_lock;
}

size_t token_keys_present(const struct token *token)
{
    size_t present = 0;
    (void)pthread_rwlock_rdlock(lock_of(token));
    for (size_t i = 0; i < token->key_count; i++) {
        const struct token_key *key = &token->key[i]->key;
        present += key->present && key->kind != TOKEN_KIND_COUNT ? 1 : 0;
    }
    (void)pthread_rwlock_unlock(lock_of(token));
    return present;
}

size_t token_key_count(const struct token *token)
{
    (void)pthread_rwlock_rdlock(lock_of(token));
    size_t count = token->key_count;
    (void)pthread_rwlock_unlock(lock_of(token));
    return count;
}

const struct token_key *token_key_at(const struct token *token, size_t index)
{
    (void)pthread_rwlock_rdlock(lock_of(token));
    const struct token_key *key = index < token->key_count ? &token->key[index]->key : NULL;
    (void)pthread_rwlock_unlock(lock_of(token));
    return key;
}

bool token_key_snapshot(const struct token *token, size_t index, struct token_key *out)
{
    (void)pthread_rwlock_rdlock(lock_of(token));
    const bool there = index < token->key_count;
    if (there) {
        const struct token_key *key = &token->key[index]->key;
        *out = (struct token_key){.kind = key->kind,
                                  .generation = key->generation,
                                  .block_count = key->block_count,
                                  .bits = key->bits,
                                  .findings = key->findings,
                                  .present = key->present,
                                  .missing = key->missing};
        memcpy(out->name, key->name, sizeof out->name);
        memcpy(out->start_date, key->start_date, sizeof out->start_date);
        memcpy(out->end_date, key->end_date, sizeof out->end_date);
    }
    (void)pthread_rwlock_unlock(lock_of(token));
    return there;
}

static enum mikeyd_status refuse_key(const struct token *token, const struct token_key *key,
                                     struct error *err)
{
    char reasons[160];
    key_findings_text(key->findings & KEY_FINDING_FATAL, reasons, sizeof reasons);
    return error_set(err, MIKEYD_POLICY, "token %s: key mikeyd/%s/%s/%u is refused: %s",
                     token->label, token_kind_name(key->kind), key->name, key->generation, reasons);
}

enum mikeyd_status token_key_find(const struct token *token, enum token_kind kind, const char *name,
                                  unsigned generation, const struct token_key **out,
                                  struct error *err)
{
    const struct token_key *key = NULL;
    enum mikeyd_status status = MIKEYD_OK;
    (void)pthread_rwlock_rdlock(lock_of(token));
    for (size_t i = 0; i < token->key_count && key == NULL; i++) {
        const struct token_key *candidate = &token->key[i]->key;
        if (candidate->present && key_named(candidate, kind, name, generation))
            key = candidate;
    }
    if (key == NULL)
        status = error_set(err, MIKEYD_TOKEN_DOWN, "no object mikeyd/%s/%s/%u in token %s",
                           token_kind_name(kind), name, generation, token->label);
    else if ((key->findings & KEY_FINDING_FATAL) != 0)
        status = refuse_key(token, key, err);
    else
        *out = key;
    (void)pthread_rwlock_unlock(lock_of(token));
    return status;
}

#define REPORT_MAX 8

void token_keys_report_unfit(const struct token *token)
{
    size_t unfit = 0;
    for (size_t i = 0; i < token->key_count; i++) {
        const struct token_key *key = &token->key[i]->key;
        char reasons[160];
        if (!key->present || (key->findings & KEY_FINDING_FATAL) == 0 || unfit++ >= REPORT_MAX)
            continue;
        key_findings_text(key->findings & KEY_FINDING_FATAL, reasons, sizeof reasons);
        if (key->kind == TOKEN_KIND_COUNT)
            log_warning("token %s: object %s is not used: %s", token->label, key->name, reasons);
        else
            log_warning("token %s: key mikeyd/%s/%s/%u is not used: %s", token->label,
                        token_kind_name(key->kind), key->name, key->generation, reasons);
    }
    if (unfit > REPORT_MAX)
        log_warning("token %s: %zu more objects are not used (mikeyd --check lists them)",
                    token->label, unfit - REPORT_MAX);
}
