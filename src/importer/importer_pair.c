#include "importer/importer.h"

#include <stdio.h>

#include <openssl/evp.h>

#include "base/text.h"

/* "NAME/GENERATION": the name fits a token object's, the generation a 32-bit number. */
#define PAIR_EXTERNAL_MAX 128
#define PAIR_CONTEXT_MAX (2 * (3 + IDENTITY_MAX))
#define PAIR_NAME_DIGEST 16

static uint16_t pair_target_kdf(enum mikey_algorithms algorithms)
{
    /* mikey-256 uses HMAC-SHA-256 throughout, so the registered number says what the key is for;
     * for the SHA-1 set there is none, and a private one keeps the two sets' keys apart. */
    return algorithms == MIKEY_ALGORITHMS_256 ? IMPORTER_KDF_HKDF_SHA256 : IMPORTER_KDF_MIKEY_1;
}

static enum mikeyd_status pair_name(const char *key_name, struct importer_pair *out,
                                    struct error *err)
{
    char digits[2 * PAIR_NAME_DIGEST + 1];
    hex_encode(out->identity_hash, PAIR_NAME_DIGEST, digits);
    int len = snprintf(out->object_name, sizeof out->object_name, "%s.%s", key_name, digits);
    if (len < 0 || (size_t)len >= sizeof out->object_name)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "importer: key name is longer than %zu bytes",
                         sizeof out->object_name - sizeof digits - 1);
    return MIKEYD_OK;
}

enum mikeyd_status importer_pair(const char *key_name, unsigned generation,
                                 const struct identity *initiator, const struct identity *responder,
                                 enum mikey_algorithms algorithms, struct importer_pair *out,
                                 struct error *err)
{
    *out = (struct importer_pair){0};
    char external[PAIR_EXTERNAL_MAX];
    int external_len = snprintf(external, sizeof external, "%s/%u", key_name, generation);
    if (key_name[0] == '\0' || external_len < 0 || (size_t)external_len >= sizeof external)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: key name is empty or too long");
    /* RFC 9257 6 item 2: a key that both ends hold in both roles could be reflected (Selfie). */
    if (identity_equal(initiator, responder))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "importer: initiator and responder are the same node");

    uint8_t context[PAIR_CONTEXT_MAX];
    struct byte_writer context_writer = writer_of(context, sizeof context);
    enum mikeyd_status status = importer_write_context(initiator, responder, &context_writer, err);
    if (status != MIKEYD_OK)
        return status;

    const struct imported_identity id = {.external_identity = (const uint8_t *)external,
                                         .external_identity_len = (size_t)external_len,
                                         .context = context,
                                         .context_len = context_writer.len,
                                         .target_protocol = IMPORTER_TARGET_PROTOCOL_MIKEY,
                                         .target_kdf = pair_target_kdf(algorithms)};
    uint8_t imported[PAIR_EXTERNAL_MAX + PAIR_CONTEXT_MAX + 8];
    struct byte_writer imported_writer = writer_of(imported, sizeof imported);
    status = importer_write_identity(&id, &imported_writer, err);
    if (status != MIKEYD_OK)
        return status;

    struct byte_writer info_writer = writer_of(out->info, sizeof out->info);
    status = importer_write_info(IMPORTER_SHA256, IMPORTER_PREFIX_MIKEY, imported,
                                 imported_writer.len, IMPORTER_PAIR_KEY_LEN, &info_writer, err);
    if (status != MIKEYD_OK)
        return status;
    out->info_len = info_writer.len;
    if (EVP_Q_digest(NULL, "SHA256", NULL, imported, imported_writer.len, out->identity_hash,
                     NULL) != 1)
        return error_set(err, MIKEYD_INTERNAL, "importer: SHA-256 failed");
    return pair_name(key_name, out, err);
}
