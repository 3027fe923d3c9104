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
    struct audit_chain covers;
    bool final;
    const char *signer;
    uint8_t signature[AUDIT_SIGNATURE_MAX];
    size_t signature_len;
};

static bool read_checkpoint(const json_t *record, struct checkpoint *out)
{
    const json_t *covers = json_object_get(record, "covers");
    const json_t *final = json_object_get(record, "final");
    const char *chain = json_string_value(json_object_get(record, "chain"));
    const char *signature = json_string_value(json_object_get(record, "signature"));
    size_t len = 0;
    out->signer = json_string_value(json_object_get(record, "signer"));
    if (!json_is_integer(covers) || json_integer_value(covers) <= 0 || !json_is_integer(final) ||
        chain == NULL || signature == NULL || out->signer == NULL)
        return false;
    out->covers.sequence = (uint64_t)json_integer_value(covers);
    out->final = json_integer_value(final) == 1;
    return hex_decode(chain, strlen(chain), out->covers.hash, AUDIT_HASH_LEN, &len, NULL) ==
               MIKEYD_OK &&
           len == AUDIT_HASH_LEN &&
           base64_decode(signature, strlen(signature), out->signature, sizeof out->signature,
                         &out->signature_len, NULL) == MIKEYD_OK;
}

static bool any_key_signed(const struct audit_verifier *v, const struct checkpoint *checkpoint)
{
    char text[AUDIT_CHECKPOINT_TEXT_MAX];
    size_t len =
        audit_checkpoint_text(&checkpoint->covers, checkpoint->final, checkpoint->signer, text);
    for (size_t i = 0; len > 0 && i < v->key_count; i++) {
        if (signed_by(v->keys[i], text, len, checkpoint->signature, checkpoint->signature_len))
            return true;
    }
    return false;
}

/* The signed hash is that of a record read here. */
static bool covers_what_was_read(struct audit_verifier *v, const struct checkpoint *checkpoint,
                                 uint64_t sequence)
{
    const uint64_t covered = checkpoint->covers.sequence;
    const uint8_t *hash = audit_follow_find(v, covered);
    /* A log given without its older files may begin just after what its first checkpoint covers. */
    if (hash == NULL && covered < v->verdict->first_sequence)
        return true;
    if (hash != NULL && covered < sequence &&
        secret_equal(hash, checkpoint->covers.hash, AUDIT_HASH_LEN))
        return true;
    audit_problem_add(v, AUDIT_SIGNATURE, false, v->reader->number, sequence,
                      "checkpoint %" PRIu64 " signs another record %" PRIu64
                      " than the one here: records %" PRIu64 " to %" PRIu64 " were rewritten",
                      sequence, covered, v->verdict->covered_sequence + 1, covered);
    return false;
}

void audit_checkpoint_check(struct audit_verifier *v, const json_t *record, uint64_t sequence)
{
    struct audit_verdict *verdict = v->verdict;
    struct checkpoint checkpoint = {0};
    verdict->checkpoints++;
    if (!read_checkpoint(record, &checkpoint)) {
        audit_problem_add(v, AUDIT_SIGNATURE, false, v->reader->number, sequence,
                          "checkpoint %" PRIu64 " lacks a field or its signature cannot be read",
                          sequence);
        return;
    }
    (void)snprintf(verdict->signer, sizeof verdict->signer, "%s", checkpoint.signer);
    v->last_is_final = checkpoint.final;
    if (v->key_count > 0 && !any_key_signed(v, &checkpoint)) {
        audit_problem_add(v, AUDIT_SIGNATURE, false, v->reader->number, sequence,
                          "checkpoint %" PRIu64 " is not signed by the key given (it names %s)",
                          sequence, checkpoint.signer);
        return;
    }
    if (!covers_what_was_read(v, &checkpoint, sequence))
        return;
    verdict->covered_sequence = checkpoint.covers.sequence;
    (void)snprintf(verdict->covered_time, sizeof verdict->covered_time, "%s",
                   json_string_value(json_object_get(record, "time")));
    if (v->key_count > 0)
        verdict->good_signatures++;
}
