#include <string.h>

#include <criterion/criterion.h>

#include "pkcs11/token/internal.h"

static bool parses(const char *text, struct token_label *out)
{
    return token_label_parse(text, strlen(text), out);
}

Test(label, plain_key)
{
    struct token_label label;
    cr_assert(parses("mikeyd/psk/legacy-pbx/3", &label));
    cr_assert_eq(label.kind, TOKEN_PSK);
    cr_assert_str_eq(label.name, "legacy-pbx");
    cr_assert_eq(label.generation, 3);
    cr_assert_eq(label.bits, 0);
    cr_assert_eq(label.block, 0);
}

Test(label, padded_block)
{
    struct token_label label;
    cr_assert(parses("mikeyd/psk/old.key:a/12~320#2", &label));
    cr_assert_str_eq(label.name, "old.key:a");
    cr_assert_eq(label.generation, 12);
    cr_assert_eq(label.bits, 320);
    cr_assert_eq(label.block, 2);
}

Test(label, everything_else_is_refused)
{
    static const char *const bad[] = {
        "",
        "mikeyd/",
        "mikeyd/psk",
        "mikeyd/psk/a",
        "mikeyd/psk/a/",
        "mikeyd/psk//1",
        "mikeyd/psk/a/0",
        "mikeyd/psk/a/01",
        "mikeyd/psk/a/-1",
        "mikeyd/psk/a/1 ",
        "mikeyd/psk/a/1x",
        "mikeyd/psk/a/1000000000",
        "mikeyd/psk/a/99999999999999999999",
        "mikeyd/psk/a/1#",
        "mikeyd/psk/a/1#0",
        "mikeyd/psk/a/1#9",
        "mikeyd/psk/a/1~",
        "mikeyd/psk/a/1#1~128",
        "mikeyd/psk/a/1~4096",
        "mikeyd/key/a/1",
        "mikeyd/PSK/a/1",
        "mikeyd/psk/a b/1",
        "mikeyd/psk/a/b/1",
        "mikeyd/psk/a#1/1",
        "mikeyd/psk/a~1/1",
        "Mikeyd/psk/a/1",
    };
    struct token_label label;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(parses(bad[i], &label), "%s", bad[i]);
}

Test(label, name_of_full_length)
{
    char name[TOKEN_NAME_MAX + 1];
    memset(name, 'n', sizeof name);
    name[TOKEN_NAME_MAX - 1] = '\0';
    struct token_label label = {.kind = TOKEN_PAIR, .generation = 1}, back;
    strcpy(label.name, name);
    char text[TOKEN_LABEL_MAX];
    struct error err = {0};
    cr_assert_eq(token_label_format(&label, text, &err), MIKEYD_OK, "%s", err.text);
    cr_assert(parses(text, &back));
    cr_assert_str_eq(back.name, name);
}

Test(label, format_refuses_what_would_read_back_differently)
{
    static const char *const bad[] = {"", "a/b", "a b", "a#1", "a~8", "\x7f"};
    char text[TOKEN_LABEL_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct token_label label = {.kind = TOKEN_PSK, .generation = 1};
        strcpy(label.name, bad[i]);
        cr_expect_eq(token_label_format(&label, text, NULL), MIKEYD_INVALID_ARGUMENT, "%s", bad[i]);
    }
}
