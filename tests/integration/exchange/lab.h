/*
 * Two SBCs on one service, in one process: a real token in a directory of its own (the run's
 * choice, support/lab_token.h), a real replay store, a real audit log. One worker acts for each
 * end.
 */
#ifndef TESTS_EXCHANGE_LAB_H
#define TESTS_EXCHANGE_LAB_H

#include "exchange/exchange.h"
#include "importer/importer.h"
#include "pkcs11/provision/provision.h"
#include "support/key_service.h"
#include "support/lab_token.h"

#define LAB_A "sip:sbc-a@carrier.example"
#define LAB_B "sip:sbc-b@carrier.example"
#define LAB_C "sip:sbc-c@carrier.example"
#define LAB_UID_A 1001
#define LAB_UID_B 1002

struct lab {
    char dir[64];
    struct token_fixture fixture;
    const char *module, *profile; /* of the service's token, not of provisioning; NULL: its own */
    struct token *token;
    struct keyholder_options options;
    struct key_service keys;
    struct replay_store *store;
    struct audit_log *audit;
    struct policy_budget *budget;
    struct policy *policy;
    struct exchange_service_config config;
    struct exchange_service *service;
    struct exchange_worker *a, *b;
};

/* Keys every lab token holds: psk legacy/1 (32 bytes), legacy/2, short/1 (16 bytes), long/1 (80
 * bytes), epsk core/1 and core/2 (epskx without HKDF), ticket tickets/1. */
extern const uint8_t lab_psk[32];
extern const uint8_t lab_psk_2[32];

/* Each skips the test when the token of the run is not the wanted one. "defaults" goes into that
 * section, e.g. "algorithms: mikey-1, suites: [...]"; NULL: the usual. */
void lab_open(struct lab *lab, enum lab_token need, const char *defaults);
/* With a whole policy text of one's own. */
void lab_open_policy(struct lab *lab, enum lab_token need, const char *policy);
/* The policy text lab_open() uses: pairs a -> b and b -> a under `key`, of that kind. */
const char *lab_policy_text(const char *defaults, const char *keys, const char *key);
void lab_close(struct lab *lab);
/* What the keyholder tells of itself, now. */
struct door_facts lab_facts(struct lab *lab);
/* Token only, without a service. */
void lab_open_token(struct lab *lab, enum lab_token need);
enum mikeyd_status lab_start_service(struct lab *lab, const char *policy, struct error *err);
/* Ends the service and its workers and starts new ones on the same token, store and log. */
void lab_restart(struct lab *lab);
void lab_stop_service(struct lab *lab);
void lab_start_workers(struct lab *lab);
enum mikeyd_status lab_reload(struct lab *lab, const char *policy, struct error *err);
/* Pair objects of the policy, made in the ceremony, for one generation and both directions. */
void lab_derive_pairs(struct lab *lab, const char *key, unsigned generation,
                      enum mikey_algorithms algorithms);
/* The same under mikey-256 where the token does not derive them itself. */
void lab_prepare_pairs(struct lab *lab, const char *key, unsigned generation);
void lab_import(struct lab *lab, enum token_kind kind, const char *name, unsigned generation,
                const uint8_t *key, size_t len);

void lab_destroy(struct lab *lab, enum token_kind kind, const char *name, unsigned generation);

/* NAME of the pair object of that direction under mikey-256; static. */
const char *lab_pair_name(const char *key, unsigned generation, const char *initiator,
                          const char *responder);

/* What a client keeps of a result. */
struct lab_bytes {
    uint8_t data[16384];
    size_t len;
};
struct lab_result {
    struct lab_bytes message, ticket;
    struct exchange_key keys[255];
    uint8_t mki[255][255];
    size_t key_count;
    enum srtp_suite suites[SRTP_SUITE_COUNT]; /* of a refused confirm */
    size_t suite_count;
    uint32_t csb_id;
    uint64_t audit_sequence;
    struct error err;
};

/* One request by the client of uid, results copied. */
enum mikeyd_status lab_serve(struct exchange_worker *w, uid_t uid, struct exchange_request *request,
                             struct lab_result *out);
/* Shorthands for the usual client at each end. */
enum mikeyd_status lab_initiate(struct lab *lab, const struct exchange_stream *streams,
                                size_t count, bool verify, struct lab_result *out);
enum mikeyd_status lab_respond(struct lab *lab, const struct lab_bytes *message,
                               const struct lab_bytes *ticket, struct lab_result *out);
enum mikeyd_status lab_confirm(struct lab *lab, const struct lab_bytes *ticket,
                               const struct lab_bytes *reply, struct lab_result *out);
enum mikeyd_status lab_update(struct lab *lab, const struct lab_bytes *ticket,
                              const struct exchange_stream *streams, size_t count,
                              struct lab_result *out);
/* A peer that is not this service: seals with the pre-shared key in clear, on the host. */
void lab_seal(const struct mikey_init *init, const uint8_t *psk, size_t psk_len,
              struct lab_bytes *out);
/* The usual offer of such a peer, to be changed at will: a -> b, one stream, one TGK, now. */
struct mikey_init lab_peer_offer(void);
/* Gives a changed message of that offer the MAC it would have under the key. */
void lab_remac(struct lab_bytes *message, const struct mikey_init *init, const uint8_t *psk,
               size_t psk_len);
bool lab_same_keys(const struct lab_result *x, const struct lab_result *y);
/* True when there is no key, message or ticket in it. */
bool lab_is_empty(const struct lab_result *r);

/* Number of lines of the audit log that contain text; waits until all is written. */
size_t lab_audit_count(struct lab *lab, const char *text);

/* cr_assert with the error's text. */
#define lab_must(call, result)                                                                     \
    do {                                                                                           \
        enum mikeyd_status lab_status = (call);                                                    \
        cr_assert_eq(lab_status, MIKEYD_OK, "%s: %s", status_name(lab_status), (result).err.text); \
    } while (0)
#define lab_refused(call, result, expected)                                                        \
    do {                                                                                           \
        enum mikeyd_status lab_status = (call);                                                    \
        cr_assert_eq(lab_status, (expected), "%s: %s", status_name(lab_status),                    \
                     (result).err.text);                                                           \
        cr_assert(lab_is_empty(&(result)), "a refusal must release nothing");                      \
    } while (0)

#endif
