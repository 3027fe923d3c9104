/* HMAC in the token equals HMAC on the host, on every kind of token and key. */
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>

#include "base/secret.h"
#include "pkcs11/token/internal.h"
#include "support/token_fixture.h"

static struct token_fixture fixture;
static struct token *token;
static struct token_session *session;
static uint8_t psk[256];

static void fill_psk(void)
{
    for (size_t i = 0; i < sizeof psk; i++)
        psk[i] = (uint8_t)i;
}

static void open_token(enum token_copies copies)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    config.session_copies = copies;
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 100, &session, &err), MIKEYD_OK, "%s", err.text);
}

static void with_softhsm(void)
{
    fill_psk();
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
}

static void with_nss(void)
{
    fill_psk();
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_nss(&fixture));
}

static void teardown(void)
{
    token_session_release(session);
    token_close(token);
    token_fixture_remove(&fixture);
}

TestSuite(softhsm, .init = with_softhsm, .fini = teardown);
TestSuite(nss, .init = with_nss, .fini = teardown);

/* ---- the host's HMAC */

static void host_hmac(enum hmac_hash hash, const uint8_t *key, size_t key_len, const uint8_t *data,
                      size_t len, uint8_t *tag)
{
    size_t tag_len = 0;
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, hash == HMAC_SHA1 ? "SHA1" : "SHA256", NULL,
                                 key, key_len, data, len, tag, HMAC_TAG_MAX, &tag_len));
    cr_assert_eq(tag_len, hmac_tag_len(hash));
}

static void expect_tag(enum hmac_hash hash, const uint8_t *key, size_t key_len, const uint8_t *data,
                       size_t len, const uint8_t *tag)
{
    uint8_t expected[HMAC_TAG_MAX];
    host_hmac(hash, key, key_len, data, len, expected);
    cr_expect_arr_eq(tag, expected, hmac_tag_len(hash));
}

static const struct token_key *find(const char *name)
{
    const struct token_key *key = NULL;
    struct error err = {0};
    cr_assert_eq(token_key_find(token, TOKEN_PSK, name, 1, &key, &err), MIKEYD_OK, "%s", err.text);
    return key;
}

static void check_key(const struct token_key *key, size_t block, const uint8_t *bytes, size_t len)
{
    static const enum hmac_hash hashes[] = {HMAC_SHA1, HMAC_SHA256};
    static const uint8_t data[] = "A(i) of the PRF and the label behind it";
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    for (size_t i = 0; i < 2; i++) {
        struct hmac_job job = {.key = &key->block[block],
                               .hash = hashes[i],
                               .data = {data, data + 20},
                               .len = {20, sizeof data - 20},
                               .tag = tag};
        cr_assert_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
        expect_tag(hashes[i], bytes, len, data, sizeof data, tag);
    }
}

