/* Methods that exchange Diffie-Hellman values (RFC 4650): our value, the peer's, and the TGK of both. */
#include "exchange/service.h"

#include <string.h>

#include "base/secret.h"

#define ERROR_DH_GROUP 6 /* RFC 3830 6.12 */

/* A method with a key of the pair in its TGK is ours, and so is its group. */
static uint8_t group_of(const struct exchange_worker *w)
{
    const bool oakley = w->call.method->psk_key == MIKEY_TGK_NONE &&
                        w->call.decision.dh_group == POLICY_GROUP_OAKLEY_5;
    return oakley ? MIKEY_GROUP_OAKLEY_5 : MIKEY_GROUP_X25519;
}

enum mikeyd_status values_make(struct exchange_worker *w, struct error *err)
{
    struct bundle_keys *keys = &w->secrets->keys;
    enum mikeyd_status status = mikey_dh_make(group_of(w), &keys->dh, err);
    keys->has_dh = status == MIKEYD_OK;
    return status;
}

enum mikeyd_status values_ready(struct exchange_worker *w, struct mikey_dh *own, struct error *err)
{
    struct worker_ready *ready = w->ready;
    const struct mikey_dh *theirs = &w->call.message.dh[0];
    enum mikeyd_status status = MIKEYD_OK;
    if (!ready->made || ready->pair.group != group_of(w))
        status = mikey_dh_make(group_of(w), &ready->pair, err);
    ready->made = status == MIKEYD_OK;
    *own = (struct mikey_dh){.group = ready->pair.group,
                             .value = ready->pair.value,
                             .len = mikey_dh_len(ready->pair.group),
                             .spi = theirs->spi, /* the MKI is the initiator's to choose */
                             .spi_len = theirs->spi_len};
    return status;
}

void values_take(struct exchange_worker *w)
{
    w->secrets->keys.dh = w->ready->pair;
    w->secrets->keys.has_dh = w->ready->made;
    secret_wipe(w->ready, sizeof *w->ready);
}

struct mikey_dh values_own(const struct exchange_worker *w)
{
    const struct bundle_keys *keys = &w->secrets->keys;
    return (struct mikey_dh){.group = keys->dh.group,
                             .value = keys->dh.value,
                             .len = mikey_dh_len(keys->dh.group),
                             .spi = keys->mki_len == 0 ? NULL : keys->key[0].mki,
                             .spi_len = keys->mki_len};
}

enum mikeyd_status values_check(struct exchange_worker *w, struct error *err)
{
    const uint8_t asked = w->call.message.dh[0].group, group = group_of(w);
    if (w->call.message.dh_count == 0 || asked == group)
        return MIKEYD_OK;
    w->call.error_number = ERROR_DH_GROUP;
    return error_set(err, MIKEYD_POLICY,
                     "the message is in group %s, the policy of this pair says %s",
                     mikey_dh_name(asked), mikey_dh_name(group));
}

enum mikeyd_status values_agree(struct exchange_worker *w, const struct mikey_dh *theirs,
                                bool initiator, struct error *err)
{
    struct worker_secrets *s = w->secrets;
    const struct bundle *b = &w->call.bundle;
    struct bundle_key *tgk = &s->keys.key[0];
    const struct mikey_agreed agreed = {.algorithms = b->algorithms,
                                        .group = s->keys.dh.group,
                                        .shared = s->shared,
                                        .psk_key = s->psk_key,
                                        .value_i = initiator ? s->keys.dh.value : theirs->value,
                                        .value_r = initiator ? theirs->value : s->keys.dh.value,
                                        .len = mikey_dh_len(s->keys.dh.group),
                                        .rand = b->rand,
                                        .rand_len = b->rand_len};
    enum mikeyd_status status =
        mikey_dh_agree(&s->keys.dh, theirs->value, theirs->len, s->shared, err);
    if (status == MIKEYD_OK)
        status = w->call.method->combine(&agreed, tgk->key, &tgk->key_len, err);
    tgk->type = MIKEY_KEY_TGK;
    tgk->salt_len = 0;
    s->keys.count = 1;
    s->keys.has_dh = false;
    secret_wipe(&s->keys.dh, sizeof s->keys.dh);
    secret_wipe(s->shared, sizeof s->shared);
    secret_wipe(s->psk_key, sizeof s->psk_key);
    return status;
}
