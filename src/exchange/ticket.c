#include "exchange/ticket.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/secret.h"
#include "importer/importer.h"

#define SALT 16
#define NONCE 12
#define MAGIC "MKT"
#define VERSION 5
#define LABEL "mikeyd ticket key" /* what the salt stands behind, in HKDF's info */

struct ticket_cipher {
    EVP_CIPHER *aes;
    EVP_CIPHER_CTX *context;
};

enum mikeyd_status ticket_cipher_make(struct ticket_cipher **out, struct error *err)
{
    struct ticket_cipher *cipher = calloc(1, sizeof *cipher);
    if (cipher != NULL) {
        cipher->aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
        cipher->context = EVP_CIPHER_CTX_new();
    }
    if (cipher == NULL || cipher->aes == NULL || cipher->context == NULL ||
        EVP_EncryptInit_ex2(cipher->context, cipher->aes, NULL, NULL, NULL) != 1) {
        ticket_cipher_free(cipher);
        return error_set(err, MIKEYD_INTERNAL, "AES-256-GCM is not available");
    }
    *out = cipher;
    return MIKEYD_OK;
}

void ticket_cipher_free(struct ticket_cipher *cipher)
{
    if (cipher == NULL)
        return;
    EVP_CIPHER_CTX_free(cipher->context);
    EVP_CIPHER_free(cipher->aes);
    free(cipher);
}

/* The context lives in the ordinary heap: a key of zeros takes the place of the ticket key's
 * schedule, without the allocation that a reset would cost. */
static void cipher_forget(struct ticket_cipher *cipher)
{
    static const uint8_t zeros[TICKET_KEY_LEN];
    (void)EVP_CipherInit_ex2(cipher->context, NULL, zeros, zeros, 1, NULL);
}

/*
 * Each ticket has a key of its own, HKDF-Expand (RFC 5869 2.3) of the day's under a salt: random
 * nonces alone would let one key seal 2^32 tickets (NIST SP 800-38D 8.3), which two busy daemons
 * pass in a day.
 */
static enum mikeyd_status derive_key(const uint8_t header[TICKET_HEADER],
                                     struct ticket_scratch *scratch, struct error *err)
{
    uint8_t info[sizeof LABEL - 1 + SALT];
    struct byte_writer w = writer_of(info, sizeof info);
    writer_bytes(&w, LABEL, sizeof LABEL - 1);
    writer_bytes(&w, header + TICKET_HEADER - NONCE - SALT, SALT);
    return importer_expand(IMPORTER_SHA256, scratch->day_key, info, sizeof info, scratch->key,
                           sizeof scratch->key, err);
}

static bool cipher_run(struct ticket_cipher *cipher, bool encrypt, const uint8_t *key,
                       const uint8_t header[TICKET_HEADER], const uint8_t *in, size_t len,
                       uint8_t *out, uint8_t tag[TICKET_TAG])
{
    EVP_CIPHER_CTX *c = cipher->context;
    const uint8_t *nonce = header + TICKET_HEADER - NONCE;
    int done = 0, rest = 0;
    bool ok = len <= INT_MAX && EVP_CipherInit_ex2(c, NULL, key, nonce, encrypt, NULL) == 1 &&
              (encrypt || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TICKET_TAG, tag) == 1) &&
              EVP_CipherUpdate(c, NULL, &done, header, TICKET_HEADER) == 1 &&
              EVP_CipherUpdate(c, out, &done, in, (int)len) == 1 &&
              EVP_CipherFinal_ex(c, out + done, &rest) == 1 && (size_t)done + (size_t)rest == len &&
              (!encrypt || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TICKET_TAG, tag) == 1);
    cipher_forget(cipher);
    return ok;
}

/* ---- sealing */

static enum mikeyd_status seal(struct ticket_cipher *cipher, struct ticket_keys *keys, int64_t now,
                               int64_t expires, const struct bundle *bundle,
                               const struct bundle_keys *contents, struct ticket_scratch *scratch,
                               struct byte_writer *out, struct error *err)
{
    struct ticket_key_id id;
    if (!ticket_keys_current(keys, now, &id, scratch->day_key))
        return error_set(err, MIKEYD_TOKEN_DOWN, "no ticket key of today");
    uint8_t fresh[SALT + NONCE];
    if (RAND_bytes(fresh, sizeof fresh) != 1)
        return error_set(err, MIKEYD_INTERNAL, "no random bytes");
    struct byte_writer plain = writer_of(scratch->plain, sizeof scratch->plain);
    bundle_write(bundle, contents, &plain);

