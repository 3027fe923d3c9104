/* The program: how mikeyd starts a keyholder, what it hears from it, and how it ends. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "lab.h"
#include "support/fault_control.h"
#include "support/memory_scan.h"

static struct lab lab; /* its token, and its door; the keyholder is another process */
static struct door_answer answer;
static pid_t child;
static int monitor;
static struct fault_control faults;

static void stop(void)
{
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    lab_close(&lab);
    fault_control_end(&faults);
}
TestSuite(keyholder_program, .fini = stop, .timeout = 120);

static void write_config(const char *uri, const char *pin_file)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/mikeyd.yaml", lab.fixture.dir);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    (void)fprintf(file,
                  "tokens:\n  - module: %s\n    uri: \"%s\"\n    pin_file: %s\n    sessions: 3\n"
                  "    init_args: \"%s\"\n"
                  "    call_timeout: %us\n"
                  "policy: policy.yaml\nlisten: [{unix: mikeyd.sock}]\nreplay: {lmdb: replay}\n"
                  "audit: {file: audit.jsonl}\nsandbox: {writable: [%s]}\n",
                  lab.config.module, uri, pin_file, lab.fixture.init_args,
                  lab.config.call_timeout_ms / 1000, lab.fixture.dir);
    cr_assert_eq(fclose(file), 0);
}

/* In the child: nothing but what exec needs. */
static void become_keyholder(int monitor_end, int control_end)
{
    char config[128];
    (void)snprintf(config, sizeof config, "%s/mikeyd.yaml", lab.fixture.dir);
    /* Out of the way of 3 and 4 first. */
    const int a = fcntl(monitor_end, F_DUPFD, 20), b = fcntl(control_end, F_DUPFD, 20);
    (void)dup2(a, 3);
    (void)dup2(b, 4);
    for (int fd = 5; fd < 64; fd++)
        (void)close(fd);
    (void)execl(KEYHOLDER_PROGRAM, KEYHOLDER_PROGRAM, "--config", config, "--token", "0",
                (char *)NULL);
    _exit(99);
}

static void start(void)
{
    int to_monitor[2], control[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, to_monitor), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        become_keyholder(to_monitor[1], control[1]);
    (void)close(to_monitor[1]);
    (void)close(control[1]);
    monitor = to_monitor[0];
    lab.control = control[0];
}

/* What it says to the monitor. */
static size_t hear(uint8_t *message, size_t cap)
{
    size_t len = 0;
    struct error err = {0};
    cr_assert_eq(door_receive(monitor, 20000, message, cap, &len, &err), MIKEYD_OK, "%s", err.text);
    return len;
}

