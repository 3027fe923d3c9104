/* The PRF on the host, for keys in clear (RFC 3830 4.1.2, RFC 6043 6.1). */
#include "mikey/prf.h"
#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/host_crypto.h"
#include "mikey/label.h"

#define INKEY_BLOCK 32

/* XORs P(s, label) into out. */
static enum mikeyd_status add_block(struct host_hmac *s, const uint8_t *label, size_t label_len,
                                    uint8_t *out, size_t out_len, struct error *err)
{
    uint8_t a[HMAC_TAG_MAX], p[HMAC_TAG_MAX];
    const uint8_t *data[2] = {label, label};
    size_t len[2] = {label_len, label_len};
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t at = 0; at < out_len; at += s->tag_len) {
        status = host_hmac_tag(s, data, len, 1, a, err); /* A_i = HMAC(s, A_(i-1)) */
        data[0] = a;
        len[0] = s->tag_len;
        if (status == MIKEYD_OK)
            status = host_hmac_tag(s, data, len, 2, p, err); /* HMAC(s, A_i || label) */
        if (status != MIKEYD_OK)
            break;
        for (size_t i = 0; i < s->tag_len && at + i < out_len; i++)
            out[at + i] ^= p[i];
    }
    secret_wipe(a, sizeof a);
    secret_wipe(p, sizeof p);
    return status;
}

enum mikeyd_status mikey_prf_open(struct mikey_prf_key *key, enum mikey_prf prf,
                                  const uint8_t *inkey, size_t inkey_len, struct error *err)
{
    *key = (struct mikey_prf_key){0};
    /* A key of no bytes has no block: the PRF would yield zeros. */
    if (inkey_len == 0 || inkey_len > (size_t)INKEY_BLOCK * MIKEY_PRF_BLOCKS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "PRF key of %zu bytes", inkey_len);
    struct byte_reader r = reader_of(inkey, inkey_len);
    while (reader_left(&r) > 0) {
        size_t take = reader_left(&r) < INKEY_BLOCK ? reader_left(&r) : INKEY_BLOCK;
        enum mikeyd_status status = host_hmac_open(&key->block[key->count], mikey_prf_hash(prf),
                                                   reader_bytes(&r, take), take, err);
        if (status != MIKEYD_OK) {
            mikey_prf_close(key);
            return status;
        }
        key->count++;
    }
    return MIKEYD_OK;
}

enum mikeyd_status mikey_prf_run(struct mikey_prf_key *key, const uint8_t *label, size_t label_len,
                                 uint8_t *out, size_t out_len, struct error *err)
{
    secret_wipe(out, out_len);
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; status == MIKEYD_OK && i < key->count; i++)
        status = add_block(&key->block[i], label, label_len, out, out_len, err);
    if (status != MIKEYD_OK)
        secret_wipe(out, out_len);
    return status;
}

void mikey_prf_close(struct mikey_prf_key *key)
{
    for (size_t i = 0; i < key->count; i++)
        host_hmac_close(&key->block[i]);
    key->count = 0;
}

enum mikeyd_status mikey_prf_host(enum mikey_prf prf, const uint8_t *inkey, size_t inkey_len,
                                  const uint8_t *label, size_t label_len, uint8_t *out,
                                  size_t out_len, struct error *err)
{
    MIKEY_PRF_CLEANUP struct mikey_prf_key key = {0};
    enum mikeyd_status status = mikey_prf_open(&key, prf, inkey, inkey_len, err);
    if (status == MIKEYD_OK)
        status = mikey_prf_run(&key, label, label_len, out, out_len, err);
    return status;
}
