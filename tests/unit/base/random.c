/* The health check of OpenSSL's random numbers, on a generator that works and on each that does not. */
#include <criterion/criterion.h>
#include <string.h>

#include <openssl/provider.h>
#include <openssl/rand.h>

#include "base/random.h"
#include "module/faulty_random.h"

TestSuite(random_check, .timeout = 30);

Test(random_check, a_generator_that_works_passes)
{
    struct error err = {0};
    cr_assert_eq(random_check(&err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(random_check(&err), MIKEYD_OK, "%s", err.text);
}

static void expect_refusal(const char *generator, const char *why)
{
    struct error err = {0};
    cr_assert_eq(OSSL_PROVIDER_add_builtin(NULL, "faulty", OSSL_provider_init), 1);
    OSSL_PROVIDER *usual = OSSL_PROVIDER_load(NULL, "default");
    OSSL_PROVIDER *faulty = OSSL_PROVIDER_load(NULL, "faulty");
    cr_assert(usual != NULL && faulty != NULL);
    cr_assert_eq(RAND_set_DRBG_type(NULL, generator, NULL, NULL, NULL), 1);
    cr_assert_eq(random_check(&err), MIKEYD_INTERNAL);
    cr_assert_not_null(strstr(err.text, why), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "openssl.cnf"), "%s", err.text);
    (void)OSSL_PROVIDER_unload(faulty);
    (void)OSSL_PROVIDER_unload(usual);
}

Test(random_check, one_byte_again_and_again_is_refused)
{
    expect_refusal("ONE-BYTE", "gives one byte again and again");
}

Test(random_check, the_same_bytes_twice_are_refused)
{
    expect_refusal("SAME-BYTES", "gave the same 32 bytes twice");
}

Test(random_check, a_draw_that_fails_is_refused)
{
    expect_refusal("NO-BYTES", "gives no bytes");
}

Test(random_check, a_generator_that_is_not_up_is_refused)
{
    expect_refusal("NOT-UP", "is not up");
}
