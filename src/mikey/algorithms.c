#include "mikey/label.h"
#include "mikey/wire.h"

#include <string.h>

/* RFC 3830 6.2 and RFC 6043 6.2: key and salt lengths by Encr alg. AES-KW takes its 8-byte salt as
 * the initial value (RFC 3830 4.2.3). */
static const struct {
    uint8_t key, salt;
} encryptions[] = {
    [MIKEY_ENCR_NULL] = {0, 0},
    [MIKEY_ENCR_AES_CM_128] = {16, 14},
    [MIKEY_ENCR_AES_KW_128] = {16, 8},
    [MIKEY_ENCR_AES_CM_256] = {32, 14},
};

bool mikey_mac_len(uint8_t mac, size_t *len)
{
    static const uint8_t lengths[] = {
        [MIKEY_MAC_NULL] = 0, [MIKEY_MAC_SHA1] = 20, [MIKEY_MAC_SHA256] = 32};
    if (mac >= sizeof lengths)
        return false;
    *len = lengths[mac];
    return true;
}

enum hmac_hash mikey_prf_hash(enum mikey_prf prf)
{
    return prf == MIKEY_PRF_HMAC_SHA256 ? HMAC_SHA256 : HMAC_SHA1;
}

enum hmac_hash mikey_mac_hash(uint8_t mac)
{
    return mac == MIKEY_MAC_SHA256 ? HMAC_SHA256 : HMAC_SHA1;
}

size_t mikey_label_write(uint8_t out[MIKEY_LABEL_MAX], uint32_t constant, uint8_t cs_id,
                         uint32_t csb_id, const uint8_t *rand, size_t rand_len)
{
    struct byte_writer w = writer_of(out, MIKEY_LABEL_MAX);
    writer_u32(&w, constant);
    writer_u8(&w, cs_id);
    writer_u32(&w, csb_id);
    writer_bytes(&w, rand, rand_len);
    return w.len;
}

bool mikey_key_sizes(const struct mikey_derivation *what, struct mikey_key_sizes *out)
{
    if (what->prf != MIKEY_PRF_1 && what->prf != MIKEY_PRF_HMAC_SHA256)
        return false;
    if (what->encryption >= sizeof encryptions / sizeof encryptions[0])
        return false;
    if (what->rand_len < MIKEY_RAND_MIN || what->rand_len > MIKEY_RAND_MAX)
        return false;
    out->encr = encryptions[what->encryption].key;
    out->salt = encryptions[what->encryption].salt;
    return mikey_mac_len(what->mac, &out->auth);
}

struct mikey_algorithm_numbers mikey_algorithm_numbers(enum mikey_algorithms algorithms)
{
    if (algorithms == MIKEY_ALGORITHMS_256) {
        return (struct mikey_algorithm_numbers){MIKEY_PRF_HMAC_SHA256, MIKEY_ENCR_AES_CM_256,
                                                MIKEY_MAC_SHA256};
    }
    return (struct mikey_algorithm_numbers){MIKEY_PRF_1, MIKEY_ENCR_AES_CM_128, MIKEY_MAC_SHA1};
}

bool mikey_message_algorithms(const struct mikey_message *m, enum mikey_algorithms *out)
{
    static const enum mikey_algorithms sets[] = {MIKEY_ALGORITHMS_1, MIKEY_ALGORITHMS_256};
    if (!m->has_kemac && !m->has_v)
        return false;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct mikey_algorithm_numbers set = mikey_algorithm_numbers(sets[i]);
        bool encryption = !m->has_kemac || m->encryption == set.encryption;
        /* RFC 4650 4.2: KEMAC of DHHMAC encrypts nothing; it prints "2 (NULL)" for RFC 3830's 0. */
        if (m->type == MIKEY_TYPE_DHHMAC_INIT || m->type == MIKEY_TYPE_DHHMAC_RESP)
            encryption = m->encryption == MIKEY_ENCR_NULL || m->encryption == MIKEY_ENCR_AES_KW_128;
        if (m->prf == set.prf && m->mac_alg == set.mac && encryption) {
            *out = sets[i];
            return true;
        }
    }
    return false;
}
