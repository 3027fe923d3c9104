/*
 * Sealed tickets: a bundle between two messages, AES-256-GCM under a key that the ticket's salt and
 * the ticket key of the day make (HKDF-Expand, SHA-256), held by the client. Nothing in it can be
 * read or changed outside a daemon with the same token key; a restart or another host opens it as
 * well as the one that sealed it.
 *
 * Bytes: "MKT" version(1) generation(4) day(4) expiry(8, Unix seconds) salt(16) nonce(12) |
 * ciphertext | tag(16). Everything before the ciphertext is additional authenticated data.
 */
#ifndef EXCHANGE_TICKET_H
#define EXCHANGE_TICKET_H

#include "exchange/bundle.h"
#include "exchange/ticket_key.h"

#define TICKET_HEADER 48
#define TICKET_TAG 16
#define TICKET_MAX (TICKET_HEADER + BUNDLE_BYTES_MAX + TICKET_TAG)

/* One worker's AES-GCM context: no allocation per ticket, no ticket key left in it between two. */
struct ticket_cipher;
enum mikeyd_status ticket_cipher_make(struct ticket_cipher **out, struct error *err);
void ticket_cipher_free(struct ticket_cipher *cipher);

/*
 * Secret scratch the two functions need, from the caller's secure heap; wiped before they return.
 */
struct ticket_scratch {
    uint8_t day_key[TICKET_KEY_LEN];
    uint8_t key[TICKET_KEY_LEN];
    uint8_t plain[BUNDLE_BYTES_MAX];
};

/* Seals into out (capacity TICKET_MAX). expires: Unix seconds, at most a day ahead. */
enum mikeyd_status ticket_seal(struct ticket_cipher *cipher, struct ticket_keys *keys, int64_t now,
                               int64_t expires, const struct bundle *bundle,
                               const struct bundle_keys *contents, struct ticket_scratch *scratch,
                               struct byte_writer *out, struct error *err);

/*
 * Opens and checks authenticity, expiry, owner and use, in this order. TICKET_INVALID for anything
 * that is not a ticket of ours, belongs to another client, or serves another purpose;
 * TICKET_EXPIRED. On failure bundle and contents are wiped. *expires: until when it would be
 * accepted.
 */
enum mikeyd_status ticket_open(struct ticket_cipher *cipher, struct ticket_keys *keys, int64_t now,
                               const uint8_t *ticket, size_t ticket_len, const char *client,
                               enum bundle_use use, struct bundle *bundle,
                               struct bundle_keys *contents, int64_t *expires,
                               struct ticket_scratch *scratch, struct error *err);

#endif
