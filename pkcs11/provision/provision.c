/* Keys generated in the token, imported from bytes, destroyed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11/provision/internal.h"

static CK_RV make_by_generate(struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
                              const struct provision_maker *maker, CK_OBJECT_HANDLE *out)
{
    (void)maker;
    CK_MECHANISM mechanism = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    return session->token->f->C_GenerateKey(session->handle, &mechanism, list, count, out);
}

static enum mikeyd_status token_random(struct token_session *session, uint8_t *out, size_t len,
                                       struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, "C_GenerateRandom", err);
    if (status != MIKEYD_OK)
        return status;
    CK_RV rv = session->token->f->C_GenerateRandom(session->handle, out, (CK_ULONG)len);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_GenerateRandom", rv, err);
    token_call_end(session);
    return MIKEYD_OK;
}

/* A block shorter than the token's HMAC minimum cannot be generated and padded inside: its bytes
 * come from the token's generator, stand in the secure heap for two calls, and go back. */
static enum mikeyd_status generate_padded(struct token_session *session,
                                          const struct provision_object *object, size_t len,
                                          CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                          struct error *err)
{
    struct secret SECRET_CLEANUP value = {0};
    if (!secret_make(&value, object->value_len))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    enum mikeyd_status status = token_random(session, value.data, len, err);
    if (status != MIKEYD_OK)
        return status;
    return provision_object_create(session, object, value.data, handle, omitted, err);
}

/*
 * WRAP_WITH_TRUSTED only protects where the token enforces it (NSS softokn stores it and wraps with
 * any key all the same): tried out with a key that nobody trusts. In effect only for keys made for
 * transport.
 */
static enum mikeyd_status transport_check(struct token_session *session, CK_OBJECT_HANDLE handle,
                                          const struct provision_object *object, struct error *err)
{
    enum mikeyd_status status = token_call_begin(session, "C_GenerateKey", err);
    if (status != MIKEYD_OK)
        return status;
    CK_OBJECT_HANDLE probe = 0;
    CK_RV rv = provision_probe_key(session, &probe);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_GenerateKey", rv, err);
    static const CK_MECHANISM_TYPE wraps[] = {CKM_AES_KEY_WRAP, MIKEYD_CKM_AES_KEY_WRAP_KWP_300,
                                              MIKEYD_CKM_AES_KEY_WRAP_KWP_240};
    bool tried = false, wrapped = false;
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++) {
        if (!token_has_mechanism(session->token, wraps[i]))
            continue;
        CK_MECHANISM mechanism = {wraps[i], NULL, 0};
        uint8_t out[PROVISION_WRAPPED_MAX];
        CK_ULONG len = sizeof out;
        token_call_mark(session, "C_WrapKey");
        rv = session->token->f->C_WrapKey(session->handle, &mechanism, probe, handle, out, &len);
        tried = true;
        wrapped = wrapped || rv == CKR_OK;
        secret_wipe(out, sizeof out);
    }
    rv = session->token->f->C_DestroyObject(session->handle, probe);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_DestroyObject", rv, err);
    token_call_end(session);
    if (tried && !wrapped)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_UNSUPPORTED,
                     "token %s does not enforce CKA_WRAP_WITH_TRUSTED: no key for transport here "
                     "(%s destroyed)",
                     session->token->label, object->label);
}

/* ---- all blocks of a key, or none ---- */

typedef enum mikeyd_status block_maker(struct token_session *session,
                                       const struct provision_plan *plan, size_t block,
                                       void *context, CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                       struct error *err);

struct making {
    block_maker *make;
    void *context;
    CK_OBJECT_HANDLE handle[TOKEN_BLOCKS_MAX];
    unsigned omitted;
};

static enum mikeyd_status make_blocks(struct token_session *session,
                                      const struct provision_plan *plan, struct making *making,
                                      struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    size_t made = 0;
    making->omitted = 0;
    while (status == MIKEYD_OK && made < plan->blocks) {
        status = making->make(session, plan, made, making->context, &making->handle[made],
                              &making->omitted, err);
        if (status == MIKEYD_OK)
            made++;
    }
    if (status != MIKEYD_OK)
        provision_plan_undo(session, plan, made, err);
    return status;
}

