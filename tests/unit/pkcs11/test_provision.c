/* Keys made in real tokens: what they are, what they can do, and what is refused. */
#include <string.h>

#include <criterion/criterion.h>

#include "provision_support.h"

static struct bench b;
static struct error err;
static const uint8_t bytes[80] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
                                  17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
                                  33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
                                  49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64};

static void softhsm(void)
{
    bench_softhsm(&b);
}

static void nss(void)
{
    bench_nss(&b);
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(provision_softhsm, .init = softhsm, .fini = teardown);
TestSuite(provision_nss, .init = nss, .fini = teardown);

static struct provision_result result;

static enum mikeyd_status generate(enum token_kind kind, const char *name, unsigned bits)
{
    const struct provision_spec spec = {
        .kind = kind, .name = name, .generation = 1, .bits = bits, .result = &result};
    err = (struct error){0};
    return provision_generate(b.session, &spec, &err);
}

static enum mikeyd_status import(enum token_kind kind, const char *name, size_t len)
{
    const struct provision_spec spec = {
        .kind = kind, .name = name, .generation = 1, .result = &result};
    err = (struct error){0};
    return provision_import(b.session, &spec, bytes, len, &err);
}

static void expect_closed(const struct token_key *key, bool sign, bool derive)
{
    struct provision_view view;
    cr_assert_not_null(key);
    cr_assert_eq(provision_view_key(b.session, key, &view, &err), MIKEYD_OK, "%s", err.text);
    cr_expect(view.sensitive);
    cr_expect(view.private_object);
    cr_expect_not(view.extractable);
    cr_expect_not(view.modifiable);
    cr_expect_not(view.readable);
    cr_expect_not(view.wrap);
    cr_expect_not(view.unwrap);
    cr_expect_not(view.encrypt);
    cr_expect_not(view.decrypt);
    cr_expect_eq(view.sign, sign);
    cr_expect_eq(view.derive, derive);
    cr_expect_eq(key->findings & ~KEY_FINDING_NOTE, 0, "findings %x", key->findings);
}

Test(provision_softhsm, generated_psk_signs_and_does_nothing_else)
{
    cr_assert_eq(generate(TOKEN_PSK, "a", 256), MIKEYD_OK, "%s", err.text);
    expect_closed(bench_key(b.token, TOKEN_PSK, "a", 1), true, false);
}

Test(provision_softhsm, allowed_mechanisms_are_exactly_those_of_the_kind)
{
    struct provision_view view;
    cr_assert_eq(generate(TOKEN_EPSKX, "a", 256), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(generate(TOKEN_PSK, "b", 256), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(
        provision_view_key(b.session, bench_key(b.token, TOKEN_EPSKX, "a", 1), &view, &err),
        MIKEYD_OK);
    cr_assert_eq(view.mechanism_count, 1);
    cr_expect_eq(view.mechanisms[0], CKM_SHA256_HMAC);
    cr_assert_eq(provision_view_key(b.session, bench_key(b.token, TOKEN_PSK, "b", 1), &view, &err),
                 MIKEYD_OK);
    cr_expect_eq(view.mechanism_count, 2);
    cr_expect_eq(result.omitted, 0);
}

Test(provision_softhsm, epskx_refuses_sha1)
{
    uint8_t tag[20];
    const struct token_key *key;
    cr_assert_eq(generate(TOKEN_EPSKX, "a", 256), MIKEYD_OK, "%s", err.text);
    key = bench_key(b.token, TOKEN_EPSKX, "a", 1);
    struct hmac_job job = {
        .key = &key->block[0], .hash = HMAC_SHA1, .data = {bytes, NULL}, .len = {4, 0}, .tag = tag};
    cr_expect_neq(token_hmac_batch(b.session, &job, 1, &err), MIKEYD_OK);
}

Test(provision_softhsm, long_psk_is_one_object_a_block)
{
    cr_assert_eq(import(TOKEN_PSK, "long", 64), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(result.objects, 2);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "long", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->block_count, 2);
    cr_expect_eq(key->bits, 512);
    cr_expect(bench_hmac_equal(b.session, key, 0, bytes, 32));
    cr_expect(bench_hmac_equal(b.session, key, 1, bytes + 32, 32));
}

/* Its length is in the label of each block: without the last one it must not pass for a shorter
 * key. */
Test(provision_softhsm, long_psk_that_lost_its_last_block_is_noticed)
{
    cr_assert_eq(import(TOKEN_PSK, "long", 80), MIKEYD_OK, "%s", err.text);
    cr_assert(token_fixture_destroy(&b.fixture, "mikeyd/psk/long/1~640#3"));
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "long", 1);
    cr_assert_not_null(key);
    cr_expect(key->findings & KEY_FINDING_BLOCK_MISSING);
}

Test(provision_softhsm, long_psk_with_a_short_end_keeps_its_length)
{
    cr_assert_eq(import(TOKEN_PSK, "odd", 49), MIKEYD_OK, "%s", err.text);
    cr_expect(result.padded);
    cr_expect_str_eq(result.label, "mikeyd/psk/odd/1~392");
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "odd", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->bits, 392);
    cr_expect(bench_hmac_equal(b.session, key, 1, bytes + 32, 17));
}

Test(provision_softhsm, short_psk_is_padded_and_makes_the_same_hmac)
{
    cr_assert_eq(import(TOKEN_PSK, "old", 16), MIKEYD_OK, "%s", err.text);
    cr_expect_str_eq(result.label, "mikeyd/psk/old/1~128");
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "old", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->bits, 128);
    cr_expect(bench_hmac_equal(b.session, key, 0, bytes, 16));
}

