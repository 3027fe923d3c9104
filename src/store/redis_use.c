/* What this process knows of uses that Redis counts, so that a Redis which lost them starts no lower. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/redis_internal.h"

#define FIRST_SIZE 64

/* Under lock. Digests are SHA-256: any eight bytes of one are as good as a hash of it. */
static struct redis_use *place_of(const struct redis_uses *uses, const uint8_t digest[STORE_DIGEST])
{
    struct byte_reader r = reader_of(digest, STORE_DIGEST);
    size_t at = (size_t)reader_u64(&r) & (uses->size - 1);
    while (uses->places[at].count != 0 &&
           memcmp(uses->places[at].digest, digest, STORE_DIGEST) != 0) /* public */
        at = (at + 1) & (uses->size - 1);
    return &uses->places[at];
}

static bool grow(struct redis_uses *uses)
{
    struct redis_uses bigger = {.size = uses->size == 0 ? FIRST_SIZE : uses->size * 2,
                                .used = uses->used};
    bigger.places = calloc(bigger.size, sizeof *bigger.places);
    if (bigger.places == NULL)
        return false;
    for (size_t i = 0; i < uses->size; i++) {
        if (uses->places[i].count != 0)
            *place_of(&bigger, uses->places[i].digest) = uses->places[i];
    }
    free(uses->places);
    *uses = bigger;
    return true;
}

uint64_t redis_use_known(struct redis_store *store, const uint8_t digest[STORE_DIGEST])
{
    (void)pthread_mutex_lock(&store->lock);
    const uint64_t count = store->uses.size == 0 ? 0 : place_of(&store->uses, digest)->count;
    (void)pthread_mutex_unlock(&store->lock);
    return count;
}

static bool keep(struct redis_uses *uses, const uint8_t digest[STORE_DIGEST], uint64_t count)
{
    if (uses->used * 2 >= uses->size && !grow(uses))
        return false;
    struct redis_use *place = place_of(uses, digest);
    if (place->count == 0) {
        memcpy(place->digest, digest, STORE_DIGEST);
        uses->used++;
    }
    if (place->count < count)
        place->count = count;
    return true;
}

enum mikeyd_status redis_use_take(struct redis_store *store, const uint8_t digest[STORE_DIGEST],
                                  const redisReply *count, struct error *err)
{
    char *end = NULL;
    const bool text = count->type == REDIS_REPLY_STRING && count->len != 0;
    errno = 0;
    const uint64_t number = text ? strtoull(count->str, &end, 10) : 0;
    if (!text || *end != '\0' || errno != 0 || number == 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis gave a strange answer");
    (void)pthread_mutex_lock(&store->lock);
    const bool kept = keep(&store->uses, digest, number);
    (void)pthread_mutex_unlock(&store->lock);
    return kept ? MIKEYD_OK : error_set(err, MIKEYD_STORE_DOWN, "replay store: out of memory");
}
