/*
 * Inside exchange/: what all workers share, and one worker with the request it is serving.
 */
#ifndef EXCHANGE_SERVICE_H
#define EXCHANGE_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include "exchange/binding.h"
#include "exchange/exchange.h"
#include "exchange/ticket.h"

struct exchange_service {
    struct exchange_service_config config; /* defaults filled in */
    pthread_rwlock_t lock;                 /* of `binding` */
    struct binding *binding;
    uint64_t next_serial;
    /* Replay entries are kept so long: the widest window of any policy since the service opened,
     * because requests end under the policy that they began with. */
    atomic_uint window_s;
    struct ticket_keys *ticket_keys;
    struct tally *tally;
    struct {
        atomic_uint_fast64_t operation[4]; /* by enum exchange_operation */
        atomic_uint_fast64_t refused[MIKEYD_STATUS_COUNT];
        atomic_uint_fast64_t keys_released;
    } stats;
};

/* The binding in force, referenced. */
struct binding *service_binding(struct exchange_service *service);

/* ---- a worker */

#define WORKER_MESSAGE_MAX 8192 /* the longest message sent: 255 streams, longest identities */
#define WORKER_ERROR_MAX 512    /* an error message: every suite, the longest V */
#define WORKER_SUITES_MAX 192

/* The worker's part of the secure heap: one block of at most 32 KiB. */
struct worker_secrets {
    struct bundle_keys keys;
    union {
        struct ticket_scratch ticket;
        struct mikey_plain plain; /* key data of a message, on its way out or in */
    } scratch;
    uint8_t v[HMAC_TAG_MAX];            /* of the reply, until the message it answers is accepted */
    uint8_t psk_key[MIKEY_PSK_KEY_LEN]; /* of the pair, for a TGK that is made with it */
    uint8_t shared[MIKEY_DH_VALUE_MAX]; /* Diffie-Hellman secret */
    struct exchange_key released[MIKEY_CS_MAX];
};
_Static_assert(sizeof(struct worker_secrets) <= 32768, "the secure heap deals in powers of two");

/* A Diffie-Hellman pair that no message went out with; see values_ready(). Secure heap. */
struct worker_ready {
    bool made;
    struct mikey_dh_pair pair;
};

/* All that belongs to one request: zeroed at its start, so that nothing of an earlier one is left. */
struct exchange_call {
    const struct exchange_request *request;
    struct binding *binding;
    const struct policy_client *client;
    int64_t now; /* Unix seconds */
    struct policy_decision decision;
    const struct mikey_method *method;         /* after request_decide() */
    const struct bound_generation *generation; /* of the key in use */
    struct keys_name key_name;                 /* of the key in use */
    struct mikey_message message;              /* parsed; views into the request */
    uint8_t error_number;                      /* RFC 3830 6.12, of the refusal to come */
    struct identity from, to;                  /* views; len 0: not known yet */
    struct bundle bundle;
    uint8_t mki[BUNDLE_KEYS_MAX][BUNDLE_MKI_MAX];  /* of the keys released: no secret */
    size_t out_len, error_len;                     /* of the worker's buffers */
    enum srtp_suite peer_suites[SRTP_SUITE_COUNT]; /* see struct exchange_result */
    size_t peer_suite_count;
};

struct exchange_worker {
    struct exchange_service *service;
    struct keys_port *port;
    struct ticket_cipher *cipher;
    struct worker_secrets *secrets;
    struct worker_ready *ready; /* for the next answer: the one secret that outlives a request */
    size_t released_count;      /* of secrets->released, to be wiped */
    uint64_t unrecorded_uses;   /* of pre-shared keys, that no audit record has yet */
    struct exchange_call call;

    /* Room that a request fills as far as it needs it. */
    uint8_t out[WORKER_MESSAGE_MAX];
    uint8_t error[WORKER_ERROR_MAX]; /* for the peer, when the request is refused */
    uint8_t ticket[TICKET_MAX];
    uint8_t identity_store[2][IDENTITY_MAX]; /* of "from" and "to", or of "as" and "from" */
    char key_text[KEYS_NAME_MAX + 16];       /* "core/1" */
    char suites_text[WORKER_SUITES_MAX];
};

/* ---- keyring.c: from a bound key to one the engine can ask for */

/* Makes *key the one of this directed pair under that generation: valid until the next call. */
void keyring_take(struct exchange_worker *w, const struct policy_decision *decision,
                  const struct bound_generation *generation, struct mikey_key *key);
/* Strength of the key in bits, as far as RFC 3830 9.1 asks: capped at 256. */
unsigned keyring_bits(const struct bound_generation *generation);

#define EXCHANGE_ERROR_UNSPECIFIED 12 /* RFC 3830 6.12 */

/* ---- request.c: steps that operations share; the worker is the context */

/* ROC number i of the client's list; 0: not stated. */
uint32_t request_roc(const struct exchange_request *request, size_t i);
/* The protocols of its SDP offer, as they are signed; NULL: the message does not come in SDP. */
const char *request_protocols(const struct exchange_request *request);
/* INVALID_ARGUMENT when the client's list of them is none. */
enum mikeyd_status request_check_protocols(const struct exchange_request *request,
                                           struct error *err);
