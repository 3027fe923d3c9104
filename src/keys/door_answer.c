/* Answers of a keyholder: one form for writing and reading. */
#include <string.h>

#include "keys/door_form.h"

#define TAG_SHORT 20
#define TAG_LONG 32

static const char *const prf_names[] = {"sign", "derive"};

/* How it was computed. The strings are ours: what is read is never a view. */
static const char *form_prf(struct door_form *form, const char *prf)
{
    uint8_t number = 0;
    for (uint8_t i = 0; form->out != NULL && prf != NULL && i < 2; i++) {
        if (strcmp(prf, prf_names[i]) == 0)
            number = (uint8_t)(i + 1);
    }
    number = form_u8(form, number, 1, 2);
    return number == 0 ? NULL : prf_names[number - 1];
}

static size_t form_tag_length(struct door_form *form, size_t len)
{
    len = form_u8(form, len, TAG_SHORT, TAG_LONG);
    if (len != TAG_SHORT && len != TAG_LONG)
        form_fail(form);
    return len;
}

static void form_seal(struct door_form *form, struct door_answer *answer)
{
    answer->prf = form_prf(form, answer->prf);
    answer->seal.encrypted_len = form_u16(form, answer->seal.encrypted_len, 0, MIKEY_PLAIN_MAX);
    answer->seal.encrypted = form_view(form, answer->seal.encrypted, answer->seal.encrypted_len);
    answer->seal.mac_len = form_tag_length(form, answer->seal.mac_len);
    answer->seal.mac = form_view(form, answer->seal.mac, answer->seal.mac_len);
}

static void form_open(struct door_form *form, struct door_answer *answer)
{
    answer->prf = form_prf(form, answer->prf);
    answer->open.plain_len = form_u16(form, answer->open.plain_len, 0, MIKEY_PLAIN_MAX);
    answer->open.plain = form_view(form, answer->open.plain, answer->open.plain_len);
    if (form_bool(form, answer->open.v_len != 0)) {
        answer->open.v_len = form_tag_length(form, answer->open.v_len);
        answer->open.v = form_view(form, answer->open.v, answer->open.v_len);
    }
    if (form_bool(form, answer->open.psk_key_len != 0)) {
        answer->open.psk_key_len = MIKEY_PSK_KEY_LEN;
        answer->open.psk_key = form_view(form, answer->open.psk_key, answer->open.psk_key_len);
    }
}

static void form_tag(struct door_form *form, struct door_answer *answer)
{
    answer->prf = form_prf(form, answer->prf);
    answer->bytes.len = form_tag_length(form, answer->bytes.len);
    answer->bytes.data = form_view(form, answer->bytes.data, answer->bytes.len);
}

static void form_check(struct door_form *form, struct door_answer *answer)
{
    answer->prf = form_prf(form, answer->prf);
}

static void form_tgk(struct door_form *form, struct door_answer *answer)
{
    answer->prf = form_prf(form, answer->prf);
    answer->bytes.len = form_u8(form, answer->bytes.len, 16, 32);
    if (answer->bytes.len != 16 && answer->bytes.len != 32)
        form_fail(form);
    answer->bytes.data = form_view(form, answer->bytes.data, answer->bytes.len);
}

static void form_ticket_key(struct door_form *form, struct door_answer *answer)
{
    answer->bytes.len = form_u8(form, answer->bytes.len, DOOR_TICKET_KEY, DOOR_TICKET_KEY);
    answer->bytes.data = form_view(form, answer->bytes.data, answer->bytes.len);
}

static void form_checkpoint(struct door_form *form, struct door_answer *answer)
{
    answer->checkpoint.signature_len =
        form_u16(form, answer->checkpoint.signature_len, 1, DOOR_SIGNATURE_MAX);
    answer->checkpoint.signature =
        form_view(form, answer->checkpoint.signature, answer->checkpoint.signature_len);
    answer->checkpoint.uses = form_u64(form, answer->checkpoint.uses);
    form_copy(form, answer->checkpoint.incarnation, sizeof answer->checkpoint.incarnation);
}

static void form_public_key(struct door_form *form, struct door_answer *answer)
{
    answer->public_key.signature_len =
        form_u16(form, answer->public_key.signature_len, 1, DOOR_SIGNATURE_MAX);
    answer->public_key.signature =
        form_view(form, answer->public_key.signature, answer->public_key.signature_len);
    answer->public_key.pem_len = form_u16(form, answer->public_key.pem_len, 1, DOOR_PEM_MAX);
    answer->public_key.pem = (const char *)form_view(form, (const uint8_t *)answer->public_key.pem,
                                                     answer->public_key.pem_len);
}