static void check_all_keys(enum token_copies copies)
{
    cr_assert(token_fixture_psk(&fixture, "whole", psk, 32));
    cr_assert(token_fixture_psk(&fixture, "long", psk, 72));
    cr_assert(token_fixture_psk(&fixture, "short", psk, 16));
    open_token(copies);
    const struct token_key *whole = find("whole"), *longer = find("long"), *shorter = find("short");
    struct error err = {0};
    cr_assert_eq(token_key_warm(session, whole, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_key_warm(session, longer, &err), MIKEYD_OK, "%s", err.text);
    check_key(whole, 0, psk, 32);
    cr_assert_eq(longer->block_count, 3);
    cr_assert_eq(longer->bits, 576);
    for (size_t i = 0; i < 3; i++)
        check_key(longer, i, psk + 32 * i, i == 2 ? 8 : 32);
    check_key(shorter, 0, psk, 16);
}

Test(softhsm, keys_of_every_length)
{
    check_all_keys(TOKEN_COPIES_AUTO);
}

Test(softhsm, keys_of_every_length_without_copies)
{
    check_all_keys(TOKEN_COPIES_OFF);
}

Test(nss, keys_of_every_length)
{
    check_all_keys(TOKEN_COPIES_AUTO);
    cr_expect(find("whole")->block[0].is_copy);
    cr_expect_not(find("short")->block[0].is_copy);
}

Test(nss, keys_of_every_length_without_copies)
{
    check_all_keys(TOKEN_COPIES_OFF);
    cr_expect_not(find("whole")->block[0].is_copy);
}

/* A copy needs a modifiable original on SoftHSM; the other keys are used as they are. */
Test(softhsm, copies_of_modifiable_keys)
{
    cr_assert(token_fixture_key(
        &fixture, &(struct token_fixture_key){
                      .label = "mikeyd/psk/m/1", .value = psk, .len = 32, .modifiable = true}));
    open_token(TOKEN_COPIES_ON);
    struct error err = {0};
    cr_assert_eq(token_key_warm(session, find("m"), &err), MIKEYD_OK, "%s", err.text);
    cr_expect(find("m")->block[0].is_copy);
    check_key(find("m"), 0, psk, 32);
}

#define BATCH 6

static void check_batch(void)
{
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    open_token(TOKEN_COPIES_AUTO);
    struct hmac_job jobs[BATCH];
    uint8_t tags[BATCH][HMAC_TAG_MAX];
    struct token_facts before, after;
    struct error err = {0};
    for (uint8_t i = 0; i < BATCH; i++)
        jobs[i] = (struct hmac_job){.key = &find("a")->block[0],
                                    .hash = i % 2 == 0 ? HMAC_SHA256 : HMAC_SHA1,
                                    .data = {psk + i, NULL},
                                    .len = {30, 0},
                                    .tag = tags[i]};
    token_get_facts(token, &before);
    cr_assert_eq(token_hmac_batch(session, jobs, BATCH, &err), MIKEYD_OK, "%s", err.text);
    token_get_facts(token, &after);
    for (size_t i = 0; i < BATCH; i++)
        expect_tag(jobs[i].hash, psk, 32, psk + i, 30, tags[i]);
    cr_expect_eq(after.hmacs - before.hmacs, BATCH);
    cr_expect_eq(after.calls - before.calls, BATCH);
    cr_expect_eq(after.objects_created, before.objects_created);
}

Test(softhsm, batch)
{
    check_batch();
}

Test(nss, batch)
{
    check_batch();
}

/* Longer than the session's scratch: the module gets it part by part. */
static void check_long_data(void)
{
    static uint8_t data[60000];
    memset(data, 0x5a, sizeof data);
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    open_token(TOKEN_COPIES_AUTO);
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    struct hmac_job job = {.key = &find("a")->block[0],
                           .hash = HMAC_SHA256,
                           .data = {data, data + 7},
                           .len = {7, sizeof data - 7},
                           .tag = tag};
    cr_assert_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    expect_tag(HMAC_SHA256, psk, 32, data, sizeof data, tag);
}

Test(softhsm, long_data)
{
    check_long_data();
}

Test(nss, long_data)
{
    check_long_data();
}

static void check_bytes(enum hmac_hash hash, size_t key_len)
{
    const uint8_t *const data[3] = {psk, psk + 100, psk + 110};
    const size_t len[3] = {100, 10, 20};
    uint8_t tag[HMAC_TAG_MAX];
    unsigned long handle = 0;
    struct error err = {0};
    struct token_facts before, after;
    token_get_facts(token, &before);
    for (size_t parts = 3; parts > 1; parts--) {
        cr_assert_eq(
            token_hmac_bytes(session, hash, psk, key_len, data, len, parts, &handle, tag, &err),
            MIKEYD_OK, "%s", err.text);
        expect_tag(hash, psk, key_len, psk, parts == 3 ? 130 : 110, tag);
    }
    token_get_facts(token, &after);
    cr_expect_eq(after.objects_created - before.objects_created, 1);
    token_object_destroy(session, handle);
    cr_expect_eq(token_hmac_handle(session, handle, hash, data, len, 1, tag, &err),
                 MIKEYD_TOKEN_DOWN, "destroyed, yet signing");
}

static void check_keys_in_clear(void)
{
    open_token(TOKEN_COPIES_AUTO);
    check_bytes(HMAC_SHA1, 20);
    check_bytes(HMAC_SHA256, 32);
    check_bytes(HMAC_SHA256, 20); /* shorter than SoftHSM's minimum */
}

Test(softhsm, key_in_clear)
{
    check_keys_in_clear();
}

Test(nss, key_in_clear)
{
    check_keys_in_clear();
}

Test(softhsm, sessions_are_bounded)
{
    open_token(TOKEN_COPIES_AUTO);
    struct token_session *more[4] = {NULL};
    struct error err = {0};
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(token_session_acquire(token, 10, &more[i], &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_session_acquire(token, 10, &more[3], &err), MIKEYD_TOKEN_BUSY);
    token_session_release(more[0]);
    cr_expect_eq(token_session_acquire(token, 10, &more[0], &err), MIKEYD_OK);
}

Test(softhsm, rescan_finds_new_keys_and_drops_vanished_ones)
{
    cr_assert(token_fixture_psk(&fixture, "old", psk, 32));
    open_token(TOKEN_COPIES_AUTO);
    const struct token_key *old = find("old"), *key = NULL;
    struct error err = {0};
    cr_assert(token_fixture_psk(&fixture, "new", psk + 1, 32));
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/old/1"));
    cr_assert_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    check_key(find("new"), 0, psk + 1, 32);
    cr_expect_not(old->present);
    cr_expect_eq(token_key_find(token, TOKEN_PSK, "old", 1, &key, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_eq(token_check_health(token, &err), MIKEYD_OK, "%s", err.text);
}

/* What was destroyed in the token must not live on in its memory until the module ends. */
static void check_copies_go(void)
{
    /* SoftHSM copies only what is modifiable. */
    const struct token_fixture_key keys[] = {
        {.label = "mikeyd/psk/gone/1", .value = psk, .len = 32, .modifiable = true},
        {.label = "mikeyd/psk/kept/1", .value = psk + 1, .len = 32, .modifiable = true}};
    cr_assert(token_fixture_key(&fixture, &keys[0]) && token_fixture_key(&fixture, &keys[1]));
    open_token(TOKEN_COPIES_ON);
    const struct token_key *gone = find("gone"), *kept = find("kept");
    struct error err = {0};
    cr_assert_eq(token_key_warm(session, gone, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_key_warm(session, kept, &err), MIKEYD_OK, "%s", err.text);
    cr_assert(gone->block[0].is_copy && kept->block[0].is_copy);
    const CK_OBJECT_HANDLE copies[] = {gone->block[0].handle, kept->block[0].handle};
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/gone/1"));
    cr_assert_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    for (size_t i = 0; i < 2; i++)
        cr_expect_neq(token->f->C_SignInit(session->handle, &mechanism, copies[i]), CKR_OK);
    cr_expect(kept->block[0].is_copy);
    check_key(kept, 0, psk + 1, 32);
}

Test(softhsm, copies_go_with_a_rescan)
{
    check_copies_go();
}

Test(nss, copies_go_with_a_rescan)
{
    check_copies_go();
}

/* A tool may keep the CKA_ID of the key that it replaces. */
static void check_replaced_value(void)
{
    static const uint8_t id[16] = {1, 2, 3};
    struct token_fixture_key one = {
        .label = "mikeyd/psk/one/1", .value = psk, .len = 32, .id = id, .modifiable = true};
    cr_assert(token_fixture_key(&fixture, &one));
    open_token(TOKEN_COPIES_ON);
    const struct token_key *key = find("one");
    struct error err = {0};
    cr_assert_eq(token_key_warm(session, key, &err), MIKEYD_OK, "%s", err.text);
    cr_assert(key->block[0].is_copy);
    check_key(key, 0, psk, 32);
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/one/1"));
    one.value = psk + 1;
    cr_assert(token_fixture_key(&fixture, &one));
    cr_assert_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(find("one"), key);
    cr_expect(key->block[0].is_copy);
    check_key(key, 0, psk + 1, 32);
}

Test(softhsm, rescan_takes_another_value_under_the_old_name)
{
    check_replaced_value();
}

Test(nss, rescan_takes_another_value_under_the_old_name)
{
    check_replaced_value();
}
