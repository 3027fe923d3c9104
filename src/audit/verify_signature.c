/* Checkpoints: what they sign is what was read, and the key is the right one. */
#include <inttypes.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "audit/checkpoint.h"
#include "audit/verify_internal.h"
#include "base/secret.h"
#include "base/text.h"

enum mikeyd_status audit_keys_load(struct audit_verifier *verifier, struct error *err)
{
    const struct audit_verify_options *options = verifier->options;
    if (options->public_key_count > AUDIT_KEYS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "at most %d public keys", AUDIT_KEYS_MAX);
    for (size_t i = 0; i < options->public_key_count; i++) {
        FILE *file = fopen(options->public_keys[i], "re");
        EVP_PKEY *key = file == NULL ? NULL : PEM_read_PUBKEY(file, NULL, NULL, NULL);
        if (file != NULL)
            (void)fclose(file);
        if (key == NULL) {
            ERR_clear_error();
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: no public key in PEM",
                             options->public_keys[i]);
        }
        verifier->keys[verifier->key_count++] = key;
        if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: not an EC key",
                             options->public_keys[i]);
    }
    verifier->verdict->signatures_checked = verifier->key_count > 0;
    return MIKEYD_OK;
}

void audit_keys_free(struct audit_verifier *verifier)
{
    for (size_t i = 0; i < verifier->key_count; i++)
        EVP_PKEY_free(verifier->keys[i]);
    verifier->key_count = 0;
}

static bool signed_by(EVP_PKEY *key, const char *text, size_t text_len, const uint8_t *signature,
                      size_t signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL &&
                EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, signature_len, (const unsigned char *)text,
                                 text_len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

struct checkpoint {
    json_int_t form;
    struct audit_chain covers;
    bool final;
    const char *signer;
    size_t head_len; /* of the line in front of its signature */
    uint8_t signature[AUDIT_SIGNATURE_MAX];
    size_t signature_len;
};

/* The signature is the last field before the seal: what stands in front of it is what it signs. */
static bool find_head(const struct audit_line_reader *line, const char *signature, size_t *len)
{
    static const char open[] = ",\"signature\":\"";
    const size_t text_len = strlen(signature), field_len = sizeof open - 1 + text_len + 1;
    if (line->len < AUDIT_SEAL_LEN + field_len)
        return false;
    *len = line->len - AUDIT_SEAL_LEN - field_len;
    const char *at = line->text + *len;
    return strncmp(at, open, sizeof open - 1) == 0 &&
           strncmp(at + sizeof open - 1, signature, text_len) == 0 && at[field_len - 1] == '"';
}

static bool read_checkpoint(const struct audit_line_reader *line, const json_t *record,
                            struct checkpoint *out)
{
    const json_t *covers = json_object_get(record, "covers");
    const json_t *final = json_object_get(record, "final");
    const char *chain = json_string_value(json_object_get(record, "chain"));
    const char *signature = json_string_value(json_object_get(record, "signature"));
    size_t len = 0;
    out->signer = json_string_value(json_object_get(record, "signer"));
    if (!json_is_integer(covers) || json_integer_value(covers) < 0 || !json_is_integer(final) ||
        chain == NULL || signature == NULL || out->signer == NULL)
        return false;
    out->covers.sequence = (uint64_t)json_integer_value(covers);
    out->final = json_integer_value(final) == 1;
    return hex_decode(chain, strlen(chain), out->covers.hash, AUDIT_HASH_LEN, &len, NULL) ==
               MIKEYD_OK &&
           len == AUDIT_HASH_LEN && find_head(line, signature, &out->head_len) &&
           base64_decode(signature, strlen(signature), out->signature, sizeof out->signature,
                         &out->signature_len, NULL) == MIKEYD_OK;
}

static bool any_key_signed(const struct audit_verifier *v, const struct checkpoint *checkpoint)
{
    char text[AUDIT_CHECKPOINT_TEXT_MAX];
    uint8_t head[AUDIT_HASH_LEN];
    if (audit_hash(v->hasher, v->reader->text, checkpoint->head_len, head, NULL) != MIKEYD_OK)
        return false;
    size_t len = audit_checkpoint_text(&checkpoint->covers, head, text);
    for (size_t i = 0; len > 0 && i < v->key_count; i++) {
        if (signed_by(v->keys[i], text, len, checkpoint->signature, checkpoint->signature_len))
            return true;
    }
    return false;
}

/* What is signed is the very record that stands in front: a genuine checkpoint that was copied to
 * another place, or whose records were replaced, does not say so. */
static bool covers_the_one_before(const struct checkpoint *checkpoint,
                                  const struct audit_sealed *sealed)
{
    return checkpoint->covers.sequence + 1 == sealed->sequence &&
           secret_equal(checkpoint->covers.hash, sealed->prev, AUDIT_HASH_LEN);
}

static bool check(struct audit_verifier *v, const struct checkpoint *checkpoint,
                  const struct audit_sealed *sealed)
{
    const uint64_t line = v->reader->number, n = sealed->sequence;
    if (!covers_the_one_before(checkpoint, sealed))
        audit_problem_add(v, AUDIT_SIGNATURE, false, line, n,
                          "checkpoint %" PRIu64 " signs record %" PRIu64 " with another hash than "
                          "the record before it here: it was copied to this place, or records "
                          "%" PRIu64 " to %" PRIu64 " were rewritten",
                          n, checkpoint->covers.sequence, v->verdict->covered_sequence + 1, n - 1);
    else if (v->key_count > 0 && !any_key_signed(v, checkpoint))
        audit_problem_add(v, AUDIT_SIGNATURE, false, line, n,
                          "checkpoint %" PRIu64 " is not signed by the key given (it names %s): "
                          "another key, or records %" PRIu64 " to %" PRIu64 " were rewritten",
                          n, checkpoint->signer, v->verdict->covered_sequence + 1, n - 1);
    else
        return true;
    return false;
}

void audit_checkpoint_check(struct audit_verifier *v, const json_t *record,
                            const struct audit_sealed *sealed)
{
    struct audit_verdict *verdict = v->verdict;
    struct checkpoint checkpoint = {.form = json_integer_value(json_object_get(record, "form"))};
    verdict->checkpoints++;
    if (checkpoint.form != AUDIT_CHECKPOINT_FORM) {
        audit_problem_add(v, AUDIT_SIGNATURE, false, v->reader->number, sealed->sequence,
                          "checkpoint %" PRIu64 " has form %" JSON_INTEGER_FORMAT
                          ", this program knows form %d",
                          sealed->sequence, checkpoint.form, AUDIT_CHECKPOINT_FORM);
        return;
    }
    if (!read_checkpoint(v->reader, record, &checkpoint)) {
        audit_problem_add(v, AUDIT_SIGNATURE, false, v->reader->number, sealed->sequence,
                          "checkpoint %" PRIu64 " lacks a field or its signature cannot be read",
                          sealed->sequence);
        return;
    }
    audit_copy_text(verdict->signer, sizeof verdict->signer, checkpoint.signer);
    if (!check(v, &checkpoint, sealed))
        return;
    v->last_is_final = checkpoint.final;
    verdict->covered_sequence = checkpoint.covers.sequence;
    audit_copy_text(verdict->covered_time, sizeof verdict->covered_time,
                    json_string_value(json_object_get(record, "time")));
    if (v->key_count > 0)
        verdict->good_signatures++;
}
