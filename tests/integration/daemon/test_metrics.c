/* What the metrics port of a real daemon tells, as Prometheus' own tool reads it. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"
#include "support/redis_server.h"

#define TEXT_MAX ((size_t)1 << 18)
#define PATIENCE_S 60

static struct lab lab;
static uint16_t port;
static char text[TEXT_MAX]; /* as scraped last, without the headers */

static void make_lab(void)
{
    char extra[64];
    port = redis_free_port();
    (void)snprintf(extra, sizeof extra, "metrics: {listen: \"127.0.0.1:%u\"}\n", port);
    lab_make(&lab, extra);
}

static void remove_lab(void)
{
    if (lab.daemon != 0)
        (void)lab_stop(&lab, SIGTERM);
    lab_remove(&lab);
}

TestSuite(metrics, .init = make_lab, .fini = remove_lab, .timeout = 120);

static void scrape(void)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: lab\r\n\r\n";
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t len = 0;
    ssize_t got;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(write(fd, request, sizeof request - 1), (ssize_t)sizeof request - 1);
    while ((got = read(fd, text + len, TEXT_MAX - 1 - len)) > 0)
        len += (size_t)got;
    (void)close(fd);
    cr_assert_eq(got, 0);
    text[len] = '\0';
    const char *body = strstr(text, "\r\n\r\n");
    cr_assert_not_null(body, "%s", text);
    cr_assert_not_null(strstr(text, "200 OK"), "%s", text);
    memmove(text, body + 4, strlen(body + 4) + 1);
}

/* True when a scrape has the line within the time. */
static bool gets(const char *line)
{
    const time_t end = time(NULL) + PATIENCE_S;
    const struct timespec pause = {.tv_nsec = 100000000};
    do {
        scrape();
        if (strstr(text, line) != NULL)
            return true;
        (void)nanosleep(&pause, NULL);
    } while (time(NULL) < end);
    return false;
}

/* Writes the scrape to DIR/metrics and has promtool judge it: no complaint. */
static void judge(void)
{
    char path[LAB_PATH + 16], command[2 * LAB_PATH];
    (void)snprintf(path, sizeof path, "%s/metrics", lab.dir);
    (void)snprintf(command, sizeof command, "promtool check metrics <%s", path);
    lab_write_file(path, text);
    const int status = lab_run(&lab, (const char *const[]){"sh", "-c", command, NULL});
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *said = lab_read_file(path);
    cr_assert_eq(status, 0, "%s", said);
    cr_assert_str_eq(said, "");
    free(said);
}

Test(metrics, promtool_has_no_complaint)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert(gets("\nmikeyd_exchanges_total{operation=\"confirm\"} 1\n"), "%s", text);
    cr_assert_not_null(strstr(text, "\nmikeyd_healthy 1\n"), "%s", text);
    cr_assert_not_null(strstr(text, "\nmikeyd_exchanges_total{operation=\"respond\"} 1\n"));
    cr_assert_not_null(strstr(
        text, "\nmikeyd_request_duration_seconds_bucket{operation=\"respond\",le=\"+Inf\"} 1\n"));
    cr_assert_not_null(
        strstr(text, "\nmikeyd_request_duration_seconds_count{operation=\"confirm\"} 1\n"));
    cr_assert_not_null(
        strstr(text, "\nmikeyd_request_duration_seconds_count{operation=\"update\"} 0\n"));
    cr_assert_not_null(strstr(
        text,
        "\nmikeyd_request_stage_duration_seconds_count{operation=\"initiate\",stage=\"disk\"} "
        "1\n"));
    judge();
}

/* Microseconds of that stage in all. */
static unsigned long stage_us(const char *operation, const char *stage)
{
    char line[120];
    (void)snprintf(line, sizeof line,
                   "\nmikeyd_request_stage_duration_seconds_sum{operation=\"%s\",stage=\"%s\"} ",
                   operation, stage);
    const char *at = strstr(text, line);
    cr_assert_not_null(at, "%s", text);
    return (unsigned long)(strtod(at + strlen(line), NULL) * 1e6 + 0.5);
}

/* A token whose every HMAC takes 100 ms more. */
Test(metrics, a_slow_token_shows_in_its_stage_alone)
{
    char plan[LAB_PATH + 8], extra[64];
    (void)snprintf(plan, sizeof plan, "%s/plan", lab.dir);
    (void)snprintf(extra, sizeof extra, "metrics: {listen: \"127.0.0.1:%u\"}\n", port);
    lab_write_file(plan, "C_Sign 1+ delay 100\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", plan, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", token_fixture_module(&lab.token), 1), 0);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE, .extra = extra});
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert(gets("\nmikeyd_exchanges_total{operation=\"confirm\"} 1\n"), "%s", text);
    cr_expect_geq(stage_us("respond", "token"), 100000);
    cr_expect_lt(stage_us("respond", "store"), 100000);
    cr_expect_gt(stage_us("respond", "store"), 0);
    cr_expect_gt(stage_us("respond", "disk"), 0);
}

Test(metrics, requests_are_counted_by_client)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    const struct mikeyd_stream stream = {.ssrc = 1};
    const struct mikeyd_offer nobody = {
        .from = "sip:nobody@x.example", .to = LAB_B, .streams = &stream, .stream_count = 1};
    mikeyd_exchange *none = NULL;
    cr_assert_neq(mikeyd_initiate(client, &nobody, &none), MIKEYD_OK);
    mikeyd_client_close(client);
    cr_assert(gets("\nmikeyd_client_requests_total{client=\"lab\",outcome=\"served\"} 3\n"));
    cr_assert(gets("\nmikeyd_client_requests_total{client=\"lab\",outcome=\"refused\"} 1\n"));
    cr_assert_null(strstr(text, "(others)"));
    judge();
}

Test(metrics, end_of_a_key_is_told)
{
    char with_date[2048];
    char *policy = lab_read_file(lab.policy);
    char *at = strstr(policy, "generation: 1}");
    cr_assert_not_null(at);
    *at = '\0';
    (void)snprintf(with_date, sizeof with_date, "%sgeneration: 1, not_after: 2099-01-02}%s", policy,
                   at + strlen("generation: 1}"));
    lab_write_file(lab.policy, with_date);
    free(policy);
    lab_start(&lab);
    scrape();
    cr_assert_not_null(strstr(text, "\nmikeyd_key_expires_timestamp_seconds{key=\"pbx\"} 40"), "%s",
                       text);
    judge();
}

Test(metrics, a_keyholder_that_dies_is_counted_and_still_named)
{
    lab_start(&lab);
    scrape();
    char *up = strstr(text, "\nmikeyd_token_up{");
    cr_assert_not_null(up);
    *strchr(up + 1, '\n') = '\0';
    char line[256];
    const char *labels = strchr(up, '{');
    const int length = (int)(strchr(labels, '}') + 1 - labels);
    (void)snprintf(line, sizeof line, "\nmikeyd_keyholder_starts_total%.*s 2\n", length, labels);
    cr_assert_eq(kill(lab_keyholder(&lab, 0), SIGKILL), 0);
    cr_assert(gets(line), "%s\n%s", line, text);
    judge();
}
