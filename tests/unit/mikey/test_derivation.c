/* Derivation: published vectors, session keys of each suite, number and order of the HMACs. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mikey/label.h"
#include "support.h"

TestSuite(derivation, .init = support_init);

static size_t check_line(char *line)
{
    char *save = NULL, *field[7];
    if (line[0] == '#' || line[0] == '\0')
        return 0;
    for (size_t i = 0; i < 7; i++) {
        field[i] = strtok_r(i == 0 ? line : NULL, "\t", &save);
        cr_assert_not_null(field[i]);
    }
    struct bytes tgk = support_hex_string(field[1]), rand = support_hex_string(field[2]);
    struct bytes expected = support_hex_string(field[6]);
    uint8_t label[MIKEY_LABEL_MAX], out[64];
    size_t len = mikey_label_write(label, (uint32_t)strtoul(field[5], NULL, 16),
                                   (uint8_t)strtoul(field[4], NULL, 10),
                                   (uint32_t)strtoul(field[3], NULL, 16), rand.data, rand.len);
    struct error err = {0};
    cr_assert_eq(mikey_prf_host((enum mikey_prf)(field[0][0] - '0'), tgk.data, tgk.len, label, len,
                                out, expected.len, &err),
                 MIKEYD_OK);
    support_equal(out, expected.len, expected.data, expected.len, field[3]);
    return 1;
}

Test(derivation, published_vectors_hold)
{
    char *text = support_file("derivation.tsv"), *save = NULL;
    size_t checked = 0;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        checked += check_line(line);
    free(text);
    cr_assert_eq(checked, 16);
}

Test(derivation, a_key_of_no_bytes_is_refused)
{
    uint8_t out[16] = {0};
    cr_assert_eq(mikey_prf_host(MIKEY_PRF_1, out, 0, out, 4, out, 16, NULL),
                 MIKEYD_INVALID_ARGUMENT);
}

static struct mikey_key_data tgk_of(const struct bytes *tgk)
{
    return (struct mikey_key_data){.type = MIKEY_KEY_TGK, .key = tgk->data, .key_len = tgk->len};
}

static enum mikeyd_status session(enum mikey_prf prf, const struct mikey_key_data *key, uint8_t cs,
                                  enum srtp_suite suite, struct mikey_session_key *out)
{
    struct bytes rand = support_counting(0xa0, 16);
    struct error err = {0};
    return mikey_session_key(prf, key, cs, 0x12345678, rand.data, rand.len, suite, out, &err);
}

Test(derivation, every_suite_gets_key_and_salt_of_its_lengths_from_a_tgk)
{
    struct bytes tgk = support_counting(0x40, 16);
    struct mikey_key_data key = tgk_of(&tgk);
    struct bytes tek = support_kat("  cs=2 PRF 1", "TEK32=");
    struct bytes salt = support_kat("  cs=2 PRF 1", "salt14=");
    static const uint8_t zeros[32];
    for (int i = 0; i < SRTP_SUITE_COUNT; i++) {
        const struct srtp_suite_info *info = srtp_suite_info((enum srtp_suite)i);
        struct mikey_session_key out;
        cr_assert_eq(session(MIKEY_PRF_HMAC_SHA256, &key, 2, (enum srtp_suite)i, &out), MIKEYD_OK);
        support_equal(out.key, info->key_len, tek.data, info->key_len, info->name);
        support_equal(out.salt, info->salt_len, salt.data, info->salt_len, info->name);
        support_equal(out.key + info->key_len, 32u - info->key_len, zeros, 32u - info->key_len,
                      "rest");
    }
}

Test(derivation, a_transported_salt_is_used_and_cut_to_the_suite)
{
    struct bytes tgk = support_counting(0x40, 16), salt = support_counting(0x60, 14);
    struct mikey_key_data key = tgk_of(&tgk);
    struct mikey_session_key out;
    key.type = MIKEY_KEY_TGK_SALT;
    key.salt = salt.data;
    key.salt_len = salt.len;
    cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AES_CM_128_HMAC_SHA1_80, &out), MIKEYD_OK);
    support_equal(out.salt, 14, salt.data, 14, "14 bytes");
    cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AEAD_AES_128_GCM, &out), MIKEYD_OK);
    support_equal(out.salt, 12, salt.data, 12, "12 bytes");
}

Test(derivation, a_transported_salt_too_short_for_the_suite_is_refused_and_nothing_is_left)
{
    struct bytes tgk = support_counting(0x40, 16), salt = support_counting(0x60, 12);
    static const struct mikey_session_key none;
    struct mikey_key_data key = tgk_of(&tgk);
    struct mikey_session_key out;
    key.type = MIKEY_KEY_TGK_SALT;
    key.salt = salt.data;
    key.salt_len = salt.len;
    cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AES_CM_128_HMAC_SHA1_80, &out),
                 MIKEYD_UNSUPPORTED);
    support_equal(&out, sizeof out, &none, sizeof none, "wiped");
    cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AEAD_AES_128_GCM, &out), MIKEYD_OK);
}

Test(derivation, a_tek_is_the_master_key_itself)
{
    struct bytes tek = support_counting(0x10, 16), salt = support_counting(0x60, 14);
    struct mikey_key_data key = {.type = MIKEY_KEY_TEK_SALT,
                                 .key = tek.data,
                                 .key_len = 16,
                                 .salt = salt.data,
                                 .salt_len = 14};
    struct mikey_session_key out;
    cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AES_CM_128_HMAC_SHA1_80, &out), MIKEYD_OK);
    support_equal(out.key, 16, tek.data, 16, "key");
    support_equal(out.salt, 14, salt.data, 14, "salt");
}

Test(derivation, a_tek_of_another_length_or_without_salt_is_refused_and_nothing_is_left)
{
    struct bytes tek = support_counting(0x10, 30), salt = support_counting(0x60, 14);
    struct mikey_key_data key = {
        .type = MIKEY_KEY_TEK_SALT, .key = tek.data, .salt = salt.data, .salt_len = 14};
    static const size_t lengths[] = {15, 17, 30};
    static const struct mikey_session_key none;
    struct mikey_session_key out;
    for (size_t i = 0; i < 3; i++) {
        key.key_len = lengths[i];
        cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AES_CM_128_HMAC_SHA1_80, &out),
                     MIKEYD_UNSUPPORTED);
        support_equal(&out, sizeof out, &none, sizeof none, "wiped");
    }
    key.key_len = 16;
    key.type = MIKEY_KEY_TEK;
    key.salt_len = 0;
    cr_assert_eq(session(MIKEY_PRF_1, &key, 1, SRTP_AES_CM_128_HMAC_SHA1_80, &out),
                 MIKEYD_UNSUPPORTED);
}

Test(derivation, cs_id_0_does_not_exist)
{
    struct bytes tgk = support_counting(0x40, 16);
    struct mikey_key_data key = tgk_of(&tgk);
    struct mikey_session_key out;
    cr_assert_eq(session(MIKEY_PRF_1, &key, 0, SRTP_AEAD_AES_128_GCM, &out),
                 MIKEYD_INVALID_ARGUMENT);
    cr_assert_eq(session(MIKEY_PRF_1, &key, 255, SRTP_AEAD_AES_128_GCM, &out), MIKEYD_OK);
}

/* A service that counts what goes through it to the host's. */
struct counter {
    size_t batches, hmacs, dependent;
};