    const uint8_t *header = out->failed ? NULL : out->data + out->len;
    writer_bytes(out, MAGIC, sizeof MAGIC - 1);
    writer_u8(out, VERSION);
    writer_u32(out, id.generation);
    writer_u32(out, id.day);
    writer_u64(out, (uint64_t)expires);
    writer_bytes(out, fresh, sizeof fresh);
    uint8_t *text = writer_room(out, plain.len);
    uint8_t *tag = writer_room(out, TICKET_TAG);
    if (plain.failed || out->failed || header == NULL)
        return error_set(err, MIKEYD_INTERNAL, "ticket does not fit its buffer");
    enum mikeyd_status status = derive_key(header, scratch, err);
    if (status != MIKEYD_OK)
        return status;
    if (!cipher_run(cipher, true, scratch->key, header, scratch->plain, plain.len, text, tag))
        return error_set(err, MIKEYD_INTERNAL, "ticket could not be sealed");
    return MIKEYD_OK;
}

enum mikeyd_status ticket_seal(struct ticket_cipher *cipher, struct ticket_keys *keys, int64_t now,
                               int64_t expires, const struct bundle *bundle,
                               const struct bundle_keys *contents, struct ticket_scratch *scratch,
                               struct byte_writer *out, struct error *err)
{
    enum mikeyd_status status =
        seal(cipher, keys, now, expires, bundle, contents, scratch, out, err);
    secret_wipe(scratch, sizeof *scratch);
    return status;
}

/* ---- opening */

/* The header's fields; false when these bytes are no ticket of this version. */
static bool read_header(struct byte_reader *in, struct ticket_key_id *id, int64_t *expires)
{
    const uint8_t *magic = reader_bytes(in, sizeof MAGIC - 1);
    uint8_t version = reader_u8(in);
    id->generation = reader_u32(in);
    id->day = reader_u32(in);
    *expires = (int64_t)reader_u64(in);
    (void)reader_bytes(in, SALT + NONCE);
    return !in->failed && memcmp(magic, MAGIC, sizeof MAGIC - 1) == 0 /* public */ &&
           version == VERSION;
}

static enum mikeyd_status unseal(struct ticket_cipher *cipher, struct ticket_keys *keys,
                                 int64_t now, const uint8_t *ticket, size_t ticket_len,
                                 struct bundle *bundle, struct bundle_keys *contents,
                                 int64_t *expires, struct ticket_scratch *scratch,
                                 struct error *err)
{
    struct byte_reader in = reader_of(ticket, ticket_len);
    struct ticket_key_id id;
    if (ticket == NULL || ticket_len <= TICKET_HEADER + TICKET_TAG || ticket_len > TICKET_MAX ||
        !read_header(&in, &id, expires))
        return error_set(err, MIKEYD_TICKET_INVALID, "not a ticket of this service");
    /* Believed before it is authenticated, but only to refuse. */
    if (*expires <= now)
        return error_set(err, MIKEYD_TICKET_EXPIRED, "the ticket has expired");
    if (!ticket_keys_find(keys, &id, scratch->day_key))
        return error_set(err, MIKEYD_TICKET_INVALID, "the ticket's key is not in use here");
    enum mikeyd_status status = derive_key(ticket, scratch, err);
    if (status != MIKEYD_OK)
        return status;
    size_t len = reader_left(&in) - TICKET_TAG;
    const uint8_t *text = reader_bytes(&in, len);
    uint8_t tag[TICKET_TAG];
    reader_copy(&in, tag, sizeof tag);
    if (!cipher_run(cipher, false, scratch->key, ticket, text, len, scratch->plain, tag))
        return error_set(err, MIKEYD_TICKET_INVALID, "not a ticket of this service");
    struct byte_reader plain = reader_of(scratch->plain, len);
    if (!bundle_read(&plain, bundle, contents))
        return error_set(err, MIKEYD_TICKET_INVALID, "the ticket's contents are not understood");
    return MIKEYD_OK;
}

static enum bundle_use use_of(enum bundle_role role)
{
    return role == BUNDLE_AWAITS_REPLY ? BUNDLE_CONFIRMS : BUNDLE_GOES_ON;
}

enum mikeyd_status ticket_open(struct ticket_cipher *cipher, struct ticket_keys *keys, int64_t now,
                               const uint8_t *ticket, size_t ticket_len, const char *client,
                               enum bundle_use use, struct bundle *bundle,
                               struct bundle_keys *contents, int64_t *expires,
                               struct ticket_scratch *scratch, struct error *err)
{
    enum mikeyd_status status =
        unseal(cipher, keys, now, ticket, ticket_len, bundle, contents, expires, scratch, err);
    secret_wipe(scratch, sizeof *scratch);
    if (status == MIKEYD_OK && strcmp(bundle->client, client) != 0)
        status = error_set(err, MIKEYD_TICKET_INVALID, "the ticket belongs to another client");
    if (status == MIKEYD_OK && use_of(bundle->role) != use)
        status = error_set(err, MIKEYD_TICKET_INVALID, "the ticket does not serve this: %s",
                           use == BUNDLE_GOES_ON ? "it waits for a reply (confirm)"
                                                 : "it serves updates of its bundle");
    if (status != MIKEYD_OK) {
        secret_wipe(contents, sizeof *contents);
        secret_wipe(bundle, sizeof *bundle);
    }
    return status;
}
