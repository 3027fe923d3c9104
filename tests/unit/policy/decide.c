/* Decisions: who may do what, for which directed pair, now. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/support.h"

/* a -> b explicit under "own"; a, b, c in a mesh under "core"; d only ever answers a; e alone. */
static const char text[] =
    "policy: 1\n"
    "defaults: {suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80], mki_bytes: 4}\n"
    "keys:\n"
    "  - {name: core, kind: epsk, not_before: 2026-11-01, not_after: 2027-01-01}\n"
    "  - {name: own, kind: epsk}\n"
    "  - {name: pbx, kind: psk}\n"
    "nodes: [\"" A "\", \"" B "\", \"" C "\", \"sip:d@x.example\", \"sip:e@x.example\", "
    "\"hex:61\"]\n"
    "pairs:\n"
    "  - {initiator: \"" A "\", responder: \"" B "\", key: own, clock_skew: 5s, verification: "
    "allowed, prf: derive}\n"
    "  - {initiator: \"" A "\", responder: \"sip:d@x.example\", key: pbx, algorithms: mikey-1, "
    "suites: [AES_CM_128_HMAC_SHA1_80], mac: host, tgk: derived, mki_bytes: 0, "
    "error_messages: sent}\n"
    "  - {initiator: \"" C "\", responder: \"sip:d@x.example\", key: own, forward_secrecy: "
    "required}\n"
    "mesh:\n"
    "  - {nodes: [\"" A "\", \"" B "\", \"" C "\"], key: core}\n"
    "clients:\n"
    "  - {name: ca, uid: 1, acts_as: [\"" A "\"], may: [initiate, respond]}\n"
    "  - {name: cb, uid: 2, acts_as: [\"" B "\"], may: [respond], methods: [psk]}\n"
    "  - {name: cc, uid: 3, acts_as: [\"" C "\"], may: [initiate], suites: "
    "[AES_256_CM_HMAC_SHA1_80]}\n"
    "  - {name: cd, uid: 4, acts_as: [\"sip:d@x.example\"], may: [initiate, respond], suites: "
    "[AEAD_AES_128_GCM]}\n"
    "interop:\n"
    "  - {peer: \"sip:d@x.example\", reply_timestamp: any, sdp_ids: optional, "
    "counter_timestamps: allowed, ids: optional, sp: optional}\n";

static struct policy *policy;
static struct error err;
static struct policy_decision decision;

static void set_up(void)
{
    policy = loaded(text);
}

static void tear_down(void)
{
    policy_unref(policy);
}

static struct identity uri(const char *identity)
{
    return (struct identity){
        .type = IDENTITY_URI, .len = strlen(identity), .data = (const uint8_t *)identity};
}

static enum mikeyd_status decide_by(const char *client, enum policy_role role, const char *from,
                                    const char *to, enum policy_method method, int64_t now)
{
    struct policy_request request = {.client = policy_client_by_name(policy, client),
                                     .role = role,
                                     .initiator = uri(from),
                                     .responder = uri(to),
                                     .method = method};
    err.text[0] = '\0';
    return policy_decide(policy, &request, now, &decision, &err);
}

static enum mikeyd_status decide(const char *client, enum policy_role role, const char *from,
                                 const char *to)
{
    return decide_by(client, role, from, to, POLICY_METHOD_PSK, NOW);
}

TestSuite(policy_decide, .init = set_up, .fini = tear_down);

Test(policy_decide, a_mesh_allows_every_ordered_pair_of_its_nodes)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, C), MIKEYD_OK);
    cr_assert_str_eq(decision.key->name, "core");
    cr_assert_eq(decision.initiator, policy_node_at(policy, 0));
    cr_assert_eq(decision.responder, policy_node_at(policy, 2));
    cr_assert_eq(decision.pair_id, 2);
    cr_assert_eq(decide("ca", POLICY_RESPOND, C, A), MIKEYD_OK);
    cr_assert_eq(decision.pair_id, (uint64_t)2 << 32);
    cr_assert_eq(decide("cb", POLICY_RESPOND, C, B), MIKEYD_OK);
}

