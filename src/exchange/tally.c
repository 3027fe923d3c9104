#include "exchange/tally.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally_place {
    char name[EXCHANGE_CLIENT_NAME];
    atomic_uint_fast64_t served, refused;
};

struct tally {
    pthread_mutex_t lock; /* of count, and of the names up to it */
    size_t count;
    struct tally_place place[EXCHANGE_CLIENTS_COUNTED]; /* the last one: all others */
    struct tally_place
        *sorted[EXCHANGE_CLIENTS_COUNTED]; /* those that have a name, while places are found */
};

#define OTHERS (EXCHANGE_CLIENTS_COUNTED - 1)

struct tally *tally_make(void)
{
    struct tally *tally = calloc(1, sizeof *tally);
    if (tally == NULL)
        return NULL;
    (void)pthread_mutex_init(&tally->lock, NULL);
    (void)snprintf(tally->place[OTHERS].name, EXCHANGE_CLIENT_NAME, "%s", EXCHANGE_CLIENT_OTHERS);
    return tally;
}

void tally_free(struct tally *tally)
{
    if (tally == NULL)
        return;
    (void)pthread_mutex_destroy(&tally->lock);
    free(tally);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct tally_place *const *)a)->name, (*(struct tally_place *const *)b)->name);
}

static int name_against(const void *name, const void *place)
{
    return strcmp(name, (*(struct tally_place *const *)place)->name);
}

/* Called with the lock held. A thousand clients are looked up among a thousand names. */
static void find_places(struct tally *tally, const struct policy *policy, struct tally_place **out)
{
    const size_t known = tally->count;
    for (size_t i = 0; i < known; i++)
        tally->sorted[i] = &tally->place[i];
    qsort(tally->sorted, known, sizeof tally->sorted[0], by_name);
    for (size_t i = 0; i < policy_client_count(policy); i++) {
        const char *name = policy_client_at(policy, i)->name;
        struct tally_place **found =
            bsearch(name, tally->sorted, known, sizeof tally->sorted[0], name_against);
        if (found != NULL) {
            out[i] = *found;
        } else if (tally->count < OTHERS && strlen(name) < EXCHANGE_CLIENT_NAME) {
            out[i] = &tally->place[tally->count++];
            memcpy(out[i]->name, name, strlen(name) + 1);
        } else {
            out[i] = &tally->place[OTHERS];
        }
    }
}

struct tally_place **tally_places(struct tally *tally, const struct policy *policy)
{
    struct tally_place **places = calloc(policy_client_count(policy) + 1, sizeof(void *));
    if (places == NULL)
        return NULL;
    (void)pthread_mutex_lock(&tally->lock);
    find_places(tally, policy, places);
    (void)pthread_mutex_unlock(&tally->lock);
    return places;
}

void tally_count(struct tally_place *place, enum mikeyd_status status)
{
    (void)atomic_fetch_add_explicit(status == MIKEYD_OK ? &place->served : &place->refused, 1,
                                    memory_order_relaxed);
}

static void put(struct tally_place *place, struct exchange_client_stats *out)
{
    *out = (struct exchange_client_stats){
        .name = place->name,
        .served = atomic_load_explicit(&place->served, memory_order_relaxed),
        .refused = atomic_load_explicit(&place->refused, memory_order_relaxed)};
}

size_t tally_get(struct tally *tally, struct exchange_client_stats out[EXCHANGE_CLIENTS_COUNTED])
{
    (void)pthread_mutex_lock(&tally->lock);
    const size_t count = tally->count;
    (void)pthread_mutex_unlock(&tally->lock);
    for (size_t i = 0; i < count; i++)
        put(&tally->place[i], &out[i]);
    put(&tally->place[OTHERS], &out[count]);
    return out[count].served + out[count].refused == 0 ? count : count + 1;
}
