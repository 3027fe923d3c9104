/*
 * What a keyholder holds, and whether that is what the group holds. Labels prove nothing: for each
 * usable key both sides compute a PRF of the same fresh nonce under a label of its own.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/secret.h"
#include "keys/group_internal.h"
#include "keys/inventory.h"

/* How often the inventory may change under the reader. */
#define LISTING_ATTEMPTS 5

/* ---- listing */

/* One page into *listing, which the first page makes. POLICY: it has changed, begin again. */
static enum mikeyd_status take_page(const struct door_answer *answer, uint64_t *inventory,
                                    struct keys_inventory **listing, struct error *err)
{
    const size_t have = *listing == NULL ? 0 : keys_inventory_count(*listing);
    if (answer->keys.total > KEYS_INVENTORY_MAX)
        return error_set(err, MIKEYD_INTERNAL, "%u keys are more than a token has",
                         answer->keys.total);
    if (*listing == NULL) {
        *inventory = answer->keys.inventory;
        *listing = keys_inventory_make(answer->keys.total);
        if (*listing == NULL)
            return error_set(err, MIKEYD_INTERNAL, "no memory for %u keys", answer->keys.total);
    }
    if (answer->keys.inventory != *inventory)
        return error_set(err, MIKEYD_POLICY, "its keys change all the time");
    if (answer->keys.first != have)
        return error_set(err, MIKEYD_INTERNAL, "the keyholder answers with another page");
    for (size_t i = 0; i < answer->keys.count; i++) {
        if (!keys_inventory_add(*listing, &answer->keys.entry[i]))
            return error_set(err, MIKEYD_INTERNAL, "the keyholder tells more keys than it has");
    }
    return MIKEYD_OK;
}

static enum mikeyd_status read_pages(struct keys_member *self, struct keys_inquiry *own,
                                     uint64_t *inventory, struct keys_inventory **listing,
                                     struct error *err)
{
    for (;;) {
        struct door_request request = {.op = DOOR_KEYS};
        struct door_answer answer;
        request.keys.first = *listing == NULL ? 0 : (uint32_t)keys_inventory_count(*listing);
        enum mikeyd_status status = keys_inquiry_ask(own, self, &request, &answer, err);
        if (status == MIKEYD_OK)
            status = take_page(&answer, inventory, listing, err);
        if (status != MIKEYD_OK)
            return status;
        if (keys_inventory_count(*listing) >= answer.keys.total)
            return MIKEYD_OK;
    }
}

enum mikeyd_status keys_prove_list(struct keys_member *self, struct keys_inquiry *own,
                                   struct error *err)
{
    struct keys_inventory *listing = NULL;
    uint64_t inventory = 0;
    enum mikeyd_status status = MIKEYD_POLICY;
    for (int i = 0; i < LISTING_ATTEMPTS && status == MIKEYD_POLICY; i++) {
        keys_inventory_unref(listing);
        listing = NULL;
        status = read_pages(self, own, &inventory, &listing, err);
    }
    if (status != MIKEYD_OK) {
        keys_inventory_unref(listing);
        return status == MIKEYD_POLICY ? MIKEYD_TOKEN_BUSY : status;
    }
    keys_group_lock(self->group);
    keys_inventory_unref(self->listing);
    self->listing = listing;
    self->listed_inventory = inventory;
    self->listed_keyholder =
        own->connection.keyholder == NULL ? 0 : own->connection.keyholder->number;
    self->proven_version = 0;
    (void)pthread_mutex_unlock(&self->group->lock);
    return MIKEYD_OK;
}

/* ---- comparing */

static void title_of(struct keys_member *member, char title[160])
{
    (void)pthread_mutex_lock(&member->group->lock);
    keys_member_title(member, title, 160);
    (void)pthread_mutex_unlock(&member->group->lock);
}

static bool is_compared(const struct keys_entry *entry)
{
    return entry->usable && entry->kind != KEYS_AUDIT && entry->kind != KEYS_OTHER;
}

static enum mikeyd_status lacks(struct keys_member *self, const struct keys_entry *entry,
                                struct error *err)
{
    char title[160];
    title_of(self, title);
    return error_set(err, MIKEYD_POLICY, "%.100s lacks mikeyd/%s/%s/%u, which the group holds",
                     title, keys_kind_name(entry->kind), entry->name, entry->generation);
}

static enum mikeyd_status has_all(struct keys_member *self, const struct keys_inventory *inventory,
                                  struct error *err)
{
    for (size_t i = 0; i < keys_inventory_count(inventory); i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (!is_compared(entry))
            continue;
        const struct keys_entry *own =
            keys_inventory_find(self->listing, entry->kind, entry->name, entry->generation);
        if (own == NULL || !own->usable)
            return lacks(self, entry, err);
    }
    return MIKEYD_OK;
}

