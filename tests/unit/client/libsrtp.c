/* <mikeyd/libsrtp.h>: keys of an exchange into libsrtp2. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <mikeyd/libsrtp.h>

#define CLEAR 60

struct sample {
    char suite[40];
    uint8_t key_len, salt_len, tag;
};

static const struct sample samples[] = {
    {"AES_CM_128_HMAC_SHA1_80", 16, 14, 10}, {"AES_CM_128_HMAC_SHA1_32", 16, 14, 4},
    {"AES_256_CM_HMAC_SHA1_80", 32, 14, 10}, {"AES_256_CM_HMAC_SHA1_32", 32, 14, 4},
    {"AEAD_AES_128_GCM", 16, 12, 16},        {"AEAD_AES_256_GCM", 32, 12, 16},
};

static void start(void)
{
    cr_assert_eq(srtp_init(), srtp_err_status_ok);
}

static void end(void)
{
    cr_assert_eq(srtp_shutdown(), srtp_err_status_ok);
}

static struct mikeyd_srtp_key key_of(const struct sample *sample, uint8_t number)
{
    struct mikeyd_srtp_key key = {.ssrc = 0x11223344,
                                  .suite = sample->suite,
                                  .mki = {0, 0, 0, number},
                                  .key_len = sample->key_len,
                                  .salt_len = sample->salt_len,
                                  .mki_len = 4};
    memset(key.key, number, sizeof key.key);
    memset(key.salt, number + 1, sizeof key.salt);
    return key;
}

static srtp_t session(const struct mikeyd_srtp_key *newest, const struct mikeyd_srtp_key *old)
{
    struct mikeyd_srtp_policy policy;
    srtp_t out;
    cr_assert_eq(mikeyd_srtp_policy_make(&policy, newest, old), MIKEYD_OK);
    cr_assert_eq(srtp_create(&out, &policy.srtp), srtp_err_status_ok);
    mikeyd_srtp_policy_wipe(&policy);
    return out;
}

static int protect(srtp_t sender, uint8_t packet[128], uint8_t sequence)
{
    int len = CLEAR;
    memset(packet, 0x5a, CLEAR);
    memcpy(packet, (const uint8_t[]){0x80, 8, 0, sequence, 0, 0, 0, 0, 0x11, 0x22, 0x33, 0x44}, 12);
    cr_assert_eq(srtp_protect_mki(sender, packet, &len, 1, 0), srtp_err_status_ok);
    return len;
}

ParameterizedTestParameters(libsrtp, a_packet_passes_by_each_suite)
{
    return cr_make_param_array(struct sample, (void *)(uintptr_t)samples,
                               sizeof samples / sizeof samples[0]);
}

ParameterizedTest(struct sample *sample, libsrtp, a_packet_passes_by_each_suite, .init = start,
                  .fini = end)
{
    uint8_t packet[128];
    const struct mikeyd_srtp_key key = key_of(sample, 1), other = key_of(sample, 9);
    srtp_t sender = session(&key, NULL), receiver = session(&key, NULL);
    int len = protect(sender, packet, 1);
    cr_assert_eq(len, CLEAR + sample->tag + 4);
    cr_assert(mikeyd_srtp_packet_names(&key, packet, (size_t)len));
    cr_assert(!mikeyd_srtp_packet_names(&other, packet, (size_t)len));
    cr_assert_eq(srtp_unprotect_mki(receiver, packet, &len, 1), srtp_err_status_ok);
    cr_assert_eq(len, CLEAR);
    cr_assert_eq(srtp_dealloc(sender), srtp_err_status_ok);
    cr_assert_eq(srtp_dealloc(receiver), srtp_err_status_ok);
}

/* RFC 3711 5.2: no tag of SRTCP is shorter than 80 bits. */
ParameterizedTestParameters(libsrtp, srtcp_has_a_full_tag)
{
    return cr_make_param_array(struct sample, (void *)(uintptr_t)samples,
                               sizeof samples / sizeof samples[0]);
}

