/* A TGK that both ends derive (policy `tgk: derived`). */
#include "mikey/method.h"
#include "mikey/wire.h"

static size_t tgk_len(enum mikey_algorithms algorithms)
{
    return algorithms == MIKEY_ALGORITHMS_256 ? 32 : 16;
}

static enum mikeyd_status tgk(enum mikey_algorithms algorithms, uint32_t csb_id,
                              const uint8_t *rand, size_t rand_len, const struct mikey_key *key,
                              uint8_t *out, struct error *err)
{
    struct mikey_algorithm_numbers numbers = mikey_algorithm_numbers(algorithms);
    const struct mikey_derivation what = {.prf = (enum mikey_prf)numbers.prf,
                                          .csb_id = csb_id,
                                          .rand = rand,
                                          .rand_len = rand_len,
                                          .encryption = MIKEY_ENCR_NULL,
                                          .mac = numbers.mac};
    return key->ops->tgk(key, &what, MIKEY_TGK_DERIVED, out, tgk_len(algorithms), err);
}

const struct mikey_method mikey_method_psk_derived = {
    .name = "psk",
    .setting = "tgk: derived",
    .detail = "TGK derived from PSK and RAND",
    .mark = "mikeyd tgk: derived",
    .init_type = MIKEY_TYPE_PSK_INIT,
    .answer_type = MIKEY_TYPE_PSK_RESP,
    .rand_len = 32,
    .tgk_len = tgk_len,
    .tgk = tgk,
};