Test(policy_decide, the_settings_of_defaults_hold_where_a_pair_says_nothing)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, C), MIKEYD_OK);
    cr_assert_eq(decision.algorithms, MIKEY_ALGORITHMS_256);
    cr_assert_eq(decision.suites, 1u << SRTP_AEAD_AES_256_GCM | 1u << SRTP_AES_256_CM_HMAC_SHA1_80);
    cr_assert_eq(decision.first_suite, SRTP_AEAD_AES_256_GCM);
    cr_assert(decision.verification_required);
    cr_assert_eq(decision.clock_skew_ms, 60000);
    cr_assert_eq(decision.prf, POLICY_PRF_ANY);
    cr_assert_eq(decision.mac, POLICY_MAC_TOKEN);
    cr_assert_eq(decision.tgk, POLICY_TGK_TRANSPORTED);
    cr_assert_eq(decision.mki_bytes, 4);
    cr_assert_not(decision.mki_never || decision.error_messages);
}

Test(policy_decide, an_explicit_pair_goes_before_the_mesh_in_its_direction_only)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, B), MIKEYD_OK);
    cr_assert_str_eq(decision.key->name, "own");
    cr_assert_not(decision.verification_required);
    cr_assert_eq(decision.clock_skew_ms, 5000);
    cr_assert_eq(decision.prf, POLICY_PRF_DERIVE);
    cr_assert_eq(decide("ca", POLICY_RESPOND, B, A), MIKEYD_OK);
    cr_assert_str_eq(decision.key->name, "core");
}

Test(policy_decide, a_pair_overrides_every_setting)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:d@x.example"), MIKEYD_OK);
    cr_assert_eq(decision.algorithms, MIKEY_ALGORITHMS_1);
    cr_assert_eq(decision.suites, 1u << SRTP_AES_CM_128_HMAC_SHA1_80);
    cr_assert_eq(decision.first_suite, SRTP_AES_CM_128_HMAC_SHA1_80);
    cr_assert_eq(decision.mac, POLICY_MAC_HOST);
    cr_assert_eq(decision.tgk, POLICY_TGK_DERIVED);
    cr_assert_eq(decision.mki_bytes, 0);
    cr_assert(decision.mki_never && decision.error_messages);
}

Test(policy_decide, relaxations_are_those_of_the_peer)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:d@x.example"), MIKEYD_OK);
    cr_assert(decision.interop.reply_timestamp_any && decision.interop.sdp_ids_optional);
    cr_assert(decision.interop.counter_timestamps);
    cr_assert(decision.interop.ids_optional && decision.interop.sp_optional);
    cr_assert_not(decision.interop.v_covers_t_only);
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, B), MIKEYD_OK);
    cr_assert_not(decision.interop.reply_timestamp_any || decision.interop.sdp_ids_optional);
    cr_assert_not(decision.interop.counter_timestamps);
    cr_assert_not(decision.interop.ids_optional || decision.interop.sp_optional);
}

Test(policy_decide, a_client_that_is_not_listed_is_refused)
{
    cr_assert_eq(decide("nobody", POLICY_INITIATE, A, B), MIKEYD_NOT_ENTITLED);
    cr_assert_null(decision.key);
}

/* By one thing each: what a gate says of a caller is not mixed with the user that speaks for it. */
Test(policy_decide, a_caller_is_known_by_what_it_was_proven_to_be)
{
    struct policy *own = loaded(HEAD KEYS NODES PAIRS
                                "clients:\n"
                                "  - {name: c, uid: 7, acts_as: [\"" A "\"], may: [initiate]}\n"
                                "  - {name: d, tls_san: host-d, acts_as: [], may: []}\n"
                                "  - {name: e, tls_psk: true, acts_as: [], may: []}\n");
    const struct {
        struct caller caller;
        const char *client; /* NULL: nobody */
    } cases[] = {
        {{.has_uid = true, .uid = 7}, "c"},
        {{.has_uid = true, .uid = 8}, NULL},
        {{.uid = 7}, NULL},
        {{.san = "host-d"}, "d"},
        {{.san = "d"}, NULL},
        {{.san = "e"}, NULL},
        {{.san = "e", .by_psk = true}, "e"},
        {{.san = "d", .by_psk = true}, NULL},
        {{.san = "host-d", .by_psk = true}, NULL},
        {{.san = "c", .by_psk = true}, NULL},
        {{.san = "unknown", .has_uid = true, .uid = 7}, NULL},
        {{.san = "unknown", .by_psk = true, .has_uid = true, .uid = 7}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct policy_client *found = policy_client_by_caller(own, &cases[i].caller);
        cr_expect_str_eq(found == NULL ? "nobody" : found->name,
                         cases[i].client == NULL ? "nobody" : cases[i].client, "case %zu", i);
    }
    policy_unref(own);
}

Test(policy_decide, a_client_acts_as_its_own_nodes_only)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, B, A), MIKEYD_NOT_ENTITLED);
    cr_assert_str_eq(err.text, "client ca may not act as " B);
    cr_assert_eq(decide("ca", POLICY_RESPOND, A, B), MIKEYD_NOT_ENTITLED);
}

