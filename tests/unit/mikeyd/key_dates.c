/* When a key of the policy is told before, and when after, its end. */
#include "mikeyd/key_dates.h"

#include <criterion/criterion.h>
#include <string.h>

#define NOW 1795651200 /* 2026-11-26T00:00:00Z */
#define DAY 86400

static enum key_age judge(int64_t not_before, int64_t not_after, const char *expected)
{
    char text[KEY_DATES_TEXT];
    const struct policy_key key = {
        .name = "core", .generation = 2, .not_before = not_before, .not_after = not_after};
    const enum key_age age = key_dates_judge(&key, NOW, text);
    cr_expect_str_eq(text, expected);
    return age;
}

Test(key_dates, key_without_dates_is_good_for_ever)
{
    cr_assert_eq(judge(0, 0, ""), KEY_AGE_GOOD);
}

Test(key_dates, month_and_week_before_the_end_are_told)
{
    cr_expect_eq(judge(0, NOW + 30 * DAY + 1, ""), KEY_AGE_GOOD);
    cr_expect_eq(judge(0, NOW + 30 * DAY, "key core/2 expires in 30 days, at 2026-12-26T00:00 UTC"),
                 KEY_AGE_SOON);
    cr_expect_eq(
        judge(0, NOW + 7 * DAY + 1, "key core/2 expires in 7 days, at 2026-12-03T00:00 UTC"),
        KEY_AGE_SOON);
    cr_expect_eq(judge(0, NOW + 7 * DAY, "key core/2 expires in 7 days, at 2026-12-03T00:00 UTC"),
                 KEY_AGE_URGENT);
    cr_expect_eq(judge(0, NOW + 1, "key core/2 expires in 0 days, at 2026-11-26T00:00 UTC"),
                 KEY_AGE_URGENT);
}

/* The same second as policy_decide(). */
Test(key_dates, end_is_the_first_moment_without_the_key)
{
    static const char text[] =
        "key core/2 expired at 2026-11-26T00:00 UTC: requests with it are refused";
    cr_expect_eq(judge(0, NOW, text), KEY_AGE_EXPIRED);
}

Test(key_dates, key_of_tomorrow_is_told)
{
    cr_expect_eq(
        judge(NOW + DAY, NOW + 400 * DAY, "key core/2 is not valid before 2026-11-27T00:00 UTC"),
        KEY_AGE_NOT_YET);
    cr_expect_eq(judge(NOW, 0, ""), KEY_AGE_GOOD);
}

Test(key_dates, first_expiry_is_the_next_one)
{
    static const char text[] = "policy: 1\n"
                               "keys:\n"
                               "  - {name: a, kind: psk, generation: 1, not_after: 2026-01-01}\n"
                               "  - {name: b, kind: psk, generation: 1, not_after: 2027-03-01}\n"
                               "  - {name: c, kind: psk, generation: 1, not_after: 2027-02-01}\n"
                               "  - {name: d, kind: psk, generation: 1}\n"
                               "nodes: []\npairs: []\nclients: []\n";
    struct policy *policy = NULL;
    struct error err = {.text = ""};
    cr_assert_eq(policy_load_text(text, strlen(text), "p", &policy, &err), MIKEYD_OK, "%s",
                 err.text);
    const int64_t first = key_dates_first_expiry(policy, NOW);
    cr_assert(first >= 1801440000 && first <= 1801440000 + 2 * DAY, "%ld", (long)first);
    cr_assert_eq(key_dates_first_expiry(policy, first), policy_key_at(policy, 1)->not_after);
    policy_unref(policy);
}
