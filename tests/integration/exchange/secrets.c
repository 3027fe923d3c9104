/* What a request leaves in memory, what a ticket is sealed with. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/clock.h"
#include "base/secret.h"
#include "exchange/service.h"
#include "expiry.h"
#include "lab.h"

TestSuite(secrets, .timeout = 120);

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;

static void offer_and_answer(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
}

/* ---- memory between two requests */

/* The worker's whole part of the secure heap, once the result has been taken and wiped. */
static void expect_nothing_left(const struct exchange_worker *w, const char *after)
{
    const uint8_t *bytes = (const uint8_t *)w->secrets;
    for (size_t i = 0; i < sizeof *w->secrets; i++)
        cr_assert_eq(bytes[i], 0, "after %s: byte %zu of %zu", after, i, sizeof *w->secrets);
}

static void serve_all(const char *defaults)
{
    static const struct exchange_stream more[] = {{.ssrc = 0x55667788}};
    struct lab lab;
    static struct lab_result update;
    lab_open(&lab, LAB_ANY, defaults);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    expect_nothing_left(lab.a, "initiate");
    lab_must(lab_respond(&lab, &offer.message, NULL, &answer), answer);
    expect_nothing_left(lab.b, "respond");
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    expect_nothing_left(lab.a, "confirm");
    if (strstr(defaults, "tgk: derived") == NULL) { /* whose bundles get no new keys */
        lab_must(lab_update(&lab, &got.ticket, more, 1, &update), update);
        expect_nothing_left(lab.a, "update");
        lab_must(lab_respond(&lab, &update.message, &answer.ticket, &got), got);
        expect_nothing_left(lab.b, "answer to the update");
    }
    if (strstr(defaults, "forward_secrecy") == NULL) { /* whose keys need the answer */
        lab_must(lab_initiate(&lab, one, 1, false, &offer), offer);
        expect_nothing_left(lab.a, "initiate without verification");
    }
    lab_close(&lab);
}

#define OPEN "suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80], verification: allowed"

Test(secrets, nothing_is_left_of_a_request)
{
    serve_all(OPEN);
}

Test(secrets, nothing_is_left_of_a_request_with_the_mac_on_the_host)
{
    serve_all(OPEN ", mac: host");
}

Test(secrets, nothing_is_left_of_a_request_with_a_derived_tgk)
{
    serve_all(OPEN ", tgk: derived");
}

Test(secrets, nothing_is_left_of_a_request_that_exchanges_values)
{
    serve_all(OPEN ", forward_secrecy: required");
}

static void nothing_is_left_of_a_refusal(const char *defaults)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, defaults);
    offer_and_answer(&lab);
    answer.message.data[answer.message.len - 1] ^= 1;
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_AUTH_FAILED);
    expect_nothing_left(lab.a, "a forged reply");
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    offer.message.data[offer.message.len - 1] ^= 1;
    lab_refused(lab_respond(&lab, &offer.message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    expect_nothing_left(lab.b, "a forged offer");
    offer.ticket.data[offer.ticket.len - 1] ^= 1;
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got,
                MIKEYD_TICKET_INVALID);
    expect_nothing_left(lab.a, "a forged ticket");
    lab_close(&lab);
}

Test(secrets, nothing_is_left_of_a_refusal)
{
    nothing_is_left_of_a_refusal(NULL);
    nothing_is_left_of_a_refusal("forward_secrecy: required");
}

Test(secrets, result_is_in_the_secure_heap_until_it_is_wiped)
{
    struct lab lab;
    struct error err = {0};
    struct exchange_result result;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    const struct exchange_request request = {.operation = EXCHANGE_CONFIRM,
                                             .caller = {.has_uid = true, .uid = LAB_UID_A},
                                             .ticket = offer.ticket.data,
                                             .ticket_len = offer.ticket.len,
                                             .message = answer.message.data,
                                             .message_len = answer.message.len};
    cr_assert_eq(exchange_serve(lab.a, &request, &result, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(result.key_count, 1);
    cr_assert(CRYPTO_secure_allocated(lab.a->secrets));
    cr_assert_eq((const void *)result.keys, (const void *)lab.a->secrets->released);
    cr_assert(secret_equal(result.keys[0].value.key, answer.keys[0].value.key,
                           sizeof answer.keys[0].value.key));
    exchange_result_wipe(lab.a);
    expect_nothing_left(lab.a, "the wipe of the result");
    lab_close(&lab);
}

/* ---- what a ticket is sealed with, by the description in ticket.h and OpenSSL alone */

#define HEADER 48
#define TAG 16

struct opened {
    uint8_t key[32];
    uint8_t plain[16384];
    size_t len;
};

/* tests/integration/exchange/lab.c: the token key of kind ticket */
static void day_key(const struct lab_bytes *ticket, uint8_t out[32])
{
    uint8_t token_key[32], data[13 + 4];
    size_t len = 0;
    memset(token_key, 0x77, sizeof token_key);
    memcpy(data, "mikeyd ticket", 13);
    memcpy(data + 13, ticket->data + 8, 4);
    cr_assert_not_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, token_key, sizeof token_key,
                                 data, sizeof data, out, 32, &len));
}

