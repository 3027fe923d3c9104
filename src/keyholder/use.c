/*
 * One pre-shared key and one message's worth of work. A key of kind psk is used directly; an EPSK
 * never is: each directed pair has its own key, as a token object made in the ceremony or derived in
 * the token on first use (RFC 9258 5.1).
 */
#include "importer/importer.h"
#include "keyholder/holder.h"
#include "keyholder/strategy.h"
#include "mikey/label.h"

/* Authentic messages after which a flood of forged ones counts as over. */
#define AUTHENTIC_AFTER_FLOOD 16

struct use {
    struct keyholder *holder;
    struct desk *desk;
    struct token_session *session;
    const struct keys_name *name;
    struct mikey_psk_port port;
    struct pair_entry *pair; /* held while the key is used */
};

/* ---- the key */

/*
 * A key that is about to be used gets its faster copy in the token, unless the policy forbids it. A
 * failure is no reason to refuse: the key works as it is.
 */
static void warm(const struct use *use, const struct token_key *key)
{
    if ((use->name->how & KEYS_NO_COPIES) == 0)
        (void)token_key_warm(use->session, key, NULL);
}

/* RFC 3830 4.1.2 splits a PSK into blocks of 32 bytes: each is an object. */
static enum mikeyd_status take_psk(struct use *use, struct error *err)
{
    const struct keys_name *name = use->name;
    struct mikey_psk *psk = &use->port.psk;
    struct inventory_key found;
    enum mikeyd_status status = inventory_find(use->holder->inventory, TOKEN_PSK, name->name,
                                               name->generation, &found, err);
    if (status != MIKEYD_OK)
        return status;
    if (found.block_count == 0 || found.block_count > MIKEY_PSK_BLOCKS_MAX) {
        return error_set(err, MIKEYD_POLICY, "key %s/%u is longer than %d blocks of 32 bytes",
                         name->name, name->generation, MIKEY_PSK_BLOCKS_MAX);
    }
    if (found.first_use)
        warm(use, found.key);
    for (size_t i = 0; i < found.block_count; i++)
        psk->blocks[i] = &found.key->block[i];
    psk->block_count = found.block_count;
    return MIKEYD_OK;
}

static enum mikeyd_status pair_missing(const struct use *use, struct error *err)
{
    char initiator[IDENTITY_TEXT_MAX], responder[IDENTITY_TEXT_MAX];
    identity_format(&use->name->initiator, initiator);
    identity_format(&use->name->responder, responder);
    return error_set(err, MIKEYD_TOKEN_DOWN,
                     "token %s has no pair key of %s/%u for %.60s -> %.60s: make it with `mikeyctl "
                     "key derive --name %s`",
                     use->holder->label, use->name->name, use->name->generation, initiator,
                     responder, use->name->name);
}

/* Without HKDF in the token only the ceremony can make pair keys. */
static enum mikeyd_status derive_pair(struct use *use, const struct pair_name *name,
                                      const struct importer_pair *pair, struct error *err)
{
    struct keyholder *holder = use->holder;
    struct inventory_key epsk;
    struct token_object derived;
    enum mikeyd_status status =
        inventory_find(holder->inventory, TOKEN_EPSK, name->key, name->generation, &epsk, err);
    if (status == MIKEYD_TOKEN_DOWN || (status == MIKEYD_OK && !holder->hkdf))
        return pair_missing(use, err);
    if (status == MIKEYD_OK)
        status = token_hkdf_pair(use->session, epsk.key, pair->info, pair->info_len, &derived, err);
    if (status == MIKEYD_OK)
        use->pair = pair_cache_put_derived(holder->pairs, name, &derived, use->session);
    return status;
}

/* The object of the ceremony if there is one, else a derivation in the token. */
static enum mikeyd_status make_pair(struct use *use, const struct pair_name *name,
                                    struct error *err)
{
    struct importer_pair pair;
    struct inventory_key made;
    enum mikeyd_status status = importer_pair(name->key, name->generation, &name->initiator,
                                              &name->responder, name->algorithms, &pair, err);
    if (status != MIKEYD_OK)
        return status;
    status = inventory_find(use->holder->inventory, TOKEN_PAIR, pair.object_name, name->generation,
                            &made, err);
    if (status == MIKEYD_TOKEN_DOWN) {
        status = derive_pair(use, name, &pair, err);
    } else if (status == MIKEYD_OK) {
        warm(use, made.key);
        use->pair =
            pair_cache_put_object(use->holder->pairs, name, &made.key->block[0], use->session);
    }
    if (status == MIKEYD_OK && use->pair == NULL)
        status = error_set(err, MIKEYD_OVERLOADED, "all pair keys of the cache are in use");
    return status;
}

