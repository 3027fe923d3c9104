/* Clients of other hosts: a real gate, a real daemon, certificates of a real authority. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate_lab.h"

#define HOUR 3600L
#define STRONG "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define WEAK "TLS_AES_128_GCM_SHA256"

static struct gate_lab lab;
static struct gate gate;

static void start(void)
{
    gate_lab_make(&lab, NULL);
    gate_start(&lab, &gate);
}

static void stop(void)
{
    gate_lab_remove(&lab);
}

TestSuite(gate, .init = start, .fini = stop, .timeout = 120);

Test(gate, call_through_the_gate)
{
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert(gate_file_gets(lab.lab.audit, "\"client\":\"sbc\""));
    cr_assert_eq(WEXITSTATUS(gate_stop(&gate, SIGTERM)), 0);
}

Test(gate, ticket_of_one_gate_is_confirmed_at_another_once)
{
    struct gate other = {0};
    gate_start(&lab, &other);
    mikeyd_client *here = gate_client(&lab, &gate, "client");
    mikeyd_client *there = gate_client(&lab, &other, "client");
    mikeyd_exchange *initiated = NULL, *responded = NULL, *confirmed = NULL, *again = NULL;
    size_t message_len, reply_len, ticket_len;
    cr_assert_eq(lab_initiate(here, &initiated), MIKEYD_OK);
    const uint8_t *message = mikeyd_exchange_message(initiated, &message_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(initiated, &ticket_len);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message, .message_len = message_len};
    cr_assert_eq(mikeyd_respond(there, &answer, &responded), MIKEYD_OK);
    cr_assert_eq(mikeyd_respond(here, &answer, &again), MIKEYD_REPLAY);
    const uint8_t *reply = mikeyd_exchange_message(responded, &reply_len);
    cr_assert_eq(mikeyd_confirm(there, ticket, ticket_len, reply, reply_len, &confirmed),
                 MIKEYD_OK);
    cr_assert_eq(mikeyd_confirm(here, ticket, ticket_len, reply, reply_len, &again), MIKEYD_REPLAY);
    mikeyd_exchange_free(initiated);
    mikeyd_exchange_free(responded);
    mikeyd_exchange_free(confirmed);
    mikeyd_client_close(here);
    mikeyd_client_close(there);
}

Test(gate, mikeyctl_takes_the_address)
{
    const char *address = gate_address(&lab, &gate, "client");
    cr_assert_eq(lab_run(&lab.lab, (const char *const[]){MIKEYCTL_PROGRAM, "--connect", address,
                                                         "status", NULL}),
                 0);
    cr_assert_eq(
        lab_run(&lab.lab, (const char *const[]){MIKEYCTL_PROGRAM, "--connect", address, "exchange",
                                                "initiate", "--from", LAB_A, "--to", LAB_B, NULL}),
        0);
}

/* ---- who is let in */

Test(gate, certificate_of_another_authority_is_refused)
{
    struct pki other;
    pki_make(&other, lab.lab.dir, "other");
    (void)pki_issue(&other, "forged", "DNS:" GATE_CLIENT, -HOUR, HOUR);
    cr_assert_eq(gate_refuses(&lab, &gate, "forged", "unknown ca"), MIKEYD_UNREACHABLE);
    pki_free(&other);
}

Test(gate, expired_certificate_is_refused)
{
    (void)pki_issue(&lab.pki, "old", "DNS:" GATE_CLIENT, -2 * HOUR, -HOUR);
    cr_assert_eq(gate_refuses(&lab, &gate, "old", "expired"), MIKEYD_UNREACHABLE);
    (void)pki_issue(&lab.pki, "early", "DNS:" GATE_CLIENT, HOUR, 2 * HOUR);
    cr_assert_eq(gate_refuses(&lab, &gate, "early", "bad certificate"), MIKEYD_UNREACHABLE);
}

