/*
 * From a key of the policy to one the engine can ask for. Keys of kind psk are used directly; an
 * EPSK never is: each directed pair has its own key, which whoever holds the keys finds or derives.
 */
#include "exchange/service.h"

unsigned keyring_bits(const struct bound_generation *generation)
{
    /* Pair keys have 256 bits; a weaker EPSK bounds them. */
    return generation->bits > 256 ? 256 : generation->bits;
}

static uint32_t how(const struct exchange_worker *w, const struct policy_decision *decision)
{
    uint32_t how = 0;
    if (decision->prf == POLICY_PRF_DERIVE)
        how |= KEYS_MUST_DERIVE;
    if (decision->mac == POLICY_MAC_HOST)
        how |= KEYS_MAC_HOST;
    if (!policy_session_copies_allowed(w->call.binding->policy))
        how |= KEYS_NO_COPIES;
    return how;
}

void keyring_take(struct exchange_worker *w, const struct policy_decision *decision,
                  const struct bound_generation *generation, struct mikey_key *key)
{
    const bool pair = decision->key->kind == POLICY_KEY_EPSK;
    w->call.generation = generation;
    w->call.key_name = (struct keys_name){
        .kind = pair ? KEYS_EPSK : KEYS_PSK,
        .name = decision->key->name,
        .generation = generation->generation,
        .algorithms = decision->algorithms,
        .how = how(w, decision),
    };
    if (pair) {
        w->call.key_name.initiator = decision->initiator->identity;
        w->call.key_name.responder = decision->responder->identity;
    }
    *key = (struct mikey_key){.ops = &keys_port_ops, .port = w->port, .name = &w->call.key_name};
}
