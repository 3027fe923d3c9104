/* The follower beside a real daemon: what the receiver gets is the log, whatever happens between. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab_ctl.h"

#define WAIT_MS 60000

static struct lab lab;
static mikeyd_client *client;
static pid_t follower;
static int listener = -1, connection = -1;
static unsigned short port;
static char buffer[1 << 20];
static size_t buffered;
static char state[LAB_PATH + 16];

static int shell(const char *command)
{
    return lab_run(&lab, (const char *const[]){"/bin/sh", "-c", command, NULL});
}

static void listen_again(void)
{
    const int on = 1;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    port = ntohs(at.sin_port);
}

static void hang_up(void)
{
    if (connection >= 0)
        (void)close(connection);
    if (listener >= 0)
        (void)close(listener);
    connection = listener = -1;
    buffered = 0;
}

static void start_follower(const char *format, const char *to)
{
    follower = fork();
    cr_assert_geq(follower, 0);
    if (follower == 0) {
        (void)execl(MIKEYCTL_PROGRAM, "mikeyctl", "audit", "follow", lab.audit, "--format", format,
                    "--to", to, "--state", state, "--host", "lab", (char *)NULL);
        _exit(127);
    }
}

static void start_to_port(const char *format)
{
    char to[64];
    (void)snprintf(to, sizeof to, "tcp:127.0.0.1:%u", port);
    start_follower(format, to);
}

static void stop_follower(int signal)
{
    int status = 0;
    cr_assert_eq(kill(follower, signal), 0);
    cr_assert_eq(waitpid(follower, &status, 0), follower);
    if (signal == SIGTERM)
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    follower = 0;
}

static void enter(void)
{
    lab_make(&lab, NULL);
    (void)snprintf(state, sizeof state, "%s/follower.json", lab.dir);
    cr_assert_eq(setenv("LOG", lab.audit, 1), 0);
    cr_assert_eq(setenv("MIKEYCTL", MIKEYCTL_PROGRAM, 1), 0);
    lab_start(&lab);
    client = lab_client(&lab);
    listen_again();
}

static void leave(void)
{
    if (follower > 0)
        stop_follower(SIGKILL);
    hang_up();
    mikeyd_client_close(client);
    lab_remove(&lab);
}

TestSuite(audit_follow, .init = enter, .fini = leave, .timeout = 240);

static void accept_follower(void)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "the follower does not connect");
    connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(connection, 0);
}

/* The next message that ends with a newline. */
static json_t *next_object(void)
{
    char *end;
    while ((end = memchr(buffer, '\n', buffered)) == NULL) {
        struct pollfd ready = {.fd = connection, .events = POLLIN};
        cr_assert_eq(poll(&ready, 1, WAIT_MS), 1, "nothing comes");
        const ssize_t got = read(connection, buffer + buffered, sizeof buffer - buffered);
        cr_assert_gt(got, 0);
        buffered += (size_t)got;
    }
    json_t *object = json_loadb(buffer, (size_t)(end - buffer), 0, NULL);
    cr_assert_not_null(object, "%.*s", (int)(end - buffer), buffer);
    buffered -= (size_t)(end + 1 - buffer);
    memmove(buffer, end + 1, buffered);
    return object;
}

static json_int_t sequence_of(const json_t *event)
{
    return json_integer_value(json_object_get(json_object_get(event, "metadata"), "sequence"));
}

/* Records up to that number, none missing after `last`; doubles may come. Returns the last one's. */
static json_int_t receive_up_to(json_int_t last, json_int_t to)
{
    while (last < to) {
        json_t *event = next_object();
        const json_int_t sequence = sequence_of(event);
        cr_assert_leq(sequence, last + 1, "record %d is missing", (int)last + 1);
        cr_assert(json_is_true(json_object_get(json_object_get(event, "unmapped"), "verifies")));
        if (sequence == last + 1)
            last = sequence;
        json_decref(event);
    }
    return last;
}

/* The last number in the log. */
static json_int_t end_of_log(void)
{
    char *text = lab_read_file(lab.audit);
    json_int_t last = 0;
    for (const char *line = text; (line = strstr(line, "{\"seq\":")) != NULL; line++)
        last = strtoll(line + strlen("{\"seq\":"), NULL, 10);
    free(text);
    return last;
}

static void rotate(const char *name)
{
    char command[256], expected[64];
    (void)snprintf(command, sizeof command, "mv $LOG $LOG.%s && touch $LOG", name);
    (void)snprintf(expected, sizeof expected, "\"previous_file\":\"audit.jsonl.%s\"", name);
    cr_assert_eq(shell(command), 0);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(lab_file_gets(lab.audit, expected));
}

static void calls(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lab_exchange(client);
}

Test(audit_follow, records_arrive_as_they_are_written_and_across_rotations)
{
    start_to_port("ocsf");
    accept_follower();
    calls(3);
    json_int_t last = receive_up_to(0, end_of_log());
    cr_assert_gt(last, 9);
    rotate("1");
    calls(3);
    last = receive_up_to(last, end_of_log());
    rotate("2");
    rotate("3");
    calls(1);
    (void)receive_up_to(last, end_of_log());
    stop_follower(SIGTERM);
}

Test(audit_follow, what_happens_while_it_is_down_comes_when_it_is_back)
{
    start_to_port("ocsf");
    accept_follower();
    calls(2);
    json_int_t last = receive_up_to(0, end_of_log());
    cr_assert(lab_file_gets(state, "\"seq\":"));
    stop_follower(SIGTERM);
    (void)close(connection);
    buffered = 0;
    calls(2);
    rotate("1");
    calls(2);
    rotate("2");
    calls(2);
    start_to_port("ocsf");
    accept_follower();
    json_t *first = next_object();
    cr_assert_eq(sequence_of(first), last + 1, "no gap, and after a clean stop no double");
    json_decref(first);
    (void)receive_up_to(last + 1, end_of_log());
}

