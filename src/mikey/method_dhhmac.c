/*
 * MIKEY-DHHMAC (RFC 4650): both ends send a Diffie-Hellman value, the pre-shared key authenticates
 * them and is in nothing else, so a PSK that leaks later opens no recorded session.
 */
#include <string.h>

#include "mikey/exchange.h"
#include "mikey/method.h"
#include "mikey/wire.h"

#define LABEL "MIKEY-X25519-TGK"
#define X25519_TGK_LEN 32

/* The registry has no group of 128 bits, so this one is ours, and so is how its TGK is made: by the
 * PRF of the message's algorithms from the shared secret, bound to both values and RAND. */
static enum mikeyd_status from_x25519(const struct mikey_agreed *in, uint8_t *tgk,
                                      struct error *err)
{
    uint8_t label[sizeof LABEL - 1 + 2 * MIKEY_DH_VALUE_MAX + MIKEY_RAND_MAX];
    struct byte_writer w = writer_of(label, sizeof label);
    writer_bytes(&w, LABEL, sizeof LABEL - 1);
    writer_bytes(&w, in->value_i, in->len);
    writer_bytes(&w, in->value_r, in->len);
    writer_bytes(&w, in->rand, in->rand_len);
    const struct mikey_algorithm_numbers numbers = mikey_algorithm_numbers(in->algorithms);
    return mikey_prf_host((enum mikey_prf)numbers.prf, in->shared, in->len, label, w.len, tgk,
                          X25519_TGK_LEN, err);
}

static enum mikeyd_status combine(const struct mikey_agreed *in, uint8_t tgk[MIKEY_TGK_MAX],
                                  size_t *tgk_len, struct error *err)
{
    if (in->group == MIKEY_GROUP_X25519) {
        *tgk_len = X25519_TGK_LEN;
        return from_x25519(in, tgk, err);
    }
    /* RFC 4650 3: TGK = g^(xi xr), of fixed length. */
    *tgk_len = in->len;
    memcpy(tgk, in->shared, in->len);
    return MIKEYD_OK;
}

const struct mikey_method mikey_method_dhhmac = {
    .name = "dhhmac",
    .setting = "method dhhmac",
    .init_type = MIKEY_TYPE_DHHMAC_INIT,
    .answer_type = MIKEY_TYPE_DHHMAC_RESP,
    .rand_len = MIKEY_RAND_MIN,
    .updates = true,
    .exchanges = true,
    .combine = combine,
};
