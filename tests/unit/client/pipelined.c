/* Many requests in flight on one connection, and callbacks. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/peer.h"

#define MANY 1000

static int runs[MANY + 1];
static uint32_t csb_ids[MANY + 1];
static enum mikeyd_status statuses[MANY + 1];
static int finished;

static void remember(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    size_t i = (size_t)((int *)user - runs);
    runs[i]++;
    statuses[i] = status;
    csb_ids[i] = exchange == NULL ? 0 : mikeyd_exchange_csb_id(exchange);
    cr_expect_eq(status == MIKEYD_OK, exchange != NULL);
    mikeyd_exchange_free(exchange);
    finished++;
}

static void submit(mikeyd_client *client, int i)
{
    cr_assert_eq(mikeyd_submit_confirm(client, "t", 1, "\1", 1, remember, &runs[i]), MIKEYD_OK,
                 "%s", mikeyd_client_error(client));
}

/* An event loop; stops when `wanted` callbacks have run, or after 10 s without any event. */
static enum mikeyd_status loop(mikeyd_client *client, int wanted)
{
    enum mikeyd_status status = MIKEYD_OK;
    while (finished < wanted && status == MIKEYD_OK) {
        struct pollfd fd = {mikeyd_client_fd(client), mikeyd_client_events(client), 0};
        if (poll(&fd, 1, 10000) <= 0)
            break;
        status = mikeyd_client_dispatch(client);
    }
    return status;
}

/* Collects up to MANY requests and answers them last first. */
static void backwards(int fd, int number)
{
    static uint64_t ids[MANY];
    size_t count = 0;
    (void)number;
    Mikeyd__Request *request;
    while (count < MANY && (request = peer_read(fd)) != NULL) {
        ids[count++] = request->id;
        mikeyd__request__free_unpacked(request, NULL);
    }
    while (count > 0)
        peer_send_exchange(fd, ids[--count]);
    (void)peer_read(fd);
}

Test(client_pipelined, a_thousand_answers_in_any_order_find_their_callbacks)
{
    struct peer peer;
    peer_start(&peer, backwards);
    mikeyd_client *client = peer_connect(&peer);
    for (int i = 0; i < MANY; i++)
        submit(client, i);
    cr_expect_eq(finished, 0, "callbacks run in dispatch only");
    cr_expect_eq(loop(client, MANY), MIKEYD_OK);
    cr_assert_eq(finished, MANY);
    for (int i = 0; i < MANY; i++) {
        cr_expect_eq(runs[i], 1);
        cr_expect_eq(csb_ids[i], (uint32_t)i + 1);
    }
    mikeyd_client_close(client);
    peer_stop(&peer);
    cr_expect_eq(finished, MANY);
}

static void silent(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request;
    while ((request = peer_read(fd)) != NULL)
        mikeyd__request__free_unpacked(request, NULL);
}

Test(client_pipelined, closing_runs_the_callbacks_of_what_is_pending)
{
    struct peer peer;
    peer_start(&peer, silent);
    mikeyd_client *client = peer_connect(&peer);
    for (int i = 0; i < 10; i++)
        submit(client, i);
    (void)mikeyd_client_dispatch(client);
    cr_expect_eq(finished, 0);
    mikeyd_client_close(client);
    cr_expect_eq(finished, 10);
    for (int i = 0; i < 10; i++)
        cr_expect(runs[i] == 1 && statuses[i] == MIKEYD_UNREACHABLE);
    peer_stop(&peer);
}

/* The first connection ends after five requests, the others serve. */
static void breaks(int fd, int number)
{
    for (int i = 0; number == 0 && i < 5; i++) {
        Mikeyd__Request *request = peer_read(fd);
        if (request == NULL)
            return;
        mikeyd__request__free_unpacked(request, NULL);
    }
    if (number != 0)
        peer_serve(fd, number);
}

