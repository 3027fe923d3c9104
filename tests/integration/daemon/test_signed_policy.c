/* A policy counts only with the signatures of enough different officers, and never an older one. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lab_officers.h"

static struct lab lab;
static const char *const three[] = {"ada", "ben", "eve", NULL};

/* Two of three sign: one by Ed25519, one by P-256. */
static void make_lab(void)
{
    lab_make(&lab, NULL);
    lab_officer_make(&lab, "ada", "ED25519");
    lab_officer_make(&lab, "ben", "EC");
    lab_officer_make(&lab, "eve", "ED25519");
    lab_officers_configure(&lab, three, 2, "");
    lab_policy_with_serial(&lab, 5, "");
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

static void sign_by_two(void)
{
    lab_policy_signed_by(&lab, "ada");
    lab_policy_signed_by(&lab, "ben");
}

static void must_be_refused(const char *why)
{
    cr_assert_eq(lab_start_refused(&lab), 3);
    cr_assert(lab_file_gets(lab.log, why), "not \"%s\"", why);
}

static void call(void)
{
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

static void reload_until(const char *audited)
{
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, audited), "not \"%s\"", audited);
}

static void wait_for_file(const char *path)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    for (unsigned i = 0; i < 3000 && access(path, F_OK) != 0; i++)
        (void)nanosleep(&pause, NULL);
    cr_assert_eq(access(path, F_OK), 0, "%s", path);
}

/* The byte at this text, changed. */
static void change_byte(const char *path, const char *at)
{
    char *text = lab_read_file(path);
    char *found = strstr(text, at);
    cr_assert_not_null(found);
    *found = *found == 'A' ? 'B' : 'A';
    lab_write_file(path, text);
    free(text);
}

static int check(const char *say)
{
    char out[LAB_PATH + 8];
    (void)snprintf(out, sizeof out, "%s/out", lab.dir);
    const int status = lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", lab.config,
                                                           "policy", "check", lab.policy, NULL});
    cr_assert_geq(lab_count_in_file(out, say), 1, "not \"%s\"", say);
    return status;
}

TestSuite(signed_policy, .init = make_lab, .fini = remove_lab, .timeout = 120);

Test(signed_policy, signed_by_enough_officers_is_loaded_and_the_log_names_them)
{
    sign_by_two();
    cr_assert_eq(check("signatures: 2, needed: 2"), 0);
    lab_start(&lab);
    call();
    cr_assert_eq(lab_count_in_file(lab.audit, "\"policy_serial\":5,\"officers\":\"ada "), 1);
    cr_assert_eq(lab_count_in_file(lab.audit, ", ben "), 1);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
    char page[LAB_PATH + 8];
    (void)snprintf(page, sizeof page, "%s/page", lab.dir);
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "audit", "report", lab.audit,
                                                     "--html", page, NULL}),
                 0);
    cr_assert_eq(lab_count_in_file(page, "serial 5: ada "), 1);
}

Test(signed_policy, unsigned_is_refused_by_daemon_check_and_key_commands)
{
    must_be_refused("policy.yaml.ada.sig is not there");
    cr_assert_eq(check("is signed by 0 officers, 2 are needed"), 3);
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYD_PROGRAM, "--config", lab.config,
                                                     "--check", NULL}),
                 3);
    cr_assert_eq(
        lab_key(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "a", NULL}),
        3);
    cr_assert_eq(lab_key(&lab, (const char *const[]){"list", NULL}), 3);
}

