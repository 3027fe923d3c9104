/* The strict YAML reader: what it refuses, where it says so, and the values it reads. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/yaml.h"

static struct error err;

static struct yaml_file *parsed(const char *text)
{
    struct yaml_file *file;
    err.text[0] = '\0';
    cr_assert_eq(yaml_file_parse(text, strlen(text), "f", &file, &err), MIKEYD_OK, "%s", err.text);
    return file;
}

static void refuses(const char *text, const char *expected)
{
    struct yaml_file *file;
    err.text[0] = '\0';
    cr_assert_eq(yaml_file_parse(text, strlen(text), "f", &file, &err), MIKEYD_SYNTAX, "%s", text);
    cr_assert_null(file);
    cr_assert_str_eq(err.text, expected);
}

Test(yaml, byte_order_mark_means_nothing)
{
    const char *text = NULL;
    struct yaml_file *file = parsed("\xef\xbb\xbf"
                                    "a: b\n");
    cr_assert_eq(yaml_string(yaml_map_get(yaml_root(file), "a"), &text, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_expect_str_eq(text, "b");
    yaml_file_free(file);
    refuses("\xef\xbb\xbf"
            "a: 1\nb: *x\n",
            "f:2: anchors, aliases and tags are not allowed");
    refuses("\xff\xfe"
            "a",
            "f:1: the file is UTF-16: save it as UTF-8");
}

Test(yaml, refuses_what_means_two_things)
{
    refuses("a: &x 1\nb: *x\n", "f:1: anchors, aliases and tags are not allowed");
    refuses("b: *x\n", "f:1: anchors, aliases and tags are not allowed");
    refuses("a: !!int \"1\"\n", "f:1: anchors, aliases and tags are not allowed");
    refuses("a: !x {b: 1}\n", "f:1: anchors, aliases and tags are not allowed");
    refuses("a: &l [1]\n", "f:1: anchors, aliases and tags are not allowed");
    refuses("a: 1\n---\nb: 2\n", "f:2: a second document");
    refuses("%YAML 1.1\n---\na: 1\n", "f:1: directives are not allowed");
    refuses("{[a]: 1}\n", "f:1: a field name must be plain text");
    refuses("a: \"x\\0y\"\n", "f:1: a zero byte in a value");
    refuses("", "f:1: the file is empty");
    refuses("# nothing\n", "f:1: the file is empty");
}

Test(yaml, names_the_line_of_a_syntax_error)
{
    refuses("a: 1\nb: ]\nc: 2\n", "f:2: did not find expected node content");
    refuses("a: 1\nb: [1,\nc: 2\n", "f:4: did not find expected ',' or ']'"); /* at the end */
    refuses("a: 1\n\tb: 2\n", "f:2: found a tab character that violates indentation");
}

Test(yaml, refuses_nesting_without_end)
{
    char text[200];
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    refuses(text, "f:1: nested deeper than 32");
}

