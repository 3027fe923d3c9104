/* Keys that arrive wrapped, and a key that travels from one token to another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "provision_support.h"

static struct bench b;
static struct error err;
static struct provision_result result;
static const uint8_t kek[32] = {0xa5, 1, 2, 3, 4, 5, 6, 7};
static uint8_t key_bytes[96];

static void fill(void)
{
    for (size_t i = 0; i < sizeof key_bytes; i++)
        key_bytes[i] = (uint8_t)(i * 7 + 3);
}

static void softhsm(void)
{
    fill();
    bench_softhsm(&b);
}

static void nss(void)
{
    fill();
    bench_nss(&b);
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(transport_softhsm, .init = softhsm, .fini = teardown);
TestSuite(transport_nss, .init = nss, .fini = teardown);

struct arrival {
    uint8_t wrapped[3][128];
    struct provision_blob blob[3];
    size_t count;
};

/* key_bytes in 32-byte blocks, wrapped on the host as a sender would. */
static void wrap_blocks(struct arrival *arrival, bool padded, size_t len)
{
    arrival->count = 0;
    for (size_t at = 0; at < len; at += 32) {
        const size_t i = arrival->count++;
        const size_t part = len - at < 32 ? len - at : 32;
        arrival->blob[i].data = arrival->wrapped[i];
        arrival->blob[i].len = bench_wrap(padded, kek, key_bytes + at, part, arrival->wrapped[i]);
    }
}

static enum mikeyd_status unwrap(enum provision_scheme scheme, enum token_kind kind, unsigned bits,
                                 const struct arrival *arrival)
{
    const struct provision_wrapping wrapping = {.key_label = "kek", .scheme = scheme};
    const struct provision_spec spec = {
        .kind = kind, .name = "a", .generation = 1, .bits = bits, .result = &result};
    err = (struct error){0};
    return provision_unwrap(b.session, &spec, &wrapping, arrival->blob, arrival->count, &err);
}

static void expect_arrives(enum provision_scheme scheme)
{
    struct arrival arrival;
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, scheme == PROVISION_AES_KWP, 32);
    cr_assert_eq(unwrap(scheme, TOKEN_PSK, 256, &arrival), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "a", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->findings & ~KEY_FINDING_NOTE, 0, "findings %x", key->findings);
    cr_expect_eq(key->bits, 256);
    cr_expect(bench_hmac_equal(b.session, key, 0, key_bytes, 32));
}

Test(transport_softhsm, kwp)
{
    expect_arrives(PROVISION_AES_KWP);
}

Test(transport_softhsm, kw)
{
    expect_arrives(PROVISION_AES_KW);
}

Test(transport_nss, kwp)
{
    expect_arrives(PROVISION_AES_KWP);
}

Test(transport_nss, kw)
{
    expect_arrives(PROVISION_AES_KW);
}

Test(transport_softhsm, blocks_arrive_one_by_one)
{
    struct arrival arrival;
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, true, 96);
    cr_assert_eq(unwrap(PROVISION_AES_KWP, TOKEN_PSK, 768, &arrival), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "a", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->block_count, 3);
    cr_expect_eq(key->bits, 768);
    cr_expect(bench_hmac_equal(b.session, key, 2, key_bytes + 64, 32));
}

