/* Requests to a keyholder: one form for writing and reading. */
#include <string.h>

#include "keys/door_form.h"
#include "mikey/wire.h"

/* Key data in clear is what it would otherwise be sealed for: RFC 3830 6.2 NULL encryption carries
 * none here. */
static void form_seal(struct door_form *form, struct door_request *request)
{
    struct mikey_key_seal *seal = &request->seal;
    form_name(form, &request->name, request->name_text);
    form_derivation(form, &seal->what);
    const bool sealed = seal->what.encryption != MIKEY_ENCR_NULL;
    seal->t = form_u64(form, seal->t);
    seal->head_len = form_u16(form, seal->head_len, 1, MIKEY_COVERED_MAX - 1);
    seal->head = form_view(form, seal->head, seal->head_len);
    seal->plain_len = form_u16(form, seal->plain_len, 0, sealed ? MIKEY_PLAIN_MAX : 0);
    if (seal->head_len + seal->plain_len + 1 > MIKEY_COVERED_MAX)
        form_fail(form);
    seal->plain = form_view(form, seal->plain, seal->plain_len);
}

static void form_open(struct door_form *form, struct door_request *request)
{
    struct mikey_key_open *open = &request->open;
    form_name(form, &request->name, request->name_text);
    form_derivation(form, &open->what);
    const bool sealed = open->what.encryption != MIKEY_ENCR_NULL;
    open->t = form_u64(form, open->t);
    open->covered_len = form_u16(form, open->covered_len, 1, MIKEY_COVERED_MAX);
    open->covered = form_view(form, open->covered, open->covered_len);
    open->encrypted_at = form_u16(form, open->encrypted_at, 0, (uint16_t)open->covered_len);
    open->encrypted_len = form_u16(form, open->encrypted_len, 0, sealed ? MIKEY_PLAIN_MAX : 0);
    if (open->encrypted_len > open->covered_len - open->encrypted_at)
        form_fail(form);
    open->mac = form_view(form, open->mac, form_tag_len(&open->what));
    const bool replies = form_bool(form, open->reply != NULL);
    if (replies && form->out != NULL)
        request->reply = *open->reply;
    open->reply = replies ? &request->reply : NULL;
    if (replies)
        form_covered(form, &request->reply);
    /* Either nothing, or K_psk of psk-dhe. */
    open->purpose =
        (enum mikey_tgk_purpose)form_u8(form, open->purpose, MIKEY_TGK_NONE, MIKEY_TGK_DHE);
    if (open->purpose == MIKEY_TGK_DERIVED)
        form_fail(form);
}

static void form_tag(struct door_form *form, struct door_request *request)
{
    struct mikey_key_tag *job = &request->tag.job;
    form_name(form, &request->name, request->name_text);
    form_derivation(form, &job->what);
    if (job->what.encryption != MIKEY_ENCR_NULL)
        form_fail(form);
    form_covered(form, &job->covered);
    if (request->op == DOOR_CHECK)
        request->tag.tag = form_view(form, request->tag.tag, form_tag_len(&job->what));
}

static void form_tgk(struct door_form *form, struct door_request *request)
{
    form_name(form, &request->name, request->name_text);
    form_prf_input(form, &request->tgk.what);
    request->tgk.purpose = (enum mikey_tgk_purpose)form_u8(form, request->tgk.purpose,
                                                           MIKEY_TGK_DERIVED, MIKEY_TGK_DHE);
    const uint8_t low = request->tgk.purpose == MIKEY_TGK_DHE ? 32 : 16;
    request->tgk.len = form_u8(form, request->tgk.len, low, 32);
    if (request->tgk.len != 16 && request->tgk.len != 32)
        form_fail(form);
}

static void form_ticket(struct door_form *form, struct door_request *request)
{
    form_key_name(form, request->ticket.name);
    request->ticket.generation = form_u32(form, request->ticket.generation, 1, DOOR_GENERATION_MAX);
    request->ticket.day = form_u32(form, request->ticket.day, 0, UINT32_MAX);
}

