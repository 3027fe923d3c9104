/*
 * From a key of the policy to one the engine can compute with. Keys of kind psk are used directly;
 * an EPSK never is: each directed pair has its own key, as a token object made in the ceremony or
 * derived in the token on first use.
 */
#include "exchange/service.h"

#include "importer/importer.h"

unsigned keyring_bits(const struct bound_generation *generation)
{
    /* Pair keys have 256 bits; a weaker EPSK bounds them. */
    return generation->bits > 256 ? 256 : generation->bits;
}

/*
 * A key that is about to be used gets its faster copy in the token, unless the policy forbids it. A
 * failure is no reason to refuse: the key works as it is.
 */
static void warm(struct exchange_worker *w, const struct token_key *key)
{
    if (policy_session_copies_allowed(w->binding->policy))
        (void)token_key_warm(w->session, key, NULL);
}

/* RFC 3830 4.1.2 splits a PSK into blocks of 32 bytes: each is an object. */
static void take_psk(struct exchange_worker *w, const struct bound_generation *generation,
                     struct mikey_psk *psk)
{
    const struct token_key *key = generation->psk;
    if (!atomic_load_explicit(generation->warmed, memory_order_relaxed)) {
        atomic_store_explicit(generation->warmed, true, memory_order_relaxed);
        warm(w, key);
    }
    for (size_t i = 0; i < generation->block_count; i++)
        psk->blocks[i] = &key->block[i];
    psk->block_count = generation->block_count;
}

static enum mikeyd_status pair_missing(const struct exchange_worker *w,
                                       const struct policy_decision *decision,
                                       const struct bound_generation *generation, struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s has no pair key of %s/%u for %.60s -> %.60s: make it with `mikeyctl "
                     "key derive --name %s`",
                     w->binding->facts.label, decision->key->name, generation->generation,
                     decision->initiator->text, decision->responder->text, decision->key->name);
}

/* Makes the pair key's entry on first use: the object of the ceremony if there is one, else a
 * derivation in the token. */
static enum mikeyd_status make_pair(struct exchange_worker *w,
                                    const struct policy_decision *decision,
                                    const struct bound_generation *generation,
                                    const struct pair_name *name, struct pair_entry **out,
                                    struct error *err)
{
    struct importer_pair pair;
    enum mikeyd_status status =
        importer_pair(decision->key->name, generation->generation, &decision->initiator->identity,
                      &decision->responder->identity, decision->algorithms, &pair, err);
    if (status != MIKEYD_OK)
        return status;
    struct pair_cache *cache = w->service->pairs;
    const struct token_key *object =
        binding_find_pair(w->binding, pair.object_name, generation->generation);
    if (object != NULL) {
        /* One whose attributes would let it out has no handle: its first use fails. */
        warm(w, object);
        *out = pair_cache_put_object(cache, name, &object->block[0], w->session);
    } else if (generation->epsk != NULL) {
        struct token_object derived;
        status =
            token_hkdf_pair(w->session, generation->epsk, pair.info, pair.info_len, &derived, err);
        if (status != MIKEYD_OK)
            return status;
        *out = pair_cache_put_derived(cache, name, &derived, w->session);
    } else {
        return pair_missing(w, decision, generation, err);
    }
    if (*out == NULL)
        return error_set(err, MIKEYD_OVERLOADED, "all pair keys of the cache are in use");
    return MIKEYD_OK;
}

static enum mikeyd_status take_pair(struct exchange_worker *w,
                                    const struct policy_decision *decision,
                                    const struct bound_generation *generation,
                                    struct mikey_psk *psk, struct error *err)
{
    const struct pair_name name = {.era = w->binding->serial,
                                   .key = decision->key->name,
                                   .generation = generation->generation,
                                   .algorithms = decision->algorithms,
                                   .initiator = decision->initiator->identity,
                                   .responder = decision->responder->identity};
    w->pair = pair_cache_get(w->service->pairs, &name);
    enum mikeyd_status status = MIKEYD_OK;
    if (w->pair == NULL)
        status = make_pair(w, decision, generation, &name, &w->pair, err);
    if (status == MIKEYD_OK) {
        psk->blocks[0] = w->pair->object;
        psk->block_count = 1;
    }
    return status;
}

static enum mikeyd_status choose_strategy(struct exchange_worker *w,
                                          const struct policy_decision *decision,
                                          struct mikey_psk *psk, struct error *err)
{
    bool can_derive = w->binding->facts.prf_derive && psk->block_count == 1;
    if (decision->prf == POLICY_PRF_DERIVE && !can_derive) {
        return error_set(err, MIKEYD_POLICY,
                         "the policy says `prf: derive`, which key %s on token %s cannot do",
                         decision->key->name, w->binding->facts.label);
    }
    psk->hmac = &keyholder_hmac_token;
    if (can_derive)
        psk->ops = &keyholder_psk_derive;
    else if (decision->mac == POLICY_MAC_HOST)
        psk->ops = &mikey_psk_by_hmac;
    else
        psk->ops = &keyholder_psk_sign;
    w->prf = psk->ops->name;
    return MIKEYD_OK;
}

enum mikeyd_status keyring_take(struct exchange_worker *w, const struct policy_decision *decision,
                                const struct bound_generation *generation, struct mikey_key *key,
                                struct error *err)
{
    keyring_release(w);
    struct mikey_psk *psk = &w->port.psk;
    *psk = (struct mikey_psk){.service = w->session};
    w->port.keys = &w->secrets->message_keys;
    w->generation = generation;
    *key = (struct mikey_key){.ops = &mikey_key_by_psk, .port = &w->port};
    enum mikeyd_status status = MIKEYD_OK;
    if (decision->key->kind == POLICY_KEY_PSK)
        take_psk(w, generation, psk);
    else
        status = take_pair(w, decision, generation, psk, err);
    if (status == MIKEYD_OK)
        status = choose_strategy(w, decision, psk, err);
    if (status != MIKEYD_OK)
        keyring_release(w);
    return status;
}

void keyring_release(struct exchange_worker *w)
{
    if (w->pair != NULL)
        pair_cache_release(w->service->pairs, w->pair, w->session);
    w->pair = NULL;
}
