/* mikeyd --check refuses whatever the daemon would refuse at its start. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;

static void make_lab(void)
{
    lab_make(&lab, NULL);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(check, .init = make_lab, .fini = remove_lab, .timeout = 60);

static void replace(const char *path, const char *what, const char *with)
{
    char *text = lab_read_file(path);
    char *at = strstr(text, what);
    cr_assert_not_null(at, "%s", text);
    *at = '\0';
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fprintf(file, "%s%s%s", text, with, at + strlen(what)) > 0);
    cr_assert_eq(fclose(file), 0);
    free(text);
}

static int check(void)
{
    return lab_run(&lab,
                   (const char *const[]){MIKEYD_PROGRAM, "--config", lab.config, "--check", NULL});
}

static void check_agrees_with_the_start(int exit_status)
{
    cr_assert_eq(check(), exit_status);
    cr_assert_eq(lab_start_refused(&lab), exit_status);
}

Test(check, good_laboratory_passes)
{
    cr_assert_eq(check(), 0);
}

Test(check, audit_key_that_is_not_in_the_token)
{
    replace(lab.config, "file: audit.jsonl", "file: audit.jsonl, sign: {key: nowhere}");
    check_agrees_with_the_start(4);
}

/* The unit knows the exit status: or systemd would try until the token locks. */
Test(check, wrong_pin_is_not_tried_again_by_a_supervisor)
{
    lab_write_file(lab.token.pin_file, "wrong-pin-77\n");
    check_agrees_with_the_start(7);
    cr_assert_eq(lab_key(&lab, (const char *const[]){"list", NULL}), 7);
    cr_assert_eq(lab_count_in_file(SOURCE_DIR "/deploy/systemd/mikeyd.service",
                                   "\nRestartPreventExitStatus=7\n"),
                 1);
}

Test(check, folder_of_the_replay_store_that_is_not_there)
{
    replace(lab.config, "lmdb: replay", "lmdb: nowhere/replay");
    cr_assert_neq(check(), 0);
    cr_assert_neq(lab_start_refused(&lab), 0);
}

Test(check, folder_of_a_socket_that_is_not_there)
{
    replace(lab.config, "unix: run/s", "unix: nowhere/s");
    check_agrees_with_the_start(6);
}

Test(check, two_tokens)
{
    char *text = lab_read_file(lab.config);
    char *from = strstr(text, "  - "), *to = strstr(text, "\npolicy:");
    cr_assert(from != NULL && to != NULL);
    char *entry = strndup(from, (size_t)(to + 1 - from));
    char *twice = NULL;
    cr_assert_gt(asprintf(&twice, "%s%s", entry, entry), 0);
    replace(lab.config, entry, twice);
    check_agrees_with_the_start(2);
    free(twice);
    free(entry);
    free(text);
}

/* Tokens that can derive start; the others are refused, by both. */
Test(check, derivation_that_the_token_cannot_do)
{
    replace(lab.policy, "defaults:\n", "defaults:\n  prf: derive\n");
    int status = check();
    cr_assert(status == 0 || status == 3, "%d", status);
    if (status == 3)
        cr_assert_eq(lab_start_refused(&lab), 3);
    else
        lab_start(&lab);
}