static int exit_status_of_child(void)
{
    int status = 0;
    const int64_t until_ms = clock_monotonic_ms() + 20000;
    while (waitpid(child, &status, WNOHANG) == 0 && clock_monotonic_ms() < until_ms)
        (void)usleep(10000);
    child = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void start_made(void)
{
    uint8_t message[300];
    write_config(lab.fixture.uri, lab.fixture.pin_file);
    start();
    cr_assert_eq(hear(message, sizeof message), 1);
    cr_assert_eq(message[0], 1);
    lab.door = lab_connect(&lab);
}

static void start_well(void)
{
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    start_made();
}

static void assert_serves(void)
{
    struct lab_host host;
    uint8_t covered[2048], mac[32];
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    (void)lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    lab_host_close(&host);
    cr_assert_arr_eq(answer.seal.mac, mac, 32);
}

Test(keyholder_program, it_says_that_it_is_ready_serves_and_ends_with_the_front)
{
    const struct door_request rescan = {.op = DOOR_RESCAN}, health = {.op = DOOR_HEALTH};
    start_well();
    assert_serves();
    cr_assert_eq(lab_ask(&lab, &rescan, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(lab_ask(&lab, &health, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_gt(lab_facts(&lab).rss_kb, 1000);
    (void)close(lab.control);
    (void)usleep(200000);
    assert_serves();
    (void)close(lab.door);
    cr_assert_eq(exit_status_of_child(), 0);
}

Test(keyholder_program, signals_of_a_terminal_do_not_end_it)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    start_well();
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(kill(child, signals[i]), 0);
    (void)usleep(200000);
    assert_serves();
}

Test(keyholder_program, it_ends_when_the_monitor_is_gone_and_nothing_is_left_to_answer)
{
    start_well();
    (void)close(monitor);
    (void)usleep(200000);
    assert_serves();
    (void)close(lab.door);
    cr_assert_eq(exit_status_of_child(), 0);
}

static void assert_fails(enum mikeyd_status status, int exit_status, const char *word)
{
    uint8_t message[300] = {0};
    start();
    const size_t len = hear(message, sizeof message - 1);
    struct byte_reader r = reader_of(message, len);
    cr_assert_eq(reader_u8(&r), 2);
    cr_assert_eq(reader_u16(&r), status);
    cr_assert_not_null(strstr((char *)message + 3, word), "%s", (char *)message + 3);
    cr_assert_eq(exit_status_of_child(), exit_status);
}

Test(keyholder_program, a_token_that_is_not_there_is_told_and_ends_it)
{
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    write_config("pkcs11:token=nowhere", lab.fixture.pin_file);
    assert_fails(MIKEYD_TOKEN_DOWN, 4, "matches the URI");
}

Test(keyholder_program, a_refused_pin_has_an_exit_status_of_its_own)
{
    char path[128];
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    (void)snprintf(path, sizeof path, "%s/wrong-pin", lab.fixture.dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, "not the PIN\n", 12), 12);
    (void)close(fd);
    write_config(lab.fixture.uri, path);
    assert_fails(MIKEYD_PIN_REFUSED, 7, "PIN");
}

Test(keyholder_program, only_mikeyd_starts_it)
{
    char command[300];
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    write_config(lab.fixture.uri, lab.fixture.pin_file);
    (void)snprintf(command, sizeof command,
                   "%s --config %s/mikeyd.yaml --token 0 2>%s/err 3</dev/null 4</dev/null",
                   KEYHOLDER_PROGRAM, lab.fixture.dir, lab.fixture.dir);
    int status = system(command);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 1);
}

/* ---- what stays in its memory */

static void make_faulty(void)
{
    lab_make(&lab, lab_token_of_run(LAB_SIGNS));
    lab.config.module = FAULT_MODULE;
    fault_control_make(&faults, lab.fixture.dir, "program");
    fault_control_export(&faults, lab.fixture.module);
}

static void plan(const char *text)
{
    fault_control_plan(&faults, text);
}

struct message_secrets {
    struct mikey_message_keys keys;
    uint8_t day_key[32];
    struct memory_pattern pattern[5];
};

static void know_secrets(struct message_secrets *secrets)
{
    struct lab_host host;
    const struct mikey_derivation what = lab_derivation(MIKEY_ALGORITHMS_256, true);
    const struct door_request request = {
        .op = DOOR_TICKET_KEY_OF_DAY, .ticket = {.name = "tickets", .generation = 1, .day = 20000}};
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    cr_assert_eq(host.port.psk.ops->derive(&host.port.psk, &what, host.port.keys, NULL), MIKEYD_OK);
    secrets->keys = *host.port.keys;
    host.port.psk.ops->release(&host.port.psk, host.port.keys);
    lab_host_close(&host);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    memcpy(secrets->day_key, answer.bytes.data, sizeof secrets->day_key);
    secrets->pattern[0] = (struct memory_pattern){"key data", lab_key_data, sizeof lab_key_data, 0};
    secrets->pattern[1] = (struct memory_pattern){"encryption key", secrets->keys.encr, 32, 0};
    secrets->pattern[2] = (struct memory_pattern){"salting key", secrets->keys.salt, 14, 0};
    secrets->pattern[3] = (struct memory_pattern){"authentication key", secrets->keys.auth, 32, 0};
    secrets->pattern[4] = (struct memory_pattern){"ticket key", secrets->day_key, 32, 0};
}

static void scan(struct message_secrets *secrets)
{
    for (size_t i = 0; i < 5; i++)
        secrets->pattern[i].hits = 0;
    cr_assert_gt(memory_scan(child, secrets->pattern, 5, NULL), 0);
}

/* Key data in clear leave by the answer. */
static void open_message(void)
{
    struct lab_host host;
    uint8_t covered[2048], mac[32];
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    const size_t len = lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    lab_host_close(&host);
    const struct door_request request = {
        .op = DOOR_OPEN,
        .name = lab_psk("plain"),
        .open = {.what = lab_derivation(MIKEY_ALGORITHMS_256, true),
                 .t = LAB_T,
                 .covered = covered,
                 .covered_len = len,
                 .encrypted_at = sizeof lab_head,
                 .encrypted_len = sizeof lab_key_data,
                 .mac = mac}};
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_arr_eq(answer.open.plain, lab_key_data, sizeof lab_key_data);
}

Test(keyholder_program, nothing_of_a_message_stays_in_its_memory)
{
    static struct message_secrets secrets;
    uint8_t room[512];
    size_t len = 0;
    if (geteuid() != 0)
        cr_skip_test("only root can look into another process");
#ifdef MIKEYD_SANITIZED
    cr_skip_test("a sanitizer keeps what was freed, and terabytes of its own");
#endif
    make_faulty();
    start_made();
    know_secrets(&secrets);
    assert_serves();
    /* The control: held up in the MAC, after six calls for the keys, everything is there. */
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    struct byte_writer out = writer_of(room, sizeof room);
    cr_assert_eq(door_write_request(&request, &out, NULL), MIKEYD_OK);
    plan("C_Sign 7 delay 1500\n");
    cr_assert_eq(door_send(lab.door, &out, NULL), MIKEYD_OK);
    (void)usleep(700000);
    scan(&secrets);
    for (size_t i = 0; i < 4; i++)
        cr_assert_gt(secrets.pattern[i].hits, 0, "%s is not found", secrets.pattern[i].name);
    cr_assert_eq(secrets.pattern[4].hits, 0, "that was an earlier request's");
    cr_assert_eq(door_receive(lab.door, LAB_WAIT_MS, lab.in, sizeof lab.in, &len, NULL), MIKEYD_OK);
    for (int last_is_open = 0; last_is_open < 2; last_is_open++) {
        if (last_is_open != 0)
            open_message();
        (void)usleep(100000);
        scan(&secrets);
        for (size_t i = 0; i < 5; i++)
            cr_assert_eq(secrets.pattern[i].hits, 0, "%s stays", secrets.pattern[i].name);
    }
}

/* ---- how long a request waits for a session */

#define SESSIONS 3 /* of write_config() */

/* So that the front hears "busy" within a member's share of the time-out, a quarter. What it waited
 * stands in the refusal. */
Test(keyholder_program, a_request_waits_an_eighth_of_the_time_out_for_a_session)
{
    int hanging[SESSIONS];
    uint8_t room[512];
    unsigned waited_ms = 0;
    make_faulty();
    lab.config.call_timeout_ms = 16000;
    start_made();
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    struct byte_writer out = writer_of(room, sizeof room);
    cr_assert_eq(door_write_request(&request, &out, NULL), MIKEYD_OK);
    plan("C_Sign 1+ hang\n");
    for (int i = 0; i < SESSIONS; i++) {
        hanging[i] = lab_connect(&lab);
        cr_assert_eq(door_send(hanging[i], &out, NULL), MIKEYD_OK);
    }
    const int64_t until_ms = clock_monotonic_ms() + 30000;
    while (lab_facts(&lab).sessions_used < SESSIONS) {
        cr_assert_lt(clock_monotonic_ms(), until_ms);
        (void)usleep(10000);
    }
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_BUSY, "%s", answer.text);
    const char *within = strstr(answer.text, "within ");
    cr_assert(within != NULL && sscanf(within, "within %u ms", &waited_ms) == 1, "%s", answer.text);
    cr_expect_leq(waited_ms, 16000 / 8);
    cr_expect_gt(waited_ms, 16000 / 16);
    plan(FAULT_NOTHING);
    for (int i = 0; i < SESSIONS; i++)
        (void)close(hanging[i]);
}
