/* A worker's life, and the frame around every request: who asks, what is counted, what is wiped. */
#include "exchange/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"

enum mikeyd_status exchange_worker_open(struct exchange_service *service,
                                        struct exchange_worker **out, struct error *err)
{
    struct exchange_worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    w->service = service;
    w->secrets = secret_alloc(sizeof *w->secrets);
    w->ready = secret_alloc(sizeof *w->ready);
    enum mikeyd_status status = MIKEYD_OK;
    if (w->secrets == NULL || w->ready == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "secure heap exhausted: a worker needs 33 KiB");
    if (status == MIKEYD_OK)
        status = ticket_cipher_make(&w->cipher, err);
    if (status == MIKEYD_OK)
        status = keys_port_open(service->config.keys, &w->port, err);
    if (status != MIKEYD_OK) {
        exchange_worker_close(w);
        return status;
    }
    *out = w;
    return MIKEYD_OK;
}

void exchange_worker_close(struct exchange_worker *worker)
{
    if (worker == NULL)
        return;
    keys_port_close(worker->port);
    ticket_cipher_free(worker->cipher);
    secret_release(worker->ready, sizeof *worker->ready);
    secret_release(worker->secrets, sizeof *worker->secrets);
    free(worker);
}

void exchange_result_wipe(struct exchange_worker *worker)
{
    secret_wipe(worker->secrets->released,
                worker->released_count * sizeof worker->secrets->released[0]);
    worker->released_count = 0;
    worker->call.out_len = 0;
}

static const char *operation_name(enum exchange_operation operation)
{
    static const char *const names[] = {"initiate", "respond", "confirm", "update"};
    return (unsigned)operation < 4 ? names[operation] : "unknown";
}

/* ---- the frame of a request */

static void request_begin(struct exchange_worker *w, const struct exchange_request *request)
{
    exchange_result_wipe(w);
    (void)keys_port_take_wait_us(w->port);
    (void)store_take_wait_us();
    w->call = (struct exchange_call){.request = request,
                                     .now = clock_unix_now(),
                                     .binding = service_binding(w->service),
                                     .error_number = EXCHANGE_ERROR_UNSPECIFIED};
    const int64_t deadline_ms = clock_monotonic_ms() + w->service->config.request_ms;
    keys_port_deadline(w->port, deadline_ms);
    store_set_deadline(deadline_ms);
    ticket_keys_refresh(w->service->ticket_keys, w->port, w->call.now);
}

static void request_end(struct exchange_worker *w)
{
    store_set_deadline(0);
    binding_unref(w->call.binding);
    w->call.binding = NULL;
    w->call.request = NULL;
    secret_wipe(&w->secrets->keys, sizeof w->secrets->keys);
    secret_wipe(&w->secrets->scratch, sizeof w->secrets->scratch);
    secret_wipe(w->secrets->v, sizeof w->secrets->v);
    secret_wipe(w->secrets->psk_key, sizeof w->secrets->psk_key);
    secret_wipe(w->secrets->shared, sizeof w->secrets->shared);
}

static enum mikeyd_status find_client(struct exchange_worker *w, struct error *err)
{
    const struct caller *caller = &w->call.request->caller;
    w->call.client = policy_client_by_caller(w->call.binding->policy, caller);
    if (w->call.client != NULL)
        return MIKEYD_OK;
    if (caller->san != NULL)
        return error_set(err, MIKEYD_NOT_ENTITLED, "%.100s is no client of the policy",
                         caller->san);
    if (caller->has_uid)
        return error_set(err, MIKEYD_NOT_ENTITLED, "user %u is no client of the policy",
                         (unsigned)caller->uid);
    return error_set(err, MIKEYD_NOT_ENTITLED, "the client is not known");
}

static enum mikeyd_status serve(struct exchange_worker *w, struct exchange_result *result,
                                struct error *err)
{
    enum mikeyd_status status = find_client(w, err);
    if (status == MIKEYD_OK)
        status = policy_budget_request(w->service->config.budget, w->call.client,
                                       clock_monotonic_ms(), err);
    if (status != MIKEYD_OK)
        return status;
    switch (w->call.request->operation) {
    case EXCHANGE_INITIATE:
        return exchange_initiate(w, result, err);
    case EXCHANGE_RESPOND:
        return exchange_respond(w, result, err);
    case EXCHANGE_CONFIRM:
        return exchange_confirm(w, result, err);
    case EXCHANGE_UPDATE:
        return exchange_update(w, result, err);
    }
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "no such operation");
}

