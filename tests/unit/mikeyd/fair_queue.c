/* Whose request is next, and whose has no room. */
#include "mikeyd/fair_queue.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define JOBS_MAX 64

static struct job jobs[JOBS_MAX];
static size_t made;
static struct fair_queue *queue;

static void drain(void)
{
    while (fair_queue_take(queue) != NULL) {
    }
    fair_queue_free(queue);
}

TestSuite(fair_queue, .fini = drain);

/* The id says who: client, connection, number. */
static struct job *job_of(uid_t uid, uint64_t flow, uint64_t number)
{
    struct job *job = &jobs[made++];
    cr_assert_leq(made, JOBS_MAX);
    *job = (struct job){.uid = uid, .flow = flow, .queued_ms = (int64_t)number};
    job->id = uid * 1000 + flow * 100 + number;
    return job;
}

/* All of which must find room. */
static void put(uid_t uid, uint64_t flow, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_null(fair_queue_put(queue, job_of(uid, flow, i)));
}

static void charge_forgery(uid_t uid, uint64_t client)
{
    const struct job job = {.uid = uid, .client = client};
    fair_queue_charge_forgery(queue, &job);
}

static void expect_next(const uint64_t ids[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct job *job = fair_queue_take(queue);
        cr_assert_not_null(job);
        cr_assert_eq(job->id, ids[i], "place %zu: %lu", i, (unsigned long)job->id);
    }
}

Test(fair_queue, requests_of_one_connection_keep_their_order)
{
    queue = fair_queue_make(8);
    put(1, 1, 3);
    expect_next((const uint64_t[]){1100, 1101, 1102}, 3);
    cr_assert_null(fair_queue_take(queue));
}

Test(fair_queue, clients_take_turns_however_many_connections_they_have)
{
    queue = fair_queue_make(16);
    put(1, 1, 2);
    put(1, 2, 2);
    put(1, 3, 2);
    put(2, 4, 2);
    expect_next((const uint64_t[]){1100, 2400, 1200, 2401, 1300, 1101, 1201, 1301}, 8);
}

Test(fair_queue, late_comer_is_next_but_one)
{
    queue = fair_queue_make(16);
    put(1, 1, 10);
    expect_next((const uint64_t[]){1100, 1101}, 2);
    put(2, 2, 1);
    expect_next((const uint64_t[]){1102, 2200, 1103}, 3);
}

Test(fair_queue, full_queue_refuses_who_has_most)
{
    queue = fair_queue_make(4);
    put(1, 1, 4);
    struct job *more = job_of(1, 1, 4);
    cr_assert_eq(fair_queue_put(queue, more), more);
    cr_assert_eq(fair_queue_count(queue), 4);
}

Test(fair_queue, newest_of_who_has_most_gives_way)
{
    queue = fair_queue_make(4);
    put(1, 1, 1);
    put(1, 2, 3);
    const struct job *out = fair_queue_put(queue, job_of(2, 3, 0));
    cr_assert_not_null(out);
    cr_assert_eq(out->id, 1202);
    out = fair_queue_put(queue, job_of(2, 3, 1));
    cr_assert_not_null(out);
    cr_assert_eq(out->id, 1201);
    /* Two each: nobody has more to give. */
    struct job *more = job_of(2, 3, 2);
    cr_assert_eq(fair_queue_put(queue, more), more);
    expect_next((const uint64_t[]){1100, 2300, 1200, 2301}, 4);
}

Test(fair_queue, connection_of_a_client_gives_way_to_another_of_its_own)
{
    queue = fair_queue_make(4);
    put(1, 1, 4);
    const struct job *out = fair_queue_put(queue, job_of(1, 2, 0));
    cr_assert_not_null(out);
    cr_assert_eq(out->id, 1103);
    expect_next((const uint64_t[]){1100, 1200, 1101, 1102}, 4);
}