static void form_audit(struct door_form *form, struct door_request *request)
{
    form_key_name(form, request->audit.name);
    request->audit.generation = form_u32(form, request->audit.generation, 1, DOOR_GENERATION_MAX);
    if (request->op == DOOR_PUBLIC_KEY) {
        form_copy(form, request->audit.nonce, sizeof request->audit.nonce);
        return;
    }
    struct checkpoint_claim *claim = &request->audit.claim;
    claim->covers = form_u64(form, claim->covers);
    form_copy(form, claim->chain, sizeof claim->chain);
    form_copy(form, claim->head, sizeof claim->head);
}

static void form_claim(struct door_form *form, struct door_request *request)
{
    form_copy(form, (uint8_t *)request->claim.store, DOOR_STORE);
    request->claim.store[DOOR_STORE] = '\0';
    if (strspn(request->claim.store, "0123456789abcdef") != DOOR_STORE)
        form_fail(form);
}

static void form_keys(struct door_form *form, struct door_request *request)
{
    request->keys.first = form_u32(form, request->keys.first, 0, UINT32_MAX);
}

static void form_proof(struct door_form *form, struct door_request *request)
{
    form_copy(form, request->proof.nonce, sizeof request->proof.nonce);
    request->proof.count = form_u8(form, request->proof.count, 1, DOOR_PROOFS_MAX);
    for (size_t i = 0; i < request->proof.count; i++)
        form_proof_of(form, &request->proof.entry[i]);
}

static void form_prepare(struct door_form *form, struct door_request *request)
{
    form_name(form, &request->name, request->name_text);
}

static void form_nothing(struct door_form *form, struct door_request *request)
{
    (void)form;
    (void)request;
}

static void (*const bodies[DOOR_OP_END])(struct door_form *, struct door_request *) = {
    [DOOR_SEAL] = form_seal,        [DOOR_OPEN] = form_open,
    [DOOR_TAG] = form_tag,          [DOOR_CHECK] = form_tag,
    [DOOR_TGK] = form_tgk,          [DOOR_TICKET_KEY_OF_DAY] = form_ticket,
    [DOOR_CHECKPOINT] = form_audit, [DOOR_FACTS] = form_nothing,
    [DOOR_KEYS] = form_keys,        [DOOR_HEALTH] = form_nothing,
    [DOOR_RESCAN] = form_nothing,   [DOOR_PROOF_OF] = form_proof,
    [DOOR_PREPARE] = form_prepare,  [DOOR_PUBLIC_KEY] = form_audit,
    [DOOR_CLAIM] = form_claim,
};

static void form_request(struct door_form *form, struct door_request *request)
{
    (void)form_u8(form, DOOR_VERSION, DOOR_VERSION, DOOR_VERSION);
    request->op = (enum door_op)form_u8(form, request->op, DOOR_SEAL, DOOR_OP_END - 1);
    (void)form_u16(form, 0, 0, 0); /* flags: none defined */
    request->id = form_u32(form, request->id, 0, UINT32_MAX);
    if (!form_failed(form))
        bodies[request->op](form, request);
}

enum mikeyd_status door_write_request(const struct door_request *request, struct byte_writer *out,
                                      struct error *err)
{
    struct door_request copy = *request; /* a form may set what it is given */
    struct door_form form = {.out = out};
    form_request(&form, &copy);
    if (form_failed(&form))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "request %u to a keyholder does not fit its form (%zu bytes written)",
                         (unsigned)request->op, out->len);
    return MIKEYD_OK;
}

enum mikeyd_status door_read_request(const uint8_t *message, size_t len, struct door_request *out,
                                     struct error *err)
{
    memset(out, 0, sizeof *out);
    struct byte_reader in = reader_of(message, len);
    struct door_form form = {.in = &in};
    if (len <= DOOR_MESSAGE_MAX)
        form_request(&form, out);
    if (!reader_done(&in))
        return error_set(err, MIKEYD_SYNTAX,
                         "request %u to a keyholder is not well formed at byte %zu of %zu",
                         (unsigned)out->op, in.at, len);
    return MIKEYD_OK;
}

bool door_uses_psk(enum door_op op)
{
    return op >= DOOR_SEAL && op <= DOOR_TGK;
}