Test(client_pipelined, a_broken_connection_ends_all_requests_and_the_next_one_reconnects)
{
    struct peer peer;
    peer_start(&peer, breaks);
    mikeyd_client *client = peer_connect(&peer);
    int fd = mikeyd_client_fd(client);
    for (int i = 0; i < 5; i++)
        submit(client, i);
    cr_expect_eq(loop(client, 5), MIKEYD_UNREACHABLE);
    cr_assert_eq(finished, 5);
    for (int i = 0; i < 5; i++)
        cr_expect(runs[i] == 1 && statuses[i] == MIKEYD_UNREACHABLE);
    submit(client, 5);
    cr_expect_eq(mikeyd_client_fd(client), fd);
    cr_expect_eq(loop(client, 6), MIKEYD_OK);
    cr_expect_eq(statuses[5], MIKEYD_OK);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static mikeyd_client *chain_client;

static void chain(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    int *left = user;
    cr_expect_eq(status, MIKEYD_OK);
    mikeyd_exchange_free(exchange);
    finished++;
    if (--*left > 0)
        cr_expect_eq(mikeyd_submit_confirm(chain_client, "t", 1, "\1", 1, chain, left), MIKEYD_OK);
}

Test(client_pipelined, a_callback_may_submit)
{
    struct peer peer;
    peer_start(&peer, peer_serve);
    chain_client = peer_connect(&peer);
    int left = 20;
    cr_assert_eq(mikeyd_submit_confirm(chain_client, "t", 1, "\1", 1, chain, &left), MIKEYD_OK);
    cr_expect_eq(loop(chain_client, 20), MIKEYD_OK);
    cr_expect_eq(finished, 20);
    mikeyd_client_close(chain_client);
    peer_stop(&peer);
}

Test(client_pipelined, a_blocking_call_beside_leaves_callbacks_to_dispatch_and_wakes_the_loop)
{
    struct peer peer;
    peer_start(&peer, peer_serve);
    mikeyd_client *client = peer_connect(&peer);
    submit(client, 0);
    mikeyd_exchange *exchange = NULL;
    /* Its answer comes behind the other, so both have been read when it returns. */
    cr_assert_eq(mikeyd_confirm(client, "t", 1, "\1", 1, &exchange), MIKEYD_OK);
    cr_expect_eq(mikeyd_exchange_csb_id(exchange), 2);
    mikeyd_exchange_free(exchange);
    cr_expect_eq(finished, 0);
    struct pollfd fd = {mikeyd_client_fd(client), mikeyd_client_events(client), 0};
    cr_expect_eq(poll(&fd, 1, 1000), 1, "the loop would sleep for ever");
    cr_expect_eq(mikeyd_client_dispatch(client), MIKEYD_OK);
    cr_expect_eq(finished, 1);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

Test(client_pipelined, an_idle_loop_sleeps)
{
    struct peer peer;
    peer_start(&peer, peer_serve);
    mikeyd_client *client = peer_connect(&peer);
    submit(client, 0);
    cr_expect_eq(loop(client, 1), MIKEYD_OK);
    struct pollfd fd = {mikeyd_client_fd(client), mikeyd_client_events(client), 0};
    cr_expect_eq(poll(&fd, 1, 50), 0);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* Reads only after a while, so that the socket's buffer fills. */
static void sleepy(int fd, int number)
{
    (void)usleep(200000);
    peer_serve(fd, number);
}

Test(client_pipelined, output_that_does_not_fit_in_the_socket_is_sent_later)
{
    struct peer peer;
    peer_start(&peer, sleepy);
    mikeyd_client *client = peer_connect(&peer);
    size_t len = 100000;
    uint8_t *reply = calloc(1, len);
    reply[0] = 1; /* MIKEY, not text */
    for (int i = 0; i < 30; i++)
        cr_assert_eq(mikeyd_submit_confirm(client, "t", 1, reply, len, remember, &runs[i]),
                     MIKEYD_OK);
    cr_expect_eq(loop(client, 30), MIKEYD_OK);
    cr_expect_eq(finished, 30);
    free(reply);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* ---- given up */

/* Reads everything and answers the first request only, when the third has come. */
static void first_of_three(int fd, int number)
{
    uint64_t first = 0;
    (void)number;
    for (int i = 0; i < 3; i++) {
        Mikeyd__Request *request = peer_read(fd);
        if (request == NULL)
            return;
        if (i == 0)
            first = request->id;
        mikeyd__request__free_unpacked(request, NULL);
    }
    peer_send_exchange(fd, first);
    (void)peer_read(fd);
}

Test(client_pipelined, request_past_its_deadline_ends_and_the_others_go_on)
{
    struct peer peer;
    peer_start(&peer, first_of_three);
    mikeyd_client *client = peer_connect(&peer);
    submit(client, 0); /* without a limit */
    mikeyd_client_set_deadline(client, 20);
    submit(client, 1);
    mikeyd_client_set_deadline(client, 60000);
    submit(client, 2);
    cr_assert_eq(loop(client, 2), MIKEYD_OK);
    cr_expect_eq(statuses[0], MIKEYD_OK);
    cr_expect_eq(statuses[1], MIKEYD_UNREACHABLE);
    cr_expect_eq(runs[0] + runs[1], 2);
    cr_expect_eq(runs[2], 0);
    mikeyd_client_close(client);
    cr_expect_eq(runs[2], 1);
    cr_expect_eq(statuses[2], MIKEYD_UNREACHABLE);
    peer_stop(&peer);
}

/* Answers as the client says, in both orders of lateness. */
static void third_late(int fd, int number)
{
    uint64_t ids[3] = {0};
    (void)number;
    for (int i = 0; i < 3; i++) {
        Mikeyd__Request *request = peer_read(fd);
        if (request == NULL)
            return;
        ids[i] = request->id;
        mikeyd__request__free_unpacked(request, NULL);
    }
    for (int i = 0; i < 3; i++)
        peer_send_exchange(fd, ids[i]);
    peer_serve(fd, number);
}

Test(client_pipelined, cancelled_request_has_no_callback_and_its_late_answer_hurts_nobody)
{
    struct peer peer;
    peer_start(&peer, third_late);
    mikeyd_client *client = peer_connect(&peer);
    submit(client, 0);
    submit(client, 1);
    cr_expect_eq(mikeyd_cancel(client, remember, &runs[1]), 1);
    cr_expect_eq(mikeyd_cancel(client, remember, &runs[1]), 0);
    submit(client, 2);
    cr_assert_eq(loop(client, 2), MIKEYD_OK);
    cr_expect_eq(runs[0], 1);
    cr_expect_eq(runs[1], 0);
    cr_expect_eq(runs[2], 1);
    submit(client, 3);
    cr_assert_eq(loop(client, 3), MIKEYD_OK);
    cr_expect_eq(statuses[3], MIKEYD_OK);
    mikeyd_client_close(client);
    cr_expect_eq(runs[1], 0);
    peer_stop(&peer);
}

static mikeyd_client *cancels_in;

/* Cancels the other two of three that came together. */
static void cancel_others(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    (void)status;
    mikeyd_exchange_free(exchange);
    ++*(int *)user;
    finished++;
    for (int i = 0; i < 3; i++)
        (void)mikeyd_cancel(cancels_in, cancel_others, &runs[i]);
}

Test(client_pipelined, callback_cancels_those_that_were_answered_together_with_it)
{
    struct peer peer;
    peer_start(&peer, third_late);
    mikeyd_client *client = cancels_in = peer_connect(&peer);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(mikeyd_submit_confirm(client, "t", 1, "\1", 1, cancel_others, &runs[i]),
                     MIKEYD_OK);
    cr_assert_eq(loop(client, 1), MIKEYD_OK);
    cr_expect_eq(runs[0] + runs[1] + runs[2], 1);
    /* Nothing is left that would wake the loop for ever. */
    submit(client, 4);
    cr_assert_eq(loop(client, 2), MIKEYD_OK);
    cr_expect_eq(runs[4], 1);
    cr_expect_eq(runs[0] + runs[1] + runs[2], 1);
    mikeyd_client_close(client);
    peer_stop(&peer);
}
