/* How a key of a kind and length is laid out in objects, checked before anything is made. */
#include <stdio.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "pkcs11/provision/internal.h"

static enum mikeyd_status date_check(const char *text, char out[11], struct error *err)
{
    unsigned year, month, day;
    char end;
    out[0] = '\0';
    if (text == NULL || text[0] == '\0')
        return MIKEYD_OK;
    static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (strlen(text) != 10 || strspn(text, "0123456789-") != 10 ||
        sscanf(text, "%4u-%2u-%2u%c", &year, &month, &day, &end) != 3 || text[4] != '-' ||
        text[7] != '-' || month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "\"%.32s\" is no date like 2027-06-01",
                         text);
    memcpy(out, text, 11);
    return MIKEYD_OK;
}

bool provision_is_extracted(enum token_kind kind)
{
    return kind == TOKEN_EPSKX || kind == TOKEN_PAIR;
}

static enum mikeyd_status bits_check(const struct provision_spec *spec, unsigned bits,
                                     struct error *err)
{
    const bool any_length = spec->kind != TOKEN_TICKET;
    if (spec->kind == TOKEN_AUDIT || (unsigned)spec->kind >= TOKEN_KIND_COUNT)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "not a kind of secret key");
    if (bits % 8 != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%u bits are no whole bytes", bits);
    /* RFC 9257 6 item 1: at least 128 bits long. */
    if (any_length && (bits < PROVISION_BITS_MIN || bits > PROVISION_BITS_MAX))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%u bits: a %s has %u to %u", bits,
                         token_kind_name(spec->kind), PROVISION_BITS_MIN, PROVISION_BITS_MAX);
    if (!any_length && bits != 8 * PROVISION_BLOCK_LEN)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%u bits: a key of kind %s has %u", bits,
                         token_kind_name(spec->kind), 8 * PROVISION_BLOCK_LEN);
    return MIKEYD_OK;
}

/* Which bytes go into which object, and how long each object is. */
static enum mikeyd_status layout(const struct token *token, enum token_kind kind, unsigned bits,
                                 struct provision_plan *out, struct error *err)
{
    const size_t total = provision_is_extracted(kind) ? PROVISION_BLOCK_LEN : bits / 8;
    out->bits = bits;
    if (kind == TOKEN_EPSK) {
        /* Input of the extract step only, where a length has no minimum. */
        out->blocks = 1;
        out->len[0] = out->stored[0] = total;
        return MIKEYD_OK;
    }
    size_t minimum = token->hmac_min[HMAC_SHA1] > token->hmac_min[HMAC_SHA256]
                         ? token->hmac_min[HMAC_SHA1]
                         : token->hmac_min[HMAC_SHA256];
    /* RFC 2104 2: zeros behind a key leave the HMAC as it is, up to the hash's block of 64. */
    if (minimum > 64)
        return error_set(err, MIKEYD_UNSUPPORTED,
                         "token %s wants HMAC keys of at least %zu bytes: longer than a block",
                         token->label, minimum);
    for (size_t at = 0; at < total; at += PROVISION_BLOCK_LEN) {
        const size_t left = total - at;
        const size_t len = left < PROVISION_BLOCK_LEN ? left : PROVISION_BLOCK_LEN;
        size_t stored = len;
        if (len < minimum) {
            stored = minimum > PROVISION_BLOCK_LEN ? minimum : PROVISION_BLOCK_LEN;
            out->padded = true;
        }
        out->len[out->blocks] = len;
        out->stored[out->blocks] = stored;
        out->blocks++;
    }
    return MIKEYD_OK;
}

/* SIGN where HMAC needs it, DERIVE where derivation needs it: an EPSK can never sign, a pair key
 * never be imported (RFC 9258 4). */
static void usage_fill(const struct token *token, struct provision_object *object)
{
    switch (object->kind) {
    case TOKEN_PSK:
    case TOKEN_PAIR:
        object->sign = true;
        object->derive = token->prf_derive;
        break;
    case TOKEN_EPSKX:
    case TOKEN_TICKET:
        object->sign = true;
        break;
    case TOKEN_EPSK:
        object->derive = true;
        break;
    case TOKEN_AUDIT:
    case TOKEN_KIND_COUNT:
        break;
    }
    object->mechanism_count = token_kind_mechanisms(token, object->kind, object->mechanisms);
}

/* The key must not exist in any form: not as listed, and not under the labels to be made. */
static enum mikeyd_status name_check_free(struct token_session *session,
                                          const struct provision_spec *spec,
                                          const struct provision_plan *plan, struct error *err)
{
    const struct token *token = session->token;
    for (size_t i = 0; i < token_key_count(token); i++) {
        const struct token_key *key = token_key_at(token, i);
        if (key->present && key->kind == spec->kind && key->generation == spec->generation &&
            strcmp(key->name, spec->name) == 0)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "token %s already has mikeyd/%s/%s/%u",
                             token->label, token_kind_name(key->kind), key->name, key->generation);
    }
    const struct token_label plain = {.kind = spec->kind, .generation = spec->generation};
    struct token_label label = plain;
    (void)snprintf(label.name, sizeof label.name, "%s", spec->name);
    char text[TOKEN_LABEL_MAX];
    enum mikeyd_status status = token_label_format(&label, text, err);
    if (status == MIKEYD_OK)
        status = provision_label_check_free(session, text, err);
    /* A search is linear on some tokens: the same label is not looked for twice. */
    for (size_t i = 0; status == MIKEYD_OK && i < plan->blocks; i++) {
        if (strcmp(plan->object[i].label, text) != 0)
            status = provision_label_check_free(session, plan->object[i].label, err);
    }
    return status;
}