static void form_facts_numbers(struct door_form *form, struct door_facts *facts)
{
    facts->sessions = form_u32(form, facts->sessions, 0, UINT32_MAX);
    facts->sessions_used = form_u32(form, facts->sessions_used, 0, UINT32_MAX);
    facts->hmac_us = form_u32(form, facts->hmac_us, 0, UINT32_MAX);
    uint64_t *const counts[] = {
        &facts->generation,      &facts->calls,        &facts->hmacs,     &facts->derives,
        &facts->objects_created, &facts->uses,         &facts->pair_hits, &facts->pair_misses,
        &facts->pair_evictions,  &facts->pair_entries, &facts->inventory,
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        *counts[i] = form_u64(form, *counts[i]);
    form_copy(form, facts->incarnation, sizeof facts->incarnation);
    facts->key_count = form_u32(form, facts->key_count, 0, UINT32_MAX);
    facts->requests = form_u64(form, facts->requests);
    facts->rss_kb = form_u32(form, facts->rss_kb, 0, UINT32_MAX);
    facts->recycle = form_bool(form, facts->recycle);
}

static void form_facts(struct door_form *form, struct door_answer *answer)
{
    struct door_facts *facts = &answer->facts;
    form_told(form, facts->label, sizeof facts->label);
    form_told(form, facts->serial, sizeof facts->serial);
    form_told(form, facts->manufacturer, sizeof facts->manufacturer);
    form_told(form, facts->model, sizeof facts->model);
    form_told(form, facts->module, sizeof facts->module);
    form_told(form, facts->profile, sizeof facts->profile);
    facts->hkdf = form_bool(form, facts->hkdf);
    facts->prf_derive = form_bool(form, facts->prf_derive);
    facts->session_copies = form_bool(form, facts->session_copies);
    facts->up = form_bool(form, facts->up);
    form_facts_numbers(form, facts);
}

static void form_keys(struct door_form *form, struct door_answer *answer)
{
    answer->keys.inventory = form_u64(form, answer->keys.inventory);
    answer->keys.total = form_u32(form, answer->keys.total, 0, UINT32_MAX);
    answer->keys.first = form_u32(form, answer->keys.first, 0, answer->keys.total);
    const uint32_t left = answer->keys.total - answer->keys.first;
    const uint8_t most = left < DOOR_KEYS_PER_PAGE ? (uint8_t)left : DOOR_KEYS_PER_PAGE;
    /* A page with nothing on it is the one behind the last, or a reader would ask for ever. */
    answer->keys.count = form_u8(form, answer->keys.count, left == 0 ? 0 : 1, most);
    if (form->in != NULL)
        answer->keys.entry = form->page;
    if (answer->keys.entry == NULL && answer->keys.count != 0)
        form_fail(form);
    for (size_t i = 0; !form_failed(form) && i < answer->keys.count; i++) {
        struct keys_entry entry = {0};
        if (form->out != NULL)
            entry = answer->keys.entry[i];
        form_entry(form, &entry);
        if (form->in != NULL)
            answer->keys.entry[i] = entry;
    }
}

static void form_proof(struct door_form *form, struct door_answer *answer)
{
    answer->proof.count = form_u8(form, answer->proof.count, 1, DOOR_PROOFS_MAX);
    for (size_t i = 0; i < answer->proof.count; i++) {
        answer->proof.status[i] = form_status(form, answer->proof.status[i]);
        if (answer->proof.status[i] == MIKEYD_OK)
            form_copy(form, answer->proof.proof[i], DOOR_PROOF);
    }
}

static void form_claim(struct door_form *form, struct door_answer *answer)
{
    answer->claim.marked = form_bool(form, answer->claim.marked);
    form_told(form, answer->claim.why, sizeof answer->claim.why);
}

static void form_nothing(struct door_form *form, struct door_answer *answer)
{
    (void)form;
    (void)answer;
}

static void (*const bodies[DOOR_OP_END])(struct door_form *, struct door_answer *) = {
    [DOOR_SEAL] = form_seal,
    [DOOR_OPEN] = form_open,
    [DOOR_TAG] = form_tag,
    [DOOR_CHECK] = form_check,
    [DOOR_TGK] = form_tgk,
    [DOOR_TICKET_KEY_OF_DAY] = form_ticket_key,
    [DOOR_CHECKPOINT] = form_checkpoint,
    [DOOR_FACTS] = form_facts,
    [DOOR_KEYS] = form_keys,
    [DOOR_HEALTH] = form_nothing,
    [DOOR_RESCAN] = form_nothing,
    [DOOR_PROOF_OF] = form_proof,
    [DOOR_PREPARE] = form_nothing,
    [DOOR_PUBLIC_KEY] = form_public_key,
    [DOOR_CLAIM] = form_claim,
};

static void form_answer(struct door_form *form, struct door_answer *answer)
{
    (void)form_u8(form, DOOR_VERSION, DOOR_VERSION, DOOR_VERSION);
    answer->op = (enum door_op)form_u8(form, answer->op, DOOR_SEAL, DOOR_OP_END - 1);
    answer->status = form_status(form, answer->status);
    answer->id = form_u32(form, answer->id, 0, UINT32_MAX);
    if (form_failed(form))
        return;
    if (answer->status != MIKEYD_OK)
        form_told(form, answer->text, sizeof answer->text);
    else
        bodies[answer->op](form, answer);
}

enum mikeyd_status door_write_answer(const struct door_answer *answer, struct byte_writer *out,
                                     struct error *err)
{
    struct door_answer copy = *answer; /* a form may set what it is given */
    struct door_form form = {.out = out};
    form_answer(&form, &copy);
    if (form_failed(&form))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "answer %u of a keyholder does not fit its form (%zu bytes written)",
                         (unsigned)answer->op, out->len);
    return MIKEYD_OK;
}

enum mikeyd_status door_read_answer(const uint8_t *message, size_t len, struct keys_entry *entries,
                                    struct door_answer *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    struct byte_reader in = reader_of(message, len);
    struct door_form form = {.in = &in, .page = entries};
    if (len <= DOOR_MESSAGE_MAX)
        form_answer(&form, out);
    if (!reader_done(&in))
        return error_set(err, MIKEYD_SYNTAX,
                         "answer %u of a keyholder is not well formed at byte %zu of %zu",
                         (unsigned)out->op, in.at, len);
    return MIKEYD_OK;
}