static enum mikeyd_status counted_batch(void *service, struct hmac_job *jobs, size_t count,
                                        struct error *err)
{
    struct counter *counter = service;
    counter->batches++;
    counter->hmacs += count;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++)
            counter->dependent += jobs[i].tag == jobs[j].data[0] || jobs[i].tag == jobs[j].data[1];
    }
    return mikey_host_hmac.hmac_batch(NULL, jobs, count, err);
}

static struct counter count_derivation(size_t psk_len, struct mikey_derivation what)
{
    static struct counter counter;
    const struct mikey_hmac_ops ops = {.hmac_batch = counted_batch,
                                       .hmac_message = mikey_host_hmac.hmac_message};
    struct bytes bytes = support_counting(0, psk_len), rand = support_counting(0xa0, 16);
    struct mikey_message_keys *keys = support_keys();
    struct mikey_psk psk;
    struct error err = {0};
    counter = (struct counter){0};
    cr_assert_eq(mikey_host_psk(bytes.data, bytes.len, &psk, &err), MIKEYD_OK);
    psk.hmac = &ops;
    psk.service = &counter;
    what.rand = rand.data;
    what.rand_len = rand.len;
    cr_assert_eq(psk.ops->derive(&psk, &what, keys, &err), MIKEYD_OK);
    psk.ops->release(&psk, keys);
    static const struct mikey_message_keys none;
    cr_assert_eq(memcmp(keys, &none, sizeof none), 0, "release left something");
    mikey_host_psk_clear(&psk);
    support_keys_free(keys);
    return counter;
}

