/* Exchanges under a key with max_exchanges: counted in the replay store, so for all that share it. */
#include "exchange/service.h"

enum mikeyd_status request_insert(struct exchange_worker *w, const struct store_time *time,
                                  const uint8_t digests[][STORE_DIGEST], size_t count,
                                  int64_t expires_unix, unsigned generation, struct error *err)
{
    struct replay_store *store = w->service->config.store;
    const struct policy_key *key = w->call.decision.key;
    struct store_use use = {.most = key->max_exchanges};
    if (use.most == 0)
        return count == 0 ? MIKEYD_OK
                          : store_insert(store, time, digests, count, expires_unix, NULL, err);
    uint8_t name[POLICY_USE_NAME_MAX];
    const void *data[] = {name};
    const size_t len[] = {policy_use_name(&w->call.decision, generation, name)};
    if (len[0] == 0)
        return error_set(err, MIKEYD_INTERNAL, "a key's name does not fit its counter");
    store_digest(STORE_USE, data, len, 1, use.digest);
    enum mikeyd_status status = store_insert(store, time, digests, count, expires_unix, &use, err);
    if (status == MIKEYD_POLICY)
        return error_set(err, MIKEYD_POLICY,
                         "key %.64s generation %u: its %llu exchanges are used up", key->name,
                         generation, (unsigned long long)use.most);
    return status;
}
