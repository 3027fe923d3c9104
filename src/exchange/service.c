#include "exchange/service.h"

#include <stdlib.h>

#include "base/clock.h"

#define PAIR_CACHE_DEFAULT 4096
#define WORKERS_MAX 256 /* sessions of a token at most: each may hold one evicted pair key */
#define TICKET_S_DEFAULT 300
#define UPDATE_TICKET_S_MAX 86400
#define SESSION_WAIT_MS 5000

static unsigned within(unsigned value, unsigned fallback, unsigned most)
{
    if (value == 0)
        value = fallback;
    return value > most ? most : value;
}

unsigned exchange_store_window_s(const struct policy *policy)
{
    unsigned skew = 2 * policy_max_skew_s(policy) + EXCHANGE_WINDOW_MARGIN_S;
    return skew > TICKET_S_DEFAULT ? skew : TICKET_S_DEFAULT;
}

/* Uses one token session while no worker has taken it yet. */
static enum mikeyd_status open_ticket_keys(struct exchange_service *service, struct error *err)
{
    struct token_session *session;
    enum mikeyd_status status =
        token_session_acquire(service->config.token, SESSION_WAIT_MS, &session, err);
    if (status != MIKEYD_OK)
        return status;
    status = ticket_keys_open(service->config.token, session, clock_unix_now(),
                              &service->ticket_keys, err);
    token_session_release(session);
    return status;
}

enum mikeyd_status exchange_service_open(const struct exchange_service_config *config,
                                         struct policy *policy, struct exchange_service **out,
                                         struct error *err)
{
    struct exchange_service *service = calloc(1, sizeof *service);
    if (service == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    service->config = *config;
    service->config.pair_cache = within(config->pair_cache, PAIR_CACHE_DEFAULT, 1u << 20);
    service->config.ticket_s = within(config->ticket_s, TICKET_S_DEFAULT, UPDATE_TICKET_S_MAX);
    service->config.update_ticket_s =
        within(config->update_ticket_s, UPDATE_TICKET_S_MAX, UPDATE_TICKET_S_MAX);
    service->next_serial = 1;
    atomic_init(&service->window_s, exchange_store_window_s(policy));
    pthread_rwlock_init(&service->lock, NULL);
    enum mikeyd_status status = pair_cache_make(config->token, service->config.pair_cache,
                                                WORKERS_MAX, &service->pairs, err);
    if (status == MIKEYD_OK)
        status =
            binding_make(config->token, policy, service->next_serial++, &service->binding, err);
    if (status == MIKEYD_OK)
        status = open_ticket_keys(service, err);
    if (status != MIKEYD_OK) {
        exchange_service_close(service);
        return status;
    }
    *out = service;
    return MIKEYD_OK;
}

void exchange_service_close(struct exchange_service *service)
{
    if (service == NULL)
        return;
    /* Derived pair keys are session objects: without a free session they go with the token's. */
    struct token_session *session = NULL;
    if (token_session_acquire(service->config.token, 0, &session, NULL) != MIKEYD_OK)
        session = NULL;
    pair_cache_free(service->pairs, session);
    if (session != NULL)
        token_session_release(session);
    ticket_keys_close(service->ticket_keys);
    binding_unref(service->binding);
    pthread_rwlock_destroy(&service->lock);
    free(service);
}

struct binding *service_binding(struct exchange_service *service)
{
    pthread_rwlock_rdlock(&service->lock);
    struct binding *binding = binding_ref(service->binding);
    pthread_rwlock_unlock(&service->lock);
    return binding;
}

enum mikeyd_status exchange_service_set_policy(struct exchange_service *service,
                                               struct policy *policy, struct error *err)
{
    struct binding *fresh;
    enum mikeyd_status status =
        binding_make(service->config.token, policy, service->next_serial, &fresh, err);
    if (status != MIKEYD_OK)
        return status;
    service->next_serial++;
    if (exchange_store_window_s(policy) > atomic_load(&service->window_s))
        atomic_store(&service->window_s, exchange_store_window_s(policy));
    pthread_rwlock_wrlock(&service->lock);
    struct binding *old = service->binding;
    service->binding = fresh;
    pthread_rwlock_unlock(&service->lock);
    /* Pair keys belong to a policy, and a key that it no longer has is to be gone from the token.
     */
    pair_cache_retire(service->pairs, fresh->serial);
    binding_unref(old);
    ticket_keys_select(service->ticket_keys);
    return MIKEYD_OK;
}

void exchange_service_tick(struct exchange_service *service, int64_t now)
{
    ticket_keys_expire(service->ticket_keys, now);
}

struct policy *exchange_service_policy(struct exchange_service *service)
{
    struct binding *binding = service_binding(service);
    struct policy *policy = policy_ref(binding->policy);
    binding_unref(binding);
    return policy;
}

void exchange_service_stats(struct exchange_service *service, struct exchange_stats *out)
{
    *out = (struct exchange_stats){
        .initiated = atomic_load(&service->stats.operation[EXCHANGE_INITIATE]),
        .responded = atomic_load(&service->stats.operation[EXCHANGE_RESPOND]),
        .confirmed = atomic_load(&service->stats.operation[EXCHANGE_CONFIRM]),
        .updated = atomic_load(&service->stats.operation[EXCHANGE_UPDATE]),
        .keys_released = atomic_load(&service->stats.keys_released),
    };
    for (size_t i = 0; i < MIKEYD_STATUS_COUNT; i++)
        out->refused[i] = atomic_load(&service->stats.refused[i]);
    struct pair_cache_stats pairs;
    pair_cache_get_stats(service->pairs, &pairs);
    out->pair_hits = pairs.hits;
    out->pair_misses = pairs.misses;
    out->pair_evictions = pairs.evictions;
    out->pair_entries = pairs.entries;
}
