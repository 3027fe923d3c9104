/* A client's external PSK for TLS 1.3, imported (RFC 9258). */
#include <openssl/crypto.h>
#include <string.h>

#include "importer/importer.h"
#include "importer/importer_tls.h"

/* RFC 9258 appendix A: both ends in their roles, as opaque<0..2^8-1>. All gates of a fleet are one
 * server. */
#define SERVER "mikeyd-gate"
#define CONTEXT_MAX (2 * (1 + UINT8_MAX))

static enum mikeyd_status write_identity(const char *client, struct byte_writer *out,
                                         struct error *err)
{
    const size_t len = strlen(client);
    uint8_t context[CONTEXT_MAX];
    struct byte_writer writer = writer_of(context, sizeof context);
    if (len == 0 || len > UINT8_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "importer: a client's name has 1 to %d bytes", UINT8_MAX);
    writer_u8(&writer, (uint8_t)len);
    writer_bytes(&writer, client, len);
    writer_u8(&writer, (uint8_t)strlen(SERVER));
    writer_bytes(&writer, SERVER, strlen(SERVER));
    const struct imported_identity identity = {.external_identity = (const uint8_t *)client,
                                               .external_identity_len = len,
                                               .context = context,
                                               .context_len = writer.len,
                                               .target_protocol = IMPORTER_TARGET_PROTOCOL_TLS13,
                                               .target_kdf = IMPORTER_KDF_HKDF_SHA384};
    return importer_write_identity(&identity, out, err);
}

enum mikeyd_status importer_tls_psk(const char *client, const uint8_t *epsk, size_t epsk_len,
                                    struct byte_writer *identity, uint8_t out[IMPORTER_TLS_PSK_LEN],
                                    struct error *err)
{
    uint8_t info[IMPORTER_INFO_MAX];
    struct byte_writer writer = writer_of(info, sizeof info);
    const size_t before = identity->len;
    enum mikeyd_status status = write_identity(client, identity, err);
    if (status == MIKEYD_OK)
        status = importer_write_info(IMPORTER_SHA256, "tls13 ", identity->data + before,
                                     identity->len - before, IMPORTER_TLS_PSK_LEN, &writer, err);
    uint8_t *epskx = OPENSSL_secure_zalloc(32);
    if (status == MIKEYD_OK && epskx == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = importer_extract(IMPORTER_SHA256, epsk, epsk_len, epskx, err);
    if (status == MIKEYD_OK)
        status = importer_expand(IMPORTER_SHA256, epskx, info, writer.len, out,
                                 IMPORTER_TLS_PSK_LEN, err);
    OPENSSL_secure_clear_free(epskx, 32);
    return status;
}
