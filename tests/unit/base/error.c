#include "base/error.h"

#include <criterion/criterion.h>
#include <string.h>

Test(error, set_fills_and_returns_the_status)
{
    struct error err = {0};
    cr_expect_eq(error_set(&err, MIKEYD_REPLAY, "seen %d times", 2), MIKEYD_REPLAY);
    cr_expect_eq(err.status, MIKEYD_REPLAY);
    cr_expect_str_eq(err.text, "seen 2 times");
    cr_expect_eq(error_set(NULL, MIKEYD_POLICY, "x"), MIKEYD_POLICY);
}

Test(error, prefix_goes_in_front)
{
    struct error err = {0};
    (void)error_set(&err, MIKEYD_SYNTAX, "wrong");
    error_prefix(&err, "policy.yaml:%d", 7);
    cr_expect_str_eq(err.text, "policy.yaml:7: wrong");
    error_prefix(NULL, "nowhere");
}

Test(error, prefix_cuts_what_does_not_fit)
{
    struct error err = {0};
    char long_text[400];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    (void)error_set(&err, MIKEYD_SYNTAX, "%s", long_text);
    cr_expect_eq(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "here");
    cr_expect_eq(strlen(err.text), sizeof err.text - 1);
    cr_expect_eq(strncmp(err.text, "here: xxx", 9), 0);
    error_prefix(&err, "%s", long_text);
    cr_expect_eq(strncmp(err.text, "here: xxx", 9), 0);
}

Test(error, every_status_has_a_name_of_its_own)
{
    for (int i = 0; i < MIKEYD_STATUS_COUNT; i++) {
        const char *name = status_name((enum mikeyd_status)i);
        cr_assert_not_null(name);
        cr_expect_str_neq(name, "UNKNOWN_STATUS");
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(name, status_name((enum mikeyd_status)j));
    }
    cr_expect_str_eq(status_name((enum mikeyd_status)MIKEYD_STATUS_COUNT), "UNKNOWN_STATUS");
    cr_expect_str_eq(status_name((enum mikeyd_status) - 1), "UNKNOWN_STATUS");
}

/* Numbers travel on the wire: they never change. */
Test(error, numbers_are_the_published_ones)
{
    static const char *const published[] = {
        "OK",           "SYNTAX",         "UNSUPPORTED",      "AUTH_FAILED",
        "REPLAY",       "CLOCK_SKEW",     "UNKNOWN_PEER",     "POLICY",
        "NOT_ENTITLED", "TICKET_INVALID", "TICKET_EXPIRED",   "TOKEN_DOWN",
        "TOKEN_BUSY",   "STORE_DOWN",     "AUDIT_DOWN",       "OVERLOADED",
        "INTERNAL",     "UNREACHABLE",    "INVALID_ARGUMENT", "PIN_REFUSED",
    };
    cr_assert_eq(sizeof published / sizeof published[0], MIKEYD_STATUS_COUNT);
    for (int i = 0; i < MIKEYD_STATUS_COUNT; i++)
        cr_expect_str_eq(status_name((enum mikeyd_status)i), published[i]);
}

Test(error, exit_codes_are_those_of_the_interfaces)
{
    cr_expect_eq(status_exit_code(MIKEYD_OK), 0);
    cr_expect_eq(status_exit_code(MIKEYD_INVALID_ARGUMENT), 1);
    cr_expect_eq(status_exit_code(MIKEYD_REPLAY), 2);
    cr_expect_eq(status_exit_code(MIKEYD_TICKET_EXPIRED), 2);
    cr_expect_eq(status_exit_code(MIKEYD_NOT_ENTITLED), 3);
    cr_expect_eq(status_exit_code(MIKEYD_UNKNOWN_PEER), 3);
    cr_expect_eq(status_exit_code(MIKEYD_TOKEN_BUSY), 4);
    cr_expect_eq(status_exit_code(MIKEYD_UNREACHABLE), 5);
    cr_expect_eq(status_exit_code(MIKEYD_AUDIT_DOWN), 6);
    cr_expect_eq(status_exit_code(MIKEYD_PIN_REFUSED), 7);
    cr_expect_eq(status_exit_code((enum mikeyd_status)99), 6);
}
