/*
 * One PKCS#11 token holding MIKEY pre-shared keys: module, login, session pool, keys, HMAC and
 * in-token derivation.
 *
 * A session serves one operation and one thread at a time. Keys are enumerated once at open (and at
 * token_rescan), never searched on the request path. Handles carry the generation of the module's
 * initialisation: after any re-initialisation they are resolved again by CKA_ID before use. Every
 * CKR but CKR_OK drops the session it came from.
 */
#ifndef PKCS11_TOKEN_H
#define PKCS11_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hmac.h"
#include "base/key_finding.h"
#include "pkcs11/token/token_config.h"

struct token;
struct token_session;
struct profile; /* profile.h */

/* ---- opening */

/*
 * Loads the module (libp11 and its function list), finds the one token the URI names, reads the PIN
 * (one attempt, none on FINAL_TRY), opens the sessions, runs the known-answer tests (RFC 2202, RFC
 * 4231 on the token; MIKEY's PRF when the token has the SP 800-108 mechanism), enumerates and
 * checks the keys. A key with fatal findings is no reason to refuse the token: it is said in the
 * log, has no handle, and token_key_find() refuses it. TOKEN_DOWN or INVALID_ARGUMENT; the text
 * names token, operation and CKR. PIN_REFUSED when the PIN was wrong, is locked or has one attempt
 * left: another try may lock it.
 */
enum mikeyd_status token_open(const struct token_config *config, struct token **out,
                              struct error *err);
void token_close(struct token *token);

struct token_facts {
    /* As base/visible.h shows them, as far as that fits. */
    char label[33], serial[17], manufacturer[33], model[17];
    const char *module;
    bool hkdf;           /* CKM_HKDF_DERIVE works: epsk can be imported in the token */
    bool prf_derive;     /* the SP 800-108 KDF is MIKEY's PRF, proven by known answer */
    bool session_copies; /* hot keys are used as session-object copies */
    const struct profile *profile;
    bool read_write;      /* sessions are R/W */
    bool hash_keys;       /* an HMAC key has one hash */
    bool session_keys;    /* it takes keys in clear as session objects: token_hmac_bytes() works */
    bool shares_objects;  /* session objects serve other sessions, too */
    size_t hmac_least[2]; /* bytes of a key, by enum hmac_hash; 0: not told */
    unsigned sessions;
    uint64_t generation; /* of the module's initialisation; 1 at first */
    uint64_t calls;      /* PKCS#11 sign/derive/create/destroy operations so far */
    uint64_t hmacs, derives, objects_created;
    size_t keys;      /* that are there, fit or not */
    unsigned hmac_us; /* measured at start: one HMAC-SHA-256 on a hot key */
    bool spreads;     /* calls are slow, and a batch runs on several sessions at once */
    bool up;
};
void token_get_facts(const struct token *token, struct token_facts *out);
/* For the health check: C_GetTokenInfo and presence of every key. Like a request for such a key, it
 * looks, every ten seconds at most, whether one that vanished in a recovery is back. */
enum mikeyd_status token_check_health(struct token *token, struct error *err);
/*
 * For the daemon's timer (now_ms: clock_monotonic_ms()). True while some call has been running
 * longer than call_timeout_ms: until it returns, every other caller gets TOKEN_DOWN at once.
 * Never blocks.
 */
bool token_overdue(struct token *token, int64_t now_ms);

/* It is down for good in this process, whose successor may have it: its module begins once. */
bool token_spent(const struct token *token);

/* ---- keys */

enum token_kind {
    TOKEN_PSK,
    TOKEN_EPSK,
    TOKEN_EPSKX,
    TOKEN_PAIR,
    TOKEN_TICKET,
    TOKEN_AUDIT,
    TOKEN_KIND_COUNT
};
const char *token_kind_name(enum token_kind kind); /* "psk", "epsk" ... */
bool token_kind_by_name(const char *name, enum token_kind *out);

#define TOKEN_NAME_MAX 96
#define TOKEN_BLOCKS_MAX 8

/* One object: a 32-byte block of a key, or the whole of a shorter one. */
struct token_object {
    uint8_t id[16];       /* CKA_ID */
    unsigned long handle; /* CK_OBJECT_HANDLE, valid while generation matches */
    uint64_t generation;
    bool is_copy;           /* a session-object copy is what handle names */
    unsigned long original; /* the token object's handle */
};

/*
 * A key by its label mikeyd/KIND/NAME/GENERATION[~BITS][#BLOCK]; blocks in order (#1, #2 ...).
 * ~BITS is the true length of a key whose objects do not show it: zero-padded to the token's HMAC
 * minimum (mikeyd/psk/old/1~128), or derived from an EPSK of that length (kinds epskx and pair).
 * NAME: printable ASCII without space, "/", "~" and "#". Owned by the token.
 */
struct token_key {
    enum token_kind kind;
    char name[TOKEN_NAME_MAX];
    unsigned generation;
    struct token_object block[TOKEN_BLOCKS_MAX];
    size_t block_count;
    unsigned bits; /* true length, before padding and of the EPSK it comes from; 0: unknown */
    char start_date[11], end_date[11]; /* "2026-11-21" or empty */
    uint32_t findings;                 /* KEY_FINDING_* bits */
    bool rsa;                          /* an audit key: not on P-256 */
    bool present;                      /* false once it was no longer found */
    bool missing;                      /* and that was in a recovery: no rescan has confirmed it */
};