Test(policy_decide, a_client_has_its_roles_only)
{
    cr_assert_eq(decide("cb", POLICY_INITIATE, B, A), MIKEYD_NOT_ENTITLED);
    cr_assert_str_eq(err.text, "client cb may not initiate");
    cr_assert_eq(decide("cc", POLICY_RESPOND, A, C), MIKEYD_NOT_ENTITLED);
    cr_assert_eq(decide("ca", (enum policy_role)3, A, C), MIKEYD_NOT_ENTITLED);
    cr_assert_eq(decide("ca", (enum policy_role)0, A, C), MIKEYD_NOT_ENTITLED);
}

Test(policy_decide, a_client_has_its_methods_only)
{
    cr_assert_eq(decide_by("cb", POLICY_RESPOND, C, B, POLICY_METHOD_DHHMAC, NOW),
                 MIKEYD_NOT_ENTITLED);
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, POLICY_METHOD_DHHMAC, NOW), MIKEYD_OK);
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, (enum policy_method)7, NOW),
                 MIKEYD_NOT_ENTITLED);
}

Test(policy_decide, a_client_has_its_suites_only)
{
    cr_assert_eq(decide("cc", POLICY_INITIATE, C, A), MIKEYD_OK);
    cr_assert_eq(decision.suites, 1u << SRTP_AES_256_CM_HMAC_SHA1_80);
    cr_assert_eq(decision.first_suite, SRTP_AES_256_CM_HMAC_SHA1_80);
    cr_assert_eq(decide("cd", POLICY_RESPOND, A, "sip:d@x.example"), MIKEYD_NOT_ENTITLED);
    cr_assert_str_eq(err.text, "client cd may use no suite of this pair");
}

Test(policy_decide, an_unknown_node_is_refused)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:z@x.example"), MIKEYD_UNKNOWN_PEER);
    cr_assert_str_eq(err.text, A " -> sip:z@x.example is no pair of the policy");
}

/* One answer for a node that is not the client's and for none: names cannot be tried out. */
Test(policy_decide, a_client_cannot_find_out_which_nodes_there_are)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, B, A), MIKEYD_NOT_ENTITLED);
    cr_assert_str_eq(err.text, "client ca may not act as " B);
    cr_assert_eq(decide("ca", POLICY_INITIATE, "sip:z@x.example", A), MIKEYD_NOT_ENTITLED);
    cr_assert_str_eq(err.text, "client ca may not act as sip:z@x.example");
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:e@x.example"), MIKEYD_UNKNOWN_PEER);
    cr_assert_str_eq(err.text, A " -> sip:e@x.example is no pair of the policy");
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:z@x.example"), MIKEYD_UNKNOWN_PEER);
    cr_assert_str_eq(err.text, A " -> sip:z@x.example is no pair of the policy");
    cr_assert_eq(decide("ca", POLICY_RESPOND, "sip:e@x.example", A), MIKEYD_UNKNOWN_PEER);
    cr_assert_str_eq(err.text, "sip:e@x.example -> " A " is no pair of the policy");
}

Test(policy_decide, a_pair_that_is_not_listed_is_refused)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:e@x.example"), MIKEYD_UNKNOWN_PEER);
}

Test(policy_decide, the_wrong_direction_is_refused)
{
    cr_assert_eq(decide("cd", POLICY_INITIATE, "sip:d@x.example", A), MIKEYD_UNKNOWN_PEER);
    cr_assert_str_eq(err.text, "sip:d@x.example -> " A ": the policy has only the other direction");
}

/* RFC 9257 4.1 (Selfie): not even a mesh makes a node its own peer. */
Test(policy_decide, nobody_is_its_own_peer)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, A), MIKEYD_UNKNOWN_PEER);
}

