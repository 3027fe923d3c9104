/*
 * psk-dhe: DHHMAC's messages, with a TGK that depends on the pre-shared key as well (method.h). An
 * extension of ours that both ends must have.
 */
#include "mikey/method.h"
#include "mikey/wire.h"

#define LABEL "mikeyd psk-dhe"
#define TGK_LEN 32

static enum mikeyd_status combine(const struct mikey_agreed *in, uint8_t tgk[MIKEY_TGK_MAX],
                                  size_t *tgk_len, struct error *err)
{
    uint8_t info[sizeof LABEL - 1 + 2 * MIKEY_DH_VALUE_MAX];
    struct byte_writer w = writer_of(info, sizeof info);
    writer_bytes(&w, LABEL, sizeof LABEL - 1);
    writer_bytes(&w, in->value_i, in->len);
    writer_bytes(&w, in->value_r, in->len);
    const struct mikey_hkdf hkdf = {.salt = in->psk_key,
                                    .salt_len = MIKEY_PSK_KEY_LEN,
                                    .ikm = in->shared,
                                    .ikm_len = in->len,
                                    .info = info,
                                    .info_len = w.len};
    *tgk_len = TGK_LEN;
    return mikey_hkdf(&hkdf, tgk, TGK_LEN, err);
}

const struct mikey_method mikey_method_psk_dhe = {
    .name = "psk-dhe",
    .setting = "method psk-dhe",
    .mark = "mikeyd psk-dhe",
    .init_type = MIKEY_TYPE_DHHMAC_INIT,
    .answer_type = MIKEY_TYPE_DHHMAC_RESP,
    .rand_len = MIKEY_RAND_MIN,
    .updates = true,
    .exchanges = true,
    .psk_key = MIKEY_TGK_DHE,
    .combine = combine,
};
