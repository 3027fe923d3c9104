/* mikeyd --check refuses whatever the daemon would refuse at its start. */
#include <criterion/criterion.h>
#include <signal.h>
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

/* Two tokens of one vendor have a configuration each, whatever the daemon's own environment says. */
Test(check, variables_of_a_token_reach_its_module)
{
    char extra[256];
    (void)snprintf(extra, sizeof extra, "    environment: {SOFTHSM2_CONF: \"%s\"}\n",
                   lab.token.conf);
    cr_assert_eq(setenv("SOFTHSM2_CONF", "/nonexistent/softhsm2.conf", 1), 0);
    cr_assert_eq(check(), 4);
    lab_write_config(&lab, &(struct lab_config){.token_extra = extra});
    cr_assert_eq(check(), 0);
}

/* They would load code into the process that has the PIN. */
Test(check, variables_of_the_dynamic_linker_are_refused)
{
    lab_write_config(
        &lab, &(struct lab_config){.token_extra = "    environment: {LD_PRELOAD: /tmp/a.so}\n"});
    check_agrees_with_the_start(1);
    cr_assert_eq(lab_count_in_file(lab.log, "not the name of a variable that a module may read"),
                 1);
}

static const uint8_t value[32] = {4, 1, 7};

static void add_object(struct token_fixture_key key)
{
    key.value = value;
    key.len = sizeof value;
    cr_assert(token_fixture_key(&lab.token, &key), "%s", key.label);
    lab_token_provisioned(&lab.token);
}

static void reload(const char *audited)
{
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, audited));
}

static void expect_calls(void)
{
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

/* One has the label of the key in use, as anybody can make it who reaches the token. */
static void add_what_concerns_no_policy(void)
{
    add_object((struct token_fixture_key){.label = "mikeyd/psk/pbx/1", .not_private = true});
    add_object((struct token_fixture_key){.label = "mikeyd/ticket/lab/1", .not_private = true});
    add_object((struct token_fixture_key){.label = "mikeyd/psk/old/1", .extractable = true});
}

Test(check, objects_that_no_policy_names_stop_nothing)
{
    add_what_concerns_no_policy();
    cr_expect_eq(check(), 0);
    lab_start(&lab);
    expect_calls();
    cr_expect_gt(lab_count_in_file(lab.log, "mikeyd/psk/old/1 is not used"), 0);
}

Test(check, objects_that_no_policy_names_take_nothing_away_at_a_reload)
{
    lab_start(&lab);
    expect_calls();
    add_what_concerns_no_policy();
    reload("\"event\":\"reload\"");
    expect_calls();
}

Test(check, key_of_the_policy_that_could_leave)
{
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "pbx",
                                             "--generation", "1", "--yes", NULL});
    add_object((struct token_fixture_key){.label = "mikeyd/psk/pbx/1", .extractable = true});
    check_agrees_with_the_start(3);
}

Test(check, key_of_the_policy_that_could_leave_refuses_a_reload)
{
    lab_start(&lab);
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "pbx",
                                             "--generation", "1", "--yes", NULL});
    add_object((struct token_fixture_key){.label = "mikeyd/psk/pbx/1", .extractable = true});
    reload("\"event\":\"reload_refused\"");
    cr_expect_gt(lab_count_in_file(lab.log, "CKA_EXTRACTABLE"), 0);
}

Test(check, ticket_key_that_could_leave)
{
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "ticket", "--name", "lab",
                                             "--generation", "1", "--yes", NULL});
    add_object((struct token_fixture_key){.label = "mikeyd/ticket/lab/1", .extractable = true});
    cr_expect_neq(check(), 0);
    cr_expect_neq(lab_start_refused(&lab), 0);
}

/* As a main key is after `key derive --delete-main`. */
Test(check, key_that_was_destroyed_on_purpose_is_not_unusable)
{
    char path[LAB_PATH + 8];
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "psk", "--name", "old", NULL});
    lab_start(&lab);
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "old",
                                             "--generation", "1", "--yes", NULL});
    reload("\"event\":\"reload\"");
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "--socket", lab.socket,
                                                     "--json", "status", NULL}),
                 0);
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    cr_expect_eq(lab_count_in_file(path, "\"unusable\":0"), 1);
    cr_expect_eq(lab_count_in_file(path, "\"old\""), 0);
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

/* A copy of a token holds the same keys: a group. In a folder of its own: SoftHSM does not bear two
 * processes that open one folder at the same moment. */
Test(check, two_tokens_that_hold_the_same_keys)
{
    char command[640], conf[96];
    (void)snprintf(conf, sizeof conf, "%s/copy/softhsm2.conf", lab.token.dir);
    (void)snprintf(command, sizeof command,
                   "mkdir '%1$s/copy' && cp -a '%1$s/tokens' '%1$s/copy/' && "
                   "sed 's|%1$s|%1$s/copy|' '%1$s/softhsm2.conf' > '%2$s'",
                   lab.token.dir, conf);
    cr_assert_eq(system(command), 0, "%s", command);
    char *text = lab_read_file(lab.config);
    char *from = strstr(text, "  - "), *to = strstr(text, "\npolicy:");
    cr_assert(from != NULL && to != NULL);
    char *entry = strndup(from, (size_t)(to + 1 - from));
    char *twice = NULL;
    cr_assert_gt(
        asprintf(&twice, "%s%s    environment: {SOFTHSM2_CONF: \"%s\"}\n", entry, entry, conf), 0);
    replace(lab.config, entry, twice);
    cr_assert_eq(check(), 0);
    lab_start(&lab);
    cr_assert_neq(lab_keyholder(&lab, 0), 0);
    cr_assert_neq(lab_keyholder(&lab, 1), 0);
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