Test(audit_follow, receiver_that_dies_gets_all_when_it_is_back_and_calls_go_on)
{
    start_to_port("ocsf");
    accept_follower();
    calls(2);
    const json_int_t last = receive_up_to(0, end_of_log());
    hang_up();
    calls(20);
    listen_again();
    accept_follower();
    (void)receive_up_to(last, end_of_log());
}

/* What a follower that ended had sent still, up to the last whole line. */
static json_int_t receive_rest(json_int_t last)
{
    ssize_t got;
    while ((got = read(connection, buffer + buffered, sizeof buffer - buffered)) > 0)
        buffered += (size_t)got;
    while (memchr(buffer, '\n', buffered) != NULL) {
        json_t *event = next_object();
        cr_assert_leq(sequence_of(event), last + 1, "record %d is missing", (int)last + 1);
        last = sequence_of(event) > last ? sequence_of(event) : last;
        json_decref(event);
    }
    (void)close(connection);
    connection = -1;
    buffered = 0;
    return last;
}

/* Killed at any instant: what was not known to have arrived is sent again. */
Test(audit_follow, killed_follower_leaves_no_gap)
{
    json_int_t last = 0;
    for (int round = 0; round < 5; round++) {
        start_to_port("ocsf");
        accept_follower();
        calls(2);
        last = receive_up_to(last, end_of_log() - 3 * round);
        stop_follower(SIGKILL);
        last = receive_rest(last);
    }
    start_to_port("ocsf");
    accept_follower();
    (void)receive_up_to(last, end_of_log());
}

Test(audit_follow, another_log_in_its_place_is_followed_from_its_beginning)
{
    calls(10);
    start_to_port("ocsf");
    accept_follower();
    (void)receive_up_to(0, end_of_log());
    stop_follower(SIGTERM);
    (void)close(connection);
    buffered = 0;
    (void)lab_stop(&lab, SIGTERM);
    cr_assert_eq(shell("rm $LOG*"), 0);
    lab_start(&lab);
    start_to_port("ocsf");
    accept_follower();
    (void)receive_up_to(0, end_of_log());
}

Test(audit_follow, syslog_on_a_stream_is_framed_by_its_length)
{
    char text[4096] = "";
    start_to_port("syslog");
    accept_follower();
    ssize_t got = 0;
    for (size_t len = 0; len < 1024 && (got = read(connection, text + len, 1024 - len)) > 0;)
        len += (size_t)got;
    char *end = NULL;
    const unsigned long len = strtoul(text, &end, 10);
    cr_assert(len > 100 && len < 900 && *end == ' ', "%s", text);
    cr_assert_eq(strncmp(end + 1, "<1", 2), 0, "%s", text);
    cr_assert_gt(strtoul(end + 1 + len, NULL, 10), 100, "the next one begins behind it: %s", text);
    (void)shutdown(connection, SHUT_RDWR);
}

Test(audit_follow, datagrams_of_a_unix_socket_hold_one_message_each)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char to[LAB_PATH + 32], message[65536];
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%.80s/receiver", lab.dir);
    (void)snprintf(to, sizeof to, "unix:%s", at.sun_path);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    start_follower("cef", to);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    for (int sequence = 1; sequence <= 3; sequence++) {
        char expected[40];
        cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
        const ssize_t got = recv(fd, message, sizeof message - 1, 0);
        cr_assert_gt(got, 0);
        message[got] = '\0';
        (void)snprintf(expected, sizeof expected, "|externalId=%d ", sequence);
        cr_assert_eq(strncmp(message, "CEF:0|mikeyd|", 13), 0, "%s", message);
        cr_assert_not_null(strstr(message, expected), "%s", message);
    }
    (void)close(fd);
}

/* A certificate of the test's own; another authority's is refused, and no record leaves. */
Test(audit_follow, tls_receiver_has_to_prove_its_name)
{
    cr_assert_eq(setenv("LAB", lab.dir, 1), 0);
    cr_assert_eq(setenv("STATE", state, 1), 0);
    cr_assert_eq(shell("cd $LAB && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                       "-nodes -keyout tls.key -out tls.pem -days 2 -subj /CN=localhost "
                       "-addext subjectAltName=DNS:localhost && openssl req -x509 -newkey ec "
                       "-pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -out other.pem "
                       "-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"),
                 0);
    hang_up();
    char command[1024];
    static const char format[] =
        "cd $LAB && rm -f got && { openssl s_server -accept %u -cert tls.pem -key tls.key -quiet "
        "-naccept 1 >got 2>&1 </dev/zero & server=$!; }; "
        "for i in $(seq 300); do ss -Hltn sport = :%u | grep -q . && break; sleep 0.1; done; "
        "$MIKEYCTL audit follow $LOG --format ocsf --to tls:localhost:%u --state $STATE --ca %s "
        "--once; s=$?; sleep 0.2; kill $server 2>/dev/null; wait $server 2>/dev/null; exit $s";
    (void)snprintf(command, sizeof command, format, port, port, port, "other.pem");
    cr_assert_neq(shell(command), 0);
    cr_assert_eq(shell("cd $LAB && ! grep -q class_uid got && test ! -e $STATE"), 0);
    (void)snprintf(command, sizeof command, format, port, port, port, "tls.pem");
    cr_assert_eq(shell(command), 0);
    cr_assert_eq(shell("cd $LAB && grep -q class_uid got && grep -q seq $STATE"), 0);
}