Test(yaml, refuses_a_file_of_too_many_values)
{
    size_t len = 600000 * 2;
    char *text = malloc(len + 1);
    for (size_t i = 0; i < len; i += 2)
        memcpy(text + i, i == 0 ? "[0" : ",0", 2);
    text[len] = ']';
    struct yaml_file *file;
    cr_assert_eq(yaml_file_parse(text, len + 1, "f", &file, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "f:1: more than 524288 values");
    free(text);
}

Test(yaml, finds_unknown_and_repeated_fields)
{
    static const char *const known[] = {"a", "b", NULL};
    struct yaml_file *file = parsed("a: 1\nb: {c: 1}\na: 2\n");
    cr_assert_eq(yaml_map_check(yaml_root(file), known, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "f:3: a: given twice (first in line 1)");
    cr_assert_eq(yaml_map_check(yaml_map_get(yaml_root(file), "b"), known, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "f:2: b.c: unknown field");
    cr_assert_eq(yaml_map_check(yaml_map_get(yaml_root(file), "a"), known, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "f:1: a: expected a map of fields, found a single value");
    yaml_file_free(file);
}

Test(yaml, walks_lists_and_maps)
{
    struct yaml_file *file = parsed("m: {x: 1, y: [10, 11]}\n");
    const struct yaml_node *map = yaml_map_get(yaml_root(file), "m");
    const char *field;
    cr_assert_eq(yaml_map_at(map, 1, &field), yaml_map_get(map, "y"));
    cr_assert_str_eq(field, "y");
    cr_assert_null(yaml_map_at(map, 2, &field));
    const struct yaml_node *list = yaml_map_get(map, "y");
    cr_assert_eq(yaml_list_count(list), 2);
    cr_assert_null(yaml_list_at(list, 2));
    cr_assert_null(yaml_map_get(list, "y"));
    cr_assert_eq(yaml_list_count(map), 0);
    cr_assert_eq(yaml_list_check(list, &err), MIKEYD_OK);
    cr_assert_eq(yaml_list_check(map, &err), MIKEYD_SYNTAX);
    char path[64];
    yaml_path(yaml_list_at(list, 1), path, sizeof path);
    cr_assert_str_eq(path, "m.y[1]");
    yaml_path(yaml_root(file), path, sizeof path);
    cr_assert_str_eq(path, "");
    yaml_file_free(file);
}

static struct yaml_file *file_of;

static const struct yaml_node *value(const char *text)
{
    char all[200];
    yaml_file_free(file_of);
    (void)snprintf(all, sizeof all, "v: %s\n", text);
    file_of = parsed(all);
    return yaml_map_get(yaml_root(file_of), "v");
}

static void drop_value(void)
{
    yaml_file_free(file_of);
    file_of = NULL;
}

TestSuite(yaml_value, .fini = drop_value);

Test(yaml_value, text_is_text)
{
    const char *text;
    cr_assert_eq(yaml_string(value("sip:a@b"), &text, &err), MIKEYD_OK);
    cr_assert_str_eq(text, "sip:a@b");
    cr_assert_eq(yaml_string(value("\"5\""), &text, &err), MIKEYD_OK);
    cr_assert_eq(yaml_string(value("\"\""), &text, &err), MIKEYD_OK);
    static const char *const bad[] = {"5", "-5", "true", "False", "~", "null", "", "[a]", "{a: b}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(yaml_string(value(bad[i]), &text, &err), MIKEYD_SYNTAX, "%s", bad[i]);
}

Test(yaml_value, numbers_are_decimal_and_in_range)
{
    uint64_t number;
    cr_assert_eq(yaml_unsigned(value("0"), 0, 9, &number, &err), MIKEYD_OK);
    cr_assert_eq(yaml_unsigned(value("18446744073709551615"), 0, UINT64_MAX, &number, &err),
                 MIKEYD_OK);
    cr_assert_eq(number, UINT64_MAX);
    static const char *const bad[] = {
        "18446744073709551616", "-1", "+1", "0x10", "010", "1.5", "\"1\"", "1e3", "yes", "1_000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(yaml_unsigned(value(bad[i]), 0, UINT64_MAX, &number, &err), MIKEYD_SYNTAX,
                     "%s", bad[i]);
    cr_assert_eq(yaml_unsigned(value("10"), 1, 9, &number, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "f:1: v: expected a number from 1 to 9, found \"10\"");
}

Test(yaml_value, booleans_have_one_spelling)
{
    bool flag = false;
    cr_assert_eq(yaml_bool(value("true"), &flag, &err), MIKEYD_OK);
    cr_assert(flag);
    cr_assert_eq(yaml_bool(value("false"), &flag, &err), MIKEYD_OK);
    cr_assert_not(flag);
    static const char *const bad[] = {"yes", "on", "True", "\"true\"", "1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(yaml_bool(value(bad[i]), &flag, &err), MIKEYD_SYNTAX, "%s", bad[i]);
}

Test(yaml_value, durations_have_a_unit)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"250ms", 250}, {"60s", 60000}, {"10m", 600000}, {"2h", 7200000}, {"1d", 86400000}};
    uint64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert_eq(yaml_duration_ms(value(good[i].text), 0, UINT64_MAX, &ms, &err), MIKEYD_OK);
        cr_assert_eq(ms, good[i].ms);
    }
    static const char *const bad[] = {"60",  "s",  "60 s",  "-1s",          "1.5s",
                                      "60S", "1w", "1s1ms", "213503982335d"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(yaml_duration_ms(value(bad[i]), 0, UINT64_MAX, &ms, &err), MIKEYD_SYNTAX, "%s",
                     bad[i]);
    cr_assert_eq(yaml_duration_ms(value("2s"), 0, 1999, &ms, &err), MIKEYD_SYNTAX);
}

Test(yaml_value, dates_are_those_of_the_calendar)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {{"1970-01-01", 0},
                {"2027-06-01", 1811808000},
                {"2028-02-29", 1835395200},
                {"2027-06-01T12:00:00Z", 1811851200},
                {"2027-06-01T01:30:00+01:30", 1811808000},
                {"2027-05-31T23:00:00-01:00", 1811808000},
                {"\"2027-06-01\"", 1811808000}};
    int64_t seconds;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert_eq(yaml_date(value(good[i].text), &seconds, &err), MIKEYD_OK, "%s", err.text);
        cr_assert_eq(seconds, good[i].seconds, "%s", good[i].text);
    }
    static const char *const bad[] = {"2027-02-29",
                                      "2027-13-01",
                                      "2027-00-10",
                                      "2027-6-1",
                                      "20270601",
                                      "2027-06-01T",
                                      "2027-06-01T24:00:00Z",
                                      "2027-06-01T12:00:00",
                                      "tomorrow",
                                      "2027-06-01 12:00:00Z",
                                      "2027-06-01T12:00:60Z",
                                      "2027-06-31",
                                      "2027-06-01T12:00:00Zx"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(yaml_date(value(bad[i]), &seconds, &err), MIKEYD_SYNTAX, "%s", bad[i]);
}

Test(yaml_value, errors_carry_no_control_characters)
{
    const char *text;
    struct yaml_file *file = parsed("\"a\\e[1m\": [x]\n");
    const struct yaml_node *node = yaml_map_get(yaml_root(file), "a\x1b[1m");
    cr_assert_eq(yaml_string(node, &text, &err), MIKEYD_SYNTAX);
    cr_assert_str_eq(err.text, "f:1: a?[1m: expected text, found a list");
    yaml_file_free(file);
}

Test(yaml_file, loads_a_regular_file_only)
{
    char dir[] = "/tmp/mikeyd-yaml-XXXXXX", path[64], fifo[64];
    struct yaml_file *file;
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/a.yaml", dir);
    (void)snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert_eq(write(fd, "a: 1\n", 5), 5);
    close(fd);
    cr_assert_eq(mkfifo(fifo, 0600), 0);

    cr_assert_eq(yaml_file_load(path, &file, &err), MIKEYD_OK);
    size_t len;
    cr_assert_str_eq(yaml_text(file, &len), "a: 1\n");
    cr_assert_eq(len, 5);
    cr_assert_str_eq(yaml_name(file), path);
    yaml_file_free(file);

    cr_assert_eq(yaml_file_load(fifo, &file, &err), MIKEYD_SYNTAX);
    cr_assert_eq(yaml_file_load(dir, &file, &err), MIKEYD_SYNTAX);
    cr_assert_null(file);
    unlink(path);
    unlink(fifo);
    rmdir(dir);
}
