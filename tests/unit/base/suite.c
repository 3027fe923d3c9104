#include "base/suite.h"

#include <criterion/criterion.h>

Test(suite, six_names_find_themselves)
{
    for (int i = 0; i < SRTP_SUITE_COUNT; i++) {
        enum srtp_suite found;
        const struct srtp_suite_info *info = srtp_suite_info((enum srtp_suite)i);
        cr_assert_not_null(info);
        cr_assert(srtp_suite_by_name(info->name, &found));
        cr_expect_eq((int)found, i);
        cr_expect_leq(info->key_len, SRTP_KEY_MAX);
        cr_expect_leq(info->salt_len, SRTP_SALT_MAX);
    }
}

Test(suite, names_are_matched_whole_and_with_case)
{
    enum srtp_suite found;
    cr_expect_not(srtp_suite_by_name("aead_aes_256_gcm", &found));
    cr_expect_not(srtp_suite_by_name("AES_CM_128_HMAC_SHA1_8", &found));
    cr_expect_not(srtp_suite_by_name("AES_CM_128_HMAC_SHA1_801", &found));
    cr_expect_not(srtp_suite_by_name("", &found));
}

Test(suite, number_out_of_range_has_no_info)
{
    cr_expect_null(srtp_suite_info(SRTP_SUITE_COUNT));
    cr_expect_null(srtp_suite_info((enum srtp_suite)1000));
}

/* RFC 3711 8.2, RFC 6188 7 and RFC 7714 12: sizes of keys, salts and tags. */
Test(suite, sizes_are_those_of_the_rfcs)
{
    const struct srtp_suite_info *cm = srtp_suite_info(SRTP_AES_256_CM_HMAC_SHA1_32);
    cr_expect(cm->key_len == 32 && cm->salt_len == 14 && cm->tag_len == 4 && cm->encryption == 1);
    const struct srtp_suite_info *gcm = srtp_suite_info(SRTP_AEAD_AES_128_GCM);
    cr_expect(gcm->key_len == 16 && gcm->salt_len == 12 && gcm->tag_len == 16 &&
              gcm->encryption == 6 && gcm->authentication == 0);
}

Test(suite, algorithms_have_two_names)
{
    enum mikey_algorithms found;
    cr_assert(mikey_algorithms_by_name("mikey-1", &found));
    cr_expect_eq(found, MIKEY_ALGORITHMS_1);
    cr_assert(mikey_algorithms_by_name("mikey-256", &found));
    cr_expect_eq(found, MIKEY_ALGORITHMS_256);
    cr_expect_str_eq(mikey_algorithms_name(found), "mikey-256");
    cr_expect_not(mikey_algorithms_by_name("mikey-2", &found));
}

/* RFC 6043 12.1 */
Test(suite, long_session_keys_do_not_travel_under_128_bit_algorithms)
{
    cr_expect_not(mikey_algorithms_carry(MIKEY_ALGORITHMS_1, SRTP_AEAD_AES_256_GCM));
    cr_expect_not(mikey_algorithms_carry(MIKEY_ALGORITHMS_1, SRTP_AES_256_CM_HMAC_SHA1_80));
    cr_expect(mikey_algorithms_carry(MIKEY_ALGORITHMS_1, SRTP_AEAD_AES_128_GCM));
    cr_expect(mikey_algorithms_carry(MIKEY_ALGORITHMS_256, SRTP_AEAD_AES_256_GCM));
    cr_expect_not(mikey_algorithms_carry(MIKEY_ALGORITHMS_256, SRTP_SUITE_COUNT));
}
