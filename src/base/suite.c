#include "base/suite.h"

#include <stddef.h>
#include <string.h>

static const struct srtp_suite_info suites[SRTP_SUITE_COUNT] = {
    [SRTP_AES_CM_128_HMAC_SHA1_80] = {"AES_CM_128_HMAC_SHA1_80", 1, 1, 16, 14, 10},
    [SRTP_AES_CM_128_HMAC_SHA1_32] = {"AES_CM_128_HMAC_SHA1_32", 1, 1, 16, 14, 4},
    [SRTP_AES_256_CM_HMAC_SHA1_80] = {"AES_256_CM_HMAC_SHA1_80", 1, 1, 32, 14, 10},
    [SRTP_AES_256_CM_HMAC_SHA1_32] = {"AES_256_CM_HMAC_SHA1_32", 1, 1, 32, 14, 4},
    [SRTP_AEAD_AES_128_GCM] = {"AEAD_AES_128_GCM", 6, 0, 16, 12, 16},
    [SRTP_AEAD_AES_256_GCM] = {"AEAD_AES_256_GCM", 6, 0, 32, 12, 16},
};

const struct srtp_suite_info *srtp_suite_info(enum srtp_suite suite)
{
    return (unsigned)suite < SRTP_SUITE_COUNT ? &suites[suite] : NULL;
}

bool srtp_suite_by_name(const char *name, enum srtp_suite *out)
{
    for (int i = 0; i < SRTP_SUITE_COUNT; i++) {
        if (strcmp(suites[i].name, name) == 0) {
            *out = (enum srtp_suite)i;
            return true;
        }
    }
    return false;
}

const char *mikey_algorithms_name(enum mikey_algorithms algorithms)
{
    return algorithms == MIKEY_ALGORITHMS_256 ? "mikey-256" : "mikey-1";
}

bool mikey_algorithms_by_name(const char *name, enum mikey_algorithms *out)
{
    if (strcmp(name, "mikey-256") == 0)
        *out = MIKEY_ALGORITHMS_256;
    else if (strcmp(name, "mikey-1") == 0)
        *out = MIKEY_ALGORITHMS_1;
    else
        return false;
    return true;
}

bool mikey_algorithms_carry(enum mikey_algorithms algorithms, enum srtp_suite suite)
{
    const struct srtp_suite_info *info = srtp_suite_info(suite);
    return info != NULL && (algorithms == MIKEY_ALGORITHMS_256 || info->key_len <= 16);
}
