/* Reload, revocation, bounds and the sandbox of a gate. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gate_lab.h"
#include "rpc/frame.h"

#define HOUR 3600L
#define SUITE "TLS_AES_256_GCM_SHA384"
#define LONG_MS 30000

static struct gate_lab lab;
static struct gate gate;

static void start(const char *settings)
{
    gate_lab_make(&lab, settings);
    gate_start(&lab, &gate);
}

static void stop(void)
{
    gate_lab_remove(&lab);
}

TestSuite(gate_life, .fini = stop, .timeout = 120);

/* A greeted connection without libmikeyd. */
static SSL *enter(const char *name)
{
    SSL *tls = gate_handshake(&lab, &gate, TLS1_3_VERSION, SUITE, name);
    cr_assert_not_null(tls);
    cr_assert_eq(gate_read_response(tls, LONG_MS, NULL), MIKEYD_OK);
    return tls;
}

static void send_status(SSL *tls, uint64_t id)
{
    uint8_t frame[64];
    const int len = (int)lab_frame_status(id, frame, sizeof frame);
    cr_assert_eq(SSL_write(tls, frame, len), len);
}

static void ask(SSL *tls)
{
    uint64_t id = 0;
    send_status(tls, 77);
    cr_assert_eq(gate_read_response(tls, LONG_MS, &id), MIKEYD_OK);
    cr_assert_eq(id, 77);
}

static long serial_of_gate(SSL *tls)
{
    X509 *certificate = SSL_get1_peer_certificate(tls);
    cr_assert_not_null(certificate);
    const long serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
    X509_free(certificate);
    return serial;
}

static void reload(const char *outcome)
{
    cr_assert_eq(kill(gate.pid, SIGHUP), 0);
    cr_assert(gate_file_gets(gate.log, outcome));
}

/* ---- reload */

Test(gate_life, reload_keeps_connections_and_renews_the_certificate)
{
    start(NULL);
    SSL *before = enter("client");
    cr_assert_eq(serial_of_gate(before), lab.gate_serial);
    const long renewed = pki_issue(&lab.pki, "gate", "IP:127.0.0.1", -HOUR, HOUR);
    reload("reloaded");
    ask(before);
    SSL *after = enter("client");
    cr_assert_eq(serial_of_gate(after), renewed);
    ask(after);
    ask(before);
    gate_hang_up(before);
    gate_hang_up(after);
}

Test(gate_life, reload_of_a_broken_file_changes_nothing)
{
    char path[LAB_PATH + 16];
    start(NULL);
    SSL *before = enter("client");
    (void)snprintf(path, sizeof path, "%s/gate.crt", lab.lab.dir);
    lab_write_file(path, "no certificate\n");
    reload("reload refused");
    ask(before);
    SSL *after = enter("client");
    cr_assert_eq(serial_of_gate(after), lab.gate_serial);
    gate_hang_up(before);
    gate_hang_up(after);
}

/* ---- revocation */

Test(gate_life, revoked_client_is_refused_and_its_open_connection_ends)
{
    start("crl: ca.crl");
    const long stolen = pki_issue(&lab.pki, "stolen", "URI:sip:sbc@lab.example", -HOUR, HOUR);
    SSL *thief = enter("stolen");
    SSL *honest = enter("client");
    pki_revoke(&lab.pki, stolen);
    pki_write_list(&lab.pki, HOUR);
    reload("reloaded");
    cr_assert(gate_closes(SSL_get_fd(thief), LONG_MS));
    ask(honest);
    cr_assert_eq(gate_refuses(&lab, &gate, "stolen", "revoked"), MIKEYD_UNREACHABLE);
    gate_hang_up(thief);
    gate_hang_up(honest);
}

