/*
 * Keys leave no trace: after the exchange is freed, its key is nowhere in this process's memory.
 * The peer is another process, and the key is never spelled out here: each byte is computed when
 * it is compared.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/peer.h"

#define CHUNK (1 << 20)
#define KEY 32

static uint8_t chunk[CHUNK + KEY];

static size_t count_in(const uint8_t *data, size_t len)
{
    size_t found = 0;
    for (size_t at = 0; at + KEY <= len; at++) {
        size_t i = 0;
        /* 16 bytes in a row are no accident, and half a key is a leak too. */
        while (i < KEY && data[at + i] == peer_key_byte(i))
            i++;
        found += i >= KEY / 2;
    }
    return found;
}

/* Copies of the key in every readable mapping but the scan's own buffer. */
static size_t copies_in_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    cr_assert(maps != NULL && memory >= 0);
    char line[512], flags[8];
    uintptr_t from, to;
    size_t found = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, flags) != 3 ||
            flags[0] != 'r' || to - from > ((uintptr_t)1 << 32))
            continue;
        for (uintptr_t at = from; at < to; at += CHUNK) {
            uintptr_t own = (uintptr_t)chunk;
            size_t want = to - at < sizeof chunk ? to - at : sizeof chunk;
            if (at < own + sizeof chunk && own < at + want) {
                if (at >= own)
                    continue;
                want = own - at;
            }
            ssize_t got = pread(memory, chunk, want, (off_t)at);
            if (got > 0)
                found += count_in(chunk, (size_t)got);
        }
    }
    memset(chunk, 0, sizeof chunk);
    (void)fclose(maps);
    (void)close(memory);
    return found;
}

/* One connection, served by a child. */
static pid_t start_child(char *address, size_t cap)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char directory[] = "/tmp/mikeyd-client-XXXXXX";
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s/s", directory);
    (void)snprintf(address, cap, "unix:%s/s", directory);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    cr_assert_eq(listen(listener, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = accept(listener, NULL, NULL);
        (void)unlink(name.sun_path);
        (void)rmdir(directory);
        peer_serve(fd, 0);
        _exit(0);
    }
    (void)close(listener);
    return child;
}

static mikeyd_exchange *arrived;

static void keep(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    (void)user;
    (void)status;
    arrived = exchange;
}

static mikeyd_exchange *get_blocking(mikeyd_client *client)
{
    mikeyd_exchange *exchange = NULL;
    cr_assert_eq(mikeyd_confirm(client, "t", 1, "\1", 1, &exchange), MIKEYD_OK);
    return exchange;
}

static mikeyd_exchange *get_pipelined(mikeyd_client *client)
{
    cr_assert_eq(mikeyd_submit_confirm(client, "t", 1, "\1", 1, keep, NULL), MIKEYD_OK);
    while (arrived == NULL)
        cr_assert_eq(mikeyd_client_dispatch(client), MIKEYD_OK);
    return arrived;
}

static void expect_no_trace(mikeyd_exchange *get(mikeyd_client *))
{
    char address[96];
    pid_t child = start_child(address, sizeof address);
    mikeyd_client *client = NULL;
    cr_assert_eq(mikeyd_client_open(address, &client), MIKEYD_OK);
    mikeyd_exchange *exchange = get(client);
    /* The control: while it is held, the key is there, and there once only. */
    cr_expect_eq(copies_in_memory(), 1);
    mikeyd_exchange_free(exchange);
    cr_expect_eq(copies_in_memory(), 0);
    mikeyd_client_close(client);
    cr_expect_eq(copies_in_memory(), 0);
    (void)waitpid(child, NULL, 0);
}

Test(client_wipe, freed_exchange_leaves_no_key_in_memory)
{
    expect_no_trace(get_blocking);
}

Test(client_wipe, pipelined_exchange_leaves_no_key_in_memory)
{
    expect_no_trace(get_pipelined);
}

/* An answer that nobody waits for any more is wiped as well. */
Test(client_wipe, answer_that_comes_too_late_leaves_no_key_in_memory)
{
    char address[96];
    pid_t child = start_child(address, sizeof address);
    mikeyd_client *client = NULL;
    cr_assert_eq(mikeyd_client_open(address, &client), MIKEYD_OK);
    (void)kill(child, SIGSTOP);
    mikeyd_client_set_timeout(client, 20);
    mikeyd_exchange *exchange = NULL;
    cr_expect_eq(mikeyd_confirm(client, "t", 1, "\1", 1, &exchange), MIKEYD_UNREACHABLE);
    (void)kill(child, SIGCONT);
    (void)usleep(50000);
    cr_expect_eq(mikeyd_client_dispatch(client), MIKEYD_OK);
    cr_expect_eq(copies_in_memory(), 0);
    mikeyd_client_close(client);
    (void)waitpid(child, NULL, 0);
}
