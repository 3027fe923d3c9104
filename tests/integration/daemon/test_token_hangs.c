/* A token that stops answering: SoftHSM in a process of its own behind p11-kit, which is halted. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

#define TIMEOUT_MS 500

static struct lab lab;
static pid_t server;

static void make_lab(void)
{
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    cr_assert(token_fixture_serve(&lab.token, NULL));
    server = lab.token.server;
    char call_timeout[48];
    (void)snprintf(call_timeout, sizeof call_timeout, "    call_timeout: %dms\n", TIMEOUT_MS);
    lab_write_config(&lab, &(struct lab_config){.token_extra = call_timeout});
    lab_start(&lab);
}

static void remove_lab(void)
{
    if (server > 0)
        (void)kill(-server, SIGCONT);
    lab_remove(&lab);
}

TestSuite(token_hangs, .init = make_lab, .fini = remove_lab, .timeout = 60);

static int64_t ask(mikeyd_client *client, enum mikeyd_status *status)
{
    mikeyd_exchange *exchange = NULL;
    const int64_t begin = clock_monotonic_ms();
    *status = lab_initiate(client, &exchange);
    mikeyd_exchange_free(exchange);
    return clock_monotonic_ms() - begin;
}

Test(token_hangs, callers_hear_token_down_within_the_time_out_and_service_comes_back)
{
    enum mikeyd_status status;
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);

    cr_assert_eq(kill(-server, SIGSTOP), 0);
    int64_t took = ask(client, &status);
    cr_assert_eq(status, MIKEYD_TOKEN_DOWN, "%s", mikeyd_client_error(client));
    cr_assert_leq(took, TIMEOUT_MS + 100, "%ld ms", (long)took);
    /* The next ones do not wait for what is known to hang. */
    for (int i = 0; i < 10; i++) {
        took = ask(client, &status);
        cr_assert_eq(status, MIKEYD_TOKEN_DOWN);
        cr_assert_leq(took, TIMEOUT_MS / 2, "%ld ms", (long)took);
    }
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"token_down\""));

    cr_assert_eq(kill(-server, SIGCONT), 0);
    for (int i = 0; i < 100 && status != MIKEYD_OK; i++) {
        (void)usleep(50000);
        (void)ask(client, &status);
    }
    cr_assert_eq(status, MIKEYD_OK, "%s", mikeyd_client_error(client));
    lab_exchange(client);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"token_up\""));
    mikeyd_client_close(client);
}

Test(token_hangs, daemon_stops_although_the_token_hangs)
{
    enum mikeyd_status status;
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(kill(-server, SIGSTOP), 0);
    (void)ask(client, &status);
    mikeyd_client_close(client);
    int ended = lab_stop(&lab, SIGTERM);
    cr_assert(WIFEXITED(ended));
    cr_assert_eq(lab_count_in_file(lab.audit, "\"event\":\"stop\""), 1);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}
