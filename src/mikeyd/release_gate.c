#include "mikeyd/release_gate.h"

#include <stdlib.h>

struct release_gate {
    struct mailbox *mailbox;
    struct audit_log *audit;
    /* Something became durable, was lost, or came in late, since the main loop last looked. */
    _Atomic bool changed;
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
    *out = gate;
    return MIKEYD_OK;
}

void release_gate_attach(struct release_gate *gate, struct audit_log *audit)
{
    gate->audit = audit;
}

/* The gate's own mutex is not taken: the audit log may call under a lock of its own, which
 * take_decided() wants under that mutex. */
void release_gate_committed(void *context)
{
    struct release_gate *gate = context;
    if (!atomic_exchange(&gate->changed, true))
        mailbox_wake(gate->mailbox);
}

void release_gate_expect(struct release_gate *gate, int more)
{
    audit_expect(gate->audit, more);
}

void release_gate_hold(struct release_gate *gate, struct job *job)
{
    (void)pthread_mutex_lock(&gate->mutex);
    job_list_append(&gate->held, job);
    /* The job may be collected, and used for another request, as soon as the mutex is free. */
    const uint64_t sequence = job->audit_sequence;
    (void)pthread_mutex_unlock(&gate->mutex);
    /* The commit may have happened before the reply came: then nobody else would tell. */
    if (audit_durable(gate->audit) >= sequence || !audit_healthy(gate->audit))
        release_gate_committed(gate);
}

/* Splits off what is decided: on disk, or lost. Called with the mutex held. */
static void take_decided(struct release_gate *gate, struct job_list *out)
{
    struct job_list held = gate->held;
    struct job *job;
    gate->held = (struct job_list){0};
    while ((job = job_list_take(&held)) != NULL) {
        const enum audit_fate fate = audit_outcome(gate->audit, job->audit_sequence);
        if (fate == AUDIT_LOST)
            job_set_failure(job, MIKEYD_AUDIT_DOWN, "the audit record could not be written");
        job_list_append(fate == AUDIT_PENDING ? &gate->held : out, job);
    }
}

void release_gate_collect(struct release_gate *gate, struct job_list *out)
{
    /* In this order: a wake-up that comes after the mailbox was emptied is not lost, and one that
     * came before has its cause found below. */
    mailbox_collect(gate->mailbox, out);
    if (!atomic_exchange(&gate->changed, false))
        return;
    (void)pthread_mutex_lock(&gate->mutex);
    take_decided(gate, out);
    (void)pthread_mutex_unlock(&gate->mutex);
}

static void fail_all(struct job_list *list, const char *text)
{
    for (struct job *job = list->head; job != NULL; job = job->next)
        job_set_failure(job, MIKEYD_AUDIT_DOWN, text);
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
    fail_all(&expired, "the audit record is not on disk in time");
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
    struct job_list decided = {0};
    (void)pthread_mutex_lock(&gate->mutex);
    if (gate->held.head != NULL)
        take_decided(gate, &decided);
    fail_all(&gate->held, "the daemon stops");
    job_list_join(&decided, &gate->held);
    (void)pthread_mutex_unlock(&gate->mutex);
    mailbox_post(gate->mailbox, &decided);
}

void release_gate_free(struct release_gate *gate)
{
    if (gate == NULL)
        return;
    job_list_free(&gate->held);
    (void)pthread_mutex_destroy(&gate->mutex);
    free(gate);
}
