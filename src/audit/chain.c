#include "audit/chain.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/secret.h"
#include "base/text.h"

static const char prev_open[] = ",\"prev\":\"";
static const char hash_open[] = "\",\"hash\":\"";
static const char line_open[] = "{\"seq\":";

struct audit_hasher {
    EVP_MD *sha256;
    EVP_MD_CTX *context;
};

struct audit_hasher *audit_hasher_make(void)
{
    struct audit_hasher *hasher = calloc(1, sizeof *hasher);
    if (hasher == NULL)
        return NULL;
    hasher->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->context = EVP_MD_CTX_new();
    if (hasher->sha256 == NULL || hasher->context == NULL) {
        audit_hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void audit_hasher_free(struct audit_hasher *hasher)
{
    if (hasher == NULL)
        return;
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->sha256);
    free(hasher);
}

enum mikeyd_status audit_hash(struct audit_hasher *hasher, const void *data, size_t len,
                              uint8_t out[AUDIT_HASH_LEN], struct error *err)
{
    unsigned written = AUDIT_HASH_LEN;
    if (EVP_DigestInit_ex2(hasher->context, hasher->sha256, NULL) != 1 ||
        EVP_DigestUpdate(hasher->context, data, len) != 1 ||
        EVP_DigestFinal_ex(hasher->context, out, &written) != 1)
        return error_set(err, MIKEYD_INTERNAL, "SHA-256 failed");
    return MIKEYD_OK;
}

static char *put(char *at, const void *data, size_t len)
{
    memcpy(at, data, len);
    return at + len;
}

static char *put_hash(char *at, const uint8_t hash[AUDIT_HASH_LEN])
{
    char hex[AUDIT_HASH_HEX + 1];
    hex_encode(hash, AUDIT_HASH_LEN, hex);
    return put(at, hex, AUDIT_HASH_HEX);
}

enum mikeyd_status audit_chain_seal(struct audit_hasher *hasher, struct audit_chain *chain,
                                    const char *body, size_t len, char *out, struct error *err)
{
    char *at = put(out, body, len);
    at = put(at, prev_open, sizeof prev_open - 1);
    at = put_hash(at, chain->hash);
    *at++ = '"';
    /* Everything in front of ,"hash": is what the hash covers. */
    enum mikeyd_status status = audit_hash(hasher, out, (size_t)(at - out), chain->hash, err);
    if (status != MIKEYD_OK)
        return status;
    at = put(at, hash_open + 1, sizeof hash_open - 2);
    at = put_hash(at, chain->hash);
    (void)put(at, "\"}\n", 3);
    return MIKEYD_OK;
}

/* Lower-case digits only: another spelling of the same hash is another line. */
static bool read_hash(const char *text, uint8_t out[AUDIT_HASH_LEN])
{
    size_t len = 0;
    if (strspn(text, "0123456789abcdef") < AUDIT_HASH_HEX)
        return false;
    return hex_decode(text, AUDIT_HASH_HEX, out, AUDIT_HASH_LEN, &len, NULL) == MIKEYD_OK &&
           len == AUDIT_HASH_LEN;
}

/* Decimal without sign or leading zero, at most 19 digits, ended by a comma. */
static bool read_sequence(const char *text, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < len && digits < 19 && text[digits] >= '0' && text[digits] <= '9')
        value = value * 10 + (uint64_t)(text[digits++] - '0');
    if (digits == 0 || text[0] == '0' || digits == len || text[digits] != ',')
        return false;
    *out = value;
    return true;
}

enum mikeyd_status audit_chain_read(struct audit_hasher *hasher, const char *line, size_t len,
                                    struct audit_sealed *out, struct error *err)
{
    const size_t open_len = sizeof line_open - 1;
    if (len < open_len + 2 + AUDIT_SEAL_LEN || strncmp(line, line_open, open_len) != 0 ||
        memchr(line, '\0', len) != NULL)
        return error_set(err, MIKEYD_SYNTAX, "not an audit record");
    const char *seal = line + len - AUDIT_SEAL_LEN;
    const char *prev = seal + sizeof prev_open - 1;
    const char *hash = prev + AUDIT_HASH_HEX + sizeof hash_open - 1;
    if (strncmp(seal, prev_open, sizeof prev_open - 1) != 0 ||
        strncmp(prev + AUDIT_HASH_HEX, hash_open, sizeof hash_open - 1) != 0 ||
        strncmp(hash + AUDIT_HASH_HEX, "\"}", 2) != 0 || !read_hash(prev, out->prev) ||
        !read_hash(hash, out->hash))
        return error_set(err, MIKEYD_SYNTAX, "record does not end in prev and hash");
    if (!read_sequence(line + open_len, len - open_len - AUDIT_SEAL_LEN, &out->sequence))
        return error_set(err, MIKEYD_SYNTAX, "record does not begin with its sequence number");
    enum mikeyd_status status =
        audit_hash(hasher, line, len - AUDIT_HASH_FIELD_LEN, out->computed, err);
    if (status != MIKEYD_OK)
        return status;
    out->intact = secret_equal(out->hash, out->computed, AUDIT_HASH_LEN);
    return MIKEYD_OK;
}