static void expect_wrong_length_refused(size_t len)
{
    struct arrival arrival = {.count = 1};
    bench_kek(b.session, "kek", kek);
    arrival.blob[0].data = arrival.wrapped[0];
    arrival.blob[0].len = bench_wrap(true, kek, key_bytes, len, arrival.wrapped[0]);
    cr_expect_neq(unwrap(PROVISION_AES_KWP, TOKEN_PSK, 256, &arrival), MIKEYD_OK,
                  "%zu bytes passed for 32", len);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(transport_softhsm, shorter_key_than_said_is_refused)
{
    expect_wrong_length_refused(24);
}

Test(transport_softhsm, longer_key_than_said_is_refused)
{
    expect_wrong_length_refused(40);
}

Test(transport_softhsm, key_one_byte_short_is_refused)
{
    expect_wrong_length_refused(31);
}

Test(transport_nss, shorter_key_than_said_is_refused)
{
    expect_wrong_length_refused(24);
}

Test(transport_softhsm, tampered_blob_is_refused)
{
    struct arrival arrival;
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, true, 32);
    arrival.wrapped[0][5] ^= 1;
    cr_expect_eq(unwrap(PROVISION_AES_KWP, TOKEN_PSK, 256, &arrival), MIKEYD_AUTH_FAILED, "%s",
                 err.text);
    cr_expect_not_null(strstr(err.text, "damaged"), "%s", err.text);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(transport_nss, tampered_blob_is_refused)
{
    struct arrival arrival;
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, true, 32);
    arrival.wrapped[0][5] ^= 1;
    cr_expect_eq(unwrap(PROVISION_AES_KWP, TOKEN_PSK, 256, &arrival), MIKEYD_AUTH_FAILED, "%s",
                 err.text);
}

Test(transport_softhsm, key_of_zeros_is_refused)
{
    static const uint8_t zeros[32];
    struct arrival arrival = {.count = 1};
    bench_kek(b.session, "kek", kek);
    arrival.blob[0].data = arrival.wrapped[0];
    arrival.blob[0].len = bench_wrap(true, kek, zeros, sizeof zeros, arrival.wrapped[0]);
    cr_expect_eq(unwrap(PROVISION_AES_KWP, TOKEN_PSK, 256, &arrival), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "zeros"), "%s", err.text);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(transport_softhsm, tampered_second_block_takes_back_the_first)
{
    struct arrival arrival;
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, true, 64);
    arrival.wrapped[1][9] ^= 1;
    cr_expect_neq(unwrap(PROVISION_AES_KWP, TOKEN_PSK, 512, &arrival), MIKEYD_OK);
    cr_expect_eq(bench_objects(b.session, "mikeyd/"), 0);
}

Test(transport_softhsm, mechanism_number_can_be_given)
{
    struct arrival arrival;
    const struct provision_wrapping wrong = {
        .key_label = "kek", .scheme = PROVISION_AES_KWP, .mechanism = 0x210b};
    const struct provision_wrapping right = {
        .key_label = "kek", .scheme = PROVISION_AES_KWP, .mechanism = 0x210a};
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, true, 32);
    cr_expect_eq(provision_unwrap(b.session, &spec, &wrong, arrival.blob, 1, &err),
                 MIKEYD_UNSUPPORTED);
    err = (struct error){0};
    cr_expect_eq(provision_unwrap(b.session, &spec, &right, arrival.blob, 1, &err), MIKEYD_OK, "%s",
                 err.text);
}

/* RFC 5869 2.2: what the extract step must give, by OpenSSL's HMAC. */
Test(transport_softhsm, epsk_arrives_as_epskx)
{
    static const uint8_t salt[32];
    uint8_t epskx[32];
    size_t len = 0;
    struct arrival arrival = {.count = 1};
    bench_kek(b.session, "kek", kek);
    arrival.blob[0].data = arrival.wrapped[0];
    arrival.blob[0].len = bench_wrap(true, kek, key_bytes, 48, arrival.wrapped[0]);
    cr_assert_eq(unwrap(PROVISION_AES_KWP, TOKEN_EPSK, 384, &arrival), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(result.kind, TOKEN_EPSKX);
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, salt, sizeof salt, key_bytes,
                                 48, epskx, sizeof epskx, &len));
    const struct token_key *key = bench_key(b.token, TOKEN_EPSKX, "a", 1);
    cr_assert_not_null(key);
    cr_expect(bench_hmac_equal(b.session, key, 0, epskx, 32));
    cr_expect_null(bench_key(b.token, TOKEN_EPSK, "a", 1));
    cr_expect_eq(bench_objects(b.session, "arrival"), 0);
}

