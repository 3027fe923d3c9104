#include "importer/importer.h"

#include <string.h>

#include <openssl/evp.h>

/* RFC 9258 5.1: the label of the one derivation an importer makes. */
#define IMPORTER_LABEL "derived psk"
#define IMPORTER_PREFIX_LEN 6

static const char *importer_hash_name(enum importer_hash hash)
{
    return hash == IMPORTER_SHA384 ? "SHA384" : "SHA256";
}

static enum mikeyd_status importer_hash_of(enum importer_hash hash, const uint8_t *data, size_t len,
                                           uint8_t out[EVP_MAX_MD_SIZE], size_t *out_len,
                                           struct error *err)
{
    *out_len = 0;
    if (EVP_Q_digest(NULL, importer_hash_name(hash), NULL, data, len, out, out_len) != 1)
        return error_set(err, MIKEYD_INTERNAL, "importer: %s failed", importer_hash_name(hash));
    return MIKEYD_OK;
}

enum mikeyd_status importer_write_identity(const struct imported_identity *id,
                                           struct byte_writer *out, struct error *err)
{
    if (id->external_identity_len == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: external identity is empty");
    /* Each field first, so that the sum cannot wrap. RFC 9258 5.1: a structure that does not fit in
     * a PskIdentity is rejected; 8 bytes are two lengths and two numbers. */
    if (id->external_identity_len > IMPORTER_IDENTITY_MAX ||
        id->context_len > IMPORTER_IDENTITY_MAX ||
        id->external_identity_len + id->context_len + 8 > IMPORTER_IDENTITY_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "importer: identity and context are longer than %d bytes together",
                         IMPORTER_IDENTITY_MAX - 8);
    writer_u16(out, (uint16_t)id->external_identity_len);
    writer_bytes(out, id->external_identity, id->external_identity_len);
    writer_u16(out, (uint16_t)id->context_len);
    writer_bytes(out, id->context, id->context_len);
    writer_u16(out, id->target_protocol);
    writer_u16(out, id->target_kdf);
    if (out->failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: no room for the identity");
    return MIKEYD_OK;
}

static void importer_write_node(const struct identity *node, struct byte_writer *out)
{
    writer_u8(out, node->type);
    writer_u16(out, (uint16_t)node->len);
    writer_bytes(out, node->data, node->len);
}

enum mikeyd_status importer_write_context(const struct identity *initiator,
                                          const struct identity *responder, struct byte_writer *out,
                                          struct error *err)
{
    if (initiator->len == 0 || responder->len == 0 || initiator->len > UINT16_MAX ||
        responder->len > UINT16_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "importer: node identities have 1 to %d bytes", UINT16_MAX);
    /* RFC 9257 6 item 2 and RFC 9258 appendix A: both ends, in their roles, make the key of one
     * direction; the lengths keep two pairs from having the same bytes. */
    importer_write_node(initiator, out);
    importer_write_node(responder, out);
    if (out->failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: no room for the context");
    return MIKEYD_OK;
}

enum mikeyd_status importer_write_info(enum importer_hash hash, const char *prefix,
                                       const uint8_t *imported_identity,
                                       size_t imported_identity_len, uint16_t length,
                                       struct byte_writer *out, struct error *err)
{
    if (strlen(prefix) != IMPORTER_PREFIX_LEN)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: a label prefix has %d bytes",
                         IMPORTER_PREFIX_LEN);
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t digest_len;
    enum mikeyd_status status =
        importer_hash_of(hash, imported_identity, imported_identity_len, digest, &digest_len, err);
    if (status != MIKEYD_OK)
        return status;
    /* RFC 8446 7.1 HkdfLabel: uint16 length, label<7..255>, context<0..255>. */
    writer_u16(out, length);
    writer_u8(out, (uint8_t)(IMPORTER_PREFIX_LEN + strlen(IMPORTER_LABEL)));
    writer_bytes(out, prefix, IMPORTER_PREFIX_LEN);
    writer_bytes(out, IMPORTER_LABEL, strlen(IMPORTER_LABEL));
    writer_u8(out, (uint8_t)digest_len);
    writer_bytes(out, digest, digest_len);
    if (out->failed)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "importer: no room for the label");
    return MIKEYD_OK;
}
