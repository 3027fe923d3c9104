/* The memory of a token that leaks, and of a thousand keys. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/secret.h"
#include "pkcs11/token/internal.h"
#include "support/token_fixture.h"

static struct token_fixture fixture;
static struct token *token;
static const uint8_t psk[32] = {7};
static const uint8_t message[] = "any message";

static void setup(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
}

static void teardown(void)
{
    token_close(token);
    token_fixture_remove(&fixture);
}

TestSuite(memory, .init = setup, .fini = teardown, .timeout = 120);

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%ld %ld", &pages, &resident), 2);
    cr_assert_eq(fclose(file), 0);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void sign_in_clear(struct token_session *session, unsigned count)
{
    const uint8_t *const data[1] = {message};
    const size_t len[1] = {sizeof message};
    uint8_t tag[HMAC_TAG_MAX];
    struct error err = {0};
    for (unsigned i = 0; i < count; i++) {
        unsigned long handle = 0;
        cr_assert_eq(
            token_hmac_bytes(session, HMAC_SHA256, psk, 32, data, len, 1, &handle, tag, &err),
            MIKEYD_OK, "%s", err.text);
        token_object_destroy(session, handle);
    }
}

Test(memory, leak_of_session_objects_is_bounded)
{
#ifdef MIKEYD_SANITIZED
    cr_skip_test("sizes mean nothing under a sanitizer");
#endif
    struct token_config config = token_fixture_config(&fixture);
    struct token_session *session = NULL;
    struct error err = {0};
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 100, &session, &err), MIKEYD_OK);
    sign_in_clear(session, TOKEN_LEAK_OBJECTS_MAX + 100);
    cr_expect_eq(token_generation(token), 2);
    const long before = resident_kib();
    sign_in_clear(session, 2 * TOKEN_LEAK_OBJECTS_MAX);
    cr_expect_eq(token_generation(token), 4);
    cr_expect_lt(resident_kib() - before, 4096, "grew by %ld KiB", resident_kib() - before);
    token_session_release(session);
}

#define MANY 1000

static void make_many(void)
{
    char label[64];
    uint8_t key[32] = {0};
    struct token_fixture_batch *batch = token_fixture_batch_open(&fixture);
    cr_assert_not_null(batch);
    for (unsigned i = 0; i < MANY; i++) {
        key[0] = (uint8_t)i;
        key[1] = (uint8_t)(i >> 8);
        (void)snprintf(label, sizeof label, "mikeyd/psk/node-%u.carrier.example/1", i);
        cr_assert(token_fixture_batch_key(
            batch, &(struct token_fixture_key){.label = label, .value = key, .len = 32}));
    }
    token_fixture_batch_close(batch);
}

Test(memory, a_thousand_keys_fit_in_40_mib)
{
#ifdef MIKEYD_SANITIZED
    cr_skip_test("sizes mean nothing under a sanitizer");
#endif
    make_many();
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_key_count(token), MANY);
    cr_expect_lt(resident_kib(), 40960, "%ld KiB", resident_kib());
}