static enum mikeyd_status make_key(struct token_session *session, const struct provision_spec *spec,
                                   struct provision_plan *plan, struct making *making,
                                   struct error *err)
{
    enum mikeyd_status status = make_blocks(session, plan, making, err);
    if (status != MIKEYD_OK || (making->omitted & PROVISION_OMITTED_LENGTH) == 0 ||
        plan->bits_stated)
        return status;
    /* Then the label has to say the length, or nobody will ever know it again. */
    provision_plan_undo(session, plan, plan->blocks, err);
    status = provision_plan_state_bits(plan, spec, err);
    return status == MIKEYD_OK ? make_blocks(session, plan, making, err) : status;
}

/* ---- generated ---- */

static enum mikeyd_status generate_block(struct token_session *session,
                                         const struct provision_plan *plan, size_t block,
                                         void *context, CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                         struct error *err)
{
    (void)context;
    static const struct provision_maker generate = {
        .operation = "C_GenerateKey", .make = make_by_generate, .states_len = true};
    const struct provision_object *object = &plan->object[block];
    if (plan->stored[block] != plan->len[block])
        return generate_padded(session, object, plan->len[block], handle, omitted, err);
    return provision_object_make(session, object, &generate, handle, omitted, err);
}

static enum mikeyd_status generate_check(const struct provision_spec *spec, struct error *err)
{
    if (spec->for_transport && spec->kind != TOKEN_PSK && spec->kind != TOKEN_EPSK &&
        spec->kind != TOKEN_EPSKX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a key of kind %s never travels",
                         token_kind_name(spec->kind));
    /* Its 256 random bits are as good as the extracted form of any EPSK. */
    if (spec->kind == TOKEN_EPSKX && spec->bits != 8 * PROVISION_BLOCK_LEN)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%u bits: a generated epskx has %u",
                         spec->bits, 8 * PROVISION_BLOCK_LEN);
    return MIKEYD_OK;
}

enum mikeyd_status provision_generate(struct token_session *session,
                                      const struct provision_spec *spec, struct error *err)
{
    struct provision_plan plan;
    struct making making = {.make = generate_block};
    enum mikeyd_status status = generate_check(spec, err);
    if (status == MIKEYD_OK)
        status = provision_plan_make(session, spec, spec->bits, &plan, err);
    if (status == MIKEYD_OK)
        status = make_key(session, spec, &plan, &making, err);
    if (status != MIKEYD_OK)
        return status;
    for (size_t i = 0; status == MIKEYD_OK && spec->for_transport && i < plan.blocks; i++)
        status = transport_check(session, making.handle[i], &plan.object[i], err);
    if (status != MIKEYD_OK)
        provision_plan_undo(session, &plan, plan.blocks, err);
    else
        provision_plan_report(spec, &plan, making.omitted);
    return status;
}

/* ---- imported ---- */

static enum mikeyd_status import_block(struct token_session *session,
                                       const struct provision_plan *plan, size_t block,
                                       void *context, CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                       struct error *err)
{
    struct secret SECRET_CLEANUP value = {0};
    const uint8_t *key = context;
    if (!secret_make(&value, plan->stored[block]))
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted");
    memcpy(value.data, key + block * PROVISION_BLOCK_LEN, plan->len[block]);
    return provision_object_create(session, &plan->object[block], value.data, handle, omitted, err);
}

/* Memory that nobody wrote a key to: zeros, or erased flash. */
static bool is_blank(const uint8_t *key, size_t len)
{
    uint8_t any = 0, all = 0xff;
    for (size_t i = 0; i < len; i++) {
        any |= key[i];
        all &= key[i];
    }
    return any == 0 || all == 0xff;
}

static enum mikeyd_status import_check(const struct provision_spec *spec, const uint8_t *key,
                                       size_t len, struct error *err)
{
    if (spec->for_transport)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "a key that was in clear once is not made for transport");
    if (len > PROVISION_BITS_MAX / 8)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu bytes: a key has at most %u", len,
                         PROVISION_BITS_MAX / 8);
    if (provision_is_extracted(spec->kind) && len != PROVISION_BLOCK_LEN)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu bytes: a key of kind %s has %u", len,
                         token_kind_name(spec->kind), PROVISION_BLOCK_LEN);
    if (is_blank(key, len))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the key is nothing but zeros or ones: blank memory, not a key");
    return MIKEYD_OK;
}