static enum mikeyd_status take_pair(struct use *use, struct error *err)
{
    const struct pair_name name = {.era = atomic_load(&use->holder->era),
                                   .key = use->name->name,
                                   .generation = use->name->generation,
                                   .algorithms = use->name->algorithms,
                                   .initiator = use->name->initiator,
                                   .responder = use->name->responder};
    enum mikeyd_status status = MIKEYD_OK;
    use->pair = pair_cache_get(use->holder->pairs, &name);
    if (use->pair == NULL)
        status = make_pair(use, &name, err);
    if (status == MIKEYD_OK) {
        use->port.psk.blocks[0] = use->pair->object;
        use->port.psk.block_count = 1;
    }
    return status;
}

/*
 * On a token that spreads its calls all keys of a message are made at once, which costs a forged one
 * six HMACs instead of two. While forgeries come, messages are authenticated first after all: an
 * authentic one then takes two rounds of calls more.
 */
static bool is_wary(const struct use *use)
{
    return use->desk->request.op == DOOR_OPEN && atomic_load(&use->holder->wary) != 0;
}

static void note_authenticity(const struct use *use, enum mikeyd_status status)
{
    atomic_uint *wary = &use->holder->wary;
    unsigned left = atomic_load(wary);
    if (use->desk->request.op != DOOR_OPEN)
        return;
    if (status == MIKEYD_AUTH_FAILED)
        atomic_store(wary, AUTHENTIC_AFTER_FLOOD);
    else if (status == MIKEYD_OK && left != 0)
        (void)atomic_compare_exchange_strong(wary, &left, left - 1);
}

static enum mikeyd_status choose_strategy(struct use *use, struct error *err)
{
    const struct keyholder *holder = use->holder;
    struct mikey_psk *psk = &use->port.psk;
    const bool can_derive = holder->prf_derive && psk->block_count == 1;
    if ((use->name->how & KEYS_MUST_DERIVE) != 0 && !can_derive) {
        return error_set(err, MIKEYD_POLICY,
                         "the policy says `prf: derive`, which key %s on token %s cannot do",
                         use->name->name, holder->label);
    }
    psk->hmac = &keyholder_hmac_token;
    psk->keys_at_once = holder->spreads && !is_wary(use);
    if (can_derive)
        psk->ops = &keyholder_psk_derive;
    else if ((use->name->how & KEYS_MAC_HOST) != 0 || !holder->session_keys)
        psk->ops = &mikey_psk_by_hmac;
    else
        psk->ops = &keyholder_psk_sign;
    use->desk->answer.prf = psk->ops->name;
    return MIKEYD_OK;
}

static enum mikeyd_status take_key(struct use *use, struct error *err)
{
    use->port = (struct mikey_psk_port){.psk = {.service = use->session},
                                        .keys = &use->desk->secrets->keys};
    enum mikeyd_status status = MIKEYD_OK;
    if (use->name->kind == KEYS_PSK)
        status = take_psk(use, err);
    else if (use->name->kind == KEYS_EPSK)
        status = take_pair(use, err);
    else
        status =
            error_set(err, MIKEYD_INVALID_ARGUMENT, "only a PSK or a pair key is for messages");
    return status == MIKEYD_OK ? choose_strategy(use, err) : status;
}

/*
 * Gives the pair key back. One that failed in the token is not found again. True when it was derived
 * under an initialisation of the module that has ended meanwhile, so that another attempt, with a
 * key derived anew, is worth it. So it is when the session was lost, and the message's keys with it.
 */
static bool give_key(struct use *use, enum mikeyd_status status)
{
    if (use->pair == NULL)
        return false;
    struct keyholder *holder = use->holder;
    const bool outlived = status == MIKEYD_TOKEN_DOWN && use->pair->owned &&
                          use->pair->derived.generation != token_generation(holder->token);
    if (status == MIKEYD_TOKEN_DOWN)
        pair_cache_drop(holder->pairs, use->pair);
    pair_cache_release(holder->pairs, use->pair, use->session);
    use->pair = NULL;
    return outlived;
}

