#include "mikeyd/release_gate.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

struct release_gate {
    struct mailbox *mailbox;
    struct audit_log *audit;
    pthread_t thread;
    bool running;

    /* Something became durable, was lost, or came in late: one post until the thread looks. No
     * mutex, because the audit log may signal under a lock of its own. */
    sem_t changed;
    _Atomic bool signalled;
    _Atomic bool stopping;

    pthread_mutex_t mutex;
    struct job_list held;
};

enum mikeyd_status release_gate_make(struct mailbox *mailbox, struct release_gate **out,
                                     struct error *err)
{
    struct release_gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    gate->mailbox = mailbox;
    (void)pthread_mutex_init(&gate->mutex, NULL);
    (void)sem_init(&gate->changed, 0, 0);
    *out = gate;
    return MIKEYD_OK;
}

static void gate_signal(struct release_gate *gate)
{
    if (!atomic_exchange(&gate->signalled, true))
        (void)sem_post(&gate->changed);
}

void release_gate_committed(void *gate)
{
    gate_signal(gate);
}

void release_gate_hold(struct release_gate *gate, struct job *job)
{
    (void)pthread_mutex_lock(&gate->mutex);
    job_list_append(&gate->held, job);
    /* The job may be released, and used for another request, as soon as the mutex is free. */
    const uint64_t sequence = job->audit_sequence;
    (void)pthread_mutex_unlock(&gate->mutex);
    /* The commit may have happened before the reply came: then nobody else would tell. */
    if (audit_durable(gate->audit) >= sequence || !audit_healthy(gate->audit))
        gate_signal(gate);
}

/* Splits off what is decided: on disk, or lost. */
static void take_decided(struct release_gate *gate, struct job_list *released,
                         struct job_list *lost)
{
    struct job_list held = gate->held;
    struct job *job;
    gate->held = (struct job_list){0};
    while ((job = job_list_take(&held)) != NULL) {
        const enum audit_fate fate = audit_outcome(gate->audit, job->audit_sequence);
        if (fate == AUDIT_LOST)
            job_list_append(lost, job);
        else if (fate == AUDIT_ON_DISK)
            job_list_append(released, job);
        else
            job_list_append(&gate->held, job);
    }
}

static void fail_all(struct job_list *list, enum mikeyd_status status, const char *text)
{
    for (struct job *job = list->head; job != NULL; job = job->next)
        job_set_failure(job, status, text);
}

/* One round. Called and left with the mutex held. */
static void release_decided(struct release_gate *gate)
{
    struct job_list released = {0}, lost = {0};
    take_decided(gate, &released, &lost);
    fail_all(&lost, MIKEYD_AUDIT_DOWN, "the audit record could not be written");
    job_list_join(&released, &lost);
    if (released.head == NULL)
        return;
    (void)pthread_mutex_unlock(&gate->mutex);
    mailbox_post(gate->mailbox, &released);
    (void)pthread_mutex_lock(&gate->mutex);
}

static void *gate_main(void *context)
{
    struct release_gate *gate = context;
    while (!atomic_load(&gate->stopping)) {
        while (sem_wait(&gate->changed) != 0 && errno == EINTR) {
        }
        atomic_store(&gate->signalled, false);
        (void)pthread_mutex_lock(&gate->mutex);
        if (gate->held.head != NULL)
            release_decided(gate);
        (void)pthread_mutex_unlock(&gate->mutex);
    }
    return NULL;
}

enum mikeyd_status release_gate_start(struct release_gate *gate, struct audit_log *audit,
                                      struct error *err)
{
    gate->audit = audit;
    if (pthread_create(&gate->thread, NULL, gate_main, gate) != 0)
        return error_set(err, MIKEYD_INTERNAL, "cannot start the release thread");
    gate->running = true;
    return MIKEYD_OK;
}

void release_gate_expire(struct release_gate *gate, int64_t deadline_ms)
{
    struct job_list expired = {0}, held;
    struct job *job;
    (void)pthread_mutex_lock(&gate->mutex);
    held = gate->held;
    gate->held = (struct job_list){0};
    while ((job = job_list_take(&held)) != NULL)
        job_list_append(job->done_ms < deadline_ms ? &expired : &gate->held, job);
    (void)pthread_mutex_unlock(&gate->mutex);
    if (expired.head == NULL)
        return;
    fail_all(&expired, MIKEYD_AUDIT_DOWN, "the audit record is not on disk in time");
    mailbox_post(gate->mailbox, &expired);
}

size_t release_gate_waiting(struct release_gate *gate)
{
    (void)pthread_mutex_lock(&gate->mutex);
    size_t count = gate->held.count;
    (void)pthread_mutex_unlock(&gate->mutex);
    return count;
}

void release_gate_stop(struct release_gate *gate)
{
    if (!gate->running)
        return;
    atomic_store(&gate->stopping, true);
    (void)sem_post(&gate->changed);
    (void)pthread_join(gate->thread, NULL);
    gate->running = false;
    fail_all(&gate->held, MIKEYD_AUDIT_DOWN, "the daemon stops");
    mailbox_post(gate->mailbox, &gate->held);
}

void release_gate_free(struct release_gate *gate)
{
    if (gate == NULL)
        return;
    job_list_free(&gate->held);
    (void)sem_destroy(&gate->changed);
    (void)pthread_mutex_destroy(&gate->mutex);
    free(gate);
}
