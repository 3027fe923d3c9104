/* The release gate on a real audit log. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mikeyd/release_gate.h"

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

static struct mailbox mailbox;
static struct release_gate *gate;
static struct audit_log *audit;
static char dir[] = "/tmp/mikeyd-gate-XXXXXX";

/* Comes in as soon as the gate's own thread lets go of its mutex. */
static struct job *_Atomic late;
static pthread_t tester;

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int result = __real_pthread_mutex_unlock(mutex);
    struct job *job = NULL;
    if (pthread_equal(pthread_self(), tester) == 0)
        job = atomic_exchange(&late, NULL);
    if (job != NULL)
        release_gate_hold(gate, job);
    return result;
}

static void open_all(void)
{
    char path[64];
    struct error err = {0};
    tester = pthread_self();
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(mailbox_open(&mailbox, &err), MIKEYD_OK);
    cr_assert_eq(release_gate_make(&mailbox, &gate, &err), MIKEYD_OK);
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", dir);
    const struct audit_options options = {.path = path};
    cr_assert_eq(audit_open(&options, &audit, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(release_gate_start(gate, audit, &err), MIKEYD_OK);
}

static void close_all(void)
{
    char command[96];
    release_gate_stop(gate);
    release_gate_free(gate);
    audit_close(audit);
    mailbox_close(&mailbox);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(gate, .init = open_all, .fini = close_all, .timeout = 30);

static uint64_t append_durably(void)
{
    struct error err = {0};
    uint64_t sequence = 0;
    const struct audit_record record = {.event = AUDIT_INITIATE};
    cr_assert_eq(audit_append(audit, &record, &sequence, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(audit_wait(audit, sequence, &err), MIKEYD_OK, "%s", err.text);
    return sequence;
}

static struct job *make_job(uint64_t sequence)
{
    struct job_spare spare = {0};
    struct job *job = job_make(&spare, 0);
    cr_assert_not_null(job);
    job->audit_sequence = sequence;
    return job;
}

static struct job *next_released(void)
{
    struct pollfd fd = {.fd = mailbox.fd, .events = POLLIN};
    struct job_list list = {0};
    cr_assert_eq(poll(&fd, 1, 10000), 1, "nothing was released");
    mailbox_collect(&mailbox, &list);
    cr_assert_eq(list.count, 1);
    return list.head;
}

static void expect_released(struct job *job)
{
    struct job_spare spare = {0};
    cr_assert_eq(next_released(), job);
    cr_assert_eq(job->status, MIKEYD_OK);
    job_recycle(&spare, job);
    job_list_free(&spare.list);
}

Test(gate, reply_whose_record_is_on_disk_leaves)
{
    struct job *job = make_job(append_durably());
    release_gate_hold(gate, job);
    expect_released(job);
}

Test(gate, reply_waits_for_its_record)
{
    const uint64_t durable = append_durably();
    struct job *job = make_job(durable + 1);
    struct pollfd fd = {.fd = mailbox.fd, .events = POLLIN};
    release_gate_hold(gate, job);
    release_gate_committed(gate);
    cr_assert_eq(poll(&fd, 1, 200), 0, "released without its record");
    cr_assert_eq(release_gate_waiting(gate), 1);
    cr_assert_eq(append_durably(), durable + 1);
    release_gate_committed(gate);
    expect_released(job);
}

Test(gate, reply_that_comes_in_during_a_round_is_not_forgotten)
{
    const uint64_t durable = append_durably();
    struct job *pending = make_job(durable + 1), *job = make_job(durable);
    release_gate_hold(gate, pending);
    atomic_store(&late, job);
    /* A round that finds nothing on disk; as it ends, `job` arrives. */
    release_gate_committed(gate);
    expect_released(job);
}