Test(signed_policy, one_officer_twice_is_one_officer)
{
    char ben[LAB_PATH * 2];
    lab_policy_signed_by(&lab, "ada");
    /* Her own signature under the other's name, and one made by her key in his name. */
    char ada[LAB_PATH * 2];
    (void)snprintf(ada, sizeof ada, "%s.ada.sig", lab.policy);
    (void)snprintf(ben, sizeof ben, "%s.ben.sig", lab.policy);
    char *signature = lab_read_file(ada);
    lab_write_file(ben, signature);
    free(signature);
    must_be_refused("policy.yaml.ben.sig is not over this file");
    cr_assert_eq(lab_policy_sign(&lab, "ben", "ada"), 0);
    must_be_refused("is signed by 1 officers");
    /* Nor are two names for one key. */
    lab_officers_configure(&lab, (const char *const[]){"ada", "zoe", NULL}, 2, "");
    char from[LAB_PATH * 2], to[LAB_PATH * 2];
    (void)snprintf(from, sizeof from, "%s/ada.pem", lab.dir);
    (void)snprintf(to, sizeof to, "%s/zoe.pem", lab.dir);
    cr_assert_eq(link(from, to), 0);
    cr_assert_neq(lab_start_refused(&lab), 0);
    cr_assert(lab_file_gets(lab.log, "officers ada and zoe have the same public key"));
}

Test(signed_policy, signature_of_somebody_else_does_not_count)
{
    lab_officer_make(&lab, "mallory", "ED25519");
    lab_policy_signed_by(&lab, "ada");
    lab_policy_signed_by(&lab, "mallory");
    must_be_refused("policy.yaml.ben.sig is not there");
    cr_assert_eq(lab_policy_sign(&lab, "eve", "mallory"), 0);
    must_be_refused("policy.yaml.eve.sig is not over this file, or not by that officer's key");
}

Test(signed_policy, one_byte_changed_is_refused_in_policy_and_signature)
{
    char ben[LAB_PATH * 2];
    sign_by_two();
    char *policy = lab_read_file(lab.policy);
    char *changed = lab_read_file(lab.policy);
    char *at = strstr(changed, "60s");
    cr_assert_not_null(at);
    *at = '7';
    lab_write_file(lab.policy, changed);
    must_be_refused("is signed by 0 officers");
    lab_write_file(lab.policy, policy);
    free(policy);
    free(changed);
    (void)snprintf(ben, sizeof ben, "%s.ben.sig", lab.policy);
    change_byte(ben, "E"); /* of the DER's first byte in base64 */
    must_be_refused("policy.yaml.ben.sig is not over this file");
}

Test(signed_policy, unsigned_never_replaces_a_running_one)
{
    sign_by_two();
    lab_start(&lab);
    lab_policy_with_serial(&lab, 6, "limits: {nodes_per_client: 2}\n");
    reload_until("\"event\":\"reload_refused\",\"result\":\"POLICY\"");
    call();
    lab_policy_signed_by(&lab, "eve");
    lab_policy_signed_by(&lab, "ben");
    reload_until("\"event\":\"reload\"");
    cr_assert_eq(lab_count_in_file(lab.audit, "\"policy_serial\":6,\"officers\":\"ben "), 1);
    call();
}

Test(signed_policy, older_one_is_refused_by_reload_and_by_every_later_start)
{
    char old[3][LAB_PATH * 2], *text[3];
    sign_by_two();
    (void)snprintf(old[0], sizeof old[0], "%s", lab.policy);
    (void)snprintf(old[1], sizeof old[1], "%s.ada.sig", lab.policy);
    (void)snprintf(old[2], sizeof old[2], "%s.ben.sig", lab.policy);
    for (size_t i = 0; i < 3; i++)
        text[i] = lab_read_file(old[i]);
    lab_start(&lab);
    lab_policy_with_serial(&lab, 7, "limits: {nodes_per_client: 2}\n");
    sign_by_two();
    reload_until("\"event\":\"reload\"");
    for (size_t i = 0; i < 3; i++) {
        lab_write_file(old[i], text[i]);
        free(text[i]);
    }
    cr_assert_eq(check("signatures: 2, needed: 2"), 0);
    reload_until("serial 7 was loaded before: an older policy is not taken");
    /* The log's file is moved away: the next one knows, too. */
    char moved[LAB_PATH + 8];
    (void)snprintf(moved, sizeof moved, "%s.1", lab.audit);
    cr_assert_eq(rename(lab.audit, moved), 0);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    wait_for_file(lab.audit);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"reload_refused\""));
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    must_be_refused("serial 7 was loaded before");
    cr_assert_eq(lab_key(&lab, (const char *const[]){"list", NULL}), 3);
}

