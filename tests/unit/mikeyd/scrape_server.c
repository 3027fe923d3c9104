/* Whoever reaches the metrics port gets its answer, and no more than that. */
#include "mikeyd/scrape_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static struct event_base *base;
static struct scrape_server *server;
static pthread_t loop;
static _Atomic int texts_made;
static _Atomic bool ending;
static uint16_t port;

static char *make_text(void *context)
{
    (void)context;
    atomic_fetch_add(&texts_made, 1);
    return strdup("mikeyd_up 1\n");
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    (void)context;
    if (atomic_load(&ending))
        (void)event_base_loopbreak(base);
}

static void *run(void *context)
{
    const struct timeval tick = {.tv_usec = 10000};
    (void)context;
    struct event *timer = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    (void)event_add(timer, &tick);
    (void)event_base_dispatch(base);
    event_free(timer);
    return NULL;
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void start(void)
{
    struct error err = {.text = ""};
    base = event_base_new();
    port = free_port();
    const struct scrape_server_config config = {
        .base = base, .address = "127.0.0.1", .port = port, .text = make_text};
    cr_assert_eq(scrape_server_open(&config, &server, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(pthread_create(&loop, NULL, run, NULL), 0);
}

static void stop(void)
{
    atomic_store(&ending, true);
    (void)pthread_join(loop, NULL);
    scrape_server_close(server);
    event_base_free(base);
}

TestSuite(scrape_server, .init = start, .fini = stop, .timeout = 30);

static int connect_to_it(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "%s",
              strerror(errno));
    return fd;
}

/* Everything until the end. */
static const char *read_all(int fd)
{
    static char text[4096];
    size_t len = 0;
    ssize_t got;
    while (len < sizeof text - 1 && (got = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    (void)close(fd);
    return text;
}

static const char *ask(const char *request)
{
    int fd = connect_to_it();
    cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return read_all(fd);
}

static bool is_served(void)
{
    const char *text = ask("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    return strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0 &&
           strstr(text, "\r\n\r\nmikeyd_up 1\n") != NULL;
}

Test(scrape_server, metrics_are_told_and_nothing_else)
{
    cr_assert(is_served());
    cr_assert_not_null(strstr(ask("GET / HTTP/1.1\r\n\r\n"), "404 Not Found"));
    cr_assert_not_null(strstr(ask("GET /metrics2 HTTP/1.1\r\n\r\n"), "404 Not Found"));
    cr_assert_not_null(strstr(ask("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method"));
}

Test(scrape_server, text_is_not_made_for_each_who_asks)
{
    const int64_t begin = clock_monotonic_ms();
    for (int i = 0; i < 20; i++)
        cr_assert(is_served());
    const int64_t took = clock_monotonic_ms() - begin;
    cr_assert_leq(atomic_load(&texts_made), 1 + took / SCRAPE_TEXT_MS);
}

Test(scrape_server, crowd_that_stays_silent_keeps_nobody_out)
{
    int fds[100];
    size_t open_still = 0;
    for (size_t i = 0; i < 100; i++)
        fds[i] = connect_to_it();
    cr_assert(is_served());
    for (size_t i = 0; i < 100; i++) {
        struct pollfd ended = {.fd = fds[i], .events = POLLIN};
        open_still += poll(&ended, 1, 0) == 0;
        (void)close(fds[i]);
    }
    cr_assert_leq(open_still, SCRAPE_CONNECTIONS_OF_PEER, "%zu", open_still);
}

Test(scrape_server, request_that_trickles_ends_in_time)
{
    const int64_t begin = clock_monotonic_ms();
    int fd = connect_to_it();
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    while (poll(&ended, 1, 100) == 0)
        (void)send(fd, "x", 1, MSG_NOSIGNAL);
    (void)close(fd);
    const int64_t took = clock_monotonic_ms() - begin;
    cr_assert(took > SCRAPE_SECONDS * 1000 - 500 && took < SCRAPE_SECONDS * 1000 + 3000, "%d ms",
              (int)took);
}

Test(scrape_server, endless_request_is_cut_off)
{
    static char much[4 * SCRAPE_REQUEST_MAX];
    memset(much, 'x', sizeof much);
    int fd = connect_to_it();
    (void)send(fd, much, sizeof much, MSG_NOSIGNAL);
    cr_assert_str_eq(read_all(fd), "");
}

/* ---- without descriptors ---- */

static void lines_in(const char *path, size_t *lines)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    for (int c; (c = fgetc(file)) != EOF;)
        *lines += c == '\n';
    (void)fclose(file);
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    cr_assert_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

Test(scrape_server, without_descriptors_it_neither_spins_nor_fills_the_log)
{
    char path[] = "/tmp/mikeyd-scrape-XXXXXX";
    const int file = mkstemp(path), terminal = dup(STDERR_FILENO);
    cr_assert(file >= 0 && terminal >= 0 && dup2(file, STDERR_FILENO) >= 0);
    log_open("test", LOG_LEVEL_INFO);
    cr_assert(is_served());

    int waiting[8];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < 8; i++)
        waiting[i] = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit before;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(prlimit(0, RLIMIT_NOFILE, &(struct rlimit){3, before.rlim_max}, NULL), 0);
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(connect(waiting[i], (struct sockaddr *)&address, sizeof address), 0);
    const int64_t begin = cpu_us();
    (void)usleep(1500000);
    const int64_t used = cpu_us() - begin;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    (void)dup2(terminal, STDERR_FILENO);

    size_t lines = 0;
    lines_in(path, &lines);
    (void)unlink(path);
    cr_assert_eq(lines, 1, "%zu lines", lines);
    cr_assert_lt(used, 500000, "%d us of 1500000", (int)used);
    /* And it comes back. */
    cr_assert(is_served());
    for (size_t i = 0; i < 8; i++)
        (void)close(waiting[i]);
}