Test(gate_life, list_that_is_too_old_refuses_everybody)
{
    start("crl: ca.crl");
    mikeyd_client_close(gate_client(&lab, &gate, "client"));
    pki_write_list(&lab.pki, -60);
    reload("reloaded");
    cr_assert_eq(gate_refuses(&lab, &gate, "client", ""), MIKEYD_UNREACHABLE);
    pki_write_list(&lab.pki, HOUR);
    cr_assert_eq(kill(gate.pid, SIGHUP), 0);
    for (int i = 0; i < 1500 && lab_count_in_file(gate.log, "reloaded") < 2; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    mikeyd_client_close(gate_client(&lab, &gate, "client"));
}

Test(gate_life, connection_ends_when_its_certificate_does)
{
    start(NULL);
    (void)pki_issue(&lab.pki, "short", "DNS:" GATE_CLIENT, -HOUR, 6);
    SSL *tls = enter("short");
    cr_assert(gate_closes(SSL_get_fd(tls), LONG_MS));
    cr_assert(gate_file_gets(gate.log, "its certificate has expired"));
    gate_hang_up(tls);
}

/* ---- bounds */

Test(gate_life, client_has_so_many_connections)
{
    start("limits: {connections_per_client: 2}");
    (void)pki_issue(&lab.pki, "other", "DNS:other.lab.example", -HOUR, HOUR);
    SSL *first = enter("client"), *second = enter("client");
    cr_assert_eq(gate_refuses(&lab, &gate, "client", "too many connections"), MIKEYD_OVERLOADED);
    SSL *other = enter("other");
    gate_hang_up(first);
    /* The gate hears of it a moment later. */
    mikeyd_client *client = NULL;
    for (int i = 0; i < 1500 && client == NULL; i++) {
        if (mikeyd_client_open(gate_address(&lab, &gate, "client"), &client) != MIKEYD_OK)
            (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    cr_assert_not_null(client);
    mikeyd_client_close(client);
    gate_hang_up(second);
    gate_hang_up(other);
}

Test(gate_life, all_clients_have_so_many_connections)
{
    start("limits: {connections: 2}");
    (void)pki_issue(&lab.pki, "other", "DNS:other.lab.example", -HOUR, HOUR);
    SSL *first = enter("client"), *second = enter("other");
    cr_assert_eq(gate_refuses(&lab, &gate, "client", "too many connections"), MIKEYD_OVERLOADED);
    gate_hang_up(first);
    gate_hang_up(second);
}

/* From another address of this host. */
static int connect_from(const char *address)
{
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(gate.port)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

Test(gate_life, host_that_never_shakes_hands_keeps_nobody_out)
{
    start("limits: {handshakes_per_address: 4, handshake: 60s}");
    int fds[5];
    for (size_t i = 0; i < 5; i++)
        fds[i] = connect_from("127.0.0.2");
    cr_assert(gate_closes(fds[4], LONG_MS));
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    lab_exchange(client);
    mikeyd_client_close(client);
    for (size_t i = 0; i < 5; i++)
        (void)close(fds[i]);
}

Test(gate_life, handshake_byte_by_byte_has_an_end)
{
    start("limits: {handshake: 300ms}");
    /* The head of a handshake record of 512 bytes, and then a byte at a time. */
    static const uint8_t head[] = {22, 3, 1, 2, 0};
    int fd = connect_from("127.0.0.2");
    cr_assert_eq(send(fd, head, sizeof head, MSG_NOSIGNAL), (ssize_t)sizeof head);
    bool closed = false;
    for (int i = 0; i < 600 && !closed; i++) {
        closed = send(fd, "\1", i == 0 ? 1 : 0, MSG_NOSIGNAL) < 0 || gate_closes(fd, 50);
    }
    cr_assert(closed);
    cr_assert(gate_file_gets(gate.log, "its handshake takes too long"));
    (void)close(fd);
}

Test(gate_life, half_a_request_has_an_end)
{
    uint8_t frame[64];
    start("limits: {stall: 300ms}");
    SSL *tls = enter("client");
    const int len = (int)lab_frame_status(1, frame, sizeof frame);
    cr_assert_eq(SSL_write(tls, frame, len - 1), len - 1);
    cr_assert(gate_closes(SSL_get_fd(tls), LONG_MS));
    cr_assert(gate_file_gets(gate.log, "a half-sent frame was not finished"));
    gate_hang_up(tls);
}

/* The same request so often that all buffers on the way are full of answers; or until no more is
 * taken. */
static void ask_without_reading(SSL *tls)
{
    cr_assert_eq(fcntl(SSL_get_fd(tls), F_SETFL, O_NONBLOCK), 0);
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    static uint8_t frames[1000 * 64];
    const int len = (int)lab_frame_status(1, frames, 64);
    for (int i = 1; i < 1000; i++)
        memcpy(frames + (ptrdiff_t)i * len, frames, (size_t)len);
    int refused = 0;
    for (int at = 0, sent = 0; sent < 100 * 1000 * 1000 && refused < 100;) {
        const int taken = SSL_write(tls, frames + at, 1000 * len - at);
        if (taken > 0) {
            sent += taken;
            at = (at + taken) % (1000 * len);
            refused = 0;
            continue;
        }
        refused++;
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    cr_assert_eq(refused, 100, "more was taken than any buffer holds");
}

Test(gate_life, answers_that_are_not_read_have_an_end)
{
    start("limits: {stall: 300ms, in_flight_per_client: 100000, in_flight: 100000}");
    SSL *tls = enter("client");
    ask_without_reading(tls);
    cr_assert(gate_file_gets(gate.log, "answers were not read"));
    gate_hang_up(tls);
}

Test(gate_life, own_answers_that_are_not_read_are_bounded)
{
    start("limits: {stall: 60s, in_flight_per_client: 1}"); /* it is not waiting that ends them */
    SSL *tls = enter("client");
    ask(tls); /* the daemon has taken the connection */
    cr_assert_eq(kill(lab_front(&lab.lab), SIGSTOP), 0);
    ask_without_reading(tls); /* but for the first all are over the bound */
    cr_assert_eq(kill(lab_front(&lab.lab), SIGCONT), 0);
    cr_assert_eq(lab_count_in_file(gate.log, "answers were not read"), 0);
    gate_hang_up(tls);
}

Test(gate_life, own_answers_that_are_not_read_have_an_end)
{
    start("limits: {stall: 300ms, in_flight_per_client: 1}");
    SSL *tls = enter("client");
    ask(tls); /* the daemon has taken the connection */
    cr_assert_eq(kill(lab_front(&lab.lab), SIGSTOP), 0);
    ask_without_reading(tls); /* but for the first all are over the bound */
    const bool closed = gate_file_gets(gate.log, "answers were not read");
    cr_assert_eq(kill(lab_front(&lab.lab), SIGCONT), 0);
    cr_assert(closed);
    gate_hang_up(tls);
}

Test(gate_life, idle_connection_ends_and_the_client_connects_anew)
{
    start("limits: {idle: 1s}");
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    lab_exchange(client);
    SSL *tls = enter("client");
    cr_assert(gate_closes(SSL_get_fd(tls), LONG_MS)); /* it came last, so both have ended */
    lab_exchange(client);
    mikeyd_client_close(client);
    gate_hang_up(tls);
}

Test(gate_life, requests_above_the_bound_are_told_so_at_once)
{
    start("limits: {in_flight_per_client: 2}");
    SSL *tls = enter("client");
    ask(tls); /* the daemon has taken the connection */
    cr_assert_eq(kill(lab_front(&lab.lab), SIGSTOP), 0);
    for (uint64_t id = 1; id <= 3; id++)
        send_status(tls, id);
    uint64_t id = 0;
    cr_assert_eq(gate_read_response(tls, LONG_MS, &id), MIKEYD_OVERLOADED);
    cr_assert_eq(id, 3);
    cr_assert_eq(kill(lab_front(&lab.lab), SIGCONT), 0);
    cr_assert_eq(gate_read_response(tls, LONG_MS, &id), MIKEYD_OK);
    cr_assert_eq(gate_read_response(tls, LONG_MS, &id), MIKEYD_OK);
    ask(tls);
    gate_hang_up(tls);
}

Test(gate_life, frames_that_are_too_long_or_none_end_the_connection)
{
    static const uint8_t too_long[] = {0, 0, 4, 1}, empty[] = {0, 0, 0, 0};
    static const uint8_t garbage[] = {0, 0, 0, 2, 0xff, 0xff};
    const struct {
        const uint8_t *bytes;
        int len;
    } frames[] = {{too_long, sizeof too_long}, {empty, sizeof empty}, {garbage, sizeof garbage}};
    start("limits: {frame: 1024, stall: 60s}"); /* it is not waiting that ends them */
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        SSL *tls = enter("client");
        cr_assert_eq(SSL_write(tls, frames[i].bytes, frames[i].len), frames[i].len);
        cr_assert(gate_closes(SSL_get_fd(tls), LONG_MS));
        gate_hang_up(tls);
    }
}

/* ---- the end, and what it may */

Test(gate_life, stop_waits_for_answers_in_flight)
{
    start("limits: {in_flight_per_client: 1}");
    SSL *tls = enter("client");
    ask(tls);
    cr_assert_eq(kill(lab_front(&lab.lab), SIGSTOP), 0);
    send_status(tls, 9);
    send_status(tls, 10); /* over the bound: its answer tells that the first is on its way */
    uint64_t id = 0;
    cr_assert_eq(gate_read_response(tls, LONG_MS, &id), MIKEYD_OVERLOADED);
    cr_assert_eq(kill(gate.pid, SIGTERM), 0);
    cr_assert(gate_file_gets(gate.log, "stopping"));
    cr_assert_eq(kill(lab_front(&lab.lab), SIGCONT), 0);
    cr_assert_eq(gate_read_response(tls, LONG_MS, &id), MIKEYD_OK);
    cr_assert_eq(id, 9);
    int status = 0;
    cr_assert_eq(waitpid(gate.pid, &status, 0), gate.pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    gate_hang_up(tls);
}

Test(gate_life, gate_is_in_its_sandbox)
{
#ifdef MIKEYD_SANITIZED
    cr_skip_test("the sanitizer's runtime cannot live in it");
#endif
    char status[64];
    start(NULL);
    (void)snprintf(status, sizeof status, "/proc/%d/status", (int)gate.pid);
    cr_assert_eq(lab_count_in_file(status, "Seccomp:\t2"), 1);
    cr_assert_eq(lab_count_in_file(status, "NoNewPrivs:\t1"), 1);
    cr_assert_eq(lab_count_in_file(status, "CapEff:\t0000000000000000\n"), 1);
    mikeyd_client *client = gate_client(&lab, &gate, "client");
    lab_exchange(client);
    mikeyd_client_close(client);
}