Test(gate, name_that_the_policy_does_not_have_gets_nothing)
{
    (void)pki_issue(&lab.pki, "stranger", "DNS:stranger.lab.example", -HOUR, HOUR);
    mikeyd_client *client = gate_client(&lab, &gate, "stranger");
    mikeyd_exchange *exchange = NULL;
    char *report = NULL;
    cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_NOT_ENTITLED);
    cr_assert_null(exchange);
    cr_assert_eq(mikeyd_client_status(client, false, &report), MIKEYD_NOT_ENTITLED);
    cr_assert_null(report);
    mikeyd_client_close(client);
    cr_assert(gate_file_gets(lab.lab.audit, "stranger.lab.example"));
}

Test(gate, certificate_with_no_or_two_names_is_refused)
{
    static const char *const names[] = {"DNS:" GATE_CLIENT ",DNS:b.lab.example",
                                        "URI:sip:a@x,URI:sip:b@x",
                                        "IP:127.0.0.1",
                                        "email:" GATE_CLIENT,
                                        "DNS:*.lab.example",
                                        NULL};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)pki_issue(&lab.pki, "odd", names[i], -HOUR, HOUR);
        cr_assert_eq(gate_refuses(&lab, &gate, "odd", "name"), MIKEYD_NOT_ENTITLED, "%s", names[i]);
    }
}

Test(gate, tls_1_2_is_refused)
{
    cr_assert_null(gate_handshake(&lab, &gate, TLS1_2_VERSION, NULL, "client"));
}

Test(gate, client_without_certificate_is_refused)
{
    /* In TLS 1.3 the client's side of the handshake ends before the gate has judged. */
    SSL *tls = gate_handshake(&lab, &gate, TLS1_3_VERSION, NULL, NULL);
    if (tls == NULL)
        return;
    cr_assert_eq(gate_read_response(tls, 30000, NULL), -1);
    gate_hang_up(tls);
}

Test(gate, gate_with_another_name_is_refused_by_the_client)
{
    char address[1024];
    mikeyd_client *client = NULL;
    (void)snprintf(address, sizeof address, "%s&name=%s", gate_address(&lab, &gate, "client"),
                   GATE_NAME);
    cr_assert_eq(mikeyd_client_open(address, &client), MIKEYD_OK, "%s", mikeyd_client_error(NULL));
    mikeyd_client_close(client);
    (void)snprintf(address, sizeof address, "%s&name=%s", gate_address(&lab, &gate, "client"),
                   "other.lab.example");
    cr_assert_eq(mikeyd_client_open(address, &client), MIKEYD_UNREACHABLE);
    cr_assert_not_null(strstr(mikeyd_client_error(NULL), "hostname mismatch"), "%s",
                       mikeyd_client_error(NULL));
}

/* ---- on behalf */

/* Over the Unix socket of the daemon, as this user. */
static int ask_on_behalf(const char *name)
{
    uint8_t frame[512];
    const size_t len = lab_frame_initiate(1, name, frame, sizeof frame);
    int fd = lab_connect(&lab.lab);
    cr_assert_eq(send(fd, frame, len, MSG_NOSIGNAL), (ssize_t)len);
    int status = lab_read_response(fd, 30000, NULL);
    (void)close(fd);
    return status;
}

Test(gate, nobody_else_asks_on_behalf_of_a_client)
{
    (void)lab_stop(&lab.lab, SIGTERM);
    gate_lab_configure(&lab, NULL, (unsigned)getuid() + 1);
    lab_start(&lab.lab);
    cr_assert_eq(ask_on_behalf(GATE_CLIENT), MIKEYD_NOT_ENTITLED);
    cr_assert(gate_file_gets(lab.lab.audit, "this client may not speak for another"));
    /* Nor does a gate that runs as this user. */
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_NOT_ENTITLED);
    mikeyd_client_close(client);
}

Test(gate, gate_that_does_not_say_how_a_client_is_connected_is_refused)
{
    cr_assert_eq(ask_on_behalf(GATE_CLIENT), MIKEYD_NOT_ENTITLED);
    cr_assert_eq(ask_on_behalf(NULL), MIKEYD_OK); /* this user is a client itself, too */
}