Test(policy_decide, identities_compare_by_bytes_and_type)
{
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, "sip:B@x.example"), MIKEYD_UNKNOWN_PEER);
    struct identity as_bytes = uri(B);
    as_bytes.type = IDENTITY_BYTES;
    cr_assert_null(policy_node_find(policy, &as_bytes));
    struct identity hex = {.type = IDENTITY_BYTES, .len = 1, .data = (const uint8_t *)"a"};
    cr_assert_eq(policy_node_find(policy, &hex), policy_node_at(policy, 5));
    struct identity cut = uri(A);
    cut.len--;
    cr_assert_null(policy_node_find(policy, &cut));
}

Test(policy_decide, a_key_out_of_date_is_refused)
{
    const int64_t begin = 1793491200, end = 1798761600; /* 2026-11-01, 2027-01-01 */
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, POLICY_METHOD_PSK, begin), MIKEYD_OK);
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, POLICY_METHOD_PSK, begin - 1),
                 MIKEYD_POLICY);
    cr_assert_str_eq(err.text, "key core is not valid yet");
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, POLICY_METHOD_PSK, end - 1), MIKEYD_OK);
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, POLICY_METHOD_PSK, end), MIKEYD_POLICY);
    cr_assert_str_eq(err.text, "key core is out of date");
    cr_assert_null(decision.key);
}

static enum policy_method method_by(const char *client, enum policy_role role, const char *from,
                                    const char *to)
{
    cr_assert_eq(decide_by(client, role, from, to, POLICY_METHOD_BY_POLICY, NOW), MIKEYD_OK, "%s",
                 err.text);
    return decision.method;
}

Test(policy_decide, forward_secrecy_refuses_method_psk)
{
    static const enum policy_method others[] = {POLICY_METHOD_DHHMAC, POLICY_METHOD_PSK_DHE};
    cr_assert_eq(decide("cc", POLICY_INITIATE, C, "sip:d@x.example"), MIKEYD_POLICY);
    cr_assert_eq(decide_by("cd", POLICY_RESPOND, C, "sip:d@x.example", POLICY_METHOD_PSK, NOW),
                 MIKEYD_POLICY);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(decide_by("cc", POLICY_INITIATE, C, "sip:d@x.example", others[i], NOW),
                     MIKEYD_OK);
        cr_assert_eq(decision.method, others[i]);
    }
    cr_assert_eq(method_by("cc", POLICY_INITIATE, C, "sip:d@x.example"), POLICY_METHOD_PSK_DHE);
}

Test(policy_decide, the_method_that_nobody_names_is_what_the_pair_asks_for)
{
    cr_assert_eq(method_by("ca", POLICY_INITIATE, A, C), POLICY_METHOD_PSK);
    policy_unref(policy);
    static char preferred[sizeof text + 64];
    (void)snprintf(preferred, sizeof preferred,
                   "%.*sforward_secrecy: preferred, dh_group: "
                   "oakley-5, %s",
                   (int)(strstr(text, "suites:") - text), text, strstr(text, "suites:"));
    policy = loaded(preferred);
    cr_assert_eq(method_by("ca", POLICY_INITIATE, A, C), POLICY_METHOD_PSK_DHE);
    cr_assert_eq(decision.dh_group, POLICY_GROUP_OAKLEY_5);
    cr_assert_eq(decide("ca", POLICY_INITIATE, A, C), MIKEYD_OK, "psk, named, is less but allowed");
    /* Its client may use nothing else. */
    cr_assert_eq(method_by("cb", POLICY_RESPOND, C, B), POLICY_METHOD_PSK);
    cr_assert_eq(decide_by("cb", POLICY_RESPOND, C, B, POLICY_METHOD_PSK_DHE, NOW),
                 MIKEYD_NOT_ENTITLED);
    cr_assert_eq(decide_by("ca", POLICY_INITIATE, A, C, POLICY_METHOD_END, NOW),
                 MIKEYD_NOT_ENTITLED);
}

