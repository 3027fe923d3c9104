/* What systemd hears: the daemon's side of sd_notify(3), on a socket of the test. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

static struct lab lab;
static int notify_fd = -1;

static void make_lab(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    lab_make(&lab, NULL);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.64s/notify", lab.dir);
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(notify_fd >= 0);
    cr_assert_eq(bind(notify_fd, (const struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    cr_assert_eq(setenv("WATCHDOG_USEC", "2000000", 1), 0);
}

static void remove_lab(void)
{
    lab_remove(&lab);
    (void)close(notify_fd);
}

TestSuite(notify, .init = make_lab, .fini = remove_lab, .timeout = 60);

/* True when a message with the text comes within the time. */
static bool hears(const char *text, int timeout_ms)
{
    const int64_t until = clock_monotonic_ms() + timeout_ms;
    char message[1024];
    while (clock_monotonic_ms() < until) {
        struct pollfd wait = {.fd = notify_fd, .events = POLLIN};
        if (poll(&wait, 1, 50) != 1)
            continue;
        ssize_t len = recv(notify_fd, message, sizeof message - 1, 0);
        cr_assert(len >= 0);
        message[len] = '\0';
        if (strstr(message, text) != NULL)
            return true;
    }
    return false;
}

Test(notify, ready_comes_when_the_socket_answers)
{
    lab_start_unwatched(&lab);
    cr_assert(hears("READY=1", 20000));
    /* At once: whoever was ordered after the service connects now. */
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
}

Test(notify, signs_of_life_keep_coming)
{
    lab_start(&lab);
    for (int i = 0; i < 3; i++)
        cr_assert(hears("WATCHDOG=1", 2000));
}

Test(notify, reload_and_stop_are_announced)
{
    lab_start(&lab);
    cr_assert(hears("READY=1", 5000));
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    cr_assert(hears("RELOADING=1\nMONOTONIC_USEC=", 5000));
    cr_assert(hears("READY=1", 5000));
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert(hears("STOPPING=1", 1000));
}

Test(notify, start_that_fails_is_never_ready)
{
    lab_write_policy(&lab, "bogus: 1\n");
    cr_assert_neq(lab_start_refused(&lab), 0);
    cr_assert_not(hears("READY=1", 200));
}
