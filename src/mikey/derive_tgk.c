/* A TGK that both ends derive (policy `tgk: derived`). */
#include "mikey/exchange.h"
#include "mikey/wire.h"

size_t mikey_derived_tgk_len(enum mikey_algorithms algorithms)
{
    return algorithms == MIKEY_ALGORITHMS_256 ? 32 : 16;
}

enum mikeyd_status mikey_derive_tgk(enum mikey_algorithms algorithms, uint32_t csb_id,
                                    const uint8_t *rand, size_t rand_len,
                                    const struct mikey_key *key, uint8_t *tgk, struct error *err)
{
    struct mikey_algorithm_numbers numbers = mikey_algorithm_numbers(algorithms);
    const struct mikey_derivation what = {.prf = (enum mikey_prf)numbers.prf,
                                          .csb_id = csb_id,
                                          .rand = rand,
                                          .rand_len = rand_len,
                                          .encryption = MIKEY_ENCR_NULL,
                                          .mac = numbers.mac};
    const size_t len = mikey_derived_tgk_len(algorithms);
    return key->ops->tgk(key, &what, MIKEY_TGK_DERIVED, tgk, len, err);
}