Test(signed_policy, another_one_of_the_same_serial_is_refused)
{
    sign_by_two();
    lab_start(&lab);
    reload_until("\"event\":\"reload\""); /* the same one again */
    lab_policy_with_serial(&lab, 5, "limits: {nodes_per_client: 2}\n");
    sign_by_two();
    reload_until("is another policy under serial 5");
}

Test(signed_policy, policy_that_asks_for_signatures_needs_officers)
{
    lab_write_config(&lab, &(struct lab_config){0});
    lab_policy_with_serial(&lab, 5, "signatures: required\n");
    sign_by_two();
    must_be_refused("has no officers");
    cr_assert_eq(check("the daemon refuses it"), 3);
    lab_policy_with_serial(&lab, 5, "signatures: off\n");
    lab_start(&lab);
}

Test(signed_policy, policy_without_a_serial_is_neither_signed_nor_loaded)
{
    lab_write_policy(&lab, "");
    cr_assert_eq(lab_policy_sign(&lab, "ada", "ada"), 3);
    must_be_refused("has no serial");
}

Test(signed_policy, public_key_that_others_can_write_is_refused)
{
    char path[LAB_PATH * 2];
    sign_by_two();
    (void)snprintf(path, sizeof path, "%s/eve.pem", lab.dir);
    cr_assert_eq(chmod(path, 0664), 0);
    cr_assert_neq(lab_start_refused(&lab), 0);
    cr_assert(lab_file_gets(lab.log, "public key of officer eve"));
}

Test(signed_policy, configuration_says_who_and_how_many)
{
    const char *const wrong[] = {
        "policy_signatures: 1\n",
        "officers: [{name: ada, public_key: ada.pem}]\n",
        "officers: [{name: ada, public_key: ada.pem}]\npolicy_signatures: 2\n",
        "officers: [{name: ada, public_key: ada.pem}]\npolicy_signatures: 0\n",
        "officers: [{name: ../a, public_key: ada.pem}]\npolicy_signatures: 1\n",
        "officers: [{name: ada, public_key: ada.pem}, {name: ada, public_key: ben.pem}]\n"
        "policy_signatures: 1\n",
    };
    sign_by_two();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        lab_write_config(&lab, &(struct lab_config){.extra = wrong[i]});
        cr_assert_eq(lab_start_refused(&lab), 1, "%s", wrong[i]);
    }
}

/* The key of an officer in a token: the public half is all that ever leaves it. */
Test(signed_policy, officer_signs_with_a_key_in_a_token)
{
    char pem[LAB_PATH * 2], uri[256];
    lab_write_config(&lab, &(struct lab_config){.module = lab.token.module});
    cr_assert_eq(rename(lab.config, lab.ceremony), 0);
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "eve", NULL});
    (void)snprintf(pem, sizeof pem, "%s/eve.pem", lab.dir);
    (void)unlink(pem);
    cr_assert_eq(
        lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", lab.ceremony, "audit",
                                            "export-key", "--name", "eve", "--out", pem, NULL}),
        0);
    lab_officers_configure(&lab, three, 2, "");
    lab_policy_signed_by(&lab, "ada");
    (void)snprintf(uri, sizeof uri, "%s;object=mikeyd/audit/eve/1", lab.token.uri);
    const char *const sign[] = {MIKEYCTL_PROGRAM,
                                "policy",
                                "sign",
                                lab.policy,
                                "--officer",
                                "eve",
                                "--key",
                                uri,
                                "--module",
                                lab.token.module,
                                "--pin-file",
                                lab.token.pin_file,
                                NULL};
    cr_assert_eq(lab_run(&lab, sign), 0);
    cr_assert_eq(check("signatures: 2, needed: 2"), 0);
    lab_start(&lab);
    cr_assert_eq(lab_count_in_file(lab.audit, ", eve "), 1);
}
