/* A daemon whose token holds more keys than one report can list. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab_ctl.h"

#define MORE 300   /* keys, beside those of the laboratory */
#define LISTED 256 /* by a report */
#define OF_THE_LAB 2

static struct lab lab;

static void make_lab(void)
{
    char count[16];
    lab_make(&lab, NULL);
    (void)snprintf(count, sizeof count, "%d", MORE);
    cr_assert_eq(
        lab_run(&lab, (const char *const[]){KEYS_BENCH, "fill", lab.ceremony, count, NULL}), 0);
    lab_start(&lab);
    lab_ctl_open(&lab);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(many_keys, .init = make_lab, .fini = remove_lab, .timeout = 120);

static int ctl(const char *first, ...)
{
    va_list args;
    va_start(args, first);
    const int result = lab_ctl(&lab, (const char *const[]){first, NULL}, args);
    va_end(args);
    return result;
}

Test(many_keys, status_counts_all_and_lists_as_many_as_fit)
{
    cr_assert_eq(ctl("status", "--json", NULL), 0);
    json_t *report = lab_printed(&lab);
    const json_t *keys = json_object_get(report, "keys");
    cr_expect_eq(json_array_size(json_object_get(keys, "named")), LISTED);
    cr_expect_eq(json_integer_value(json_object_get(keys, "named_in_all")), MORE + OF_THE_LAB);
    json_decref(report);
    cr_assert_eq(ctl("status", NULL), 0);
    char *page = lab_output(&lab), expected[64];
    (void)snprintf(expected, sizeof expected, "%d by name", MORE + OF_THE_LAB);
    cr_expect_not_null(strstr(page, expected), "%s", page);
    free(page);
}