static void ticket_key(const struct lab_bytes *ticket, uint8_t out[32])
{
    uint8_t key[32], info[17 + 16];
    char digest[] = "SHA256";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    day_key(ticket, key);
    memcpy(info, "mikeyd ticket key", 17);
    memcpy(info + 17, ticket->data + 20, 16);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key, sizeof key),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    cr_assert_eq(EVP_KDF_derive(context, out, 32, params), 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

static bool open_under(const struct lab_bytes *ticket, const uint8_t key[32], struct opened *out)
{
    uint8_t tag[TAG];
    int len = 0, rest = 0;
    out->len = ticket->len - HEADER - TAG;
    memcpy(tag, ticket->data + ticket->len - TAG, TAG);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool good = EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, ticket->data + 36) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1 &&
                EVP_DecryptUpdate(c, NULL, &len, ticket->data, HEADER) == 1 &&
                EVP_DecryptUpdate(c, out->plain, &len, ticket->data + HEADER, (int)out->len) == 1 &&
                EVP_DecryptFinal_ex(c, out->plain + len, &rest) == 1;
    EVP_CIPHER_CTX_free(c);
    return good;
}

static void open_ticket(const struct lab_bytes *ticket, struct opened *out)
{
    ticket_key(ticket, out->key);
    cr_assert(open_under(ticket, out->key, out));
}

static struct opened opened[2];

Test(secrets, each_ticket_has_a_key_of_its_own)
{
    struct lab lab;
    uint8_t day[32];
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    open_ticket(&offer.ticket, &opened[0]);
    lab_must(lab_initiate(&lab, one, 1, true, &got), got);
    open_ticket(&got.ticket, &opened[1]);
    cr_assert(memcmp(opened[0].key, opened[1].key, 32) != 0);
    day_key(&got.ticket, day);
    cr_assert(!open_under(&got.ticket, day, &opened[1]), "sealed under the key of the day itself");
    lab_close(&lab);
}

/* Every run of eight bytes of what it holds: identities, the client's name, the RAND, the TGK. */
Test(secrets, ticket_shows_nothing_of_what_it_holds)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    open_ticket(&offer.ticket, &opened[0]);
    cr_assert_not_null(memmem(opened[0].plain, opened[0].len, LAB_A, strlen(LAB_A)),
                       "what it holds is not what this test knows");
    for (size_t i = 0; i + 8 <= opened[0].len; i++)
        cr_assert_null(memmem(offer.ticket.data, offer.ticket.len, opened[0].plain + i, 8));
    lab_close(&lab);
}

static bool holds(const struct lab_bytes *ticket, const uint8_t *data, size_t len)
{
    open_ticket(ticket, &opened[1]);
    return memmem(opened[1].plain, opened[1].len, data, len) != NULL;
}

/* By its public value, which stands beside it: the one that belongs to it can be computed. */
Test(secrets, the_ephemeral_secret_is_in_the_offers_ticket_alone)
{
    static struct mikey_message m;
    struct lab lab;
    uint8_t value[32], private[32];
    size_t len = sizeof value;
    lab_open(&lab, LAB_ANY, "forward_secrecy: required");
    offer_and_answer(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    cr_assert_eq(mikey_parse(offer.message.data, offer.message.len, &m, NULL, NULL), MIKEYD_OK);
    open_ticket(&offer.ticket, &opened[0]);
    const uint8_t *at = memmem(opened[0].plain, opened[0].len, m.dh[0].value, 32);
    cr_assert_not_null(at);
    memcpy(private, at + 32, sizeof private);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private, 32);
    cr_assert_eq(EVP_PKEY_get_raw_public_key(key, value, &len), 1);
    EVP_PKEY_free(key);
    cr_assert_eq(memcmp(value, m.dh[0].value, 32), 0, "what the ticket holds is not what is known");
    cr_assert(holds(&offer.ticket, private, 32));
    cr_assert_not(holds(&got.ticket, private, 32));
    cr_assert_not(holds(&answer.ticket, private, 32));
    /* The responder's own never leaves its request; nothing stands where it would. */
    cr_assert_eq(mikey_parse(answer.message.data, answer.message.len, &m, NULL, NULL), MIKEYD_OK);
    cr_assert_not(holds(&answer.ticket, m.dh[0].value, 32));
    lab_close(&lab);
}

