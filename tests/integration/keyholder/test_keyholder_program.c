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

static struct lab lab; /* its token, and its door; the keyholder is another process */
static struct door_answer answer;
static pid_t child;
static int monitor;

static void stop(void)
{
    if (child > 0) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    lab_close(&lab);
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
                  "policy: policy.yaml\nlisten: [{unix: mikeyd.sock}]\nreplay: {lmdb: replay}\n"
                  "audit: {file: audit.jsonl}\nsandbox: {writable: [%s]}\n",
                  lab.fixture.module, uri, pin_file, lab.fixture.init_args, lab.fixture.dir);
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

static void start_well(void)
{
    uint8_t message[300];
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    write_config(lab.fixture.uri, lab.fixture.pin_file);
    start();
    cr_assert_eq(hear(message, sizeof message), 1);
    cr_assert_eq(message[0], 1);
    lab.door = lab_connect(&lab);
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