Test(gate, client_cannot_name_another_in_its_request)
{
    uint8_t frame[512];
    (void)pki_issue(&lab.pki, "stranger", "DNS:stranger.lab.example", -HOUR, HOUR);
    SSL *tls = gate_handshake(&lab, &gate, TLS1_3_VERSION, STRONG, "stranger");
    cr_assert_not_null(tls);
    cr_assert_eq(gate_read_response(tls, 30000, NULL), MIKEYD_OK);
    const size_t len = lab_frame_initiate(7, GATE_CLIENT, frame, sizeof frame);
    cr_assert_eq(SSL_write(tls, frame, (int)len), (int)len);
    uint64_t id = 0;
    cr_assert_eq(gate_read_response(tls, 30000, &id), MIKEYD_NOT_ENTITLED);
    cr_assert_eq(id, 7);
    gate_hang_up(tls);
}

/* ---- RFC 6043 12.1 */

static int initiate_by(const char *suites)
{
    uint8_t frame[512];
    SSL *tls = gate_handshake(&lab, &gate, TLS1_3_VERSION, suites, "client");
    cr_assert_not_null(tls);
    cr_assert_eq(gate_read_response(tls, 30000, NULL), MIKEYD_OK);
    const size_t len = lab_frame_initiate(1, NULL, frame, sizeof frame);
    cr_assert_eq(SSL_write(tls, frame, (int)len), (int)len);
    int status = gate_read_response(tls, 30000, NULL);
    gate_hang_up(tls);
    return status;
}

Test(gate, strong_keys_leave_by_strong_suites_only)
{
    /* The policy's suites have keys of 256 bits. */
    cr_assert_eq(initiate_by("TLS_AES_256_GCM_SHA384"), MIKEYD_OK);
    cr_assert_eq(initiate_by("TLS_CHACHA20_POLY1305_SHA256"), MIKEYD_OK);
    cr_assert_eq(initiate_by(WEAK), MIKEYD_POLICY);
    cr_assert(gate_file_gets(lab.lab.audit, "TLS suite of 128 bits"));
}

Test(gate, the_gate_chooses_the_stronger_suite)
{
    cr_assert_eq(initiate_by(WEAK ":" STRONG), MIKEYD_OK);
}

/* ---- several gates */

static const char *both(const struct gate *first, const struct gate *second)
{
    static char address[1100];
    const char *rest = strchr(gate_address(&lab, first, "client"), '?');
    (void)snprintf(address, sizeof address, "tls://127.0.0.1:%s,127.0.0.1:%s%s", first->port,
                   second->port, rest);
    return address;
}

