/* Clients without certificates: a pre-shared key each, imported (RFC 9258). */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gate_lab.h"

#define HOUR 3600L
#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f"
#define BOTH "# clients\npsk-a:" KEY_A "\npsk-b:" KEY_B "\nsbc:" KEY_A "11\n"

static struct gate_lab lab;
static struct gate gate;

static const char *put(const char *name, const char *text)
{
    static char path[LAB_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s", lab.lab.dir, name);
    lab_write_file(path, text);
    cr_assert_eq(chmod(path, 0600), 0);
    return path;
}

/* With certificates beside the keys, or without any. */
static void start(bool certificates)
{
    lab.no_certificates = !certificates;
    gate_lab_make(&lab, "psk_file: clients.psk");
    (void)put("clients.psk", BOTH);
    gate_start(&lab, &gate);
}

static void stop(void)
{
    gate_lab_remove(&lab);
}

TestSuite(gate_psk, .fini = stop, .timeout = 120);

/* own: the client's file. */
static enum mikeyd_status enter(const char *own, mikeyd_client **client)
{
    char address[512];
    const char *path = put("own.psk", own);
    (void)snprintf(address, sizeof address, "tls://127.0.0.1:%s?psk=%s", gate.port, path);
    *client = NULL;
    return mikeyd_client_open(address, client);
}

static void call(const char *own)
{
    mikeyd_client *client;
    cr_assert_eq(enter(own, &client), MIKEYD_OK, "%s", mikeyd_client_error(NULL));
    lab_exchange(client);
    mikeyd_client_close(client);
}

static void refused(const char *own, enum mikeyd_status wanted)
{
    mikeyd_client *client;
    cr_assert_eq(enter(own, &client), wanted, "%s", mikeyd_client_error(NULL));
    cr_assert_null(client);
}

Test(gate_psk, call_without_any_certificate)
{
    start(false);
    call("psk-a:" KEY_A "\n");
    call("psk-b:" KEY_B "\n");
    cr_assert(gate_file_gets(lab.lab.audit, "\"client\":\"psk-a\""));
    cr_assert(gate_file_gets(lab.lab.audit, "\"client\":\"psk-b\""));
}

Test(gate_psk, keys_and_certificates_serve_side_by_side)
{
    start(true);
    call("psk-a:" KEY_A "\n");
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(gate_psk, key_of_one_client_does_not_open_as_another)
{
    start(false);
    refused("psk-a:" KEY_B "\n", MIKEYD_UNREACHABLE);
    refused("psk-b:" KEY_A "\n", MIKEYD_UNREACHABLE);
    refused("psk-c:" KEY_A "\n", MIKEYD_UNREACHABLE);
    call("psk-b:" KEY_B "\n");
}

Test(gate_psk, unknown_key_is_no_way_past_the_certificate)
{
    start(true);
    refused("psk-c:" KEY_A "\n", MIKEYD_UNREACHABLE);
    refused("psk-a:" KEY_B "\n", MIKEYD_UNREACHABLE);
}

static enum mikeyd_status initiate(mikeyd_client *client)
{
    mikeyd_exchange *exchange = NULL;
    enum mikeyd_status status = lab_initiate(client, &exchange);
    mikeyd_exchange_free(exchange);
    mikeyd_client_close(client);
    return status;
}

Test(gate_psk, client_that_the_policy_knows_otherwise_gets_nothing_by_a_key)
{
    mikeyd_client *client;
    start(true);
    /* In the gate's list, but the policy knows it by its certificate alone. */
    cr_assert_eq(enter("sbc:" KEY_A "11\n", &client), MIKEYD_OK);
    cr_assert_eq(initiate(client), MIKEYD_NOT_ENTITLED);
    /* A certificate with a key's name is not that key's client. */
    (void)pki_issue(&lab.pki, "psk-a", "DNS:psk-a", -HOUR, HOUR);
    cr_assert_eq(initiate(gate_client(&lab, &gate, "psk-a")), MIKEYD_NOT_ENTITLED);
}

Test(gate_psk, names_of_keys_and_of_certificates_are_counted_apart)
{
    mikeyd_client *by_key;
    lab.no_certificates = false;
    gate_lab_make(&lab, "psk_file: clients.psk, limits: {connections_per_client: 1}");
    (void)put("clients.psk", BOTH);
    (void)pki_issue(&lab.pki, "psk-a", "DNS:psk-a", -HOUR, HOUR);
    gate_start(&lab, &gate);
    cr_assert_eq(enter("psk-a:" KEY_A "\n", &by_key), MIKEYD_OK);
    mikeyd_client *by_certificate = gate_client(&lab, &gate, "psk-a");
    mikeyd_client_close(by_key);
    mikeyd_client_close(by_certificate);
}

Test(gate_psk, reload_ends_connections_of_keys_that_have_gone)
{
    mikeyd_client *a, *b;
    char *report = NULL;
    start(false);
    cr_assert_eq(enter("psk-a:" KEY_A "\n", &a), MIKEYD_OK);
    cr_assert_eq(enter("psk-b:" KEY_B "\n", &b), MIKEYD_OK);
    (void)put("clients.psk", "psk-b:" KEY_B "\npsk-a:" KEY_A "22\n");
    cr_assert_eq(kill(gate.pid, SIGHUP), 0);
    cr_assert(gate_file_gets(gate.log, "reloaded"));
    cr_assert_eq(lab_count_in_file(gate.log, "psk-a at 127.0.0.1"), 1);
    cr_assert_eq(lab_count_in_file(gate.log, "psk-b at 127.0.0.1"), 0);
    lab_exchange(b);
    mikeyd_client_close(b);
    /* Its file has the old key: the next call connects anew, and is refused. */
    (void)put("own.psk", "psk-a:" KEY_A "\n");
    cr_assert_eq(mikeyd_client_status(a, false, &report), MIKEYD_UNREACHABLE);
    mikeyd_client_close(a);
}

Test(gate_psk, list_that_breaks_a_rule_is_no_list)
{
    lab.no_certificates = true;
    gate_lab_make(&lab, "psk_file: clients.psk");
    (void)put("clients.psk", "psk-a:" KEY_A "\npsk-b:" KEY_A "\n");
    cr_assert_neq(gate_start_refused(&lab), 0);
    (void)put("clients.psk", "psk-a:0011\n");
    cr_assert_neq(gate_start_refused(&lab), 0);
    (void)put("clients.psk", BOTH);
    gate_start(&lab, &gate);
}
