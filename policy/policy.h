/*
 * The policy that auditors sign (policy.yaml): model, loading, and the decision for one request.
 * Findings against RFC 9257 are in policy/findings.h. A loaded policy is immutable and
 * reference-counted: requests in flight finish under the one they began with.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/caller.h"
#include "base/error.h"
#include "base/identity.h"
#include "base/suite.h"

struct policy;

/* ---- model */

enum policy_key_kind { POLICY_KEY_PSK, POLICY_KEY_EPSK };
enum policy_prf { POLICY_PRF_ANY, POLICY_PRF_DERIVE };
enum policy_mac { POLICY_MAC_TOKEN, POLICY_MAC_HOST };
enum policy_tgk { POLICY_TGK_TRANSPORTED, POLICY_TGK_DERIVED };
enum policy_provisioning { POLICY_WRAPPED_ONLY, POLICY_PLAINTEXT_ALLOWED };
/* The numbers are those of the protocol with clients and of tickets. */
enum policy_method {
    POLICY_METHOD_BY_POLICY = 0, /* what the pair's forward_secrecy says */
    POLICY_METHOD_DHHMAC = 1,
    POLICY_METHOD_PSK_DHE = 2,
    POLICY_METHOD_PSK = 3,
    POLICY_METHOD_END
};
/*
 * required: method psk is refused in either role. preferred: psk-dhe is what initiators offer, psk
 * what is taken from a peer that has nothing else. off: psk alone, unless the client names another.
 */
enum policy_forward_secrecy {
    POLICY_SECRECY_OFF,
    POLICY_SECRECY_PREFERRED,
    POLICY_SECRECY_REQUIRED
};
enum policy_dh_group { POLICY_GROUP_X25519, POLICY_GROUP_OAKLEY_5 };
enum policy_role {
    POLICY_INITIATE = 1,
    POLICY_RESPOND = 2
}; /* confirm and update go with initiate */

struct policy_key {
    const char *name;
    enum policy_key_kind kind;
    unsigned generation;           /* current; initiators use it */
    unsigned previous_generation;  /* 0: none; responders accept it until previous_until */
    int64_t previous_until;        /* Unix seconds */
    int64_t not_before, not_after; /* Unix seconds; 0: none given */
    uint64_t max_exchanges;        /* of a psk, of each pair key of an epsk; 0: no limit */
    bool delete_main;              /* RFC 9257 6 item 4 */
    bool transport;                /* may be wrapped for another HSM */
    size_t index;                  /* 0 .. policy_key_count - 1 */
    int line;
};

struct policy_node {
    struct identity identity;
    const char *text;
    size_t index;
    int line;
};

/* Relaxations for one peer; all false by default. */
struct policy_interop {
    bool reply_timestamp_any;
    bool v_covers_t_only; /* v_covers_ids: false */
    bool sdp_ids_optional;
    bool counter_timestamps; /* counter_timestamps: allowed */
    bool ids_optional;       /* ids: optional: the caller may be named by the carrier alone */
    bool sp_optional;        /* sp: optional: no SP means AES_CM_128_HMAC_SHA1_80 */
};

struct policy_client {
    const char *name;
    bool has_uid;
    uid_t uid;
    const char *tls_san;
    bool tls_psk;     /* may come with the TLS PSK of its name */
    unsigned may;     /* enum policy_role bits */
    uint32_t suites;  /* bit per enum srtp_suite; 0: the pair's */
    unsigned methods; /* bit per enum policy_method that is one */
    unsigned rate;    /* requests per second; 0: no limit */
    size_t index;
    int line;
    /* acts_as: policy_client_acts_as() */
};

/* ---- loading */

/*
 * Reads and validates a policy file. On failure SYNTAX (or POLICY for a rule that is an error by
 * itself) with "file:line: field: what" in err. Deny by default: what is not listed is refused.
 */
enum mikeyd_status policy_load(const char *path, struct policy **out, struct error *err);
/* The same from memory; name stands for the file in messages. */
enum mikeyd_status policy_load_text(const char *text, size_t len, const char *name,
                                    struct policy **out, struct error *err);
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy);

/* SHA-256 of the file's bytes, 64 hex digits. */
const char *policy_sha256(const struct policy *policy);
/* serial: the number by which a newer signed policy is told from an older one. 0: none. */
uint64_t policy_serial(const struct policy *policy);
/* signatures: required. Who signs, and that they did, is not known here: officers/signed_policy.h. */
bool policy_signatures_required(const struct policy *policy);
/* The widest clock skew of any pair, seconds: the replay store's window is twice that. */
unsigned policy_max_skew_s(const struct policy *policy);
enum policy_provisioning policy_get_provisioning(const struct policy *policy);
/* defaults.session_copies: may hot keys be used as session-object copies? */
bool policy_session_copies_allowed(const struct policy *policy);
unsigned policy_min_psk_bits(const struct policy *policy);
enum policy_prf policy_default_prf(const struct policy *policy);

