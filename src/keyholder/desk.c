#include "keyholder/desk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/secret.h"

struct desk_pool {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct desk *idle;
    size_t count;
    struct desk desk[];
};

static bool desk_make(struct desk *desk)
{
    desk->in = secret_alloc(DOOR_MESSAGE_MAX);
    desk->out = secret_alloc(DOOR_MESSAGE_MAX);
    desk->secrets = secret_alloc(sizeof *desk->secrets);
    return desk->in != NULL && desk->out != NULL && desk->secrets != NULL;
}

enum mikeyd_status desk_pool_make(size_t count, struct desk_pool **out, struct error *err)
{
    struct desk_pool *pool = calloc(1, sizeof *pool + count * sizeof pool->desk[0]);
    if (pool == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->freed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&pool->lock, NULL);
    pool->count = count;
    bool whole = true;
    for (size_t i = 0; i < count; i++) {
        whole = whole && desk_make(&pool->desk[i]);
        pool->desk[i].next = pool->idle;
        pool->idle = &pool->desk[i];
    }
    if (!whole) {
        desk_pool_free(pool);
        return error_set(err, MIKEYD_INTERNAL, "secure heap exhausted: %zu requests at once",
                         count);
    }
    *out = pool;
    return MIKEYD_OK;
}

void desk_pool_free(struct desk_pool *pool)
{
    if (pool == NULL)
        return;
    for (size_t i = 0; i < pool->count; i++) {
        secret_release(pool->desk[i].in, DOOR_MESSAGE_MAX);
        secret_release(pool->desk[i].out, DOOR_MESSAGE_MAX);
        secret_release(pool->desk[i].secrets, sizeof *pool->desk[i].secrets);
    }
    (void)pthread_cond_destroy(&pool->freed);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct desk *desk_take(struct desk_pool *pool, int64_t deadline_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1000),
                                   .tv_nsec = (long)(deadline_ms % 1000) * 1000000L};
    int waited = 0;
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->idle == NULL && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&pool->freed, &pool->lock, &until);
    struct desk *desk = pool->idle;
    if (desk != NULL)
        pool->idle = desk->next;
    (void)pthread_mutex_unlock(&pool->lock);
    return desk;
}

/* Of the messages what was used of them; of the rest everything, because a failure may have left
 * anything. */
static void desk_wipe(struct desk *desk)
{
    secret_wipe(desk->in, desk->in_len);
    secret_wipe(desk->out, desk->out_len);
    secret_wipe(desk->secrets, sizeof *desk->secrets);
    secret_wipe(&desk->answer, sizeof desk->answer);
    desk->in_len = desk->out_len = 0;
    free(desk->pem);
    desk->pem = NULL;
}

void desk_give(struct desk_pool *pool, struct desk *desk)
{
    desk_wipe(desk);
    (void)pthread_mutex_lock(&pool->lock);
    desk->next = pool->idle;
    pool->idle = desk;
    (void)pthread_cond_signal(&pool->freed);
    (void)pthread_mutex_unlock(&pool->lock);
}
