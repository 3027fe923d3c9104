/* mikeyctl key check on the keys of a laboratory that serves calls: nothing to find, until there
 * is.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;

/* A pair key of an EPSK one way, a PSK the other. */
static void write_policy(void)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256}\n"
                   "keys:\n"
                   "  - {name: core, kind: epsk, generation: 1}\n"
                   "  - {name: pbx, kind: psk, generation: 1}\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "pairs:\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: core}\n"
                   "  - {initiator: \"" LAB_B "\", responder: \"" LAB_A "\", key: pbx}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n",
                   (unsigned)getuid());
    lab_write_file(lab.policy, text);
}

static void make_lab(void)
{
    lab_make(&lab, NULL);
    write_policy();
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "epsk", "--name", "core", NULL});
    if (!lab_token_derives(&lab.token))
        lab_key_must(&lab, (const char *const[]){"derive", "--name", "core", NULL});
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(key_check, .init = make_lab, .fini = remove_lab, .timeout = 60);

/* By the configuration of the ceremony, or the daemon's. */
static void expect_check(const char *config, int expected, const char *said)
{
    char path[LAB_PATH + 8];
    int status = lab_run(
        &lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", config, "key", "check", NULL});
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *output = lab_read_file(path);
    cr_expect_eq(status, expected, "exit status %d: %s", status, output);
    cr_expect_not_null(strstr(output, said), "%s", output);
    free(output);
}

Test(key_check, is_clean_after_a_call)
{
    expect_check(lab.ceremony, 0, "\nclean\n");
    expect_check(lab.config, 0, "\nclean\n");
}

Test(key_check, finds_a_key_that_is_missing)
{
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "pbx",
                                             "--generation", "1", "--yes", NULL});
    expect_check(lab.ceremony, 3, "TOKEN-MISSING");
    expect_check(lab.config, 3, "TOKEN-MISSING");
}