size_t policy_key_count(const struct policy *policy);
const struct policy_key *policy_key_at(const struct policy *policy, size_t index);
size_t policy_node_count(const struct policy *policy);
const struct policy_node *policy_node_at(const struct policy *policy, size_t index);
size_t policy_client_count(const struct policy *policy);
const struct policy_client *policy_client_at(const struct policy *policy, size_t index);
bool policy_client_acts_as(const struct policy_client *client, const struct policy_node *node);

/* Calls visit for every directed pair under key (explicit pairs, then meshes expanded one by one);
 * stops when it returns false. */
void policy_each_pair(const struct policy *policy, const struct policy_key *key,
                      bool (*visit)(void *context, const struct policy_node *initiator,
                                    const struct policy_node *responder),
                      void *context);

/* The explicit pairs alone: a mesh may have millions. False when visit stopped it. */
bool policy_each_explicit_pair(const struct policy *policy, const struct policy_key *key,
                               bool (*visit)(void *context, const struct policy_node *initiator,
                                             const struct policy_node *responder),
                               void *context);

/* The algorithm set of a directed pair, for the ceremony that derives its key; false when the two
 * nodes are no pair. */
bool policy_pair_algorithms(const struct policy *policy, const struct policy_node *initiator,
                            const struct policy_node *responder, enum mikey_algorithms *out);

/* ---- decisions: no allocation, no file access */

const struct policy_client *policy_client_by_uid(const struct policy *policy, uid_t uid);
const struct policy_client *policy_client_by_san(const struct policy *policy, const char *san);
/* Known by exactly one thing: the name that a gate verified, else the user of the socket's peer. */
const struct policy_client *policy_client_by_caller(const struct policy *policy,
                                                    const struct caller *caller);
const struct policy_client *policy_client_by_name(const struct policy *policy, const char *name);
/* Byte-exact look-up of an identity among the nodes; NULL when unknown. */
const struct policy_node *policy_node_find(const struct policy *policy,
                                           const struct identity *identity);

struct policy_request {
    const struct policy_client *client;
    enum policy_role role;
    struct identity initiator, responder;
    enum policy_method method;
};

/* What holds for one directed pair. Pointers live as long as the policy. */
struct policy_decision {
    const struct policy_node *initiator, *responder;
    const struct policy_key *key;
    uint64_t pair_id; /* initiator index << 32 | responder index: for counters and caches */
    enum mikey_algorithms algorithms;
    uint32_t suites;             /* allowed, bit per enum srtp_suite */
    enum srtp_suite first_suite; /* for streams that name none */
    const uint8_t *suite_order;  /* the pair's, best first, suite_count of them: also such as are
                                    not in `suites` */
    size_t suite_count;
    bool verification_required;
    int64_t clock_skew_ms;
    enum policy_prf prf;
    enum policy_mac mac;
    enum policy_tgk tgk;
    enum policy_method method;     /* that is used: asked for, or by the pair's forward_secrecy */
    enum policy_dh_group dh_group; /* of dhhmac */
    uint8_t mki_bytes;             /* 0: no MKI */
    bool mki_never;                /* the policy says 0 itself: not in updates either */
    bool error_messages;           /* refused peers get an error message (RFC 3830 5.1.2) */
    struct policy_interop interop; /* of the peer: the node that the client does not act as */
};

/* A number for this client's name, in this policy and the next; not 0. */
uint64_t policy_client_number(const struct policy_client *client);

/*
 * May this client do this for this directed pair, now? OK fills *out. NOT_ENTITLED: client, role,
 * method, or its own end is no node it acts as, which may be no node at all; UNKNOWN_PEER: its own
 * node has no such pair, whether or not the peer is a node; POLICY: key out of date. now: Unix
 * seconds.
 */
enum mikeyd_status policy_decide(const struct policy *policy, const struct policy_request *request,
                                 int64_t now, struct policy_decision *out, struct error *err);

/* Requests per second of each client, across reloads, of this process alone. Thread-safe. */
struct policy_budget;
struct policy_budget *policy_budget_make(void);
void policy_budget_free(struct policy_budget *budget);
/* OVERLOADED when the client is over its rate. */
enum mikeyd_status policy_budget_request(struct policy_budget *budget,
                                         const struct policy_client *client, int64_t monotonic_ms,
                                         struct error *err);
/*
 * The name under which exchanges count against max_exchanges: the key that they use, a psk in both
 * directions or the pair key of one, and its generation. The same in every daemon with that policy.
 * Returns its length; 0 when it does not fit, which no loaded policy leads to.
 */
#define POLICY_USE_NAME_MAX (2 * (1 + 2 + IDENTITY_MAX) + 4 + 64)
size_t policy_use_name(const struct policy_decision *decision, unsigned generation,
                       uint8_t name[POLICY_USE_NAME_MAX]);

#endif