Test(derivation, three_message_keys_cost_six_hmacs_in_two_rounds)
{
    static const struct mikey_derivation sets[] = {
        {.prf = MIKEY_PRF_1, .encryption = 1, .mac = 1},
        {.prf = MIKEY_PRF_HMAC_SHA256, .encryption = 3, .mac = 2}};
    for (size_t i = 0; i < 2; i++) {
        struct counter counter = count_derivation(32, sets[i]);
        cr_assert_eq(counter.hmacs, 6);
        cr_assert_eq(counter.batches, 2);
        cr_assert_eq(counter.dependent, 0);
    }
}

Test(derivation, all_blocks_of_a_long_psk_go_in_the_same_two_rounds)
{
    struct counter counter = count_derivation(
        256, (struct mikey_derivation){.prf = MIKEY_PRF_1, .encryption = 1, .mac = 1});
    cr_assert_eq(counter.hmacs, 48);
    cr_assert_eq(counter.batches, 2);
    cr_assert_eq(counter.dependent, 0);
}

Test(derivation, the_authentication_key_alone_costs_two_hmacs)
{
    struct counter counter = count_derivation(
        16, (struct mikey_derivation){.prf = MIKEY_PRF_HMAC_SHA256, .encryption = 0, .mac = 2});
    cr_assert_eq(counter.hmacs, 2);
    cr_assert_eq(counter.batches, 2);
}

static enum mikeyd_status failing_batch(void *service, struct hmac_job *jobs, size_t count,
                                        struct error *err)
{
    size_t *left = service;
    if ((*left)-- == 0)
        return error_set(err, MIKEYD_TOKEN_DOWN, "gone");
    return mikey_host_hmac.hmac_batch(NULL, jobs, count, err);
}

Test(derivation, a_service_that_fails_in_any_round_leaves_no_key_material)
{
    const struct mikey_hmac_ops ops = {.hmac_batch = failing_batch};
    static const struct mikey_message_keys none;
    struct bytes bytes = support_counting(0, 32), rand = support_counting(0xa0, 16);
    for (size_t round = 0; round < 2; round++) {
        size_t left = round;
        struct mikey_message_keys *keys = support_keys();
        struct mikey_psk psk;
        struct error err = {0};
        cr_assert_eq(mikey_host_psk(bytes.data, bytes.len, &psk, &err), MIKEYD_OK);
        psk.hmac = &ops;
        psk.service = &left;
        struct mikey_derivation what = {.encryption = 1, .mac = 1};
        what.rand = rand.data;
        what.rand_len = rand.len;
        cr_assert_eq(psk.ops->derive(&psk, &what, keys, &err), MIKEYD_TOKEN_DOWN);
        cr_assert_eq(memcmp(keys, &none, sizeof none), 0);
        mikey_host_psk_clear(&psk);
        support_keys_free(keys);
    }
}

Test(derivation, psks_of_no_bytes_and_of_more_than_256_are_refused)
{
    static const uint8_t bytes[257];
    struct mikey_psk psk;
    cr_assert_eq(mikey_host_psk(bytes, 0, &psk, NULL), MIKEYD_INVALID_ARGUMENT);
    cr_assert_eq(mikey_host_psk(bytes, 257, &psk, NULL), MIKEYD_INVALID_ARGUMENT);
    cr_assert_eq(mikey_host_psk(bytes, 256, &psk, NULL), MIKEYD_OK);
    cr_assert_eq(psk.block_count, 8);
    mikey_host_psk_clear(&psk);
}

static void *derive_often(void *user)
{
    const struct mikey_psk *psk = user;
    struct bytes rand = support_counting(0xa0, 16);
    struct mikey_message_keys *keys = support_keys();
    struct mikey_derivation what = {
        .csb_id = 0x12345678, .rand = rand.data, .rand_len = rand.len, .encryption = 1, .mac = 1};
    size_t wrong = 0;
    for (size_t i = 0; i < 2000; i++) {
        if (psk->ops->derive(psk, &what, keys, NULL) != MIKEYD_OK)
            wrong++;
        else if (keys->encr[0] != 0x72 || keys->encr[1] != 0x8f || keys->auth[0] != 0x1c)
            wrong++;
        psk->ops->release(psk, keys);
    }
    support_keys_free(keys);
    return wrong == 0 ? NULL : user;
}

Test(derivation, one_host_psk_serves_several_threads)
{
    struct bytes bytes = support_counting(0, 16);
    struct mikey_psk psk;
    pthread_t threads[4];
    cr_assert_eq(mikey_host_psk(bytes.data, bytes.len, &psk, NULL), MIKEYD_OK);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, derive_often, &psk), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong = NULL;
        cr_assert_eq(pthread_join(threads[i], &wrong), 0);
        cr_assert_null(wrong);
    }
    mikey_host_psk_clear(&psk);
}