static void refuse(struct exchange_worker *w, enum mikeyd_status status, const struct error *why)
{
    if ((unsigned)status < MIKEYD_STATUS_COUNT)
        atomic_fetch_add(&w->service->stats.refused[status], 1);
    struct audit_record record = {
        .event = AUDIT_REFUSED,
        .status = status,
        .client = w->call.client == NULL ? w->call.request->caller.san : w->call.client->name,
        .operation = operation_name(w->call.request->operation),
        .from = w->call.from,
        .to = w->call.to,
        .has_csb_id = w->call.bundle.csb_id != 0,
        .csb_id = w->call.bundle.csb_id,
        .prf = request_prf(w),
        .reference = w->call.request->reference,
        .policy_sha256 = policy_sha256(w->call.binding->policy),
        .psk_uses = request_uses(w),
        .detail = why->text,
    };
    audit_refusal(w->service->config.audit, &record);
    w->unrecorded_uses = 0; /* written, or kept for the record of what was held back */
}

enum mikeyd_status exchange_serve(struct exchange_worker *worker,
                                  const struct exchange_request *request,
                                  struct exchange_result *result, struct error *err)
{
    struct error why = {0};
    *result = (struct exchange_result){0};
    request_begin(worker, request);
    enum mikeyd_status status = serve(worker, result, &why);
    if (worker->call.client != NULL)
        tally_count(worker->call.binding->tally[worker->call.client->index], status);
    if (status == MIKEYD_OK) {
        atomic_fetch_add(&worker->service->stats.operation[request->operation], 1);
        atomic_fetch_add(&worker->service->stats.keys_released, result->key_count);
    } else {
        refuse(worker, status, &why);
        exchange_result_wipe(worker);
        *result = (struct exchange_result){.message_len = worker->call.error_len,
                                           .suite_count = worker->call.peer_suite_count};
        memcpy(result->suites, worker->call.peer_suites, sizeof result->suites);
        if (worker->call.error_len != 0)
            result->message = worker->error;
        (void)error_set(err, status, "%s", why.text);
    }
    result->keys_us = keys_port_take_wait_us(worker->port);
    result->store_us = store_take_wait_us();
    request_end(worker);
    return status;
}

/* ---- prewarming */

struct prewarm {
    struct exchange_worker *w;
    const struct bound_key *key;
    size_t warmed, most;
    int64_t deadline_ms;
    enum mikeyd_status status;
    struct error *err;
};

/* What the policy says of the pair to the first client that may use it; false when none may. */
static bool decide_for_any(struct exchange_worker *w, const struct policy_node *initiator,
                           const struct policy_node *responder)
{
    const struct policy *policy = w->call.binding->policy;
    for (size_t i = 0; i < policy_client_count(policy); i++) {
        struct policy_request request = {.client = policy_client_at(policy, i),
                                         .initiator = initiator->identity,
                                         .responder = responder->identity,
                                         .method = POLICY_METHOD_BY_POLICY};
        request.role =
            policy_client_acts_as(request.client, initiator) ? POLICY_INITIATE : POLICY_RESPOND;
        if (policy_decide(policy, &request, w->call.now, &w->call.decision, NULL) == MIKEYD_OK)
            return true;
    }
    return false;
}

static bool prewarm_pair(void *context, const struct policy_node *initiator,
                         const struct policy_node *responder)
{
    struct prewarm *p = context;
    struct exchange_worker *w = p->w;
    if (p->warmed >= p->most || clock_monotonic_ms() >= p->deadline_ms)
        return false;
    if (!decide_for_any(w, initiator, responder) || w->call.decision.key != p->key->key)
        return true;
    struct mikey_key key;
    struct error why = {0};
    keyring_take(w, &w->call.decision, &p->key->current, &key);
    keys_port_deadline(w->port, p->deadline_ms);
    enum mikeyd_status status = keys_port_prepare(w->port, &w->call.key_name, &why);
    if (status == MIKEYD_OK) {
        p->warmed++;
    } else if (status != MIKEYD_TOKEN_DOWN || p->key->current.derives) {
        p->status = error_set(p->err, status, "%s", why.text);
        return false;
    }
    return true;
}

enum mikeyd_status exchange_worker_prewarm(struct exchange_worker *worker, size_t most,
                                           unsigned timeout_ms, size_t *warmed, struct error *err)
{
    const size_t capacity = worker->service->config.prewarm;
    struct prewarm p = {.w = worker,
                        .most = most < capacity ? most : capacity,
                        .deadline_ms = clock_monotonic_ms() + timeout_ms,
                        .status = MIKEYD_OK,
                        .err = err};
    worker->call.binding = service_binding(worker->service);
    worker->call.now = clock_unix_now();
    const struct policy *policy = worker->call.binding->policy;
    bool whole = true;
    for (size_t i = 0; whole && i < policy_key_count(policy); i++) {
        p.key = &worker->call.binding->keys[i];
        if (p.key->key->kind == POLICY_KEY_EPSK)
            whole = policy_each_explicit_pair(policy, p.key->key, prewarm_pair, &p);
    }
    binding_unref(worker->call.binding);
    worker->call.binding = NULL;
    *warmed = p.warmed;
    return p.status;
}
