/* Which server is the primary: by Sentinel, or by asking the servers themselves. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/redis_internal.h"

/* One question over a connection of its own. *out is the caller's. */
static enum mikeyd_status ask(struct redis_store *store, const char *address, bool with_password,
                              const char *const *words, redisReply **out, struct error *err)
{
    struct redis_wire *wire = NULL;
    const int64_t deadline_ms = clock_monotonic_ms() + store->timeout_ms;
    *out = NULL;
    enum mikeyd_status status =
        redis_connect(store, address, with_password, deadline_ms, &wire, err);
    if (status == MIKEYD_OK)
        status = redis_wire_put_words(wire, words)
                     ? redis_wire_talk(wire, deadline_ms, out, 1, err)
                     : error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    redis_wire_close(wire);
    if (status == MIKEYD_OK && (*out)->type == REDIS_REPLY_ERROR) {
        status = error_set(err, MIKEYD_STORE_DOWN, "replay store: Redis %s: %.120s", address,
                           (*out)->str);
        redis_free_all(out, 1);
    }
    return status;
}

/* ---- Sentinel */

struct vote {
    char address[REDIS_ADDRESS];
    size_t count;
};

/* "10.0.0.1" and "6379" as one; false for anything else. */
static bool read_named(const redisReply *reply, char out[REDIS_ADDRESS])
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return false;
    const char *host = reply->element[0]->str;
    const bool ip6 = strchr(host, ':') != NULL;
    const int len = snprintf(out, REDIS_ADDRESS, "%s%s%s:%s", ip6 ? "[" : "", host, ip6 ? "]" : "",
                             reply->element[1]->str);
    return len > 0 && len < REDIS_ADDRESS;
}

static void count_vote(struct vote votes[], size_t *count, const char *address)
{
    size_t i = 0;
    while (i < *count && strcmp(votes[i].address, address) != 0)
        i++;
    if (i == *count) {
        (void)snprintf(votes[i].address, REDIS_ADDRESS, "%s", address);
        votes[i].count = 0;
        (*count)++;
    }
    votes[i].count++;
}

static bool is_server(const struct redis_store *store, const char *address)
{
    for (size_t i = 0; i < store->server_count; i++) {
        if (strcmp(store->servers[i], address) == 0)
            return true;
    }
    return false;
}

static enum mikeyd_status find_by_votes(const struct redis_store *store, const struct vote votes[],
                                        size_t count, char out[REDIS_ADDRESS], bool *certain,
                                        struct error *err)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        if (votes[i].count > votes[best].count)
            best = i;
    }
    for (size_t i = 0; i < count; i++) {
        if (i != best && votes[i].count == votes[best].count)
            return error_set(err, MIKEYD_STORE_DOWN,
                             "replay store: Sentinels disagree: the primary is %s or %s",
                             votes[i].address, votes[best].address);
    }
    if (!is_server(store, votes[best].address))
        return error_set(err, MIKEYD_STORE_DOWN,
                         "replay store: Sentinel names %s, which is none of replay.redis.servers",
                         votes[best].address);
    (void)snprintf(out, REDIS_ADDRESS, "%s", votes[best].address);
    *certain = 2 * votes[best].count > store->sentinel_count;
    return MIKEYD_OK;
}

static enum mikeyd_status ask_sentinels(struct redis_store *store, char out[REDIS_ADDRESS],
                                        bool *certain, struct error *err)
{
    struct vote votes[REDIS_SERVERS_MAX];
    size_t count = 0;
    struct error last = {.text = "no answer"};
    const char *const question[] = {"SENTINEL", "get-master-addr-by-name", store->service, NULL};
    for (size_t i = 0; i < store->sentinel_count; i++) {
        redisReply *reply = NULL;
        char address[REDIS_ADDRESS];
        if (ask(store, store->sentinels[i], false, question, &reply, &last) == MIKEYD_OK) {
            if (read_named(reply, address))
                count_vote(votes, &count, address);
            else
                (void)error_set(&last, MIKEYD_STORE_DOWN, "Sentinel %s knows no service %s",
                                store->sentinels[i], store->service);
        }
        redis_free_all(&reply, 1);
    }
    if (count == 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: no Sentinel names a primary: %s",
                         last.text);
    return find_by_votes(store, votes, count, out, certain, err);
}

/* ---- the servers themselves */

static enum mikeyd_status ask_servers(struct redis_store *store, char out[REDIS_ADDRESS],
                                      bool *certain, struct error *err)
{
    struct error last = {.text = "none is a primary"};
    const char *const question[] = {"INFO", "replication", NULL};
    size_t primaries = 0;
    for (size_t i = 0; i < store->server_count; i++) {
        redisReply *reply = NULL;
        if (ask(store, store->servers[i], true, question, &reply, &last) == MIKEYD_OK &&
            reply->type == REDIS_REPLY_STRING && strstr(reply->str, "role:master") != NULL) {
            if (primaries != 0)
                (void)error_set(&last, MIKEYD_STORE_DOWN,
                                "replay store: two primaries: %s and %s; make one a replica of the "
                                "other (REPLICAOF)",
                                out, store->servers[i]);
            else
                (void)snprintf(out, REDIS_ADDRESS, "%s", store->servers[i]);
            primaries++;
        }
        redis_free_all(&reply, 1);
    }
    *certain = primaries == 1;
    return primaries == 1
               ? MIKEYD_OK
               : error_set(err, MIKEYD_STORE_DOWN, "%s%s",
                           primaries == 0 ? "replay store: no primary: " : "", last.text);
}

enum mikeyd_status redis_find_primary(struct redis_store *store, char out[REDIS_ADDRESS],
                                      bool *certain, struct error *err)
{
    *certain = store->server_count == 1 && store->service == NULL;
    if (*certain) {
        (void)snprintf(out, REDIS_ADDRESS, "%s", store->servers[0]);
        return MIKEYD_OK;
    }
    return store->service != NULL ? ask_sentinels(store, out, certain, err)
                                  : ask_servers(store, out, certain, err);
}