Test(transport_nss, epsk_arrives_as_epsk)
{
    struct arrival arrival;
    bench_kek(b.session, "kek", kek);
    wrap_blocks(&arrival, true, 32);
    cr_assert_eq(unwrap(PROVISION_AES_KWP, TOKEN_EPSK, 256, &arrival), MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_EPSK, "a", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->findings & ~KEY_FINDING_NOTE, 0, "findings %x", key->findings);
}

/* ---- RSA-OAEP, from a sender that has nothing but the receiver's PEM ---- */

static size_t oaep(const char *pem, const EVP_MD *hash, const uint8_t *in, size_t len, uint8_t *out,
                   size_t cap)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    cr_assert_eq(EVP_PKEY_encrypt_init(context), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_rsa_oaep_md(context, hash), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash), 1);
    cr_assert_eq(EVP_PKEY_encrypt(context, out, &cap, in, len), 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return cap;
}

static void expect_oaep(enum provision_scheme scheme, const EVP_MD *hash)
{
    char *pem = NULL;
    uint8_t wrapped[512];
    const struct provision_wrapping wrapping = {.key_label = "wrapping", .scheme = scheme};
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    cr_assert_eq(provision_generate_wrapping_pair(b.session, "wrapping", 3072, &pem, &err),
                 MIKEYD_OK, "%s", err.text);
    const struct provision_blob blob = {wrapped,
                                        oaep(pem, hash, key_bytes, 32, wrapped, sizeof wrapped)};
    free(pem);
    cr_assert_eq(provision_unwrap(b.session, &spec, &wrapping, &blob, 1, &err), MIKEYD_OK, "%s",
                 err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PSK, "a", 1);
    cr_assert_not_null(key);
    cr_expect_eq(key->bits, 256);
    cr_expect(bench_hmac_equal(b.session, key, 0, key_bytes, 32));
}

Test(transport_softhsm, oaep_sha1)
{
    expect_oaep(PROVISION_RSA_OAEP_SHA1, EVP_sha1());
}

Test(transport_nss, oaep_sha1)
{
    expect_oaep(PROVISION_RSA_OAEP_SHA1, EVP_sha1());
}

Test(transport_nss, oaep_sha256)
{
    expect_oaep(PROVISION_RSA_OAEP_SHA256, EVP_sha256());
}

/* ---- from token to token ---- */

static const struct provision_wrapping to_receiver = {.key_label = "receiver",
                                                      .scheme = PROVISION_RSA_OAEP_SHA1};
static char so_pin_path[128];

static void write_so_pin(void)
{
    (void)snprintf(so_pin_path, sizeof so_pin_path, "%s/so-pin", b.fixture.dir);
    FILE *file = fopen(so_pin_path, "wx");
    cr_assert_not_null(file);
    cr_assert_eq(fchmod(fileno(file), 0600), 0);
    (void)fprintf(file, "%s\n", TOKEN_FIXTURE_SO_PIN);
    cr_assert_eq(fclose(file), 0);
}

/* The pair in the receiver, its public half trusted in the sender; the sender's token is closed
 * meanwhile, since a login is the process's. */
static void receiver_make(struct token **token, struct token_session **session)
{
    char command[400], *pem = NULL;
    (void)snprintf(command, sizeof command,
                   "softhsm2-util --init-token --free --label receiver --pin '%s' --so-pin '%s' "
                   ">/dev/null",
                   TOKEN_FIXTURE_PIN, TOKEN_FIXTURE_SO_PIN);
    token_session_release(b.session);
    token_close(b.token);
    cr_assert_eq(system(command), 0);
    bench_open_second(&b, "receiver", token, session);
    cr_assert_eq(provision_generate_wrapping_pair(*session, "receiver", 3072, &pem, &err),
                 MIKEYD_OK, "%s", err.text);
    write_so_pin();
    struct token_config officer = token_fixture_config(&b.fixture);
    officer.pin_file = so_pin_path;
    cr_assert_eq(provision_trust_public_key(&officer, "receiver", pem, &err), MIKEYD_OK, "%s",
                 err.text);
    free(pem);
    bench_open_second(&b, "unit", &b.token, &b.session);
}

