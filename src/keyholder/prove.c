/*
 * What is computed with a key under labels that are no MIKEY labels: the day's ticket key, and the
 * proof that two tokens hold the same key. RFC 3830's labels begin with a constant of its section
 * 4.1.4, HkdfLabel with the length 0x0020, these with "mike", which is none of them: neither can be
 * had by asking for the other.
 */
#include <string.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "keyholder/holder.h"

static const char ticket_label[] = "mikeyd ticket";
static const char proof_label[] = "mikeyd key proof";

/* ---- the ticket key of a day */

enum mikeyd_status keyholder_ticket_key(struct keyholder *holder, struct desk *desk,
                                        int64_t deadline_ms, struct error *err)
{
    const struct door_request *request = &desk->request;
    struct token_session *session = NULL;
    struct inventory_key found;
    uint8_t day[4];
    struct byte_writer w = writer_of(day, sizeof day);
    writer_u32(&w, request->ticket.day);
    enum mikeyd_status status =
        inventory_find(holder->inventory, TOKEN_TICKET, request->ticket.name,
                       request->ticket.generation, &found, err);
    if (status == MIKEYD_OK)
        status = keyholder_session(holder, deadline_ms, &session, err);
    if (status != MIKEYD_OK)
        return status;
    struct hmac_job job = {.key = &found.key->block[0],
                           .hash = HMAC_SHA256,
                           .data = {(const uint8_t *)ticket_label, day},
                           .len = {sizeof ticket_label - 1, sizeof day},
                           .tag = desk->secrets->key};
    status = token_hmac_batch(session, &job, 1, err);
    keyholder_session_end(holder, session);
    desk->answer.bytes.data = desk->secrets->key;
    desk->answer.bytes.len = DOOR_TICKET_KEY;
    return status;
}

/* ---- proofs */

struct proof {
    struct keyholder *holder;
    struct desk *desk;
    struct token_session *session;
    uint8_t text[sizeof proof_label - 1 + DOOR_NONCE];
};

/* HMAC-SHA-256(object, text) for each block, into the desk's tags. */
static enum mikeyd_status tag_blocks(struct proof *proof, const struct token_object *block,
                                     size_t count, struct error *err)
{
    struct hmac_job jobs[KEYS_BLOCKS_MAX];
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (struct hmac_job){.key = &block[i],
                                    .hash = HMAC_SHA256,
                                    .data = {proof->text, NULL},
                                    .len = {sizeof proof->text, 0},
                                    .tag = proof->desk->secrets->tag[i]};
    }
    return token_hmac_batch(proof->session, jobs, count, err);
}

/* A key that may sign: its tag, or the hash over the tags of all its blocks. */
static enum mikeyd_status prove_by_hmac(struct proof *proof, const struct inventory_key *key,
                                        uint8_t out[DOOR_PROOF], struct error *err)
{
    uint8_t(*tag)[HMAC_TAG_MAX] = proof->desk->secrets->tag;
    if (key->block_count == 0 || key->block_count > KEYS_BLOCKS_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "a key of %zu blocks", key->block_count);
    enum mikeyd_status status = tag_blocks(proof, key->key->block, key->block_count, err);
    if (status != MIKEYD_OK)
        return status;
    if (key->block_count == 1)
        memcpy(out, tag[0], DOOR_PROOF);
    else if (EVP_Q_digest(NULL, "SHA256", NULL, tag, key->block_count * sizeof tag[0], out, NULL) !=
             1)
        status = error_set(err, MIKEYD_INTERNAL, "SHA-256 failed");
    return status;
}

/* *lost: what was derived has gone with an initialisation of the module. */
static enum mikeyd_status prove_by_hkdf_once(struct proof *proof, const struct inventory_key *key,
                                             uint8_t out[DOOR_PROOF], bool *lost, struct error *err)
{
    struct token_object derived;
    *lost = false;
    enum mikeyd_status status =
        token_hkdf_pair(proof->session, key->key, proof->text, sizeof proof->text, &derived, err);
    if (status != MIKEYD_OK)
        return status;
    status = tag_blocks(proof, &derived, 1, err);
    if (status == MIKEYD_OK)
        memcpy(out, proof->desk->secrets->tag[0], DOOR_PROOF);
    *lost = derived.generation != token_generation(proof->holder->token);
    if (!*lost)
        token_object_destroy(proof->session, derived.handle);
    return status;
}

/* A key that may only derive: HKDF with the text as info, then HMAC under what came out. */
static enum mikeyd_status prove_by_hkdf(struct proof *proof, const struct inventory_key *key,
                                        uint8_t out[DOOR_PROOF], struct error *err)
{
    bool lost = false;
    enum mikeyd_status status = prove_by_hkdf_once(proof, key, out, &lost, err);
    return status != MIKEYD_OK && lost ? prove_by_hkdf_once(proof, key, out, &lost, err) : status;
}

/* *of_key: what stands in the way of a proof of this one key; the return value: of all. */
static enum mikeyd_status prove_one(struct proof *proof, const struct keys_entry *entry,
                                    uint8_t out[DOOR_PROOF], enum mikeyd_status *of_key,
                                    struct error *err)
{
    enum token_kind kind;
    struct inventory_key key;
    const bool provable =
        inventory_token_kind(entry->kind, &kind) && kind != TOKEN_AUDIT &&
        (kind != TOKEN_EPSK || proof->holder->hkdf); /* SIGN is off, DERIVE cannot be used */
    *of_key = provable ? inventory_find(proof->holder->inventory, kind, entry->name,
                                        entry->generation, &key, NULL)
                       : MIKEYD_UNSUPPORTED;
    if (*of_key != MIKEYD_OK)
        return MIKEYD_OK;
    return kind == TOKEN_EPSK ? prove_by_hkdf(proof, &key, out, err)
                              : prove_by_hmac(proof, &key, out, err);
}

enum mikeyd_status keyholder_prove(struct keyholder *holder, struct desk *desk, int64_t deadline_ms,
                                   struct error *err)
{
    const struct door_request *request = &desk->request;
    struct door_answer *answer = &desk->answer;
    struct proof proof = {.holder = holder, .desk = desk};
    memcpy(proof.text, proof_label, sizeof proof_label - 1);
    memcpy(proof.text + sizeof proof_label - 1, request->proof.nonce, DOOR_NONCE);
    enum mikeyd_status status = keyholder_session(holder, deadline_ms, &proof.session, err);
    if (status != MIKEYD_OK)
        return status;
    for (size_t i = 0; status == MIKEYD_OK && i < request->proof.count; i++)
        status = prove_one(&proof, &request->proof.entry[i], answer->proof.proof[i],
                           &answer->proof.status[i], err);
    answer->proof.count = request->proof.count;
    keyholder_session_end(holder, proof.session);
    return status;
}
