/* Checkpoints: what they sign is what was read, and the key is the right one. */
#include <inttypes.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "audit/checkpoint.h"
#include "audit/verify/internal.h"
#include "base/checkpoint.h"
#include "base/secret.h"
#include "base/signature.h"
#include "base/text.h"

enum mikeyd_status audit_public_keys_load(struct audit_verifier *verifier, struct error *err)
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
        if (!signature_key_fits(key))
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "%s: no key for signatures: " SIGNATURE_KEYS, options->public_keys[i]);
    }
    verifier->verdict->signatures_checked = verifier->key_count > 0;
    return MIKEYD_OK;
}

void audit_public_keys_free(struct audit_verifier *verifier)
{
    for (size_t i = 0; i < verifier->key_count; i++)
        EVP_PKEY_free(verifier->keys[i]);
    verifier->key_count = 0;
}

static bool signed_by(EVP_PKEY *key, const char *text, size_t text_len, const uint8_t *signature,
                      size_t signature_len)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    const bool good = EVP_Digest(text, text_len, digest, NULL, EVP_sha256(), NULL) == 1 &&
                      signature_verifies(key, digest, signature, signature_len);
    ERR_clear_error();
    return good;
}

struct checkpoint {
    json_int_t form;
    struct audit_chain covers;
    struct checkpoint_claim claim; /* but for the head */
    bool final;
    const char *signer;
    size_t head_len; /* of the line in front of what the signer added */
    uint8_t signature[AUDIT_SIGNATURE_MAX];
    size_t signature_len;
};

/* What the signer added stands last before the seal, and in one form only: what is in front of it is
 * what it signed. */
static bool find_head(const struct audit_line_reader *line, const struct checkpoint *checkpoint,
                      const char *signature, size_t *len)
{
    char added[128 + 2 * AUDIT_SIGNATURE_MAX], holder[2 * sizeof checkpoint->claim.holder + 1];
    int at = 0;
    hex_encode(checkpoint->claim.holder, sizeof checkpoint->claim.holder, holder);
    if (checkpoint->claim.counted)
        at = snprintf(added, sizeof added, ",\"holder\":\"%s\",\"uses\":%" PRIu64, holder,
                      checkpoint->claim.uses);
    at += snprintf(added + at, sizeof added - (size_t)at, ",\"signature\":\"%s\"", signature);
    const size_t added_len = (size_t)at;
    if (added_len >= sizeof added || line->len < AUDIT_SEAL_LEN + added_len)
        return false;
    *len = line->len - AUDIT_SEAL_LEN - added_len;
    return strncmp(line->text + *len, added, added_len) == 0;
}

static bool read_count(const json_t *record, struct checkpoint_claim *claim)
{
    const char *holder = json_string_value(json_object_get(record, "holder"));
    const json_t *uses = json_object_get(record, "uses");
    size_t len = 0;
    claim->counted = true;
    if (holder == NULL || !json_is_integer(uses) || json_integer_value(uses) < 0)
        return false;
    claim->uses = (uint64_t)json_integer_value(uses);
    return hex_decode(holder, strlen(holder), claim->holder, sizeof claim->holder, &len, NULL) ==
               MIKEYD_OK &&
           len == sizeof claim->holder;
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
        chain == NULL || signature == NULL || out->signer == NULL ||
        (out->form == CHECKPOINT_FORM_COUNTED && !read_count(record, &out->claim)))
        return false;
    out->covers.sequence = (uint64_t)json_integer_value(covers);
    out->claim.covers = out->covers.sequence;
    out->final = json_integer_value(final) == 1;
    if (hex_decode(chain, strlen(chain), out->covers.hash, AUDIT_HASH_LEN, &len, NULL) !=
            MIKEYD_OK ||
        len != AUDIT_HASH_LEN || !find_head(line, out, signature, &out->head_len))
        return false;
    memcpy(out->claim.chain, out->covers.hash, AUDIT_HASH_LEN);
    return base64_decode(signature, strlen(signature), out->signature, sizeof out->signature,
                         &out->signature_len, NULL) == MIKEYD_OK;
}

static bool any_key_signed(const struct audit_verifier *v, const struct checkpoint *checkpoint)
{
    char text[CHECKPOINT_TEXT_MAX];
    struct checkpoint_claim claim = checkpoint->claim;
    if (audit_hash(v->hasher, v->reader->text, checkpoint->head_len, claim.head, NULL) != MIKEYD_OK)
        return false;
    const size_t len = checkpoint_text(&claim, text);
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
    if (checkpoint.form != CHECKPOINT_FORM && checkpoint.form != CHECKPOINT_FORM_COUNTED) {
        audit_problem_add(v, AUDIT_SIGNATURE, false, v->reader->number, sealed->sequence,
                          "checkpoint %" PRIu64 " has form %" JSON_INTEGER_FORMAT
                          ", this program knows forms %d and %d",
                          sealed->sequence, checkpoint.form, CHECKPOINT_FORM,
                          CHECKPOINT_FORM_COUNTED);
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
    if (checkpoint.claim.counted)
        audit_uses_check(v, &checkpoint.claim, checkpoint.final, sealed->sequence);
    if (v->key_count > 0)
        verdict->good_signatures++;
}
