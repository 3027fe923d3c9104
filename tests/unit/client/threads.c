/* Blocking calls of several threads on one client. */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/peer.h"

#define THREADS 8

struct worker {
    pthread_t thread;
    mikeyd_client *client;
    int calls;
    int done, unreachable, other;
    bool own_answers;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    worker->own_answers = true;
    for (int i = 0; i < worker->calls; i++) {
        mikeyd_exchange *exchange = NULL;
        enum mikeyd_status status = mikeyd_confirm(worker->client, "t", 1, "\1", 1, &exchange);
        if (status == MIKEYD_OK)
            worker->done++;
        else if (status == MIKEYD_UNREACHABLE)
            worker->unreachable++;
        else
            worker->other++;
        if (status == MIKEYD_UNREACHABLE && mikeyd_client_error(worker->client)[0] == '\0')
            worker->own_answers = false;
        mikeyd_exchange_free(exchange);
    }
    return NULL;
}

static struct worker workers[THREADS];

static void start_workers(mikeyd_client *client, int calls)
{
    for (int i = 0; i < THREADS; i++) {
        workers[i].client = client;
        workers[i].calls = calls;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

static void join_workers(void)
{
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
}

/* Answers two at a time, the second first, when a second comes soon. */
static void swapped(int fd, int number)
{
    (void)number;
    Mikeyd__Request *first;
    while ((first = peer_read(fd)) != NULL) {
        struct pollfd more = {fd, POLLIN, 0};
        Mikeyd__Request *second = poll(&more, 1, 20) == 1 ? peer_read(fd) : NULL;
        if (second != NULL) {
            peer_send_exchange(fd, second->id);
            mikeyd__request__free_unpacked(second, NULL);
        }
        peer_send_exchange(fd, first->id);
        mikeyd__request__free_unpacked(first, NULL);
    }
}

Test(client_threads, eight_threads_share_a_connection, .timeout = 60)
{
    struct peer peer;
    peer_start(&peer, swapped);
    mikeyd_client *client = peer_connect(&peer);
    start_workers(client, 100);
    join_workers();
    for (int i = 0; i < THREADS; i++) {
        cr_expect_eq(workers[i].done, 100, "thread %d: %d", i, workers[i].done);
    }
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static atomic_int requests_seen;

/* Answers the first request when the second is there, and the second long after. */
static void one_after_the_other(int fd, int number)
{
    (void)number;
    Mikeyd__Request *requests[2];
    for (int i = 0; i < 2; i++) {
        requests[i] = peer_read(fd);
        if (requests[i] == NULL)
            return;
        atomic_fetch_add(&requests_seen, 1);
    }
    for (int i = 0; i < 2; i++) {
        (void)usleep(50000);
        peer_send_exchange(fd, requests[i]->id);
        mikeyd__request__free_unpacked(requests[i], NULL);
    }
}

Test(client_threads, a_thread_that_has_its_answer_leaves_the_reading_to_another, .timeout = 20)
{
    struct peer peer;
    peer_start(&peer, one_after_the_other);
    mikeyd_client *client = peer_connect(&peer);
    mikeyd_client_set_timeout(client, 1000);
    for (int i = 0; i < 2; i++) {
        workers[i].client = client;
        workers[i].calls = 1;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        while (atomic_load(&requests_seen) <= i)
            (void)usleep(1000);
    }
    for (int i = 0; i < 2; i++)
        (void)pthread_join(workers[i].thread, NULL);
    cr_expect_eq(workers[0].done, 1);
    cr_expect_eq(workers[1].done, 1);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static atomic_bool stop_dispatching;

static void *dispatch_all_the_time(void *arg)
{
    while (!atomic_load(&stop_dispatching))
        (void)mikeyd_client_dispatch(arg);
    return NULL;
}

Test(client_threads, an_answer_read_by_dispatch_wakes_the_thread_it_belongs_to, .timeout = 60)
{
    struct peer peer;
    peer_start(&peer, peer_serve);
    mikeyd_client *client = peer_connect(&peer);
    mikeyd_client_set_timeout(client, 1000);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, dispatch_all_the_time, client), 0);
    struct worker worker = {.client = client, .calls = 500};
    (void)work(&worker);
    atomic_store(&stop_dispatching, true);
    (void)pthread_join(thread, NULL);
    cr_expect_eq(worker.done, 500);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static void silent(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request;
    while ((request = peer_read(fd)) != NULL) {
        atomic_fetch_add(&requests_seen, 1);
        mikeyd__request__free_unpacked(request, NULL);
    }
}

Test(client_threads, closing_ends_blocked_calls, .timeout = 20)
{
    struct peer peer;
    peer_start(&peer, silent);
    mikeyd_client *client = peer_connect(&peer);
    start_workers(client, 1);
    while (atomic_load(&requests_seen) < THREADS)
        (void)usleep(1000);
    mikeyd_client_close(client);
    join_workers();
    for (int i = 0; i < THREADS; i++) {
        cr_expect_eq(workers[i].unreachable, 1);
        cr_expect(workers[i].own_answers);
    }
    peer_stop(&peer);
}

/* The first request is never answered. */
static void forgets_one(int fd, int number)
{
    Mikeyd__Request *request = peer_read(fd);
    if (request != NULL)
        mikeyd__request__free_unpacked(request, NULL);
    peer_serve(fd, number);
}

Test(client_threads, one_call_without_an_answer_does_not_hold_up_the_others, .timeout = 20)
{
    struct peer peer;
    peer_start(&peer, forgets_one);
    mikeyd_client *client = peer_connect(&peer);
    mikeyd_client_set_timeout(client, 300);
    start_workers(client, 50);
    join_workers();
    int done = 0, unreachable = 0;
    for (int i = 0; i < THREADS; i++) {
        done += workers[i].done;
        unreachable += workers[i].unreachable;
    }
    cr_expect_eq(unreachable, 1);
    cr_expect_eq(done, THREADS * 50 - 1);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

/* Hangs up after every 20 requests, with some in flight. */
static void restless(int fd, int number)
{
    (void)number;
    for (int i = 0; i < 20; i++) {
        Mikeyd__Request *request = peer_read(fd);
        if (request == NULL)
            return;
        peer_send_exchange(fd, request->id);
        mikeyd__request__free_unpacked(request, NULL);
    }
}

Test(client_threads, a_connection_that_breaks_again_and_again_loses_no_call, .timeout = 60)
{
    struct peer peer;
    peer_start(&peer, restless);
    mikeyd_client *client = peer_connect(&peer);
    start_workers(client, 100);
    join_workers();
    int done = 0;
    for (int i = 0; i < THREADS; i++) {
        cr_expect_eq(workers[i].done + workers[i].unreachable, 100);
        cr_expect_eq(workers[i].other, 0);
        done += workers[i].done;
    }
    cr_expect_gt(done, 20, "it never came back");
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static atomic_int callbacks;
static atomic_bool stop_loop;

static void count(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    (void)user;
    if (status == MIKEYD_OK)
        atomic_fetch_add(&callbacks, 1);
    mikeyd_exchange_free(exchange);
}

static void *loop(void *arg)
{
    mikeyd_client *client = arg;
    int submitted = 0;
    while (!atomic_load(&stop_loop)) {
        if (submitted < 500 &&
            mikeyd_submit_confirm(client, "t", 1, "\1", 1, count, NULL) == MIKEYD_OK)
            submitted++;
        (void)mikeyd_client_dispatch(client);
        if (submitted == 500 && atomic_load(&callbacks) == 500)
            break;
    }
    return NULL;
}

Test(client_threads, an_event_loop_and_blocking_threads_share_a_client, .timeout = 60)
{
    struct peer peer;
    peer_start(&peer, peer_serve);
    mikeyd_client *client = peer_connect(&peer);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, loop, client), 0);
    start_workers(client, 100);
    join_workers();
    for (int i = 0; i < THREADS; i++)
        cr_expect_eq(workers[i].done, 100);
    for (int i = 0; i < 5000 && atomic_load(&callbacks) < 500; i++)
        (void)usleep(1000);
    atomic_store(&stop_loop, true);
    (void)pthread_join(thread, NULL);
    cr_expect_eq(atomic_load(&callbacks), 500);
    mikeyd_client_close(client);
    peer_stop(&peer);
}

static void *fail_here(void *arg)
{
    mikeyd_client *other = NULL;
    (void)mikeyd_client_open("nonsense", &other);
    *(bool *)arg = mikeyd_client_error(NULL)[0] != '\0';
    return NULL;
}

Test(client_threads, errors_belong_to_the_thread_that_made_them)
{
    pthread_t thread;
    bool seen_there = false;
    cr_assert_eq(pthread_create(&thread, NULL, fail_here, &seen_there), 0);
    (void)pthread_join(thread, NULL);
    cr_expect(seen_there);
    cr_expect_str_eq(mikeyd_client_error(NULL), "");
}