/* Reads an identity of the request's text form; INVALID_ARGUMENT naming the field. */
enum mikeyd_status request_identity(const char *field, const char *text,
                                    uint8_t store[IDENTITY_MAX], struct identity *out,
                                    struct error *err);
/* policy_decide() for w->call.from and w->call.to in that role and by that method, then what exchange/ itself demands. */
enum mikeyd_status request_decide(struct exchange_worker *w, enum policy_role role,
                                  enum policy_method method, struct error *err);
/* What the policy calls the method of a message. */
enum policy_method request_method_of(const struct mikey_message *m);
/* ---- values.c: methods that exchange Diffie-Hellman values */

/* A fresh value of ours, in the group that the policy says, for an offer. */
enum mikeyd_status values_make(struct exchange_worker *w, struct error *err);
/* It as it is sent: a view. */
struct mikey_dh values_own(const struct exchange_worker *w);
/* An I_MESSAGE's value, before it is answered: of the group that the policy says. */
enum mikeyd_status values_check(struct exchange_worker *w, struct error *err);
/*
 * The value of an answer to an I_MESSAGE that has one. It stands in the draft over which the key's
 * holder makes the answer's MAC in the call that checks the message, so it is needed before that
 * check; but only a message that proved authentic uses it up (values_take()). A forged one leaves it
 * for the next: nothing of it has left this process. *own: a view.
 */
enum mikeyd_status values_ready(struct exchange_worker *w, struct mikey_dh *own, struct error *err);
/* The message is authentic: the value is its answer's, and no other's. */
void values_take(struct exchange_worker *w);
/*
 * The TGK from our value and the peer's, and from the key of the pair where the method wants it, as
 * the bundle's one key; what it came from is wiped, whatever the outcome.
 */
enum mikeyd_status values_agree(struct exchange_worker *w, const struct mikey_dh *theirs,
                                bool initiator, struct error *err);

/* The TGK of w->call.bundle, which its method does not transport, as its key. */
enum mikeyd_status request_compute_tgk(struct exchange_worker *w, const struct mikey_key *key,
                                       struct error *err);
/* Is that suite allowed to this pair, its algorithms and its key? */
enum mikeyd_status request_check_suite(const struct exchange_worker *w, enum srtp_suite suite,
                                       unsigned key_bits, struct error *err);
/* "sign" or "derive": how the key of this request was used; NULL while none was. */
const char *request_prf(const struct exchange_worker *w);
/* The policy and key as bound of w->call.decision.key. */
const struct bound_key *request_key(const struct exchange_worker *w);
/* How often keyholders were asked to use a pre-shared key since the last record that was taken: for
 * the next one, which zeroes w->unrecorded_uses. */
uint64_t request_uses(struct exchange_worker *w);
/* Opens request->ticket into w->call.bundle and w->secrets->keys for that use. */
enum mikeyd_status request_open_ticket(struct exchange_worker *w, enum bundle_use use,
                                       int64_t *expires, struct error *err);
/* Bundle fields that every bundle has: client, pair, key, algorithms, the client's reference. */
enum mikeyd_status request_fill_bundle(struct exchange_worker *w,
                                       const struct bound_generation *generation,
                                       struct error *err);
/* ---- finish.c */

/*
 * The end of every operation that succeeds: session keys when `release`, the ticket, the audit
 * record, then the result. Nothing is in *result before the record is queued.
 */
enum mikeyd_status request_finish(struct exchange_worker *w, enum audit_event event, bool release,
                                  struct exchange_result *result, struct error *err);

/* ---- use.c */

/* store_insert(), and in the same step the exchange counts under that generation of its key when it
 * has max_exchanges: POLICY when they are used up. count may be 0. */
enum mikeyd_status request_insert(struct exchange_worker *w, const struct store_time *time,
                                  const uint8_t digests[][STORE_DIGEST], size_t count,
                                  int64_t expires_unix, unsigned generation, struct error *err);

/* ---- offer.c: what initiate and update share */

/* Adds the request's streams to the bundle, each allowed to the pair and its key. */
enum mikeyd_status offer_add_streams(struct exchange_worker *w, unsigned key_bits,
                                     struct error *err);
/* A method that exchanges values has no keys before the answer. */
enum mikeyd_status offer_check_answer(const struct exchange_worker *w, struct error *err);
/* Unless the TGK is derived: a fresh one, or a fresh value of ours, and an MKI other than the bundle's present one when the
 * policy wants MKIs. */
enum mikeyd_status offer_make_key(struct exchange_worker *w, unsigned key_bits, struct error *err);
/* Stamps the bundle with a unique T, seals its I_MESSAGE and finishes. */
enum mikeyd_status offer_send(struct exchange_worker *w, bool update,
                              const struct bound_generation *generation, enum audit_event event,
                              struct exchange_result *result, struct error *err);

/* ---- the operations */

enum mikeyd_status exchange_initiate(struct exchange_worker *w, struct exchange_result *result,
                                     struct error *err);
enum mikeyd_status exchange_update(struct exchange_worker *w, struct exchange_result *result,
                                   struct error *err);
enum mikeyd_status exchange_respond(struct exchange_worker *w, struct exchange_result *result,
                                    struct error *err);
enum mikeyd_status exchange_confirm(struct exchange_worker *w, struct exchange_result *result,
                                    struct error *err);

#endif