static enum mikeyd_status labels_fill(struct provision_plan *plan,
                                      const struct provision_spec *spec, bool with_bits,
                                      struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    plan->bits_stated = with_bits;
    for (size_t i = 0; status == MIKEYD_OK && i < plan->blocks; i++) {
        struct token_label label = {
            .kind = spec->kind,
            .generation = spec->generation,
            .bits = with_bits ? plan->bits : 0,
            .block = plan->blocks > 1 ? (unsigned)i + 1 : 0,
        };
        (void)snprintf(label.name, sizeof label.name, "%s", spec->name);
        status = token_label_format(&label, plan->object[i].label, err);
    }
    return status;
}

static enum mikeyd_status objects_fill(const struct token *token, const struct provision_spec *spec,
                                       struct provision_plan *out, struct error *err)
{
    char not_before[11], not_after[11];
    enum mikeyd_status status = date_check(spec->not_before, not_before, err);
    if (status == MIKEYD_OK)
        status = date_check(spec->not_after, not_after, err);
    if (status != MIKEYD_OK)
        return status;
    char today[CLOCK_TEXT];
    clock_format_utc(clock_unix_ms(), today);
    if (not_after[0] != '\0' && strncmp(not_after, today, 10) < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the key would have ended on %s, and today is %.10s", not_after, today);
    if (not_before[0] != '\0' && not_after[0] != '\0' && strcmp(not_before, not_after) >= 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the key would end (%s) before it begins",
                         not_after);

    for (size_t i = 0; i < out->blocks; i++) {
        struct provision_object *object = &out->object[i];
        *object = (struct provision_object){
            .kind = spec->kind,
            .value_len = out->stored[i],
            .on_token = !spec->session_only,
            .extractable = spec->for_transport,
            .wrap_with_trusted = spec->for_transport,
            .modifiable = spec->modifiable,
        };
        memcpy(object->not_before, not_before, sizeof not_before);
        memcpy(object->not_after, not_after, sizeof not_after);
        usage_fill(token, object);
        if (RAND_bytes(object->id, sizeof object->id) != 1)
            return error_set(err, MIKEYD_INTERNAL, "no random bytes for CKA_ID");
    }
    /* With several blocks too: a key that lost its last one must not pass for a shorter key. And
     * where the object's own length says nothing of the strength. */
    const bool with_bits = out->padded || out->blocks > 1 || provision_is_extracted(spec->kind);
    return labels_fill(out, spec, with_bits, err);
}

enum mikeyd_status provision_plan_state_bits(struct provision_plan *plan,
                                             const struct provision_spec *spec, struct error *err)
{
    return labels_fill(plan, spec, true, err);
}

enum mikeyd_status provision_plan_make(struct token_session *session,
                                       const struct provision_spec *spec, unsigned bits,
                                       struct provision_plan *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    const struct token *token = session->token;
    if (spec->name == NULL || spec->name[0] == '\0' || strlen(spec->name) >= TOKEN_NAME_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a key's name has 1 to %d bytes",
                         TOKEN_NAME_MAX - 1);
    if (spec->generation == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "generations count from 1");
    if (!token->read_write && !spec->session_only)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "token %s is open for reading only",
                         token->label);
    enum mikeyd_status status = bits_check(spec, bits, err);
    if (status == MIKEYD_OK && spec->kind == TOKEN_EPSK && !token->hkdf)
        status =
            error_set(err, MIKEYD_UNSUPPORTED,
                      "token %s has no CKM_HKDF_DERIVE: it holds epskx, not epsk", token->label);
    if (status == MIKEYD_OK)
        status = layout(token, spec->kind, bits, out, err);
    if (status == MIKEYD_OK)
        status = objects_fill(token, spec, out, err);
    if (status == MIKEYD_OK)
        status = name_check_free(session, spec, out, err);
    return status;
}

void provision_plan_report(const struct provision_spec *spec, const struct provision_plan *plan,
                           unsigned omitted)
{
    if (spec->result == NULL)
        return;
    *spec->result = (struct provision_result){
        .kind = spec->kind,
        .objects = (unsigned)plan->blocks,
        .omitted = omitted,
        .padded = plan->padded,
    };
    (void)snprintf(spec->result->label, sizeof spec->result->label, "%s", plan->object[0].label);
    char *block = strrchr(spec->result->label, '#');
    if (plan->blocks > 1 && block != NULL)
        *block = '\0';
}

void provision_plan_undo(struct token_session *session, const struct provision_plan *plan,
                         size_t made, struct error *err)
{
    for (size_t i = 0; i < made; i++) {
        struct error why = {0};
        if (provision_object_destroy(session, &plan->object[i], &why) != MIKEYD_OK)
            error_prefix(err, "%s stays behind, destroy it", plan->object[i].label);
    }
}
