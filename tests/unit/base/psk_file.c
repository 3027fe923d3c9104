/* Lists of pre-shared keys: what RFC 9257 6 asks and a reader can see. */
#include "base/psk_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "ff0102030405060708090A0B0C0D0E0F101112131415161718191a1b1c1d1e1f"

static char path[] = "/tmp/mikeyd-psk-XXXXXX";
static struct psk_file file;
static struct error err;

static void start(void)
{
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    (void)close(fd);
}

static void stop(void)
{
    (void)unlink(path);
    psk_file_clear(&file);
}

TestSuite(psk_file, .init = start, .fini = stop);

static enum mikeyd_status load(const char *text)
{
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert(fputs(text, out) >= 0);
    cr_assert_eq(fclose(out), 0);
    err = (struct error){.text = ""};
    return psk_file_load(path, &file, &err);
}

Test(psk_file, names_and_keys_are_read)
{
    cr_assert_eq(load("# two\n\na.b-c_1:" KEY "\r\nother:" OTHER), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(file.count, 2);
    cr_assert_str_eq(file.entries[0].name, "a.b-c_1");
    cr_assert_eq(file.entries[0].key.len, 32);
    for (size_t i = 0; i < 32; i++)
        cr_assert_eq(file.entries[0].key.data[i], i);
    cr_assert_eq(file.entries[1].key.data[0], 0xff);
}

Test(psk_file, what_breaks_a_rule_is_named_with_its_line_and_without_the_key)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "no key"},
        {"a " KEY "\n", ":1: not NAME:HEX"},
        {":" KEY "\n", ":1: a name has"},
        {"a/b:" KEY "\n", ":1: a name has"},
        {"a:00010203\n", ":1: a key has 64"},
        {"a:" KEY "0\n", ":1: a key has 64"},
        {"a:" KEY KEY "00\n", ":1: a key has 64"},
        {"a:zz" KEY "\n", ":1: the key is not hexadecimal"},
        {"a:0000000000000000000000000000000000000000000000000000000000000000\n", "is zero"},
        {"a:" KEY "\na:" OTHER "\n", ":2: the name stands twice"},
        {"a:" KEY "\nb:" OTHER "\nc:" KEY "\n", ":3: the key is another client's"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(load(wrong[i].text), MIKEYD_INVALID_ARGUMENT, "%s", wrong[i].text);
        cr_expect_not_null(strstr(err.text, wrong[i].says), "%s", err.text);
        cr_expect_null(strstr(err.text, "0001"), "%s", err.text);
        cr_expect_eq(file.count, 0);
    }
}

Test(psk_file, file_that_others_can_read_is_refused)
{
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(load("a:" KEY "\n"), MIKEYD_INVALID_ARGUMENT);
}