/* What the pair asks for and what the client may: nothing in between is made up. */
Test(policy_decide, a_client_of_other_methods_gets_the_best_of_them_or_none)
{
    static char changed[sizeof text + 64];
    static const struct {
        const char *methods;
        enum mikeyd_status required, off;
        enum policy_method method;
    } cases[] = {
        {"dhhmac", MIKEYD_OK, MIKEYD_NOT_ENTITLED, POLICY_METHOD_DHHMAC},
        {"psk-dhe", MIKEYD_OK, MIKEYD_NOT_ENTITLED, POLICY_METHOD_PSK_DHE},
        {"psk", MIKEYD_NOT_ENTITLED, MIKEYD_OK, POLICY_METHOD_PSK},
    };
    const char *suites = strstr(text, "suites: "
                                      "[AES_256_CM_HMAC_SHA1_80]}");
    cr_assert_not_null(suites);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        policy_unref(policy);
        (void)snprintf(changed, sizeof changed, "%.*smethods: [%s], %s", (int)(suites - text), text,
                       cases[i].methods, suites);
        policy = loaded(changed);
        cr_expect_eq(
            decide_by("cc", POLICY_INITIATE, C, "sip:d@x.example", POLICY_METHOD_BY_POLICY, NOW),
            cases[i].required, "%zu: %s", i, err.text);
        if (cases[i].required == MIKEYD_OK)
            cr_expect_eq(decision.method, cases[i].method);
        cr_expect_eq(decide_by("cc", POLICY_INITIATE, C, A, POLICY_METHOD_BY_POLICY, NOW),
                     cases[i].off, "%zu: %s", i, err.text);
    }
}

/* Every client, role and ordered pair of nodes against a table worked out by hand. */
Test(policy_decide, the_whole_matrix)
{
    static const char *const names[] = {A, B, C, "sip:d@x.example", "sip:e@x.example"};
    static const char *const clients[] = {"ca", "cb", "cc", "cd"};
    static const char *const allowed[] = {
        "ca i 0 1", "ca i 0 2", "ca i 0 3", "ca r 1 0", "ca r 2 0",
        "cb r 0 1", "cb r 2 1", "cc i 2 0", "cc i 2 1",
    };
    char key[16];
    size_t found = 0;
    for (size_t c = 0; c < 4; c++) {
        for (unsigned role = POLICY_INITIATE; role <= POLICY_RESPOND; role++) {
            for (size_t i = 0; i < 5; i++) {
                for (size_t r = 0; r < 5; r++) {
                    bool expected = false;
                    snprintf(key, sizeof key, "%s %c %zu %zu", clients[c],
                             role == POLICY_INITIATE ? 'i' : 'r', i, r);
                    for (size_t k = 0; k < sizeof allowed / sizeof allowed[0]; k++)
                        expected = expected || strcmp(allowed[k], key) == 0;
                    bool got =
                        decide(clients[c], (enum policy_role)role, names[i], names[r]) == MIKEYD_OK;
                    cr_assert_eq(got, expected, "%s: %s", key, err.text);
                    found += got ? 1 : 0;
                }
            }
        }
    }
    cr_assert_eq(found, sizeof allowed / sizeof allowed[0]);
}

struct seen {
    char text[512];
    size_t stop_after;
};

static bool note_pair(void *context, const struct policy_node *initiator,
                      const struct policy_node *responder)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%zu>%zu ", initiator->index,
             responder->index);
    return seen->stop_after == 0 || --seen->stop_after > 0;
}

Test(policy_decide, the_pairs_of_a_key_are_those_it_decides)
{
    struct seen core = {0}, own = {0}, first = {.stop_after = 1};
    policy_each_pair(policy, policy_key_at(policy, 0), note_pair, &core);
    cr_assert_str_eq(core.text, "0>2 1>0 1>2 2>0 2>1 "); /* not 0>1: an explicit pair has it */
    policy_each_pair(policy, policy_key_at(policy, 1), note_pair, &own);
    cr_assert_str_eq(own.text, "0>1 2>3 ");
    policy_each_pair(policy, policy_key_at(policy, 0), note_pair, &first);
    cr_assert_str_eq(first.text, "0>2 ");
}

Test(policy_decide, the_explicit_pairs_of_a_key_are_none_of_its_meshes)
{
    struct seen core = {0}, own = {0}, first = {.stop_after = 1};
    cr_assert(policy_each_explicit_pair(policy, policy_key_at(policy, 0), note_pair, &core));
    cr_assert_str_eq(core.text, "");
    cr_assert(policy_each_explicit_pair(policy, policy_key_at(policy, 1), note_pair, &own));
    cr_assert_str_eq(own.text, "0>1 2>3 ");
    cr_assert_not(policy_each_explicit_pair(policy, policy_key_at(policy, 1), note_pair, &first));
    cr_assert_str_eq(first.text, "0>1 ");
}
