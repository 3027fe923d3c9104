/*
 * The decision for one request. Denies unless every step allows, in an order that tells a client
 * nothing about nodes it does not act for: first what concerns the client itself, then the peer.
 * Where the client may not know whether a node exists, both cases have one answer, in one wording.
 */
#include "policy/internal.h"

#include <string.h>

static const char *role_name(enum policy_role role)
{
    return role == POLICY_INITIATE ? "initiate" : "respond";
}

static const char *method_name(enum policy_method method)
{
    static const char *const names[] = {[POLICY_METHOD_BY_POLICY] = "by policy",
                                        [POLICY_METHOD_DHHMAC] = "dhhmac",
                                        [POLICY_METHOD_PSK_DHE] = "psk-dhe",
                                        [POLICY_METHOD_PSK] = "psk"};
    return (unsigned)method < POLICY_METHOD_END ? names[method] : "unknown";
}

/* The identities as the request has them, not as the policy writes them: that would tell, too. */
static enum mikeyd_status no_pair(const struct policy_request *request, struct error *err)
{
    char initiator[IDENTITY_TEXT_MAX], responder[IDENTITY_TEXT_MAX];
    identity_format(&request->initiator, initiator);
    identity_format(&request->responder, responder);
    return error_set(err, MIKEYD_UNKNOWN_PEER, "%.80s -> %.80s is no pair of the policy", initiator,
                     responder);
}

static enum mikeyd_status not_its_node(const struct policy_client *client,
                                       const struct identity *identity, struct error *err)
{
    char text[IDENTITY_TEXT_MAX];
    identity_format(identity, text);
    return error_set(err, MIKEYD_NOT_ENTITLED, "client %.64s may not act as %.120s", client->name,
                     text);
}

static bool may_use(const struct policy_client *client, enum policy_method method)
{
    return (unsigned)method < POLICY_METHOD_END && (client->methods & 1u << method) != 0;
}

/* May the client act in this role, by this method, as its own end? */
static enum mikeyd_status check_client(const struct policy *policy,
                                       const struct policy_request *request,
                                       const struct policy_node **own, struct error *err)
{
    const struct policy_client *client = request->client;
    if (client == NULL)
        return error_set(err, MIKEYD_NOT_ENTITLED, "the client is not in the policy");
    if (request->role != POLICY_INITIATE && request->role != POLICY_RESPOND)
        return error_set(err, MIKEYD_NOT_ENTITLED, "no such role");
    if ((client->may & (unsigned)request->role) == 0)
        return error_set(err, MIKEYD_NOT_ENTITLED, "client %.64s may not %s", client->name,
                         role_name(request->role));
    if (request->method != POLICY_METHOD_BY_POLICY && !may_use(client, request->method))
        return error_set(err, MIKEYD_NOT_ENTITLED, "client %.64s may not use method %s",
                         client->name, method_name(request->method));
    const struct identity *identity =
        request->role == POLICY_INITIATE ? &request->initiator : &request->responder;
    *own = policy_node_find(policy, identity);
    if (*own == NULL || !policy_client_acts_as(client, *own))
        return not_its_node(client, identity, err);
    return MIKEYD_OK;
}

/* The key and settings of the directed pair: explicit pairs go before meshes. */
static enum mikeyd_status
find_pair(const struct policy *policy, const struct policy_request *request,
          const struct policy_node_entry *initiator, const struct policy_node_entry *responder,
          const struct policy_key **key, const struct policy_settings **settings, struct error *err)
{
    size_t i = initiator->node.index, r = responder->node.index;
    const struct policy_pair *pair = policy_pair_find(policy, i, r);
    if (pair != NULL) {
        *key = pair->key;
        *settings = &pair->settings;
        return MIKEYD_OK;
    }
    /* RFC 9257 4.1: nobody talks to itself, or a reflected message would be its own answer. */
    const struct policy_mesh *mesh = i == r ? NULL : policy_mesh_of(policy, initiator, responder);
    if (mesh != NULL) {
        *key = mesh->key;
        *settings = &mesh->settings;
        return MIKEYD_OK;
    }
    if (i != r && policy_pair_find(policy, r, i) != NULL)
        return error_set(err, MIKEYD_UNKNOWN_PEER,
                         "%.80s -> %.80s: the policy has only the other direction",
                         initiator->node.text, responder->node.text);
    return no_pair(request, err);
}

static enum mikeyd_status check_dates(const struct policy_key *key, int64_t now, struct error *err)
{
    if (key->not_before != 0 && now < key->not_before)
        return error_set(err, MIKEYD_POLICY, "key %.64s is not valid yet", key->name);
    if (key->not_after != 0 && now >= key->not_after)
        return error_set(err, MIKEYD_POLICY, "key %.64s is out of date", key->name);
    return MIKEYD_OK;
}