Test(provision_softhsm, short_psk_can_be_generated)
{
    cr_assert_eq(generate(TOKEN_PSK, "short", 128), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "short", 1);
    expect_closed(key, true, false);
    cr_expect_eq(key->bits, 128);
}

Test(provision_softhsm, existing_label_is_refused)
{
    cr_assert_eq(generate(TOKEN_PSK, "a", 256), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(generate(TOKEN_PSK, "a", 256), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(bench_objects(b.session, "mikeyd/psk/a/1"), 1);
}

Test(provision_softhsm, existing_key_of_another_length_is_refused)
{
    cr_assert_eq(import(TOKEN_PSK, "a", 16), MIKEYD_OK, "%s", err.text);
    cr_assert_not_null(bench_key(b.token, TOKEN_PSK, "a", 1));
    cr_expect_eq(import(TOKEN_PSK, "a", 64), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(bench_objects(b.session, "mikeyd/psk/a/1"), 1);
}

Test(provision_softhsm, token_without_hkdf_takes_no_epsk)
{
    cr_expect_eq(generate(TOKEN_EPSK, "a", 256), MIKEYD_UNSUPPORTED);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(provision_softhsm, senseless_specifications_are_refused)
{
    cr_expect_eq(generate(TOKEN_PSK, "a", 120), MIKEYD_INVALID_ARGUMENT, "under 128 bits");
    cr_expect_eq(generate(TOKEN_PSK, "a", 2056), MIKEYD_INVALID_ARGUMENT, "over 2048 bits");
    cr_expect_eq(generate(TOKEN_PSK, "a", 129), MIKEYD_INVALID_ARGUMENT, "no whole bytes");
    cr_expect_eq(generate(TOKEN_EPSKX, "a", 128), MIKEYD_INVALID_ARGUMENT, "epskx has 256");
    cr_expect_eq(generate(TOKEN_AUDIT, "a", 256), MIKEYD_INVALID_ARGUMENT, "no secret key");
    cr_expect_eq(generate(TOKEN_PSK, "a/b", 256), MIKEYD_INVALID_ARGUMENT, "a slash");
    cr_expect_eq(generate(TOKEN_PSK, "", 256), MIKEYD_INVALID_ARGUMENT, "no name");
    struct provision_spec spec = {.kind = TOKEN_PSK, .name = "a", .bits = 256};
    cr_expect_eq(provision_generate(b.session, &spec, &err), MIKEYD_INVALID_ARGUMENT, "gen 0");
    spec.generation = 1;
    spec.not_before = "2027-06-02";
    spec.not_after = "2027-06-01";
    cr_expect_eq(provision_generate(b.session, &spec, &err), MIKEYD_INVALID_ARGUMENT, "dates");
    spec.not_before = "2027-02-31";
    cr_expect_eq(provision_generate(b.session, &spec, &err), MIKEYD_INVALID_ARGUMENT, "no day");
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(provision_softhsm, dates_it_cannot_read_again_are_left_to_the_policy)
{
    const struct provision_spec spec = {.kind = TOKEN_PSK,
                                        .name = "a",
                                        .generation = 1,
                                        .bits = 256,
                                        .not_after = "2099-06-01",
                                        .result = &result};
    cr_assert_eq(provision_generate(b.session, &spec, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(result.omitted, PROVISION_OMITTED_DATES);
    cr_expect_eq(bench_objects(b.session, "mikeyd/psk/a/1"), 1);
    expect_closed(bench_key(b.token, TOKEN_PSK, "a", 1), true, false);
}

Test(provision_softhsm, destroy_removes_every_block)
{
    unsigned objects = 0;
    cr_assert_eq(generate(TOKEN_PSK, "long", 1024), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(generate(TOKEN_PSK, "longer", 256), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(provision_destroy_name(b.session, TOKEN_PSK, "long", 1, &objects, &err), MIKEYD_OK,
                 "%s", err.text);
    cr_expect_eq(objects, 4);
    cr_expect_null(bench_key(b.token, TOKEN_PSK, "long", 1));
    cr_expect_not_null(bench_key(b.token, TOKEN_PSK, "longer", 1));
    cr_expect_eq(provision_destroy_name(b.session, TOKEN_PSK, "long", 1, &objects, &err),
                 MIKEYD_INVALID_ARGUMENT);
}

Test(provision_nss, psk_signs_and_derives)
{
    cr_assert_eq(generate(TOKEN_PSK, "a", 256), MIKEYD_OK, "%s", err.text);
    expect_closed(bench_key(b.token, TOKEN_PSK, "a", 1), true, true);
    cr_expect_eq(result.omitted, PROVISION_OMITTED_MECHANISMS);
}

Test(provision_nss, epsk_derives_and_cannot_sign)
{
    uint8_t tag[32];
    cr_assert_eq(generate(TOKEN_EPSK, "a", 256), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_EPSK, "a", 1);
    expect_closed(key, false, true);
    struct hmac_job job = {.key = &key->block[0],
                           .hash = HMAC_SHA256,
                           .data = {bytes, NULL},
                           .len = {4, 0},
                           .tag = tag};
    cr_expect_neq(token_hmac_batch(b.session, &job, 1, &err), MIKEYD_OK);
}

Test(provision_nss, epsk_of_any_length_is_one_object)
{
    cr_assert_eq(import(TOKEN_EPSK, "a", 48), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_EPSK, "a", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->block_count, 1);
    cr_expect_eq(key->bits, 384);
}

Test(provision_nss, dates_are_kept)
{
    const struct provision_spec spec = {.kind = TOKEN_PSK,
                                        .name = "a",
                                        .generation = 1,
                                        .bits = 256,
                                        .not_before = "2026-01-02",
                                        .not_after = "2099-06-01",
                                        .result = &result};
    cr_assert_eq(provision_generate(b.session, &spec, &err), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "a", 1);
    cr_assert_not_null(key);
    cr_expect_str_eq(key->start_date, "2026-01-02");
    cr_expect_str_eq(key->end_date, "2099-06-01");
    cr_expect_eq(result.omitted & PROVISION_OMITTED_DATES, 0);
}

Test(provision_nss, long_psk_is_one_object_a_block)
{
    cr_assert_eq(import(TOKEN_PSK, "long", 49), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "long", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->bits, 392);
    cr_expect(bench_hmac_equal(b.session, key, 0, bytes, 32));
    cr_expect(bench_hmac_equal(b.session, key, 1, bytes + 32, 17));
}

Test(provision_nss, transport_needs_a_token_that_enforces_trust)
{
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256, .for_transport = true};
    cr_expect_eq(provision_generate(b.session, &spec, &err), MIKEYD_UNSUPPORTED, "%s", err.text);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0, "an extractable key stayed behind");
}
