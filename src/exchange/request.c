/* Steps that the operations share. */
#include "exchange/service.h"

#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "mikey/sdp.h"

uint32_t request_roc(const struct exchange_request *request, size_t i)
{
    return request->rocs == NULL ? 0 : request->rocs[i];
}

const char *request_protocols(const struct exchange_request *request)
{
    if (!request->sdp)
        return NULL;
    return request->protocols == NULL ? MIKEY_SDP_ALONE : request->protocols;
}

enum mikeyd_status request_check_protocols(const struct exchange_request *request,
                                           struct error *err)
{
    if (request->protocols == NULL ||
        (request->sdp && mikey_sdp_protocols_are_valid(request->protocols)))
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "protocols: in SDP, all that the offer names, \"mikey\" among them, joined by "
                     "';', at most %d bytes",
                     MIKEY_SDP_PROTOCOLS_MAX - 1);
}

enum mikeyd_status request_identity(const char *field, const char *text,
                                    uint8_t store[IDENTITY_MAX], struct identity *out,
                                    struct error *err)
{
    if (text == NULL || *text == '\0')
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: an identity is needed", field);
    struct error why = {0};
    if (identity_parse(text, store, out, &why) != MIKEYD_OK)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", field, why.text);
    return MIKEYD_OK;
}

/* The row of what was decided. */
static const struct mikey_method *method_of(const struct policy_decision *decision)
{
    switch (decision->method) {
    case POLICY_METHOD_DHHMAC:
        return &mikey_method_dhhmac;
    case POLICY_METHOD_PSK_DHE:
        return &mikey_method_psk_dhe;
    default:
        break;
    }
    return decision->tgk == POLICY_TGK_DERIVED ? &mikey_method_psk_derived : &mikey_method_psk;
}

enum policy_method request_method_of(const struct mikey_message *m)
{
    const struct mikey_method *method = mikey_message_method(m);
    if (!method->exchanges)
        return POLICY_METHOD_PSK;
    return method->psk_key == MIKEY_TGK_DHE ? POLICY_METHOD_PSK_DHE : POLICY_METHOD_DHHMAC;
}

enum mikeyd_status request_decide(struct exchange_worker *w, enum policy_role role,
                                  enum policy_method method, struct error *err)
{
    const struct policy_request request = {
        .client = w->call.client,
        .role = role,
        .initiator = w->call.from,
        .responder = w->call.to,
        .method = method,
    };
    enum mikeyd_status status =
        policy_decide(w->call.binding->policy, &request, w->call.now, &w->call.decision, err);
    if (status != MIKEYD_OK)
        return status;
    w->call.method = method_of(&w->call.decision);
    /* An MKI travels beside the key in KEMAC, which is empty then. */
    if (!w->call.method->transports && !w->call.method->exchanges &&
        w->call.decision.mki_bytes != 0) {
        status = error_set(err, MIKEYD_UNSUPPORTED,
                           "the policy asks for an MKI, which no message carries with `%s`: say "
                           "`mki_bytes: 0`",
                           w->call.method->setting);
    }
    return status;
}

enum mikeyd_status request_compute_tgk(struct exchange_worker *w, const struct mikey_key *key,
                                       struct error *err)
{
    const struct bundle *b = &w->call.bundle;
    struct bundle_keys *keys = &w->secrets->keys;
    struct bundle_key *tgk = &keys->key[0];
    secret_wipe(keys, sizeof *keys);
    keys->count = 1;
    tgk->type = MIKEY_KEY_TGK;
    tgk->key_len = w->call.method->tgk_len(b->algorithms);
    return w->call.method->tgk(b->algorithms, b->csb_id, b->rand, b->rand_len, key, tgk->key, err);
}

const char *request_prf(const struct exchange_worker *w)
{
    return w->call.generation == NULL ? NULL : keys_port_prf(w->port);
}

uint64_t request_uses(struct exchange_worker *w)
{
    w->unrecorded_uses += keys_port_take_uses(w->port);
    return w->unrecorded_uses;
}