Test(gate, client_moves_on_when_its_gate_is_killed)
{
    struct gate other = {0};
    mikeyd_client *client = NULL;
    gate_start(&lab, &other);
    cr_assert_eq(mikeyd_client_open(both(&gate, &other), &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    lab_exchange(client);
    (void)gate_stop(&gate, SIGKILL);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(mikeyd_client_open(both(&gate, &other), &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    lab_exchange(client);
    (void)gate_stop(&other, SIGKILL);
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_UNREACHABLE);
    mikeyd_client_close(client);
}

Test(gate, client_moves_on_from_a_gate_that_hangs)
{
    struct gate other = {0};
    mikeyd_client *client = NULL;
    mikeyd_exchange *exchange = NULL;
    gate_start(&lab, &other);
    cr_assert_eq(mikeyd_client_open(both(&gate, &other), &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    lab_exchange(client);
    cr_assert_eq(kill(gate.pid, SIGSTOP), 0);
    mikeyd_client_set_timeout(client, 500);
    cr_assert_eq(lab_initiate(client, &exchange), MIKEYD_UNREACHABLE);
    mikeyd_client_set_timeout(client, 0);
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(gate, client_moves_on_from_a_gate_without_daemon)
{
    struct gate other = {0};
    mikeyd_client *client = NULL;
    struct gate_lab alone = {0};
    gate_lab_make(&alone, NULL);
    gate_start(&alone, &other);
    (void)lab_stop(&alone.lab, SIGTERM);
    /* It is trusted like the first: one authority's certificate for both. */
    char command[5 * LAB_PATH];
    (void)snprintf(command, sizeof command, "cp %s/ca.pem %s/gate.crt %s/gate.key %s/", lab.lab.dir,
                   lab.lab.dir, lab.lab.dir, alone.lab.dir);
    cr_assert_eq(lab_run(&lab.lab, (const char *const[]){"sh", "-c", command, NULL}), 0);
    cr_assert_eq(kill(other.pid, SIGHUP), 0);
    cr_assert(gate_file_gets(other.log, "reloaded"));
    cr_assert_eq(gate_refuses(&lab, &other, "client", "does not reach its daemon"),
                 MIKEYD_UNREACHABLE);
    cr_assert_eq(mikeyd_client_open(both(&other, &gate), &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    lab_exchange(client);
    mikeyd_client_close(client);
    gate_lab_remove(&alone);
}

/* ---- configuration */

Test(gate, files_that_others_can_read_or_that_do_not_fit_are_refused)
{
    char path[LAB_PATH + 16];
    (void)snprintf(path, sizeof path, "%s/gate.key", lab.lab.dir);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_neq(gate_start_refused(&lab), 0);
    (void)pki_issue(&lab.pki, "client", "DNS:" GATE_CLIENT, -HOUR, HOUR);
    gate_lab_configure(&lab, "crl: missing.crl", 0);
    cr_assert_neq(gate_start_refused(&lab), 0);
}

/* ---- clients behind one gate take turns */

#define NOISY "noisy.lab.example"
#define MODEST "modest.lab.example"
enum { NOISY_CONNECTIONS = 5, NOISY_DEPTH = 48, BURSTS = 20, BURST = 6 };

static void send_frames(SSL *tls, unsigned count)
{
    uint8_t frame[512];
    for (unsigned i = 0; i < count; i++) {
        const size_t len = lab_frame_initiate(i + 1, NULL, frame, sizeof frame);
        if (SSL_write(tls, frame, (int)len) != (int)len)
            _exit(1);
    }
}

/* Until it is killed: many connections with more requests each than the daemon has room for. */
static void make_noise(void)
{
    SSL *tls[NOISY_CONNECTIONS];
    for (int i = 0; i < NOISY_CONNECTIONS; i++) {
        tls[i] = gate_handshake(&lab, &gate, TLS1_3_VERSION, NULL, "noisy");
        if (tls[i] == NULL)
            _exit(1);
        send_frames(tls[i], NOISY_DEPTH);
    }
    for (int i = 0;; i = (i + 1) % NOISY_CONNECTIONS) {
        if (gate_read_response(tls[i], 60000, NULL) < 0)
            _exit(1);
        send_frames(tls[i], 1);
    }
}

static void serve_two_clients_with_little_room(void)
{
    lab_write_policy(&lab.lab, "  - {name: noisy, tls_san: " NOISY ", acts_as: [\"" LAB_A
                               "\"], may: [initiate]}\n"
                               "  - {name: modest, tls_san: " MODEST ", acts_as: [\"" LAB_A
                               "\"], may: [initiate]}\n");
    cr_assert_eq(lab_stop(&lab.lab, SIGTERM), 0);
    FILE *config = fopen(lab.lab.config, "a");
    cr_assert_not_null(config);
    cr_assert_gt(fputs("workers: 1\nqueue: 16\n", config), 0);
    cr_assert_eq(fclose(config), 0);
    lab_start(&lab.lab);
    (void)pki_issue(&lab.pki, "noisy", "DNS:" NOISY, -HOUR, HOUR);
    (void)pki_issue(&lab.pki, "modest", "DNS:" MODEST, -HOUR, HOUR);
}

Test(gate, a_noisy_client_does_not_take_the_room_of_another_behind_the_same_gate)
{
    serve_two_clients_with_little_room();
    pid_t noisy = fork();
    if (noisy == 0)
        make_noise();
    cr_assert(gate_file_gets(lab.lab.audit, "\"result\":\"OVERLOADED\""));
    SSL *modest = gate_handshake(&lab, &gate, TLS1_3_VERSION, NULL, "modest");
    cr_assert_not_null(modest);
    for (int burst = 0; burst < BURSTS; burst++) {
        send_frames(modest, BURST);
        for (int i = 0; i < BURST; i++)
            cr_expect_eq(gate_read_response(modest, 60000, NULL), MIKEYD_OK);
    }
    gate_hang_up(modest);
    cr_expect_eq(waitpid(noisy, NULL, WNOHANG), 0, "it was noisy to the end");
    (void)kill(noisy, SIGKILL);
    (void)waitpid(noisy, NULL, 0);
}
