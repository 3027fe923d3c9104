#include "support/lab_token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

static enum token_fixture_kind kind_of_run(void)
{
    const char *name = getenv("MIKEYD_TEST_TOKEN");
    if (name == NULL || strcmp(name, "softhsm") == 0)
        return TOKEN_FIXTURE_SOFTHSM;
    if (strcmp(name, "nss") == 0)
        return TOKEN_FIXTURE_NSS;
    if (strcmp(name, "opencryptoki") == 0)
        return TOKEN_FIXTURE_OPENCRYPTOKI;
    cr_assert_str_eq(name, "isolated", "MIKEYD_TEST_TOKEN is %s", name);
    return TOKEN_FIXTURE_ISOLATED;
}

enum token_fixture_kind lab_token_of_run(enum lab_token need)
{
    const enum token_fixture_kind kind = kind_of_run();
    if (need == LAB_SIGNS && kind == TOKEN_FIXTURE_NSS)
        cr_skip_test("about a token that only signs");
    if (need == LAB_DERIVES && kind != TOKEN_FIXTURE_NSS)
        cr_skip_test("about a token that derives");
    if (kind == TOKEN_FIXTURE_ISOLATED && geteuid() != 0) {
        (void)fprintf(stderr, "skipped: only root can give the token to another user\n");
        cr_skip_test("needs root");
    }
    if (kind == TOKEN_FIXTURE_OPENCRYPTOKI)
        lab_token_need_opencryptoki();
    return kind;
}

void lab_token_need_opencryptoki(void)
{
    const char *lack = token_fixture_opencryptoki_lacks();
    if (lack == NULL)
        return;
    (void)fprintf(stderr, "skipped: no opencryptoki here: %s\n", lack);
    cr_skip_test("needs root, and a kernel that gives namespaces");
}

bool lab_token_derives(const struct token_fixture *token)
{
    return token->kind == TOKEN_FIXTURE_NSS;
}

void lab_token_make(struct token_fixture *token, enum token_fixture_kind kind)
{
    cr_assert(token_fixture_make(token, kind));
}

void lab_token_provisioned(struct token_fixture *token)
{
    if (token->kind != TOKEN_FIXTURE_ISOLATED)
        return;
    if (token->server == 0)
        cr_assert(token_fixture_serve(token, "nobody"));
    else
        cr_assert(token_fixture_hand_over(token));
}