static enum mikeyd_status ask_proofs(struct keys_inquiry *inquiry, struct keys_member *self,
                                     struct door_request *batch, struct door_answer *answer,
                                     struct error *err)
{
    enum mikeyd_status status = keys_inquiry_ask(inquiry, self, batch, answer, err);
    if (status == MIKEYD_OK && answer->proof.count != batch->proof.count)
        status = error_set(err, MIKEYD_INTERNAL, "the keyholder proves another number of keys");
    return status;
}

/* *vouched: the other side could say something of every key. */
static enum mikeyd_status compare(struct keys_member *self, struct keys_member *other,
                                  const struct door_request *batch, const struct door_answer *own,
                                  const struct door_answer *theirs, bool *vouched,
                                  struct error *err)
{
    *vouched = true;
    for (size_t i = 0; i < batch->proof.count; i++) {
        const struct keys_entry *entry = &batch->proof.entry[i];
        if (own->proof.status[i] != MIKEYD_OK)
            return lacks(self, entry, err);
        if (theirs->proof.status[i] != MIKEYD_OK) {
            *vouched = false;
            continue;
        }
        if (secret_equal(own->proof.proof[i], theirs->proof.proof[i], DOOR_PROOF))
            continue;
        char mine[160], others[160];
        title_of(self, mine);
        title_of(other, others);
        return error_set(err, MIKEYD_POLICY, "%.60s has another key mikeyd/%s/%s/%u than %.60s",
                         mine, keys_kind_name(entry->kind), entry->name, entry->generation, others);
    }
    return MIKEYD_OK;
}

/* Somebody that serves and is not the keyholder in question, with a reference. */
static struct keys_keyholder *take_other(struct keys_member *self, struct keys_inquiry *own,
                                         unsigned *tried, struct keys_member **whom)
{
    struct keys_group *group = self->group;
    struct keys_keyholder *found = NULL;
    (void)pthread_mutex_lock(&group->lock);
    for (size_t i = 0; i < group->members && found == NULL; i++) {
        struct keys_member *member = &group->member[i];
        if ((*tried & 1u << i) != 0 || !keys_member_serves(member) || member->keyholder == NULL ||
            member->keyholder == own->connection.keyholder)
            continue;
        *tried |= 1u << i;
        *whom = member;
        found = member->keyholder;
        keys_keyholder_ref(found);
    }
    (void)pthread_mutex_unlock(&group->lock);
    return found;
}

/* The batch against one who serves after another, until one has vouched for all of it. */
static enum mikeyd_status prove_batch(struct keys_member *self, struct keys_inquiry *own,
                                      struct door_request *batch, struct error *err)
{
    struct door_answer mine, theirs;
    struct keys_keyholder *keyholder;
    struct keys_member *whom = NULL;
    unsigned tried = 0;
    bool vouched = false, heard = false;
    if (RAND_bytes(batch->proof.nonce, DOOR_NONCE) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random numbers for a proof");
    enum mikeyd_status status = ask_proofs(own, self, batch, &mine, err);
    while (status == MIKEYD_OK && !vouched &&
           (keyholder = take_other(self, own, &tried, &whom)) != NULL) {
        struct keys_inquiry other = {0};
        if (keys_inquiry_open(&other, whom, keyholder, err) == MIKEYD_OK &&
            ask_proofs(&other, self, batch, &theirs, err) == MIKEYD_OK) {
            heard = true;
            status = compare(self, whom, batch, &mine, &theirs, &vouched, err);
        }
        keys_connection_close(&other.connection);
        keys_keyholder_unref(keyholder);
    }
    if (status == MIKEYD_OK && !heard)
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "no token answers that its keys could be held "
                         "against");
    return status;
}

enum mikeyd_status keys_prove_against(struct keys_member *self, struct keys_inquiry *own,
                                      const struct keys_inventory *inventory, struct error *err)
{
    struct door_request batch = {.op = DOOR_PROOF_OF};
    enum mikeyd_status status = has_all(self, inventory, err);
    for (size_t i = 0; status == MIKEYD_OK && i < keys_inventory_count(inventory); i++) {
        const struct keys_entry *entry = keys_inventory_at(inventory, i);
        if (is_compared(entry))
            batch.proof.entry[batch.proof.count++] = *entry;
        if (batch.proof.count == DOOR_PROOFS_MAX) {
            status = prove_batch(self, own, &batch, err);
            batch.proof.count = 0;
        }
    }
    if (status == MIKEYD_OK && batch.proof.count != 0)
        status = prove_batch(self, own, &batch, err);
    return status;
}
