/* A gate whose private key is in a token: SoftHSM, through libp11. */
#include <criterion/criterion.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "gate_lab.h"

#define HOUR 3600L

static struct gate_lab lab;
static struct gate gate;

static void stop(void)
{
    gate_lab_remove(&lab);
}

TestSuite(gate_token, .fini = stop, .timeout = 120);

static void tool(const char *const more[])
{
    const char *argv[24] = {"pkcs11-tool", "--module", lab.lab.token.module, "--token-label", "lab",
                            "--login",     "--pin",    lab.lab.token.pin};
    for (size_t i = 0; more[i] != NULL; i++)
        argv[8 + i] = more[i];
    cr_assert_eq(lab_run(&lab.lab, argv), 0);
}

/* The pair is made in the token; its public half gets the certificate "gate". */
static void start(const char *object)
{
    static char key[512];
    char path[LAB_PATH + 16];
    gate_lab_make(&lab, NULL);
    tool((const char *const[]){"--keypairgen", "--key-type", "EC:prime256v1", "--label", "gate",
                               "--id", "77", NULL});
    (void)snprintf(path, sizeof path, "%s/gate.der", lab.lab.dir);
    tool((const char *const[]){"--read-object", "--type", "pubkey", "--label", "gate",
                               "--output-file", path, NULL});
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    EVP_PKEY *public_key = d2i_PUBKEY_fp(file, NULL);
    (void)fclose(file);
    cr_assert_not_null(public_key);
    (void)pki_issue_for(&lab.pki, public_key, "gate", "IP:127.0.0.1", -HOUR, HOUR);
    EVP_PKEY_free(public_key);
    (void)snprintf(key, sizeof key, "\"%s;%s\", module: %s, pin_file: %s", lab.lab.token.uri,
                   object, lab.lab.token.module, lab.lab.token.pin_file);
    lab.key = key;
    gate_lab_configure(&lab, NULL, 0);
}

static void call(void)
{
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(gate_token, handshakes_are_signed_in_the_token_also_after_a_reload)
{
    start("object=gate;type=private");
    gate_start(&lab, &gate);
    call();
    cr_assert_eq(kill(gate.pid, SIGHUP), 0);
    cr_assert(gate_file_gets(gate.log, "reloaded"));
    call();
    const int status = gate_stop(&gate, SIGTERM);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", status);
}

Test(gate_token, uri_must_name_one_key_and_no_pin)
{
    start("object=other");
    cr_assert_eq(gate_start_refused(&lab), 1);
    char key[512];
    (void)snprintf(key, sizeof key, "\"%s\", module: %s, pin_file: %s", lab.lab.token.uri,
                   lab.lab.token.module, lab.lab.token.pin_file);
    lab.key = key;
    gate_lab_configure(&lab, NULL, 0);
    cr_assert_eq(gate_start_refused(&lab), 1);
    (void)snprintf(key, sizeof key, "\"%s;id=%%77?pin-value=1234\", module: %s, pin_file: %s",
                   lab.lab.token.uri, lab.lab.token.module, lab.lab.token.pin_file);
    gate_lab_configure(&lab, NULL, 0);
    cr_assert_eq(gate_start_refused(&lab), 1);
}

Test(gate_token, refused_pin_has_an_exit_status_of_its_own)
{
    start("id=%77");
    lab_write_file(lab.lab.token.pin_file, "no-such-pin\n");
    cr_assert_eq(gate_start_refused(&lab), 7);
}
