#include "base/secret.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

static void open_heap(void)
{
    cr_assert_eq(secret_heap_init(1 << 16, NULL), MIKEYD_OK);
}

Test(secret, lives_in_the_secure_heap, .init = open_heap)
{
    SECRET_CLEANUP struct secret secret = {0};
    cr_assert(secret_make(&secret, 32));
    cr_expect(CRYPTO_secure_allocated(secret.data));
    cr_expect_eq(secret.len, 32);
}

Test(secret, starts_as_zeros_even_where_one_was_before, .init = open_heap)
{
    static const uint8_t zeros[64];
    for (int i = 0; i < 20; i++) {
        SECRET_CLEANUP struct secret secret = {0};
        cr_assert(secret_make(&secret, sizeof zeros));
        cr_assert_arr_eq(secret.data, zeros, sizeof zeros);
        memset(secret.data, 0x5a, secret.len);
    }
}

/* Released blocks stay mapped in the secure heap, so that wiping can be seen. */
Test(secret, is_wiped_on_release, .init = open_heap)
{
    struct secret secret = {0};
    cr_assert(secret_make(&secret, 256));
    memset(secret.data, 0x5a, secret.len);
    const volatile uint8_t *old = secret.data;
    secret_clear(&secret);
    cr_expect_null(secret.data);
    cr_expect_eq(secret.len, 0);
    int left = 0;
    /* The allocator keeps its free list in the first bytes. */
    for (size_t i = 2 * sizeof(void *); i < 256; i++)
        left += old[i] == 0x5a;
    cr_expect_eq(left, 0);
}

Test(secret, is_cleared_twice_without_harm, .init = open_heap)
{
    struct secret secret = {0};
    secret_clear(&secret);
    cr_assert(secret_make(&secret, 8));
    secret_clear(&secret);
    secret_clear(&secret);
    cr_expect_null(secret.data);
}

Test(secret, does_not_fall_back_to_the_ordinary_heap, .init = open_heap)
{
    struct secret secret = {0};
    cr_expect_not(secret_make(&secret, 1 << 20));
    cr_expect_null(secret.data);
    cr_expect_eq(secret.len, 0);
}

Test(secret, copy_holds_the_same_bytes, .init = open_heap)
{
    SECRET_CLEANUP struct secret secret = {0};
    cr_assert(secret_copy(&secret, "0123456789", 10));
    cr_expect(secret_equal(secret.data, "0123456789", 10));
    cr_expect_not(secret_equal(secret.data, "0123456780", 10));
}

Test(secret, wipe_leaves_zeros)
{
    uint8_t bytes[16];
    static const uint8_t zeros[16];
    memset(bytes, 1, sizeof bytes);
    secret_wipe(bytes, sizeof bytes);
    cr_expect_arr_eq(bytes, zeros, sizeof bytes);
}

Test(secret, hardened_process_is_not_dumpable)
{
    struct rlimit core;
    const struct rlimit some = {4096, 4096};
    cr_assert_eq(setrlimit(RLIMIT_CORE, &some), 0);
    cr_assert_eq(secret_process_harden(NULL), MIKEYD_OK);
    cr_expect_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    cr_assert_eq(getrlimit(RLIMIT_CORE, &core), 0);
    cr_expect_eq(core.rlim_cur, 0);
    cr_expect_eq(core.rlim_max, 0);
}

/* As a user who may lock nothing: root's capability does not ask for a limit. */
static int init_without_locking(void)
{
    const struct rlimit none = {0, 0};
    struct error err = {0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0))
        return 1;
    if (secret_heap_init(1 << 16, &err) != MIKEYD_INTERNAL)
        return 2;
    return strstr(err.text, "RLIMIT_MEMLOCK") != NULL ? 0 : 3;
}

Test(secret, heap_that_cannot_be_locked_is_a_refusal)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(init_without_locking());
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0, "step %d", WEXITSTATUS(status));
}