Test(fair_queue, late_ones_are_found_wherever_they_wait)
{
    struct job_list late = {0};
    queue = fair_queue_make(16);
    put(1, 1, 3);
    put(1, 2, 1);
    put(2, 3, 2);
    fair_queue_take_late(queue, 1, &late);
    cr_assert_eq(late.count, 3);
    cr_assert_eq(fair_queue_count(queue), 3);
    fair_queue_take_late(queue, 2, &late);
    cr_assert_eq(late.count, 5);
    expect_next((const uint64_t[]){1102}, 1);
    cr_assert_null(fair_queue_take(queue));
}

/* Client 1 alone sends forgeries. */
Test(fair_queue, forgeries_cost_turns_while_others_wait)
{
    queue = fair_queue_make(32);
    put(1, 1, 3);
    put(2, 2, 12);
    charge_forgery(1, 0);
    expect_next((const uint64_t[]){2200, 2201, 2202, 2203, 1100, 2204, 1101, 2205}, 8);
    charge_forgery(1, 0);
    expect_next((const uint64_t[]){2206, 2207, 2208, 2209, 1102}, 5);
}

Test(fair_queue, who_owes_turns_is_served_when_nobody_else_waits)
{
    queue = fair_queue_make(8);
    put(1, 1, 2);
    charge_forgery(1, 0);
    expect_next((const uint64_t[]){1100, 1101}, 2);
}

Test(fair_queue, who_all_owe_turns_take_turns)
{
    queue = fair_queue_make(8);
    put(1, 1, 2);
    put(2, 2, 2);
    charge_forgery(1, 0);
    charge_forgery(2, 0);
    expect_next((const uint64_t[]){1100, 2200, 1101, 2201}, 4);
}

Test(fair_queue, a_flood_that_is_over_is_soon_paid_for)
{
    queue = fair_queue_make(JOBS_MAX);
    for (int i = 0; i < 1000; i++)
        charge_forgery(1, 0);
    put(1, 1, 1);
    put(2, 2, 50);
    for (int i = 0; i < 32; i++)
        cr_assert_eq(fair_queue_take(queue)->uid, 2);
    cr_assert_eq(fair_queue_take(queue)->uid, 1);
}

/* However many clients forge, the table of who owes has room for the worst. */
Test(fair_queue, more_debtors_than_are_remembered_do_no_harm)
{
    queue = fair_queue_make(64);
    for (uid_t uid = 10; uid < 60; uid++)
        charge_forgery(uid, 0);
    charge_forgery(1, 0);
    put(1, 1, 1);
    put(2, 2, 1);
    expect_next((const uint64_t[]){2200, 1100}, 2);
}

/* ---- clients behind a gate: one user, several clients */

#define GATE 7

static void put_behind_gate(uint64_t client, uint64_t flow, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct job *job = job_of(GATE, flow, i);
        job->client = client;
        cr_assert_null(fair_queue_put(queue, job));
    }
}

Test(fair_queue, clients_behind_a_gate_take_turns_with_all_others)
{
    queue = fair_queue_make(32);
    put_behind_gate(1, 1, 3); /* one with two connections */
    put_behind_gate(1, 2, 3);
    put_behind_gate(2, 3, 2);
    put(1, 4, 2);
    expect_next((const uint64_t[]){7100, 7300, 1400, 7200, 7301, 1401, 7101, 7201, 7102, 7202}, 10);
}

Test(fair_queue, the_newest_of_a_noisy_client_behind_a_gate_gives_way_to_another_behind_it)
{
    queue = fair_queue_make(4);
    put_behind_gate(1, 1, 4);
    struct job *modest = job_of(GATE, 2, 0);
    modest->client = 2;
    const struct job *displaced = fair_queue_put(queue, modest);
    cr_assert_not_null(displaced);
    cr_expect_eq(displaced->id, 7103);
    expect_next((const uint64_t[]){7100, 7200, 7101, 7102}, 4);
}

Test(fair_queue, a_forgery_is_paid_by_the_client_behind_the_gate_that_brought_it)
{
    queue = fair_queue_make(32);
    put_behind_gate(1, 1, 2);
    put_behind_gate(2, 2, 6);
    charge_forgery(GATE, 1);
    expect_next((const uint64_t[]){7200, 7201, 7202, 7203, 7100}, 5);
}