static const struct token_key *travelling_key(void)
{
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256, .for_transport = true};
    cr_assert_eq(provision_generate(b.session, &spec, &err), MIKEYD_OK, "%s", err.text);
    return bench_key(b.token, TOKEN_PSK, "a", 1);
}

Test(transport_softhsm, key_travels_and_stays_the_same_key)
{
    struct token *receiver = NULL;
    struct token_session *session = NULL;
    uint8_t wrapped[PROVISION_WRAPPED_MAX], here[32], there[32];
    static const uint8_t text[] = "same key?";
    size_t len = sizeof wrapped;
    receiver_make(&receiver, &session);
    const struct token_key *key = travelling_key();
    cr_assert_eq(provision_wrap(b.session, key, 0, &to_receiver, wrapped, &len, &err), MIKEYD_OK,
                 "%s", err.text);
    const struct provision_blob blob = {wrapped, len};
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    cr_assert_eq(provision_unwrap(session, &spec, &to_receiver, &blob, 1, &err), MIKEYD_OK, "%s",
                 err.text);
    const struct token_key *arrived = bench_key(receiver, TOKEN_PSK, "a", 1);
    cr_assert_not_null(arrived);
    cr_expect_eq(arrived->findings & KEY_FINDING_FATAL, 0, "findings %x", arrived->findings);
    struct hmac_job job = {.key = &key->block[0],
                           .hash = HMAC_SHA256,
                           .data = {text, NULL},
                           .len = {sizeof text, 0},
                           .tag = here};
    cr_assert_eq(token_hmac_batch(b.session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    job.key = &arrived->block[0];
    job.tag = there;
    cr_assert_eq(token_hmac_batch(session, &job, 1, &err), MIKEYD_OK, "%s", err.text);
    cr_expect(secret_equal(here, there, sizeof here));
    token_session_release(session);
    token_close(receiver);
}

Test(transport_softhsm, key_for_transport_is_refused_by_the_daemon)
{
    const struct token_key *found = NULL;
    const struct token_key *key = travelling_key();
    cr_expect((key->findings & KEY_FINDING_EXTRACTABLE) != 0);
    cr_expect_eq(token_key_find(b.token, TOKEN_PSK, "a", 1, &found, &err), MIKEYD_POLICY);
}

Test(transport_softhsm, untrusted_wrapping_key_is_refused)
{
    uint8_t wrapped[PROVISION_WRAPPED_MAX];
    size_t len = sizeof wrapped;
    const struct provision_wrapping wrapping = {.key_label = "kek", .scheme = PROVISION_AES_KW};
    bench_kek(b.session, "kek", kek);
    cr_expect_eq(provision_wrap(b.session, travelling_key(), 0, &wrapping, wrapped, &len, &err),
                 MIKEYD_POLICY);
}

Test(transport_softhsm, key_not_made_for_transport_never_leaves)
{
    struct token *receiver = NULL;
    struct token_session *session = NULL;
    uint8_t wrapped[PROVISION_WRAPPED_MAX];
    size_t len = sizeof wrapped;
    receiver_make(&receiver, &session);
    const struct provision_spec spec = {
        .kind = TOKEN_PSK, .name = "a", .generation = 1, .bits = 256};
    cr_assert_eq(provision_generate(b.session, &spec, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(provision_wrap(b.session, bench_key(b.token, TOKEN_PSK, "a", 1), 0, &to_receiver,
                                wrapped, &len, &err),
                 MIKEYD_POLICY);
    token_session_release(session);
    token_close(receiver);
}

Test(transport_softhsm, user_cannot_vouch_for_a_wrapping_key)
{
    char *pem = NULL;
    cr_assert_eq(provision_generate_wrapping_pair(b.session, "wrapping", 3072, &pem, &err),
                 MIKEYD_OK, "%s", err.text);
    token_session_release(b.session);
    token_close(b.token);
    struct token_config user = token_fixture_config(&b.fixture);
    cr_expect_eq(provision_trust_public_key(&user, "receiver", pem, &err), MIKEYD_PIN_REFUSED);
    free(pem);
    b.token = NULL;
    b.session = NULL;
}
