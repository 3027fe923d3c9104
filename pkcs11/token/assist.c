/*
 * Threads with token sessions of their own that share the work of a batch when one call takes long
 * (a network HSM: 0.3 to 20 ms): six HMACs of an exchange then take two rounds instead of six.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "pkcs11/token/internal.h"

#define SLOW_US 50
#define ASSIST_MAX 8
#define SHARE_JOBS 6 /* of one exchange: two rounds of three */

enum task_state { TASK_WAITING, TASK_RUNNING, TASK_DONE };

/* The MAC of a message, under an object that lives for this one call. */
struct lone_mac {
    enum hmac_hash hash;
    const uint8_t *key;
    size_t key_len;
    struct token_message message;
};

/* One job of a batch, or a MAC, on the stack of the thread that waits for it. */
struct assist_task {
    struct assist_task *next;
    struct hmac_job *job;
    const struct lone_mac *mac; /* job: NULL */
    enum task_state state;
    enum mikeyd_status status;
    struct error err;
};

struct token_assist {
    struct token *token;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct assist_task *first, **last;
    bool stopping;
    unsigned threads;
    pthread_t thread[ASSIST_MAX];
    struct token_session session[ASSIST_MAX];
};

struct assistant {
    struct token_assist *assist;
    unsigned index;
};

/* With the lock held. */
static struct assist_task *take_first(struct token_assist *assist)
{
    struct assist_task *task = assist->first;
    if (task == NULL)
        return NULL;
    assist->first = task->next;
    if (assist->first == NULL)
        assist->last = &assist->first;
    task->state = TASK_RUNNING;
    return task;
}

static enum mikeyd_status run_mac(struct token_session *session, const struct lone_mac *mac,
                                  struct error *err)
{
    const struct token_message *message = &mac->message;
    unsigned long handle = 0;
    enum mikeyd_status status =
        token_hmac_bytes(session, mac->hash, mac->key, mac->key_len, message->data, message->len,
                         message->parts, &handle, message->tag, err);
    if (handle != 0)
        token_object_destroy(session, handle);
    return status;
}

static void run_task(struct token_assist *assist, struct token_session *session,
                     struct assist_task *task)
{
    enum mikeyd_status status = task->job != NULL
                                    ? token_hmac_serial(session, task->job, 1, &task->err)
                                    : run_mac(session, task->mac, &task->err);
    (void)pthread_mutex_lock(&assist->lock);
    task->status = status;
    task->state = TASK_DONE;
    (void)pthread_cond_broadcast(&assist->done);
}

static void *assistant_main(void *argument)
{
    struct assistant *self = argument;
    struct token_assist *assist = self->assist;
    struct token_session *session = &assist->session[self->index];
    free(self);
    (void)pthread_mutex_lock(&assist->lock);
    for (;;) {
        struct assist_task *task = take_first(assist);
        if (task != NULL) {
            (void)pthread_mutex_unlock(&assist->lock);
            run_task(assist, session, task); /* comes back with the lock */
        } else if (assist->stopping) {
            break;
        } else {
            (void)pthread_cond_wait(&assist->work, &assist->lock);
        }
    }
    (void)pthread_mutex_unlock(&assist->lock);
    return NULL;
}

/* ---- the caller's side */

static void enqueue(struct token_assist *assist, struct assist_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *assist->last = &tasks[i];
        assist->last = &tasks[i].next;
    }
    (void)pthread_cond_broadcast(&assist->work);
}

/* The caller does not idle: it takes whatever waits, be it another's. */
static void work_until_done(struct token_assist *assist, struct token_session *session,
                            const struct assist_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (tasks[i].state != TASK_DONE) {
            struct assist_task *task = take_first(assist);
            if (task == NULL) {
                (void)pthread_cond_wait(&assist->done, &assist->lock);
                continue;
            }
            (void)pthread_mutex_unlock(&assist->lock);
            run_task(assist, session, task);
        }
    }
}

#define SPREAD_MAX 32

