#include "exchange/service.h"

#include <stdlib.h>

#include "base/clock.h"

#define PREWARM_DEFAULT 4096
#define REQUEST_MS_DEFAULT 2000
#define TICKET_S_DEFAULT 300
#define UPDATE_TICKET_S_MAX 86400

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

static enum mikeyd_status open_ticket_keys(struct exchange_service *service, struct error *err)
{
    struct keys_port *port;
    enum mikeyd_status status = keys_port_open(service->config.keys, &port, err);
    if (status != MIKEYD_OK)
        return status;
    keys_port_deadline(port, clock_monotonic_ms() + service->config.request_ms);
    status =
        ticket_keys_open(service->config.keys, port, clock_unix_now(), &service->ticket_keys, err);
    keys_port_close(port);
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
    service->config.prewarm = within(config->prewarm, PREWARM_DEFAULT, 1u << 20);
    service->config.request_ms = within(config->request_ms, REQUEST_MS_DEFAULT, 600000);
    service->config.ticket_s = within(config->ticket_s, TICKET_S_DEFAULT, UPDATE_TICKET_S_MAX);
    service->config.update_ticket_s =
        within(config->update_ticket_s, UPDATE_TICKET_S_MAX, UPDATE_TICKET_S_MAX);
    service->next_serial = 1;
    atomic_init(&service->window_s, exchange_store_window_s(policy));
    pthread_rwlock_init(&service->lock, NULL);
    service->tally = tally_make();
    enum mikeyd_status status = service->tally == NULL
                                    ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                    : binding_make(config->keys, service->tally, policy,
                                                   service->next_serial++, &service->binding, err);
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
    ticket_keys_close(service->ticket_keys);
    binding_unref(service->binding);
    tally_free(service->tally);
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
    enum mikeyd_status status = binding_make(service->config.keys, service->tally, policy,
                                             service->next_serial, &fresh, err);
    if (status != MIKEYD_OK)
        return status;
    service->next_serial++;
    if (exchange_store_window_s(policy) > atomic_load(&service->window_s))
        atomic_store(&service->window_s, exchange_store_window_s(policy));
    pthread_rwlock_wrlock(&service->lock);
    struct binding *old = service->binding;
    service->binding = fresh;
    pthread_rwlock_unlock(&service->lock);
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
}

size_t exchange_service_clients(struct exchange_service *service,
                                struct exchange_client_stats out[EXCHANGE_CLIENTS_COUNTED])
{
    return tally_get(service->tally, out);
}
