/* One request, one answer: who answers what. */
#include <string.h>

#include "base/clock.h"
#include "keyholder/holder.h"
#include "pkcs11/token/store_mark.h"

enum mikeyd_status keyholder_session(struct keyholder *holder, int64_t deadline_ms,
                                     struct token_session **out, struct error *err)
{
    const int64_t left = deadline_ms - clock_monotonic_ms();
    enum mikeyd_status status =
        token_session_acquire(holder->token, left > 0 ? (unsigned)left : 0, out, err);
    if (status == MIKEYD_OK)
        (void)atomic_fetch_add_explicit(&holder->sessions_used, 1, memory_order_relaxed);
    return status;
}

void keyholder_session_end(struct keyholder *holder, struct token_session *session)
{
    (void)atomic_fetch_sub_explicit(&holder->sessions_used, 1, memory_order_relaxed);
    token_session_release(session);
}

static enum mikeyd_status checkpoint(struct keyholder *holder, struct desk *desk, struct error *err)
{
    const struct door_request *request = &desk->request;
    struct door_answer *answer = &desk->answer;
    struct checkpoint_claim claim = request->audit.claim;
    claim.counted = true;
    claim.uses = atomic_load(&holder->uses);
    memcpy(claim.holder, holder->incarnation, sizeof claim.holder);
    answer->checkpoint.signature = desk->signature;
    answer->checkpoint.signature_len = sizeof desk->signature;
    answer->checkpoint.uses = claim.uses;
    memcpy(answer->checkpoint.incarnation, claim.holder, sizeof claim.holder);
    return audit_keys_checkpoint(holder->audit, request->audit.name, request->audit.generation,
                                 &claim, desk->signature, &answer->checkpoint.signature_len, err);
}

static enum mikeyd_status public_key(struct keyholder *holder, struct desk *desk, struct error *err)
{
    const struct door_request *request = &desk->request;
    struct door_answer *answer = &desk->answer;
    answer->public_key.signature = desk->signature;
    answer->public_key.signature_len = sizeof desk->signature;
    enum mikeyd_status status = audit_keys_public(
        holder->audit, request->audit.name, request->audit.generation, request->audit.nonce,
        desk->signature, &answer->public_key.signature_len, &desk->pem, err);
    answer->public_key.pem = desk->pem;
    answer->public_key.pem_len = desk->pem == NULL ? 0 : strlen(desk->pem);
    return status;
}

static enum mikeyd_status keys(struct keyholder *holder, struct desk *desk, struct error *err)
{
    struct door_answer *answer = &desk->answer;
    struct inventory_facts of;
    answer->keys.entry = desk->entry;
    answer->keys.first = desk->request.keys.first;
    answer->keys.count =
        inventory_page(holder->inventory, answer->keys.first, desk->entry, DOOR_KEYS_PER_PAGE, &of);
    answer->keys.inventory = of.number;
    answer->keys.total = (uint32_t)of.count;
    if (answer->keys.first > of.count)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "there are %zu keys", of.count);
    return MIKEYD_OK;
}

static enum mikeyd_status claim(struct keyholder *holder, struct desk *desk, struct error *err)
{
    struct door_answer *answer = &desk->answer;
    bool marked = false;
    enum mikeyd_status status =
        token_claim_for_store(holder->token, desk->request.claim.store, &marked, err);
    answer->claim.marked = marked;
    if (status == MIKEYD_OK && !marked)
        memcpy(answer->claim.why, err->text, sizeof answer->claim.why);
    return status;
}

static enum mikeyd_status dispatch(struct keyholder *holder, struct desk *desk, int64_t deadline_ms,
                                   struct error *err)
{
    switch (desk->request.op) {
    case DOOR_SEAL:
    case DOOR_OPEN:
    case DOOR_TAG:
    case DOOR_CHECK:
    case DOOR_TGK:
    case DOOR_PREPARE:
        return keyholder_use(holder, desk, deadline_ms, err);
    case DOOR_TICKET_KEY_OF_DAY:
        return keyholder_ticket_key(holder, desk, deadline_ms, err);
    case DOOR_CHECKPOINT:
        return checkpoint(holder, desk, err);
    case DOOR_PUBLIC_KEY:
        return public_key(holder, desk, err);
    case DOOR_CLAIM:
        return claim(holder, desk, err);
    case DOOR_FACTS:
        return keyholder_facts(holder, &desk->answer.facts, err);
    case DOOR_KEYS:
        return keys(holder, desk, err);
    case DOOR_HEALTH:
        return keyholder_health(holder, err);
    case DOOR_RESCAN:
        return keyholder_rescan(holder, err);
    case DOOR_PROOF_OF:
        return keyholder_prove(holder, desk, deadline_ms, err);
    case DOOR_OP_END:
        break;
    }
    return error_set(err, MIKEYD_SYNTAX, "no such request");
}

void keyholder_count(struct keyholder *holder, enum door_op op)
{
    if (door_uses_psk(op))
        (void)atomic_fetch_add(&holder->uses, 1);
}

void keyholder_answer(struct keyholder *holder, struct desk *desk, int64_t deadline_ms)
{
    struct door_answer *answer = &desk->answer;
    struct error why = {0};
    keyholder_count(holder, desk->request.op);
    *answer = (struct door_answer){.op = desk->request.op, .id = desk->request.id};
    answer->status = dispatch(holder, desk, deadline_ms, &why);
    if (answer->status != MIKEYD_OK)
        memcpy(answer->text, why.text, sizeof answer->text);
    (void)atomic_fetch_add_explicit(&holder->requests, 1, memory_order_relaxed);
}