const struct bound_key *request_key(const struct exchange_worker *w)
{
    return &w->call.binding->keys[w->call.decision.key->index];
}

/* RFC 6043 12.1 asks it of what transports a key, and so of the way to a client on another host. */
static enum mikeyd_status check_channel(const struct exchange_worker *w,
                                        const struct srtp_suite_info *info, struct error *err)
{
    const struct caller *caller = &w->call.request->caller;
    if (caller->san == NULL || caller->tls_bits >= 8u * info->key_len)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_POLICY,
                     "suite %s is too long a key for the client's TLS suite of %u bits (RFC 6043 "
                     "12.1)",
                     info->name, caller->tls_bits);
}

enum mikeyd_status request_check_suite(const struct exchange_worker *w, enum srtp_suite suite,
                                       unsigned key_bits, struct error *err)
{
    const struct srtp_suite_info *info = srtp_suite_info(suite);
    if (info == NULL)
        return error_set(err, MIKEYD_UNSUPPORTED, "no such suite");
    if ((w->call.decision.suites & 1u << suite) == 0)
        return error_set(err, MIKEYD_POLICY, "suite %s is not allowed for this pair", info->name);
    if (!mikey_algorithms_carry(w->call.decision.algorithms, suite)) {
        return error_set(err, MIKEYD_POLICY, "suite %s is too long a key for %s (RFC 6043 12.1)",
                         info->name, mikey_algorithms_name(w->call.decision.algorithms));
    }
    /* RFC 3830 9.1: what transports a key must be at least as strong as it. */
    if (key_bits < 8u * info->key_len) {
        return error_set(err, MIKEYD_POLICY,
                         "suite %s needs a pre-shared key of %u bits, %s has %u (RFC 3830 9.1)",
                         info->name, 8u * info->key_len, w->call.decision.key->name, key_bits);
    }
    return check_channel(w, info, err);
}

enum mikeyd_status request_open_ticket(struct exchange_worker *w, enum bundle_use use,
                                       int64_t *expires, struct error *err)
{
    return ticket_open(w->cipher, w->service->ticket_keys, w->call.now, w->call.request->ticket,
                       w->call.request->ticket_len, w->call.client->name, use, &w->call.bundle,
                       &w->secrets->keys, expires, &w->secrets->scratch.ticket, err);
}

/* Without one, an update keeps that of the call it continues. */
static enum mikeyd_status set_reference(struct exchange_worker *w, struct error *err)
{
    struct bundle *b = &w->call.bundle;
    const char *reference = w->call.request->reference;
    if (reference == NULL)
        return MIKEYD_OK;
    int len = snprintf(b->reference, sizeof b->reference, "%s", reference);
    if (len < 0 || (size_t)len >= sizeof b->reference)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "reference: %d bytes, at most %zu allowed",
                         len, sizeof b->reference - 1);
    return MIKEYD_OK;
}

enum mikeyd_status request_fill_bundle(struct exchange_worker *w,
                                       const struct bound_generation *generation, struct error *err)
{
    struct bundle *b = &w->call.bundle;
    const struct policy_decision *d = &w->call.decision;
    int client = snprintf(b->client, sizeof b->client, "%s", w->call.client->name);
    int key = snprintf(b->key_name, sizeof b->key_name, "%s", d->key->name);
    if (client < 0 || (size_t)client >= sizeof b->client || key < 0 ||
        (size_t)key >= sizeof b->key_name)
        return error_set(err, MIKEYD_INTERNAL, "name of client or key too long for a ticket");
    if (!bundle_set_identity(&b->initiator, &w->call.from) ||
        !bundle_set_identity(&b->responder, &w->call.to))
        return error_set(err, MIKEYD_INTERNAL, "identity too long for a ticket");
    b->generation = generation->generation;
    b->algorithms = d->algorithms;
    b->method = (uint8_t)d->method;
    return set_reference(w, err);
}