enum mikeyd_status provision_import(struct token_session *session,
                                    const struct provision_spec *spec, const uint8_t *key,
                                    size_t len, struct error *err)
{
    struct provision_plan plan;
    union {
        const uint8_t *in;
        void *out;
    } bytes = {.in = key}; /* import_block only reads */
    struct making making = {.make = import_block, .context = bytes.out};
    enum mikeyd_status status = import_check(spec, key, len, err);
    if (status == MIKEYD_OK)
        status = provision_plan_make(
            session, spec, provision_is_extracted(spec->kind) ? spec->bits : (unsigned)len * 8,
            &plan, err);
    if (status == MIKEYD_OK)
        status = make_key(session, spec, &plan, &making, err);
    if (status == MIKEYD_OK)
        provision_plan_report(spec, &plan, making.omitted);
    return status;
}

/* ---- destruction ---- */

#define OBJECTS_OF_ONE_KEY_MAX 64
#define OBJECTS_MAX 65536

static bool label_is(struct token_session *session, CK_OBJECT_HANDLE handle,
                     const struct token_label *wanted)
{
    char text[TOKEN_LABEL_MAX];
    CK_ATTRIBUTE attribute = {CKA_LABEL, text, sizeof text};
    CK_RV rv = session->token->f->C_GetAttributeValue(session->handle, handle, &attribute, 1);
    struct token_label label;
    return rv == CKR_OK && attribute.ulValueLen <= sizeof text &&
           token_label_parse(text, attribute.ulValueLen, &label) && label.kind == wanted->kind &&
           label.generation == wanted->generation && strcmp(label.name, wanted->name) == 0;
}

/* Every object of the key, of any class. In the bracket. */
static CK_RV objects_of_key(struct token_session *session, const struct token_label *wanted,
                            CK_OBJECT_HANDLE *out, size_t cap, size_t *count)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, sizeof yes};
    size_t found = 0;
    *count = 0;
    CK_OBJECT_HANDLE *all = calloc(OBJECTS_MAX, sizeof *all);
    if (all == NULL)
        return CKR_HOST_MEMORY;
    CK_RV rv = provision_find(session, &on_token, 1, all, OBJECTS_MAX, &found);
    if (rv == CKR_OK && found > OBJECTS_MAX)
        rv = CKR_HOST_MEMORY;
    for (size_t i = 0; rv == CKR_OK && i < found && *count < cap; i++) {
        token_call_mark(session, "C_GetAttributeValue");
        if (label_is(session, all[i], wanted))
            out[(*count)++] = all[i];
    }
    free(all);
    return rv;
}

enum mikeyd_status provision_destroy_name(struct token_session *session, enum token_kind kind,
                                          const char *name, unsigned generation, unsigned *objects,
                                          struct error *err)
{
    struct token_label wanted = {.kind = kind, .generation = generation};
    (void)snprintf(wanted.name, sizeof wanted.name, "%s", name);
    *objects = 0;
    enum mikeyd_status status = token_call_begin(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    for (;;) {
        CK_OBJECT_HANDLE handle[OBJECTS_OF_ONE_KEY_MAX];
        size_t count = 0;
        CK_RV rv = objects_of_key(session, &wanted, handle, OBJECTS_OF_ONE_KEY_MAX, &count);
        if (rv != CKR_OK)
            return token_call_failed(session, "C_FindObjects", rv, err);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            token_call_mark(session, "C_DestroyObject");
            rv = session->token->f->C_DestroyObject(session->handle, handle[i]);
            if (rv != CKR_OK)
                return token_call_failed(session, "C_DestroyObject", rv, err);
            (*objects)++;
        }
        /* A token that says it destroyed what it still shows would keep us here for ever. */
        if (*objects > 16 * OBJECTS_OF_ONE_KEY_MAX) {
            token_call_end(session);
            return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: objects of %s survive destruction",
                             session->token->label, name);
        }
    }
    token_call_end(session);
    if (*objects == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "token %s has no mikeyd/%s/%s/%u",
                         session->token->label, token_kind_name(kind), name, generation);
    return MIKEYD_OK;
}

enum mikeyd_status provision_destroy(struct token_session *session, const struct token_key *key,
                                     struct error *err)
{
    unsigned objects = 0;
    return provision_destroy_name(session, key->kind, key->name, key->generation, &objects, err);
}
