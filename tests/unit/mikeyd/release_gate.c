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
static pthread_t tester;
static char dir[] = "/tmp/mikeyd-gate-XXXXXX";

/* A reply that comes in as soon as the main loop has let go of so many mutexes. */
static struct job *late;
static unsigned late_after;

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int result = __real_pthread_mutex_unlock(mutex);
    if (pthread_equal(pthread_self(), tester) != 0 && late != NULL && --late_after == 0) {
        struct job *job = late;
        late = NULL;
        release_gate_hold(gate, job);
    }
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
    /* The tests tell of commits themselves, at a moment they choose. */
    const struct audit_options options = {.path = path};
    cr_assert_eq(audit_open(&options, &audit, &err), MIKEYD_OK, "%s", err.text);
    release_gate_attach(gate, audit);
}

static void close_all(void)
{
    char command[96];
    release_gate_stop(gate);
    audit_close(audit);
    release_gate_free(gate);
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
    while (list.count == 0) {
        cr_assert_eq(poll(&fd, 1, 5000), 1, "nothing was released");
        release_gate_collect(gate, &list);
    }
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
    struct job_list list = {0};
    release_gate_hold(gate, job);
    release_gate_committed(gate);
    release_gate_collect(gate, &list);
    cr_assert_eq(list.count, 0, "released without its record");
    cr_assert_eq(release_gate_waiting(gate), 1);
    cr_assert_eq(append_durably(), durable + 1);
    release_gate_committed(gate);
    expect_released(job);
}

static struct job *collected_with_late(struct job *job, unsigned after)
{
    struct job_list list = {0};
    release_gate_committed(gate);
    late_after = after;
    late = job;
    release_gate_collect(gate, &list);
    cr_assert_null(late, "fewer mutexes than that");
    return list.head != NULL ? list.head : next_released();
}

/* After the mailbox was emptied, and after what was held was looked at. */
Test(gate, reply_that_comes_in_during_a_round_is_not_forgotten)
{
    for (unsigned after = 1; after <= 2; after++) {
        struct job_spare spare = {0};
        const uint64_t durable = append_durably();
        struct job *job = make_job(durable);
        cr_assert_eq(collected_with_late(job, after), job);
        job_recycle(&spare, job);
        job_list_free(&spare.list);
    }
}

Test(gate, what_is_on_disk_leaves_at_the_end_too)
{
    struct job_spare spare = {0};
    struct job_list list = {0};
    const uint64_t durable = append_durably();
    struct job *done = make_job(durable), *pending = make_job(durable + 1);
    release_gate_hold(gate, done);
    release_gate_hold(gate, pending);
    release_gate_stop(gate);
    cr_assert_eq(release_gate_waiting(gate), 0);
    release_gate_collect(gate, &list);
    cr_assert_eq(list.count, 2);
    cr_assert_eq(done->reply_len, 0, "the reply was replaced");
    cr_assert_gt(pending->reply_len, 0, "no failure was packed");
    job_recycle(&spare, job_list_take(&list));
    job_recycle(&spare, job_list_take(&list));
    job_list_free(&spare.list);
}
