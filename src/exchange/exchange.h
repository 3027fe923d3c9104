/*
 * One key exchange request, start to end: policy -> parse -> clock -> replay -> MAC on the token ->
 * replay insert -> decrypt -> session keys -> audit record -> result. Straight-line code run by one
 * worker; RFC 3830 5.3 gives the order.
 */
#ifndef EXCHANGE_EXCHANGE_H
#define EXCHANGE_EXCHANGE_H

#include "audit/audit.h"
#include "base/caller.h"
#include "base/identity.h"
#include "base/suite.h"
#include "keys/keys.h"
#include "mikey/exchange.h"
#include "policy/policy.h"
#include "store/store.h"

/* ---- the service: shared by all workers */

struct exchange_service;

struct exchange_service_config {
    struct keys_group *keys;
    struct replay_store *store;
    struct audit_log *audit;
    struct policy_budget *budget;
    unsigned prewarm;         /* pair keys made ready before they are asked for, at most; 0: 4096 */
    unsigned request_ms;      /* deadline of a request at the tokens; 0: 2000 */
    unsigned ticket_s;        /* a ticket waits for its reply so long; 0: default 300 */
    unsigned update_ticket_s; /* and serves updates so long; 0: default 86400, also the most */
};

/*
 * Binds the policy's keys to token objects and derives the ticket keys (token kind ticket, any one
 * generation's newest). TOKEN_DOWN naming the missing object and the command that makes it.
 */
enum mikeyd_status exchange_service_open(const struct exchange_service_config *config,
                                         struct policy *policy, struct exchange_service **out,
                                         struct error *err);
void exchange_service_close(struct exchange_service *service);
/*
 * Puts another policy in force, atomically: all its keys are bound first (call token_rescan()
 * before, so that new objects are seen); on failure the old one stays. Takes a reference. Requests
 * in flight end under the one they began with. One caller at a time.
 */
enum mikeyd_status exchange_service_set_policy(struct exchange_service *service,
                                               struct policy *policy, struct error *err);
/*
 * For lmdb_store_open(), with the policy that the service is opened with: how long a message can
 * matter after its receipt, so how long its entry is kept and how long nothing is accepted after
 * track was lost. The longer of twice the skew and the wait of a ticket for its reply, so that a
 * ticket is not confirmed twice across a loss. (CSB IDs are kept for an hour, but losing those
 * costs no more than a coincidence of random numbers.)
 */
#define EXCHANGE_WINDOW_MARGIN_S 2u
unsigned exchange_store_window_s(const struct policy *policy);
/* What has to go without a request: call it about once a second. Any thread; no token call. */
void exchange_service_tick(struct exchange_service *service, int64_t now);
/* The policy in force, referenced for the caller. */
struct policy *exchange_service_policy(struct exchange_service *service);

struct exchange_stats {
    uint64_t initiated, responded, confirmed, updated;
    uint64_t refused[MIKEYD_STATUS_COUNT];
    uint64_t keys_released;
};
void exchange_service_stats(struct exchange_service *service, struct exchange_stats *out);

/* Clients that are counted by name; the last place is for all others together. */
#define EXCHANGE_CLIENTS_COUNTED 1025
#define EXCHANGE_CLIENT_NAME 65
#define EXCHANGE_CLIENT_OTHERS "(others)"
struct exchange_client_stats {
    const char *name; /* valid as long as the service */
    uint64_t served, refused;
};
/* How many of out[] are filled. Any thread. */
size_t exchange_service_clients(struct exchange_service *service,
                                struct exchange_client_stats out[EXCHANGE_CLIENTS_COUNTED]);

/* ---- a worker: one thread, one token session, its scratch */

struct exchange_worker;
enum mikeyd_status exchange_worker_open(struct exchange_service *service,
                                        struct exchange_worker **out, struct error *err);
void exchange_worker_close(struct exchange_worker *worker);
/*
 * Fetches or derives pair keys of kind epsk before they are asked for: those of the policy's
 * explicit pairs (a mesh may have millions), at most `most` and what the cache holds, and none is
 * begun after timeout_ms. Pairs without an object are skipped. *warmed: pair keys ready.
 */
enum mikeyd_status exchange_worker_prewarm(struct exchange_worker *worker, size_t most,
                                           unsigned timeout_ms, size_t *warmed, struct error *err);

/* ---- one request */

enum exchange_operation { EXCHANGE_INITIATE, EXCHANGE_RESPOND, EXCHANGE_CONFIRM, EXCHANGE_UPDATE };
#define EXCHANGE_OPERATIONS 4

struct exchange_stream {
    uint32_t ssrc;
    uint32_t roc;      /* of a stream that runs already (RFC 3830 6.1.1) */
    const char *suite; /* NULL: the policy's first */
};

struct exchange_request {
    enum exchange_operation operation;
    struct caller caller;
    const char *from, *to; /* initiate; respond: from is NULL or who calls, as the carrier says */
    const char *as;        /* respond */
    const char *reference; /* initiate, respond: the client's name for the call; NULL: none */
    /* initiate; update: added ones, and running ones (by SSRC) whose ROC is stated */
    const struct exchange_stream *streams;
    size_t stream_count;
    /* respond: for streams whose SSRC is 0, in order, and of others whose ROC is stated */
    const uint32_t *ssrcs;
    const uint32_t *rocs; /* ssrc_count of them, or NULL: none is stated */
    size_t ssrc_count;
    bool error_message; /* respond: a refusal may come with a message for the peer */
    enum policy_method method;
    bool again; /* initiate: follows an error of the peer; no offer follows one more */
    bool verify;
    bool sdp;               /* SDP IDs are carried, or demanded of the peer */
    const char *protocols;  /* all that SDP offers, joined by ';'; NULL: mikey alone */
    const uint8_t *message; /* respond: I_MESSAGE; confirm: R_MESSAGE */
    size_t message_len;
    const uint8_t *ticket; /* confirm, update; respond to an update */
    size_t ticket_len;
};

struct exchange_key {
    uint8_t cs;
    uint32_t ssrc, roc;
    enum srtp_suite suite;
    struct mikey_session_key value;
    const uint8_t *mki;
    size_t mki_len;
};

/* All memory is the worker's and valid until its next request or exchange_result_wipe(). */
struct exchange_result {
    const uint8_t *message; /* I_MESSAGE or R_MESSAGE to send; NULL when none */
    size_t message_len;
    const uint8_t *ticket;
    size_t ticket_len;
    const struct exchange_key *keys; /* secure heap */
    size_t key_count;
    struct identity from, to;
    uint32_t csb_id;
    /* Of a refused confirm: what the peer would take, by an error message that it has proven its own,
     * and the policy allows, in the policy's order. */
    enum srtp_suite suites[SRTP_SUITE_COUNT];
    size_t suite_count;
    uint64_t audit_sequence;   /* nothing may leave before audit_durable() has reached it */
    int64_t keys_us, store_us; /* waited for keyholders, for the replay store; also of a failure */
};

/*
 * Serves one request. Refusals are counted and audited here. On every failure result is wiped and
 * empty, but for the error message to the peer where the request takes one and the policy says so,
 * and for the suites that an error message of the peer names.
 */
enum mikeyd_status exchange_serve(struct exchange_worker *worker,
                                  const struct exchange_request *request,
                                  struct exchange_result *result, struct error *err);
/* Wipes the keys of the last result. */
void exchange_result_wipe(struct exchange_worker *worker);

#endif