size_t token_key_count(const struct token *token);
const struct token_key *token_key_at(const struct token *token, size_t index);
/* What is known of the key at this moment, without its objects: for whoever looks while a rescan or
 * a recovery may be rewriting it. False when there is no such key. */
bool token_key_snapshot(const struct token *token, size_t index, struct token_key *out);
/*
 * The key of that name. TOKEN_DOWN ("no object mikeyd/psk/x/1 in token ...") when absent, POLICY
 * naming the findings when its attributes would let it out. The pointer stays valid until
 * token_close, also across rescans.
 */
enum mikeyd_status token_key_find(const struct token *token, enum token_kind kind, const char *name,
                                  unsigned generation, const struct token_key **out,
                                  struct error *err);
/*
 * Makes the session-object copies of a hot key's blocks (when facts.session_copies; else does
 * nothing), so that its first request does not pay for them. A key never warmed is used as it is.
 * Safe while other threads use the key.
 */
enum mikeyd_status token_key_warm(struct token_session *session, const struct token_key *key,
                                  struct error *err);
/* Looks for new and vanished objects, because the operator asks (SIGHUP). Running requests keep the
 * keys they have, and wait only while the list is exchanged. A token that is down is tried at once; one whose PIN was refused, when the PIN
 * file has been changed since: one attempt. */
enum mikeyd_status token_rescan(struct token *token, struct error *err);

/* ---- sessions */

/* Takes a session, waiting at most timeout_ms. TOKEN_BUSY, TOKEN_DOWN. A worker keeps its own. */
enum mikeyd_status token_session_acquire(struct token *token, unsigned timeout_ms,
                                         struct token_session **out, struct error *err);
void token_session_release(struct token_session *session);
/* Another number once what was made in this session (keys derived, or given in clear) has gone with
 * it: whoever was in the middle of something can begin it anew. */
uint64_t token_session_life(const struct token_session *session);

/* ---- HMAC */

/*
 * Runs independent jobs (key: struct token_object of this token). Fast tokens: one after the other
 * on this session; slow tokens (hmac_us over 50): spread over idle sessions of the pool. On an
 * error: the session is replaced, a lost login is repeated once for all, the batch is retried once;
 * then TOKEN_DOWN naming the CKR.
 */
enum mikeyd_status token_hmac_batch(struct token_session *session, struct hmac_job *jobs,
                                    size_t count, struct error *err);
/*
 * HMAC under a key given in clear, as a session object: the MACs of a message when its
 * authentication key had to be computed by HMAC calls. *handle is 0 at first: then the object is
 * made, and stays for further calls under the same key until token_object_destroy(session,
 * *handle), which the caller owes also after a failure. One that was lost with its session or with
 * the module's initialisation is made anew, never used.
 */
enum mikeyd_status token_hmac_bytes(struct token_session *session, enum hmac_hash hash,
                                    const uint8_t *key, size_t key_len, const uint8_t *const data[],
                                    const size_t len[], size_t parts, unsigned long *handle,
                                    uint8_t *tag, struct error *err);
/* What such an HMAC is over; the parts are concatenated. */
struct token_message {
    const uint8_t *const *data;
    const size_t *len;
    size_t parts;
    uint8_t *tag;
};
/* Two under one key: on a slow token side by side, the second by an object in another session that
 * is gone afterwards. *handle as above. On an error neither tag means anything. */
enum mikeyd_status token_hmac_two(struct token_session *session, enum hmac_hash hash,
                                  const uint8_t *key, size_t key_len,
                                  const struct token_message two[2], unsigned long *handle,
                                  struct error *err);

/* ---- derivation in the token */

enum token_derived {
    TOKEN_DERIVED_HMAC,
    TOKEN_DERIVED_AES
}; /* signs MACs; encrypts by CKM_AES_CTR */

/*
 * MIKEY's PRF inside the token (SP 800-108 double pipeline without counter) for a PSK of one block:
 * out_len bytes as a sensitive, non-extractable session object. UNSUPPORTED without the mechanism.
 * Destroy with token_object_destroy.
 */
enum mikeyd_status token_prf_derive(struct token_session *session, const struct token_object *key,
                                    enum hmac_hash hash, const uint8_t *label, size_t label_len,
                                    enum token_derived as, size_t out_len, unsigned long *handle,
                                    struct error *err);
enum mikeyd_status token_hmac_handle(struct token_session *session, unsigned long handle,
                                     enum hmac_hash hash, const uint8_t *const data[],
                                     const size_t len[], size_t parts, uint8_t *tag,
                                     struct error *err);
enum mikeyd_status token_aes_ctr(struct token_session *session, unsigned long handle,
                                 const uint8_t iv[16], uint8_t *data, size_t len,
                                 struct error *err);
void token_object_destroy(struct token_session *session, unsigned long handle);

/*
 * Imports an EPSK for one pair in the token: HKDF extract and expand (RFC 5869) with
 * CKM_HKDF_DERIVE; the 32-byte result is a sensitive, non-extractable session object usable as
 * job.key and for token_prf_derive. *out is caller memory; release with
 * token_object_destroy(session, out->handle). It outlives the session. When out->generation is not
 * token_generation() any more, jobs with it are refused (TOKEN_DOWN) and the caller derives again.
 */
enum mikeyd_status token_hkdf_pair(struct token_session *session, const struct token_key *epsk,
                                   const uint8_t *info, size_t info_len, struct token_object *out,
                                   struct error *err);
/* The generation that handles must carry to be used now. */
uint64_t token_generation(const struct token *token);

#endif
