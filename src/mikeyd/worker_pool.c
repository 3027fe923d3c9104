#include "mikeyd/worker_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "mikeyd/fair_queue.h"
#include "mikeyd/request.h"

/* A request that comes in meanwhile may have to wait for that long, when there is one worker. */
#define PREWARM_PAIRS 256
#define PREWARM_MS 1000

struct worker {
    struct worker_pool *pool;
    pthread_t thread;
    bool started;
    _Atomic bool ended;
    struct exchange_worker *exchange;
    struct request_arena *arena;
    struct job *_Atomic current; /* for the deadline check */
};

struct worker_pool {
    struct worker_pool_config config;
    struct worker *workers;

    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct fair_queue *queue;
    unsigned idle;
    bool prewarm; /* wanted of the first idle worker */
    bool stopping;
};

/* ---- one job ---- */

static enum mikeyd_status serve_status(struct worker *worker, struct job *job, bool checks,
                                       struct error *err)
{
    struct worker_pool *pool = worker->pool;
    char *report = pool->config.report(pool->config.context, checks);
    if (report == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    enum mikeyd_status status = job_set_report(job, report, err);
    free(report);
    return status;
}

static enum mikeyd_status serve_exchange(struct worker *worker, struct job *job,
                                         const struct exchange_request *exchange, struct error *err)
{
    struct exchange_result result;
    job->operation = exchange->operation;
    job->is_exchange = true;
    enum mikeyd_status status = exchange_serve(worker->exchange, exchange, &result, err);
    job->keys_us = result.keys_us;
    job->store_us = result.store_us;
    if (status != MIKEYD_OK) {
        if (result.message_len != 0 || result.suite_count != 0)
            job_set_refusal(job, status, err->text, &result);
        return status;
    }
    /* Packed now, because the result's memory serves the next request while this one waits for the
     * disk. */
    job->audit_sequence = result.audit_sequence;
    status = job_set_result(job, &result, err);
    exchange_result_wipe(worker->exchange);
    return status;
}

/* The reports are for the policy's clients. A user of this host has been judged when it connected
 * (connection.c). */
static enum mikeyd_status admit_status(const struct worker *worker, const struct caller *caller,
                                       struct error *err)
{
    struct policy *policy = exchange_service_policy(worker->pool->config.service);
    const bool known = caller->san == NULL || policy_client_by_caller(policy, caller) != NULL;
    policy_unref(policy);
    return known ? MIKEYD_OK
                 : error_set(err, MIKEYD_NOT_ENTITLED, "%.100s is no client of the policy",
                             caller->san);
}

/* What can be refused before any exchange begins. */
static enum mikeyd_status admit(struct worker *worker, const struct job *job,
                                const Mikeyd__Request *request, struct exchange_request *exchange,
                                struct error *err)
{
    const struct worker_pool_config *config = &worker->pool->config;
    const bool by_gate = config->has_gate && job->has_uid && job->uid == config->gate_uid;
    struct caller caller = {.has_uid = job->has_uid, .uid = job->uid};
    if (request == NULL)
        return error_set(err, MIKEYD_SYNTAX, "the frame is not a request");
    enum mikeyd_status status = request_caller(request, by_gate, &caller, err);
    if (status != MIKEYD_OK)
        return status;
    if (request->op_case == MIKEYD__REQUEST__OP_STATUS)
        return admit_status(worker, &caller, err);
    return request_describe(worker->arena, request, &caller, exchange, err);
}

static enum mikeyd_status serve(struct worker *worker, struct job *job,
                                const Mikeyd__Request *request, struct error *err)
{
    const struct worker_pool_config *config = &worker->pool->config;
    struct exchange_request exchange;
    enum mikeyd_status status = admit(worker, job, request, &exchange, err);
    if (status != MIKEYD_OK) {
        config->refused(config->context, job, status, err->text);
        return status;
    }
    if (request->op_case == MIKEYD__REQUEST__OP_STATUS)
        return serve_status(worker, job, request->status->checks, err);
    return serve_exchange(worker, job, &exchange, err);
}

/* Whoever passes forgeries on, knowing or not, has less of the token than others. */
static void charge_forgery(struct worker_pool *pool, const struct job *job)
{
    (void)pthread_mutex_lock(&pool->mutex);
    fair_queue_charge_forgery(pool->queue, job);
    (void)pthread_mutex_unlock(&pool->mutex);
}

static void work(struct worker *worker, struct job *job)
{
    struct error err = {.text = ""};
    Mikeyd__Request *request =
        rpc_request_unpack(&worker->arena->frame, job->frame, job->frame_len);
    job->id = request == NULL ? 0 : request->id;
    atomic_store(&job->started_ms, clock_monotonic_ms());
    job->waited_us = clock_monotonic_us() - job->queued_us;
    atomic_store(&job->state, JOB_RUNNING);
    atomic_store(&worker->current, job);

    job->status = serve(worker, job, request, &err);
    release_gate_expect(worker->pool->config.gate, -1);
    job->hang_up = request == NULL;
    job->done_us = clock_monotonic_us();
    job->done_ms = job->done_us / 1000;
    if (job->status == MIKEYD_AUTH_FAILED)
        charge_forgery(worker->pool, job);

    atomic_store(&worker->current, NULL);
    int running = JOB_RUNNING;
    if (!atomic_compare_exchange_strong(&job->state, &running, JOB_DONE)) {
        /* The client was told TOKEN_DOWN meanwhile: whatever came out must not live on. */
        job_drop_reply(job);
        mailbox_post_one(worker->pool->config.mailbox, job);
        return;
    }
    if (job->status != MIKEYD_OK && job->reply == NULL)
        job_set_failure(job, job->status, err.text);
    if (job->audit_sequence != 0)
        release_gate_hold(worker->pool->config.gate, job);
    else
        mailbox_post_one(worker->pool->config.mailbox, job);
}

/* ---- the threads ---- */

static void prewarm(struct worker *worker)
{
    struct error err = {.text = ""};
    size_t warmed = 0;
    if (exchange_worker_prewarm(worker->exchange, PREWARM_PAIRS, PREWARM_MS, &warmed, &err) !=
        MIKEYD_OK)
        log_warning("pair keys are not ready yet: %s", err.text);
    else if (warmed != 0)
        log_info("%zu pair keys are ready", warmed);
}

void worker_pool_prewarm(struct worker_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    pool->prewarm = true;
    (void)pthread_cond_signal(&pool->filled);
    (void)pthread_mutex_unlock(&pool->mutex);
}

static struct job *take_job(struct worker *worker)
{
    struct worker_pool *pool = worker->pool;
    (void)pthread_mutex_lock(&pool->mutex);
    while (fair_queue_count(pool->queue) == 0 && !pool->stopping) {
        if (pool->prewarm) {
            pool->prewarm = false;
            (void)pthread_mutex_unlock(&pool->mutex);
            prewarm(worker);
            (void)pthread_mutex_lock(&pool->mutex);
            continue;
        }
        pool->idle++;
        (void)pthread_cond_wait(&pool->filled, &pool->mutex);
        pool->idle--;
    }
    struct job *job = fair_queue_take(pool->queue);
    (void)pthread_mutex_unlock(&pool->mutex);
    return job;
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct job *job;
    while ((job = take_job(worker)) != NULL)
        work(worker, job);
    atomic_store(&worker->ended, true);
    return NULL;
}

static enum mikeyd_status start_worker(struct worker_pool *pool, struct worker *worker,
                                       struct error *err)
{
    worker->pool = pool;
    worker->arena = malloc(sizeof *worker->arena);
    if (worker->arena == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    rpc_arena_init(&worker->arena->frame);
    enum mikeyd_status status = exchange_worker_open(pool->config.service, &worker->exchange, err);
    if (status != MIKEYD_OK)
        return status;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
        return error_set(err, MIKEYD_INTERNAL, "cannot start a worker thread");
    worker->started = true;
    return MIKEYD_OK;
}

enum mikeyd_status worker_pool_start(const struct worker_pool_config *config,
                                     struct worker_pool **out, struct error *err)
{
    struct worker_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    pool->config = *config;
    pool->prewarm = true;
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->filled, NULL);
    pool->workers = calloc(config->workers, sizeof *pool->workers);
    pool->queue = fair_queue_make(config->queue);
    enum mikeyd_status status = pool->workers == NULL || pool->queue == NULL
                                    ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                    : MIKEYD_OK;
    for (unsigned i = 0; i < config->workers && status == MIKEYD_OK; i++)
        status = start_worker(pool, &pool->workers[i], err);
    if (status != MIKEYD_OK) {
        (void)worker_pool_stop(pool, 1000);
        worker_pool_free(pool);
        return status;
    }
    *out = pool;
    return MIKEYD_OK;
}

void worker_pool_submit(struct worker_pool *pool, struct job_list *list)
{
    (void)pthread_mutex_lock(&pool->mutex);
    struct job_list offered = *list;
    struct job *job, *without_room;
    size_t added = offered.count;
    *list = (struct job_list){0};
    while ((job = job_list_take(&offered)) != NULL) {
        without_room = fair_queue_put(pool->queue, job);
        if (without_room != NULL)
            job_list_append(list, without_room);
    }
    added -= list->count;
    release_gate_expect(pool->config.gate, (int)added);
    /* Busy workers look at the queue by themselves when they are done. */
    for (size_t i = 0; i < added && i < pool->idle; i++)
        (void)pthread_cond_signal(&pool->filled);
    (void)pthread_mutex_unlock(&pool->mutex);
}

void worker_pool_overdue(struct worker_pool *pool, int64_t deadline_ms,
                         void (*visit)(void *context, struct job *job), void *context,
                         struct job_list *late)
{
    for (unsigned i = 0; i < pool->config.workers; i++) {
        /* Jobs are recycled by this very thread only, so a stale pointer still names a job. */
        struct job *job = atomic_load(&pool->workers[i].current);
        if (job == NULL || atomic_load(&job->started_ms) >= deadline_ms)
            continue;
        int running = JOB_RUNNING;
        if (atomic_compare_exchange_strong(&job->state, &running, JOB_ABANDONED))
            visit(context, job);
    }
    (void)pthread_mutex_lock(&pool->mutex);
    const size_t before = late->count;
    fair_queue_take_late(pool->queue, deadline_ms, late);
    release_gate_expect(pool->config.gate, -(int)(late->count - before));
    (void)pthread_mutex_unlock(&pool->mutex);
}

size_t worker_pool_waiting(struct worker_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    size_t count = fair_queue_count(pool->queue);
    (void)pthread_mutex_unlock(&pool->mutex);
    return count;
}

static bool wait_ended(struct worker *worker, int64_t deadline_ms)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    while (!atomic_load(&worker->ended)) {
        if (clock_monotonic_ms() >= deadline_ms)
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms)
{
    bool all = true;
    const int64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->filled);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; pool->workers != NULL && i < pool->config.workers; i++) {
        struct worker *worker = &pool->workers[i];
        if (!worker->started)
            continue;
        if (!wait_ended(worker, deadline_ms)) {
            log_error("a worker hangs in the token and is left behind");
            all = false;
            continue;
        }
        (void)pthread_join(worker->thread, NULL);
        worker->started = false;
    }
    return all;
}

void worker_pool_free(struct worker_pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; pool->workers != NULL && i < pool->config.workers; i++) {
        exchange_worker_close(pool->workers[i].exchange);
        free(pool->workers[i].arena);
    }
    free(pool->workers);
    fair_queue_free(pool->queue);
    (void)pthread_cond_destroy(&pool->filled);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool);
}