/* ---- the work */

static enum mikeyd_status seal(const struct mikey_key *key, struct desk *desk, struct error *err)
{
    struct mikey_key_seal *job = &desk->request.seal;
    struct door_answer *answer = &desk->answer;
    job->encrypted = desk->secrets->message.data;
    job->mac = desk->secrets->message.tag;
    enum mikeyd_status status = key->ops->seal(key, job, err);
    answer->seal.encrypted = job->encrypted;
    answer->seal.encrypted_len = job->plain_len;
    answer->seal.mac = job->mac;
    (void)mikey_mac_len(job->what.mac, &answer->seal.mac_len);
    return status;
}

static enum mikeyd_status open_kemac(const struct mikey_key *key, struct desk *desk,
                                     struct error *err)
{
    struct mikey_key_open *job = &desk->request.open;
    struct door_answer *answer = &desk->answer;
    job->plain = desk->secrets->message.data;
    job->v = desk->secrets->message.tag;
    job->psk_key = desk->secrets->message.psk_key;
    enum mikeyd_status status = key->ops->open(key, job, err);
    answer->open.plain = job->plain;
    answer->open.plain_len = job->plain_len;
    answer->open.v = job->v;
    if (job->reply != NULL)
        (void)mikey_mac_len(job->what.mac, &answer->open.v_len);
    if (job->purpose != MIKEY_TGK_NONE) {
        answer->open.psk_key = job->psk_key;
        answer->open.psk_key_len = MIKEY_PSK_KEY_LEN;
    }
    return status;
}

static enum mikeyd_status tag(const struct mikey_key *key, struct desk *desk, struct error *err)
{
    const struct mikey_key_tag *job = &desk->request.tag.job;
    struct door_answer *answer = &desk->answer;
    answer->bytes.data = desk->secrets->message.tag;
    (void)mikey_mac_len(job->what.mac, &answer->bytes.len);
    return key->ops->tag(key, job, desk->secrets->message.tag, err);
}

static enum mikeyd_status tgk(const struct mikey_key *key, struct desk *desk, struct error *err)
{
    const size_t len = desk->request.tgk.len;
    if (len > sizeof desk->secrets->key)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a TGK of %zu bytes", len);
    desk->answer.bytes.data = desk->secrets->key;
    desk->answer.bytes.len = len;
    return key->ops->tgk(key, &desk->request.tgk.what, desk->request.tgk.purpose,
                         desk->secrets->key, len, err);
}

static enum mikeyd_status work(struct use *use, struct error *err)
{
    struct desk *desk = use->desk;
    const struct mikey_key key = {.ops = &mikey_key_by_psk, .port = &use->port, .name = use->name};
    switch (desk->request.op) {
    case DOOR_SEAL:
        return seal(&key, desk, err);
    case DOOR_OPEN:
        return open_kemac(&key, desk, err);
    case DOOR_TAG:
        return tag(&key, desk, err);
    case DOOR_CHECK:
        return key.ops->check(&key, &desk->request.tag.job, desk->request.tag.tag, err);
    case DOOR_TGK:
        return tgk(&key, desk, err);
    default: /* PREPARE: the key is ready, that was all */
        return MIKEYD_OK;
    }
}

enum mikeyd_status keyholder_use(struct keyholder *holder, struct desk *desk, int64_t deadline_ms,
                                 struct error *err)
{
    struct use use = {.holder = holder, .desk = desk, .name = &desk->request.name};
    enum mikeyd_status status = keyholder_session(holder, deadline_ms, &use.session, err);
    if (status != MIKEYD_OK)
        return status;
    (void)pair_cache_sweep(holder->pairs, use.session);
    for (bool again = true, first = true; again; first = false) {
        const uint64_t life = token_session_life(use.session);
        status = take_key(&use, err);
        if (status == MIKEYD_OK)
            status = work(&use, err);
        again = give_key(&use, status) || token_session_life(use.session) != life;
        again = again && first && status == MIKEYD_TOKEN_DOWN;
    }
    note_authenticity(&use, status);
    keyholder_session_end(holder, use.session);
    return status;
}
