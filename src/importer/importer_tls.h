/* The importer for TLS. Without importer.h: its names of SRTP suites are OpenSSL's, too. */
#ifndef IMPORTER_IMPORTER_TLS_H
#define IMPORTER_IMPORTER_TLS_H

#include "base/bytes.h"
#include "base/error.h"

/*
 * A client's external PSK for TLS 1.3 with SHA-384, which is TLS_AES_256_GCM_SHA384: the identity to
 * send (appended to *identity), and the imported key. The external identity is the client's name;
 * the context names client and server in their roles.
 */
#define IMPORTER_TLS_PSK_LEN 48
#define IMPORTER_TLS_IDENTITY_MAX 640
enum mikeyd_status importer_tls_psk(const char *client, const uint8_t *epsk, size_t epsk_len,
                                    struct byte_writer *identity, uint8_t out[IMPORTER_TLS_PSK_LEN],
                                    struct error *err);

#endif
