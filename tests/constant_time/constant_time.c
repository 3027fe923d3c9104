/*
 * Runs one check with its secrets marked, under valgrind; the controls do what a check must not do,
 * and valgrind has to complain of them.
 */
#include <string.h>

#include <valgrind/valgrind.h>

#include "base/secret.h"
#include "secrets.h"

#define LEN 32

static uint8_t secret[LEN], same[LEN], other[LEN];

/* Every byte of a wrong value is tried: the place of the first difference is what memcmp tells. */
static void check_secret_equal(void)
{
    mark_secret(secret, LEN);
    MUST(secret_equal(secret, same, LEN));
    for (size_t i = 0; i < LEN; i++) {
        memcpy(other, same, LEN);
        other[i] ^= 1;
        MUST(!secret_equal(secret, other, LEN));
    }
    MUST(secret_equal(secret, other, 0));
    MUST(take_comparisons() == LEN + 1);
}

static void control_memcmp(void)
{
    volatile size_t len = LEN; /* not to be worked out by the compiler */
    mark_secret(secret, LEN);
    const int answer = memcmp(secret, same, len);
    (void)printf("memcmp says %s\n", answer == 0 ? "equal" : "not equal");
}

static void control_jump(void)
{
    mark_secret(secret, LEN);
    for (size_t i = 0; i < LEN; i++) {
        if (secret[i] != same[i]) {
            (void)printf("differs\n");
            return;
        }
    }
}

static void control_address(void)
{
    static volatile uint8_t table[256];
    mark_secret(secret, LEN);
    for (size_t i = 0; i < LEN; i++)
        same[i] = table[secret[i]];
}

static const struct {
    const char *name;
    void (*run)(void);
} runs[] = {{"secret_equal", check_secret_equal}, {"tags", check_tags},
            {"tickets", check_tickets},           {"proofs", check_proofs},
            {"control_memcmp", control_memcmp},   {"control_jump", control_jump},
            {"control_address", control_address}};

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc != 2 || RUNNING_ON_VALGRIND == 0) {
        (void)fprintf(stderr, "usage: valgrind %s NAME; see tests/constant_time/run\n", argv[0]);
        return 2;
    }
    MUST(secret_heap_init(1 << 20, &err) == MIKEYD_OK);
    for (size_t i = 0; i < LEN; i++)
        secret[i] = same[i] = (uint8_t)(i * 37 + 5);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        if (strcmp(argv[1], runs[i].name) == 0) {
            runs[i].run();
            (void)printf("%s: done\n", argv[1]);
            return 0;
        }
    }
    (void)fprintf(stderr, "no check %s\n", argv[1]);
    return 2;
}
