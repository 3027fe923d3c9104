/* mikey_parse_key_data: decrypted key data of any content; views inside it, keys not empty. */
#include "fuzz.h"

#include "mikey/exchange.h"

static void check_inside(const uint8_t *data, size_t len, const uint8_t *at, size_t at_len)
{
    PROMISE(at_len == 0 || (at >= data && at + at_len <= data + len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t rand[16] = {1};
    struct mikey_key_data keys[MIKEY_KEY_DATA_MAX];
    size_t count = 0;
    struct error err = {0};
    if (mikey_parse_key_data(data, len, keys, &count, &err) != MIKEYD_OK) {
        PROMISE(count == 0);
        return 0;
    }
    PROMISE(count >= 1 && count <= MIKEY_KEY_DATA_MAX);
    for (size_t i = 0; i < count; i++) {
        struct mikey_session_key session;
        PROMISE(keys[i].key_len > 0 && keys[i].type <= MIKEY_KEY_TEK_SALT);
        check_inside(data, len, keys[i].key, keys[i].key_len);
        check_inside(data, len, keys[i].salt, keys[i].salt_len);
        check_inside(data, len, keys[i].spi, keys[i].spi_len);
        check_inside(data, len, keys[i].from, keys[i].from_len);
        check_inside(data, len, keys[i].to, keys[i].to_len);
        (void)mikey_session_key(MIKEY_PRF_1, &keys[i], 1, 1, rand, sizeof rand,
                                SRTP_AEAD_AES_256_GCM, &session, &err);
    }
    return 0;
}