Test(secrets, sealing_and_opening_a_ticket_leave_no_scratch)
{
    struct lab lab;
    struct error err = {0};
    static const struct ticket_scratch zeros;
    static struct bundle bundle;
    static uint8_t sealed[TICKET_MAX];
    int64_t expires;
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    const int64_t now = clock_unix_now();
    struct ticket_keys *keys = lab.service->ticket_keys;
    struct ticket_scratch *scratch = secret_alloc(sizeof *scratch);
    struct bundle_keys *key = secret_alloc(sizeof *key);
    cr_assert_eq(ticket_open(lab.a->cipher, keys, now, offer.ticket.data, offer.ticket.len, "sbc-a",
                             BUNDLE_CONFIRMS, &bundle, key, &expires, scratch, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert(secret_equal(scratch, &zeros, sizeof zeros), "after opening");
    struct byte_writer out = writer_of(sealed, sizeof sealed);
    cr_assert_eq(ticket_seal(lab.a->cipher, keys, now, now + 60, &bundle, key, scratch, &out, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert(secret_equal(scratch, &zeros, sizeof zeros), "after sealing");
    /* Another's ticket was opened before it is known to be another's. */
    cr_assert_eq(ticket_open(lab.a->cipher, keys, now, sealed, out.len, "sbc-b", BUNDLE_CONFIRMS,
                             &bundle, key, &expires, scratch, &err),
                 MIKEYD_TICKET_INVALID);
    static const struct bundle_keys no_key;
    cr_assert(secret_equal(key, &no_key, sizeof no_key), "after a refusal");
    secret_release(key, sizeof *key);
    secret_release(scratch, sizeof *scratch);
    lab_close(&lab);
}

/* ---- days that are over */

static bool has_key_of(struct lab *lab, int64_t day)
{
    struct ticket_key_id id = {.generation = 1, .day = (uint32_t)day};
    uint8_t *key = secret_alloc(TICKET_KEY_LEN);
    bool found = ticket_keys_find(lab->service->ticket_keys, &id, key);
    secret_release(key, TICKET_KEY_LEN);
    return found;
}

Test(secrets, idle_service_forgets_the_ticket_keys_of_past_days)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    const int64_t now = clock_unix_now(), today = now / TICKET_DAY_SECONDS;
    exchange_service_tick(lab.service, now);
    cr_assert(has_key_of(&lab, today - 1) && has_key_of(&lab, today) &&
              has_key_of(&lab, today + 1));
    exchange_service_tick(lab.service, now + TICKET_DAY_SECONDS);
    cr_assert(!has_key_of(&lab, today - 1));
    cr_assert(has_key_of(&lab, today), "yesterday's tickets still count");
    exchange_service_tick(lab.service, now + 2 * TICKET_DAY_SECONDS);
    cr_assert(!has_key_of(&lab, today) && has_key_of(&lab, today + 1));
    exchange_service_tick(lab.service, now + 3 * TICKET_DAY_SECONDS);
    cr_assert(!has_key_of(&lab, today + 1));
    /* The clock was wrong, and goes back: the next request derives them again. */
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_assert(has_key_of(&lab, today));
    lab_close(&lab);
}

/* In the whole secure heap, found by its size and by an address in it. */
static size_t count_in_heap(const uint8_t *address, const uint8_t masked[32])
{
    const uint8_t *heap = address - ((uintptr_t)address & 4095);
    size_t found = 0;
    for (size_t i = 0; i + 32 <= 4096; i++) {
        size_t same = 0;
        while (same < 32 && (heap[i + same] ^ masked[same]) == 0xff)
            same++;
        found += same == 32;
    }
    return found;
}

Test(secrets, forgotten_ticket_keys_are_wiped)
{
    struct lab lab;
    uint8_t masked[2][32];
    lab_open(&lab, LAB_ANY, NULL);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    const int64_t now = clock_unix_now();
    static struct lab_bytes other_day;
    other_day = offer.ticket;
    for (int d = 0; d < 2; d++) {
        day_key(&other_day, masked[d]);
        for (size_t i = 0; i < 32; i++)
            masked[d][i] = (uint8_t)~masked[d][i];
        other_day.data[11]++; /* tomorrow */
    }
    /* The table is the first thing in struct ticket_keys that stands in the secure heap. */
    const uint8_t *table = NULL;
    void *const *words = (void *const *)(const void *)lab.service->ticket_keys;
    for (size_t i = 0; i < 64 && table == NULL; i++) {
        if (words[i] != NULL && CRYPTO_secure_allocated(words[i]))
            table = words[i];
    }
    cr_assert_not_null(table);
    cr_assert_eq(count_in_heap(table, masked[0]), 1, "where the key of today would stand");
    cr_assert_eq(count_in_heap(table, masked[1]), 1);
    exchange_service_tick(lab.service, now + 2 * TICKET_DAY_SECONDS);
    cr_assert_eq(count_in_heap(table, masked[0]), 0);
    cr_assert_eq(count_in_heap(table, masked[1]), 1);
    lab_close(&lab);
}

/* ---- what confirm asks the policy of today */

#define TWO_KEYS                                                                                   \
    "  - {name: legacy, kind: psk}\n"                                                              \
    "  - {name: other, kind: psk}"

static void confirm_under(const char *policy, enum mikeyd_status expected, const char *why)
{
    struct lab lab;
    struct error err = {0};
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s", policy);
    lab_open(&lab, LAB_ANY, NULL);
    lab_import(&lab, TOKEN_PSK, "other", 1, lab_psk_2, 32);
    offer_and_answer(&lab);
    cr_assert_eq(lab_reload(&lab, text, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(lab_confirm(&lab, &offer.ticket, &answer.message, &got), expected, "%s",
                 got.err.text);
    if (why != NULL)
        cr_assert_not_null(strstr(got.err.text, why), "%s", got.err.text);
    lab_close(&lab);
}

Test(secrets, confirm_goes_on_under_a_policy_that_still_allows_it)
{
    confirm_under(lab_policy_text(NULL, TWO_KEYS, "legacy"), MIKEYD_OK, NULL);
}

Test(secrets, confirm_asks_again_for_the_key)
{
    confirm_under(lab_policy_text(NULL, TWO_KEYS, "other"), MIKEYD_POLICY,
                  "key legacy/1 is no longer in force");
}

Test(secrets, confirm_asks_again_for_the_generation)
{
    confirm_under(lab_policy_text(NULL, "  - {name: legacy, kind: psk, generation: 2}", "legacy"),
                  MIKEYD_POLICY, "key legacy/1 is no longer in force");
}

Test(secrets, confirm_asks_again_for_the_algorithms)
{
    confirm_under(lab_policy_text("suites: [AES_CM_128_HMAC_SHA1_80], algorithms: mikey-1",
                                  TWO_KEYS, "legacy"),
                  MIKEYD_POLICY, "algorithms for this pair have changed");
}

Test(secrets, confirm_asks_again_for_the_suite)
{
    confirm_under(lab_policy_text("suites: [AES_256_CM_HMAC_SHA1_80]", TWO_KEYS, "legacy"),
                  MIKEYD_POLICY, "suite AEAD_AES_256_GCM is not allowed");
}

/* ---- a ticket that was used */

Test(secrets, used_ticket_is_remembered_as_long_as_it_would_be_good)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    struct byte_reader expiry = reader_of(offer.ticket.data + 12, 8);
    cr_assert_eq(lab_count_expiries(&lab, (int64_t)reader_u64(&expiry) + 1), 1);
    lab_close(&lab);
}

Test(secrets, used_ticket_costs_no_token_call)
{
    struct lab lab;
    struct token_facts before, after;
    lab_open(&lab, LAB_ANY, NULL);
    offer_and_answer(&lab);
    lab_must(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got);
    token_get_facts(lab.token, &before);
    lab_refused(lab_confirm(&lab, &offer.ticket, &answer.message, &got), got, MIKEYD_REPLAY);
    token_get_facts(lab.token, &after);
    cr_assert_eq(after.hmacs, before.hmacs);
    cr_assert_eq(after.derives, before.derives);
    lab_close(&lab);
}

/* ---- `prf: derive` when a key is used */

Test(secrets, prf_derive_of_one_pair_holds_when_its_key_is_used)
{
    struct lab lab;
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s",
                   lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"));
    char *pair = strstr(text, "key: legacy}");
    cr_assert_not_null(pair);
    memmove(pair + 25, pair + 12, strlen(pair + 12) + 1);
    memcpy(pair, "key: legacy, prf: derive}", 25);
    lab_open_policy(&lab, LAB_SIGNS, text);
    lab_refused(lab_initiate(&lab, one, 1, true, &offer), offer, MIKEYD_POLICY);
    cr_assert_not_null(strstr(offer.err.text, "`prf: derive`"), "%s", offer.err.text);
    lab_close(&lab);
}