/* What both the pair and the client allow; streams that name no suite get the pair's first. */
static enum mikeyd_status choose_suites(const struct policy_settings *settings,
                                        const struct policy_client *client,
                                        struct policy_decision *out, struct error *err)
{
    uint32_t allowed = policy_suite_bits(settings);
    out->suite_order = settings->suite_order;
    out->suite_count = settings->suite_count;
    if (client->suites != 0)
        allowed &= client->suites;
    for (size_t i = 0; i < settings->suite_count; i++) {
        if ((allowed & 1u << settings->suite_order[i]) != 0) {
            out->suites = allowed;
            out->first_suite = (enum srtp_suite)settings->suite_order[i];
            return MIKEYD_OK;
        }
    }
    return error_set(err, MIKEYD_NOT_ENTITLED, "client %.64s may use no suite of this pair",
                     client->name);
}

/*
 * The method, and whether the pair has it: the one that was named, else the best that the pair asks
 * for and the client may use. RFC 3830 9.1: no forward secrecy in PSK mode.
 */
static enum mikeyd_status choose_method(const struct policy_settings *settings,
                                        const struct policy_request *request,
                                        enum policy_method *out, struct error *err)
{
    const struct policy_client *client = request->client;
    const bool required = settings->forward_secrecy == POLICY_SECRECY_REQUIRED;
    *out = request->method;
    if (request->method == POLICY_METHOD_BY_POLICY) {
        const bool off = settings->forward_secrecy == POLICY_SECRECY_OFF;
        *out = POLICY_METHOD_PSK;
        if (!off && may_use(client, POLICY_METHOD_PSK_DHE))
            *out = POLICY_METHOD_PSK_DHE;
        else if (required)
            *out = POLICY_METHOD_DHHMAC;
    }
    if (required && *out == POLICY_METHOD_PSK)
        return error_set(err, MIKEYD_POLICY,
                         "the pair asks for forward secrecy, which method psk has not");
    if (!may_use(client, *out))
        return error_set(err, MIKEYD_NOT_ENTITLED, "client %.64s may not use method %s",
                         client->name, method_name(*out));
    return MIKEYD_OK;
}

static void fill_settings(const struct policy_settings *settings, struct policy_decision *out)
{
    out->algorithms = settings->algorithms;
    out->verification_required = settings->verification_required;
    out->clock_skew_ms = settings->clock_skew_ms;
    out->prf = settings->prf;
    out->mac = settings->mac;
    out->tgk = settings->tgk;
    out->dh_group = settings->dh_group;
    out->mki_bytes = settings->mki_bytes;
    out->mki_never = settings->mki_never;
    out->error_messages = settings->error_messages;
}

enum mikeyd_status policy_decide(const struct policy *policy, const struct policy_request *request,
                                 int64_t now, struct policy_decision *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    const struct policy_node *own = NULL, *peer;
    enum mikeyd_status status = check_client(policy, request, &own, err);
    if (status != MIKEYD_OK)
        return status;
    bool initiate = request->role == POLICY_INITIATE;
    const struct identity *peer_identity = initiate ? &request->responder : &request->initiator;
    peer = policy_node_find(policy, peer_identity);
    if (peer == NULL)
        return no_pair(request, err);

    const struct policy_node *initiator = initiate ? own : peer;
    const struct policy_node *responder = initiate ? peer : own;
    const struct policy_key *key = NULL;
    const struct policy_settings *settings = NULL;
    status = find_pair(policy, request, &policy->nodes[initiator->index],
                       &policy->nodes[responder->index], &key, &settings, err);
    /* Loaded policies have no pair without its key; a model that is only to be checked may. */
    if (status == MIKEYD_OK && (key == NULL || settings == NULL))
        status = error_set(err, MIKEYD_POLICY, "the pair has no key");
    if (status == MIKEYD_OK)
        status = check_dates(key, now, err);
    if (status == MIKEYD_OK)
        status = choose_method(settings, request, &out->method, err);
    if (status == MIKEYD_OK)
        status = choose_suites(settings, request->client, out, err);
    if (status != MIKEYD_OK)
        return status;
    fill_settings(settings, out);
    out->initiator = initiator;
    out->responder = responder;
    out->key = key;
    out->pair_id = (uint64_t)initiator->index << 32 | (uint64_t)responder->index;
    out->interop = policy->nodes[peer->index].interop;
    return MIKEYD_OK;
}
