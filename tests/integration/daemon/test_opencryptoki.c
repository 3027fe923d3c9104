/* A daemon on opencryptoki's software token, for what is different there. */
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
    lab_token_need_opencryptoki();
    lab_make_on(&lab, TOKEN_FIXTURE_OPENCRYPTOKI, NULL);
    lab_start(&lab);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(opencryptoki, .init = make_lab, .fini = remove_lab, .timeout = 120);

static void expect_listed(const char *row)
{
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *list = lab_read_file(path);
    cr_expect_not_null(strstr(list, row), "%s: %s", row, list);
    free(list);
}

Test(opencryptoki, the_ceremony_makes_and_takes_keys)
{
    lab_write_file(lab.policy, "policy: 1\ndefaults: {provisioning: plaintext-allowed}\n"
                               "keys: [{name: spare, kind: psk}]\n");
    lab_key_import(&lab, "psk", "spare",
                   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    lab_key_must(&lab, (const char *const[]){"list", NULL});
    expect_listed("\npsk    spare ");
    expect_listed("\npsk    pbx ");
    expect_listed("\nticket lab ");
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "spare",
                                             "--generation", "1", "--yes", NULL});
    cr_expect_neq(lab_key(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "spare",
                                                      "--generation", "1", "--yes", NULL}),
                  0);
}

Test(opencryptoki, a_call_with_a_verification_message)
{
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_expect_eq(lab_verify_audit(&lab), 0);
}

/* Its second C_Initialize in one process ends in descriptors closed that are others': a keyholder
 * that would need one leaves it to the next. */
Test(opencryptoki, a_module_that_is_lost_begins_anew_in_another_process)
{
    char extra[6 * LAB_PATH], plan[LAB_PATH + 8];
    (void)snprintf(plan, sizeof plan, "%s/plan", lab.dir);
    lab_write_file(plan, "# nothing\n");
    (void)snprintf(extra, sizeof extra,
                   "    environment: {MIKEYD_FAULT_REAL: \"%s\", MIKEYD_FAULT_PLAN: \"%s\"}\n",
                   lab.token.module, plan);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE, .token_extra = extra});
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    const pid_t first = lab_keyholder(&lab, 0);
    lab_write_file(plan, "C_Sign 1 rv 0x32\n");
    mikeyd_exchange *lost = NULL;
    (void)lab_initiate(client, &lost);
    mikeyd_exchange_free(lost);
    cr_assert(lab_file_gets(lab.log, "the module begins anew in another process only"));
    lab_write_file(plan, "# nothing\n");
    enum mikeyd_status status = MIKEYD_TOKEN_DOWN;
    for (int i = 0; i < 1500 && status != MIKEYD_OK; i++) {
        mikeyd_exchange *exchange = NULL;
        status = lab_initiate(client, &exchange);
        mikeyd_exchange_free(exchange);
        (void)usleep(20000);
    }
    cr_expect_eq(status, MIKEYD_OK);
    cr_expect_neq(lab_keyholder(&lab, 0), first);
    mikeyd_client_close(client);
}

/* It has no elliptic curves. */
Test(opencryptoki, its_audit_log_is_signed_by_rsa)
{
    char path[LAB_PATH + 8], command[2 * LAB_PATH];
    cr_expect_neq(
        lab_key(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "log", NULL}),
        0);
    expect_listed("--bits 3072");
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "audit", "--name", "log",
                                             "--bits", "3072", NULL});
    lab_key_must(&lab, (const char *const[]){"list", "--kind", "audit", NULL});
    expect_listed("  RSA ");
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    (void)snprintf(command, sizeof command,
                   "sed -i 's/file: audit.jsonl/&, sign: {key: log, records: 1}/' %s", lab.config);
    cr_assert_eq(system(command), 0);
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    (void)snprintf(path, sizeof path, "%s/key.pem", lab.dir);
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", lab.config,
                                                     "audit", "export-key", "--out", path, NULL}),
                 0);
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "audit", "verify", lab.audit,
                                                     "--public-key", path, NULL}),
                 0);
    expect_listed("covered up to record");
}

/* It loses 32 bytes of the secure heap with each HMAC: some hundred calls, and there is none left. */
Test(opencryptoki, a_keyholder_gives_way_to_its_successor_and_no_call_fails)
{
    const pid_t first = lab_keyholder(&lab, 0);
    lab_calls_begin(&lab);
    for (int i = 0; i < 1000 && lab_keyholder(&lab, 0) == first; i++)
        lab_calls_wait(20);
    cr_expect_neq(lab_keyholder(&lab, 0), first, "it was not replaced");
    lab_calls_end();
}