static enum mikeyd_status spread(struct token_assist *assist, struct token_session *session,
                                 struct hmac_job *jobs, size_t count, struct error *err)
{
    struct assist_task tasks[SPREAD_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        tasks[i].job = &jobs[i];
    (void)pthread_mutex_lock(&assist->lock);
    enqueue(assist, tasks, count);
    work_until_done(assist, session, tasks, count);
    (void)pthread_mutex_unlock(&assist->lock);
    for (size_t i = 0; i < count; i++) {
        if (tasks[i].status != MIKEYD_OK)
            return error_set(err, tasks[i].status, "%s", tasks[i].err.text);
    }
    return MIKEYD_OK;
}

enum mikeyd_status token_hmac_spread(struct token_session *session, struct hmac_job *jobs,
                                     size_t count, struct error *err)
{
    struct token_assist *assist = session->token->assist;
    for (size_t at = 0; at < count; at += SPREAD_MAX) {
        const size_t part = count - at < SPREAD_MAX ? count - at : SPREAD_MAX;
        enum mikeyd_status status = spread(assist, session, jobs + at, part, err);
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

/* True when nobody had begun with it; with the lock held. */
static bool take_back(struct token_assist *assist, const struct assist_task *task)
{
    struct assist_task **at = &assist->first;
    while (*at != NULL && *at != task)
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    *at = task->next;
    if (*at == NULL)
        assist->last = at;
    return true;
}

/* False: still to be done. */
static bool done_beside(struct token_assist *assist, const struct assist_task *task)
{
    (void)pthread_mutex_lock(&assist->lock);
    bool done = !take_back(assist, task);
    while (done && task->state != TASK_DONE)
        (void)pthread_cond_wait(&assist->done, &assist->lock);
    (void)pthread_mutex_unlock(&assist->lock);
    return done && task->status == MIKEYD_OK;
}

enum mikeyd_status token_hmac_two_spread(struct token_session *session, enum hmac_hash hash,
                                         const uint8_t *key, size_t key_len,
                                         const struct token_message two[2], unsigned long *handle,
                                         struct error *err)
{
    struct token_assist *assist = session->token->assist;
    const struct lone_mac second = {hash, key, key_len, two[1]};
    struct assist_task task = {.mac = &second};
    (void)pthread_mutex_lock(&assist->lock);
    enqueue(assist, &task, 1);
    (void)pthread_mutex_unlock(&assist->lock);
    enum mikeyd_status status = token_hmac_bytes(session, hash, key, key_len, two[0].data,
                                                 two[0].len, two[0].parts, handle, two[0].tag, err);
    /* Also after a failure: the task is on this stack. What failed beside is tried once more here,
     * where the errors are told. */
    const bool done = done_beside(assist, &task);
    if (status == MIKEYD_OK && !done)
        status = token_hmac_bytes(session, hash, key, key_len, two[1].data, two[1].len,
                                  two[1].parts, handle, two[1].tag, err);
    return status;
}

/* ---- life */

static bool start_one(struct token_assist *assist)
{
    const unsigned index = assist->threads;
    struct token_session *session = &assist->session[index];
    struct assistant *self = calloc(1, sizeof *self);
    if (self == NULL)
        return false;
    *self = (struct assistant){assist, index};
    /* A token with no session to spare has no use for another thread. */
    if (token_session_prepare(assist->token, session, NULL) == MIKEYD_OK &&
        token_session_open(session) == CKR_OK &&
        pthread_create(&assist->thread[index], NULL, assistant_main, self) == 0) {
        assist->threads++;
        return true;
    }
    token_session_dispose(session);
    free(self);
    return false;
}

/* Milliseconds-long calls share well; those of a single connection (p11-kit's) gain nothing. */
static bool sharing_pays(struct token *token)
{
    struct hmac_job jobs[SHARE_JOBS];
    uint8_t tags[SHARE_JOBS][HMAC_TAG_MAX];
    const struct token_object *key = token_measured_key(token);
    static const uint8_t message[32] = {0};
    if (key == NULL)
        return false;
    for (size_t i = 0; i < SHARE_JOBS; i++)
        jobs[i] = (struct hmac_job){.key = key,
                                    .hash = HMAC_SHA256,
                                    .data = {message, NULL},
                                    .len = {sizeof message, 0},
                                    .tag = tags[i]};
    int64_t start = clock_monotonic_us();
    enum mikeyd_status status = token_hmac_serial(&token->session[0], jobs, SHARE_JOBS, NULL);
    const int64_t alone = clock_monotonic_us() - start;
    start = clock_monotonic_us();
    if (status == MIKEYD_OK)
        status = token_hmac_spread(&token->session[0], jobs, SHARE_JOBS, NULL);
    const int64_t shared = clock_monotonic_us() - start;
    secret_wipe(tags, sizeof tags);
    return status == MIKEYD_OK && shared * 130 < alone * 100;
}

void token_assist_start(struct token *token)
{
    if (token->hmac_us <= SLOW_US)
        return;
    struct token_assist *assist = calloc(1, sizeof *assist);
    if (assist == NULL)
        return;
    token->module->serialise = false; /* that was for calls of microseconds */
    assist->token = token;
    assist->last = &assist->first;
    (void)pthread_mutex_init(&assist->lock, NULL);
    (void)pthread_cond_init(&assist->work, NULL);
    (void)pthread_cond_init(&assist->done, NULL);
    token->assist = assist;
    while (assist->threads < ASSIST_MAX && start_one(assist))
        ;
    const bool pays = sharing_pays(token);
    log_info("token %s: %u us an HMAC, %s", token->label, token->hmac_us,
             pays ? "batches are shared between sessions" : "batches stay on one session");
    if (!pays)
        token_assist_stop(token);
}

void token_assist_stop(struct token *token)
{
    struct token_assist *assist = token->assist;
    if (assist == NULL)
        return;
    (void)pthread_mutex_lock(&assist->lock);
    assist->stopping = true;
    (void)pthread_cond_broadcast(&assist->work);
    (void)pthread_mutex_unlock(&assist->lock);
    for (unsigned i = 0; i < assist->threads; i++) {
        (void)pthread_join(assist->thread[i], NULL);
        token_session_dispose(&assist->session[i]);
    }
    (void)pthread_cond_destroy(&assist->work);
    (void)pthread_cond_destroy(&assist->done);
    (void)pthread_mutex_destroy(&assist->lock);
    token->assist = NULL;
    free(assist);
}

/* ---- for the deadline and the recovery */

bool token_assist_overdue(struct token *token, int64_t now_ms)
{
    bool overdue = false;
    for (unsigned i = 0; token->assist != NULL && i < token->assist->threads; i++) {
        int64_t since = atomic_load(&token->assist->session[i].busy_since_ms);
        overdue = overdue || (since != 0 && now_ms - since > (int64_t)token->call_timeout_ms);
    }
    return overdue;
}

bool token_assist_running(struct token *token)
{
    bool running = false;
    for (unsigned i = 0; token->assist != NULL && i < token->assist->threads; i++)
        running = running || atomic_load(&token->assist->session[i].busy_since_ms) != 0;
    return running;
}

void token_assist_forget(struct token *token, bool close)
{
    for (unsigned i = 0; token->assist != NULL && i < token->assist->threads; i++) {
        if (close)
            token_session_drop(&token->assist->session[i]);
        token->assist->session[i].handle = CK_INVALID_HANDLE;
    }
}