ParameterizedTest(struct sample *sample, libsrtp, srtcp_has_a_full_tag)
{
    srtp_crypto_policy_t rtp, rtcp;
    cr_assert(mikeyd_srtp_suite(sample->suite, &rtp, &rtcp));
    cr_assert_eq(rtp.auth_tag_len, sample->tag);
    cr_assert_geq(rtcp.auth_tag_len, 10);
}

Test(libsrtp, a_receiver_takes_old_and_new_keys_and_later_the_new_one_alone, .init = start,
     .fini = end)
{
    uint8_t packet[128];
    const struct mikeyd_srtp_key old = key_of(&samples[5], 1), newest = key_of(&samples[5], 2);
    struct mikeyd_srtp_policy policy;
    srtp_t by_old = session(&old, NULL), by_new = session(&newest, NULL);
    srtp_t receiver = session(&newest, &old);
    int len = protect(by_old, packet, 1);
    cr_assert_eq(srtp_unprotect_mki(receiver, packet, &len, 1), srtp_err_status_ok);
    len = protect(by_new, packet, 2);
    cr_assert_eq(srtp_unprotect_mki(receiver, packet, &len, 1), srtp_err_status_ok);
    cr_assert_eq(mikeyd_srtp_policy_make(&policy, &newest, NULL), MIKEYD_OK);
    cr_assert_eq(srtp_update(receiver, &policy.srtp), srtp_err_status_ok);
    len = protect(by_old, packet, 3);
    cr_assert_neq(srtp_unprotect_mki(receiver, packet, &len, 1), srtp_err_status_ok);
    srtp_dealloc(by_old);
    srtp_dealloc(by_new);
    srtp_dealloc(receiver);
}

Test(libsrtp, keys_that_do_not_belong_together_are_refused)
{
    const struct mikeyd_srtp_key newest = key_of(&samples[5], 2);
    struct mikeyd_srtp_key stream = key_of(&samples[5], 1), suite = key_of(&samples[2], 1);
    struct mikeyd_srtp_key length = key_of(&samples[5], 1);
    struct mikeyd_srtp_policy policy, zero;
    stream.ssrc++;
    length.mki_len = 3;
    memset(&zero, 0, sizeof zero);
    const struct mikeyd_srtp_key *const wrong[] = {&stream, &suite, &length, &newest};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        memset(&policy, 0xff, sizeof policy);
        cr_assert_eq(mikeyd_srtp_policy_make(&policy, &newest, wrong[i]), MIKEYD_INVALID_ARGUMENT);
        cr_assert_arr_eq(&policy, &zero, sizeof zero);
    }
}

Test(libsrtp, an_unknown_suite_leaves_no_key_behind)
{
    struct mikeyd_srtp_key key = key_of(&samples[0], 1);
    struct mikeyd_srtp_policy policy, zero;
    memset(&zero, 0, sizeof zero);
    for (const char *const *name =
             (const char *const[]){"F8_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_64",
                                   "AES_256_CM_HMAC_SHA1_64", "", NULL};
         *name != NULL; name++) {
        key.suite = *name;
        cr_assert_eq(mikeyd_srtp_policy_make(&policy, &key, NULL), MIKEYD_UNSUPPORTED);
        cr_assert_arr_eq(&policy, &zero, sizeof zero);
    }
}

Test(libsrtp, wiping_leaves_no_key_behind)
{
    const struct mikeyd_srtp_key key = key_of(&samples[5], 1);
    struct mikeyd_srtp_policy policy, zero;
    memset(&zero, 0, sizeof zero);
    cr_assert_eq(mikeyd_srtp_policy_make(&policy, &key, NULL), MIKEYD_OK);
    mikeyd_srtp_policy_wipe(&policy);
    cr_assert_arr_eq(&policy, &zero, sizeof zero);
}

Test(libsrtp, a_short_packet_names_no_key)
{
    const struct mikeyd_srtp_key key = key_of(&samples[0], 1);
    const uint8_t packet[13] = {0};
    cr_assert(!mikeyd_srtp_packet_names(&key, packet, sizeof packet));
    cr_assert(!mikeyd_srtp_packet_names(&key, packet, 0));
}
