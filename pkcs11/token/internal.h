/*
 * What the files of pkcs11/ share: the module, the token and its sessions, and the bracket that
 * every PKCS#11 call stands in.
 *
 * A call into the module is made like this, by the one thread that holds the session:
 *
 *     TRY(token_call_begin(session, "C_Sign", err));          gate open, session valid, clock runs
 *     CK_RV rv = session->token->f->C_Sign(session->handle, ...);
 *     if (rv != CKR_OK)
 *         return token_call_failed(session, "C_Sign", rv, err);   session replaced, bracket closed
 *     token_call_end(session);
 *
 * Between begin and end the token is neither re-initialised nor re-resolved, so object handles read
 * inside the bracket are valid in it. Several calls may stand in one bracket; token_call_mark()
 * between them restarts the deadline and names the next one.
 */
#ifndef PKCS11_INTERNAL_H
#define PKCS11_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "pkcs11/token/pkcs11_v3.h"
#include "pkcs11/token/profile.h"
#include "pkcs11/token/token.h"

/* ---- return values */

/* "CKR_DEVICE_ERROR"; "CKR_0x80000001" for one without a name here. The text is static or of this
 * thread. */
const char *ckr_name(CK_RV rv);
/* ": what is behind it, or to be done"; "" where the code says it all. Static. */
const char *ckr_advice(const char *operation, CK_RV rv);

/* ---- the module: one per path and process, shared by the tokens behind it */

struct token_module {
    struct token_module *next;
    char *path;
    char *init_args; /* LibraryParameters, or NULL */
    void *library;   /* dlopen() */
    CK_FUNCTION_LIST *f;
    unsigned users;
    struct token *tokens;         /* open on this module, for the drain before C_Finalize */
    pthread_mutex_t recovery;     /* held by whoever re-initialises, logs in or resolves */
    atomic_ulong initialisations; /* C_Initialize calls so far; 1 after opening */
    atomic_ulong session_objects; /* created since the last C_Initialize (SoftHSM leaks them) */
    bool leaks_session_objects;   /* of the tokens' profiles, this one and the next */
    bool serialise;               /* concurrent calls are slower than serial ones */
    pthread_mutex_t serial;
};

enum mikeyd_status token_module_open(const char *path, const char *init_args,
                                     struct token_module **out, struct error *err);
void token_module_close(struct token_module *module);
/* C_Finalize, C_Initialize. The caller holds `recovery` and has drained every token's calls. */
enum mikeyd_status token_module_reinitialise(struct token_module *module, struct error *err);

/* ---- URI and PIN */

/*
 * The slot of the one token that the URI names. seen: as that token was before, or NULL; another
 * one of the same name is not it, and must not be sent its PIN.
 */
enum mikeyd_status token_uri_find_slot(struct token_module *module, const char *uri,
                                       const CK_TOKEN_INFO *seen, CK_SLOT_ID *slot,
                                       CK_TOKEN_INFO *info, struct error *err);
/* Which file a PIN came from, and as of when; nothing of the PIN itself. */
struct pin_file_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed, modified;
};
/* Reads the PIN into the secure heap, from a file that nobody else can read (private_file_open). */
enum mikeyd_status token_pin_read(const char *path, struct secret *out, struct pin_file_mark *mark,
                                  struct error *err);
/* Is it still that very file, unchanged? */
bool token_pin_file_is(const char *path, const struct pin_file_mark *mark);
/* C_Login's answer is about the PIN, so that another attempt with it would only lock the token. */
bool token_pin_is_refused(CK_RV rv);

/* ---- sessions */

#define TOKEN_SCRATCH 1024
#define TOKEN_DERIVED_MAX 8

struct token_session {
    struct token *token;
    CK_SESSION_HANDLE handle;      /* CK_INVALID_HANDLE: to be opened by the next begin */
    uint64_t generation;           /* of the token when it was opened */
    _Atomic int64_t busy_since_ms; /* 0: idle; else when the running call began */
    _Atomic(const char *) operation;
    uint8_t *scratch; /* TOKEN_SCRATCH bytes of the secure heap, to join the parts of one HMAC */
    bool taken;
    /* The last call said that the token is busy. Another try within the caller's patience goes on in
     * this session, for the keys in it; whatever else comes next gets a new one. */
    bool doubtful;
    /* The key of an operation that a busy token may have left active: the next try begins it again,
     * or finds it begun. */
    CK_OBJECT_HANDLE begun;
    /* Keys derived in this session and not destroyed yet; they die with it. openings counts the
     * handles this session has had: a derived handle means something in one of them only. */
    CK_OBJECT_HANDLE derived[TOKEN_DERIVED_MAX];
    size_t derived_count;
    uint64_t openings, derived_opening;
    atomic_uint_fast64_t ends; /* how often its handle was given up */
};

/* Why calls may not pass; 0: they may. */
enum token_gate {
    TOKEN_GATE_CLOSED = 1u << 0, /* a recovery runs: wait for it */
    TOKEN_GATE_DOWN = 1u << 1,   /* a recovery failed: refused until the next probe */
    TOKEN_GATE_HUNG = 1u << 2,   /* a call overran its deadline and still runs */
    TOKEN_GATE_STALE = 1u << 3,  /* the module was re-initialised for another token */
};

enum mikeyd_status token_session_prepare(struct token *token, struct token_session *session,
                                         struct error *err);
void token_session_dispose(struct token_session *session);
/* Opens session->handle in the token's present generation. */
CK_RV token_session_open(struct token_session *session);
/* Closes the handle, if there is one. */
void token_session_drop(struct token_session *session);
/* Its handle names no session of ours any more: it is not closed. */
void token_session_forget(struct token_session *session);

enum mikeyd_status token_call_begin(struct token_session *session, const char *operation,
                                    struct error *err);
/* For what can be done otherwise: a session that does not open is not tried again. */
enum mikeyd_status token_call_begin_once(struct token_session *session, const char *operation,
                                         struct error *err);
/* Names the next call of the same bracket and restarts its deadline. */
void token_call_mark(struct token_session *session, const char *operation);
void token_call_end(struct token_session *session);
/*
 * Ends the bracket of a call that did not return CKR_OK: fills err ("token T: OPERATION: CKR_..."),
 * closes the session (an active operation cannot be cancelled otherwise) and has the next begin
 * open another; when the token is busy, unless token_wait_while_busy() comes first. Returns the
 * status for the caller: TOKEN_DOWN, TOKEN_BUSY; in the ceremony also UNSUPPORTED for
 * CKR_MECHANISM_* and AUTH_FAILED for a wrapping or cipher text that is not right.
 */
enum mikeyd_status token_call_failed(struct token_session *session, const char *operation, CK_RV rv,
                                     struct error *err);
/*
 * After token_call_failed: brings the token back in stages (new session, login and resolution,
 * re-initialisation) as far as rv calls for. OK: try the operation once more, reading the handles
 * anew. Else err (if not NULL) names what failed, and the token is down or the caller out of luck.
 */
enum mikeyd_status token_recover(struct token_session *session, CK_RV rv, struct error *err);
/* What a return value asks for on this token, as its profile says. */
enum profile_reaction token_reaction(const struct token *token, CK_RV rv);
/* True when a second try can help: not for refusals that lie in the arguments or the key. */
bool token_rv_recoverable(const struct token *token, CK_RV rv);
/* Of one operation on a token that says that it has too much to do; zero at first. */
struct token_patience {
    int64_t until_ms;
    unsigned wait_us;
};
/* CKR_SESSION_COUNT, and what the profile calls busy. */
bool token_rv_busy(const struct token *token, CK_RV rv);
/* When rv means "busy" and there is patience left: waits a moment; true: try again, in the same
 * session. */
bool token_wait_while_busy(struct token_session *session, CK_RV rv,
                           struct token_patience *patience);
/* What to do when the gate is not open: waits for a recovery, runs one when due, or refuses. */
enum mikeyd_status token_gate_pass(struct token_session *session, unsigned gate, struct error *err);
/*
 * Keeps all other calls out of the token. On OK the caller holds module->recovery, no call runs,
 * and token_exclusive_end() opens the gate again. A token that is down is brought back first, if it
 * is time to; when the operator asks it is, and a PIN file that was changed since its PIN was
 * refused is worth one attempt.
 */
enum mikeyd_status token_exclusive_begin(struct token *token, bool operator_asks,
                                         struct error *err);
void token_exclusive_end(struct token *token);
/* Finds the slot, opens the keeper, logs in, loads the keys, makes the copies: under exclusion. */
enum mikeyd_status token_connect(struct token *token, struct error *err);
/* When SoftHSM has leaked enough session objects: re-initialises once no call runs. */
void token_limit_leak(struct token_session *session);
/* 240 bytes each: about 10 MB between two re-initialisations. */
#define TOKEN_LEAK_OBJECTS_MAX 40000u

/* ---- the token */

#define TOKEN_MECHANISMS_MAX 512

struct token {
    struct token *next_on_module;
    struct token_module *module;
    CK_FUNCTION_LIST *f; /* module->f */
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    char label[33], serial[17], manufacturer[33], model[17];

    const struct profile *maker; /* the row of the table, never NULL */
    struct profile profile;      /* the same, with the configuration's switches on */
    bool profile_wanted;         /* by the configuration, whatever the token calls itself */
    uint32_t switches;           /* the configuration's */
    char *uri, *pin_file;
    bool read_write, provisioning;
    enum token_copies copies_wanted;
    unsigned call_timeout_ms;

    CK_MECHANISM_TYPE mechanisms[TOKEN_MECHANISMS_MAX];
    size_t mechanism_count;
    size_t hmac_min[2]; /* least key length in bytes by enum hmac_hash; 0: none known */
    bool hmac_bits;     /* the token tells it in bits */
    bool hkdf, prf_derive, session_copies;
    bool shares_objects; /* a session uses the session objects of another */
    bool sessions_rw;    /* R/W sessions: for the ceremony, or because no others can make keys */
    bool hash_keys;      /* an HMAC key has one hash */
    bool session_keys;   /* C_CreateObject makes session objects */
    unsigned hmac_us;

    /* keeper: owns the session objects that outlive a call (copies, pair keys) and makes the
     * recovery's calls; used under keeper_lock, never by a worker. guest: libp11's calls. reader:
     * reads the keys anew beside the workers; open only for that long. */
    struct token_session keeper, guest, reader;
    pthread_mutex_t keeper_lock, guest_lock, reader_lock;

    struct token_session *session; /* the pool */
    unsigned session_count;
    pthread_mutex_t pool_lock;
    pthread_cond_t pool_freed;

    atomic_uint gate;  /* TOKEN_GATE_* bits */
    atomic_bool spent; /* only another process could go on */
    _Atomic uint64_t generation;
    _Atomic int64_t next_probe_ms; /* while DOWN: by a request */
    _Atomic int64_t next_check_ms; /* and by a health check */
    int64_t probe_wait_ms;         /* this, the next two: under module->recovery */
    int64_t soft_since_ms;         /* a row of failures that a new session seemed to mend */
    unsigned soft_count;
    bool pin_refused; /* no further attempt with the PIN of that file: */
    struct pin_file_mark pin_mark;
    struct error down_reason;
    pthread_mutex_t reason_lock;

    struct token_key_entry **key; /* grows at rescan; an entry never moves */
    size_t key_count, key_room;
    pthread_rwlock_t key_lock;
    atomic_bool keys_missing; /* a key vanished in a recovery: looked for again from */
    _Atomic int64_t next_look_ms;

    _Atomic uint64_t calls, hmacs, derives, objects_created;
    struct token_assist *assist; /* threads for slow tokens, or NULL */
};

bool token_has_mechanism(const struct token *token, CK_MECHANISM_TYPE mechanism);
CK_MECHANISM_TYPE token_hmac_mechanism(enum hmac_hash hash);
/* Once, at opening: mechanisms, HMAC minima, and what its maker's modules are known for. */
enum mikeyd_status token_mechanisms_read(struct token *token, struct error *err);

/* Calls through libp11 stand in this bracket instead: one at a time, excluded from recovery. */
enum mikeyd_status token_guest_begin(struct token *token, const char *operation, struct error *err);
void token_guest_end(struct token *token);
/* For calls by the guest session itself, in brackets of their own; unlock token->guest_lock. */
enum mikeyd_status token_guest_lock(struct token *token, struct error *err);

/* ---- operations inside a bracket */

/*
 * Around a call in one part after its ...Init: by the specification it ends the operation whatever
 * it returns, but not every token that refuses it as busy has looked at it. `init` is what ...Init
 * returned; what is to be taken for it.
 */
CK_RV token_part_begun(struct token_session *session, CK_OBJECT_HANDLE key, CK_RV init);
void token_part_ended(struct token_session *session, CK_OBJECT_HANDLE key, CK_RV rv);

/* C_SignInit and C_Sign; parts are concatenated. tag: 20 or 32 bytes. */
CK_RV token_sign_hmac(struct token_session *session, CK_OBJECT_HANDLE key, enum hmac_hash hash,
                      const uint8_t *const data[], const size_t len[], size_t parts, uint8_t *tag);
/* A session object to sign with that hash, sensitive and not extractable. */
CK_RV token_create_hmac_key(struct token_session *session, enum hmac_hash hash, const uint8_t *key,
                            size_t key_len, CK_OBJECT_HANDLE *handle);
/* The same, to derive from. */
CK_RV token_create_base_key(struct token_session *session, const uint8_t *key, size_t key_len,
                            CK_OBJECT_HANDLE *handle);
/*
 * The keys made in a session for one message, derived or created. Valid: made in this opening of
 * the session and not destroyed, so the handle means what it meant. Room: another one may be added;
 * not while older ones are lost, because the message would have keys of two openings. Forgetting
 * makes no call: for one whose object is gone.
 */
bool token_derived_valid(const struct token_session *session, CK_OBJECT_HANDLE handle);
bool token_derived_room(const struct token_session *session);
void token_derived_add(struct token_session *session, CK_OBJECT_HANDLE handle);
void token_derived_forget(struct token_session *session, CK_OBJECT_HANDLE handle);
CK_RV token_prf_call(struct token_session *session, CK_OBJECT_HANDLE base, enum hmac_hash hash,
                     const uint8_t *label, size_t label_len, enum token_derived as, size_t out_len,
                     CK_OBJECT_HANDLE *handle);
CK_RV token_aes_ctr_call(struct token_session *session, CK_OBJECT_HANDLE key, const uint8_t iv[16],
                         uint8_t *data, size_t len);
CK_RV token_hkdf_call(struct token_session *session, CK_OBJECT_HANDLE base, const uint8_t *info,
                      size_t info_len, CK_OBJECT_HANDLE *handle);
/* The handle that serves the key now; TOKEN_DOWN when the object is gone, refused or of an earlier
 * initialisation. */
enum mikeyd_status token_handle_now(const struct token_session *session,
                                    const struct token_object *object, CK_OBJECT_HANDLE *handle,
                                    struct error *err);

/* ---- operations with a bracket of their own */

/* One attempt: sets *rv when a call failed (and then has called token_call_failed). */
typedef enum mikeyd_status token_attempt(struct token_session *session, void *work, CK_RV *rv,
                                         struct error *err);
/* Attempt, recovery when the failure calls for it, one more attempt. */
enum mikeyd_status token_try_twice(struct token_session *session, token_attempt *attempt,
                                   void *work, struct error *err);
/* Destroys a session object made by token_hkdf_pair, and nothing else. */
void token_pair_destroy(struct token_session *session, CK_OBJECT_HANDLE handle);
enum mikeyd_status token_hmac_serial(struct token_session *session, struct hmac_job *jobs,
                                     size_t count, struct error *err);
/* Keeps calls of different threads apart on modules that are slower otherwise; inside a bracket. */
enum mikeyd_status token_serial_enter(struct token *token, struct error *err);
void token_serial_leave(struct token *token);
/* Takes the lock unless its holder keeps it longer than a call may last. */
bool token_lock_within(const struct token *token, pthread_mutex_t *lock);

/* Proves HMAC (fatal), and what may be relied on: sets sessions_rw, hash_keys, session_keys,
 * hmac_min, shares_objects, prf_derive, hkdf. */
enum mikeyd_status token_known_answers(struct token *token, struct error *err);

/* ---- slow tokens: threads with sessions of their own, for independent jobs */

/* When hmac_us says that the token is slow; no threads are no error. */
void token_assist_start(struct token *token);
void token_assist_stop(struct token *token);
enum mikeyd_status token_hmac_spread(struct token_session *session, struct hmac_job *jobs,
                                     size_t count, struct error *err);
/* Both are done on return, whatever it says. */
enum mikeyd_status token_hmac_two_spread(struct token_session *session, enum hmac_hash hash,
                                         const uint8_t *key, size_t key_len,
                                         const struct token_message two[2], unsigned long *handle,
                                         struct error *err);
bool token_assist_overdue(struct token *token, int64_t now_ms);
bool token_assist_running(struct token *token);
/* Under exclusion: their sessions are to be opened anew. */
void token_assist_forget(struct token *token, bool close);

/* ---- keys */

/* A label taken apart: mikeyd/KIND/NAME/GENERATION[~BITS][#BLOCK]. */
struct token_label {
    enum token_kind kind;
    char name[TOKEN_NAME_MAX];
    unsigned generation;
    unsigned bits;  /* true length of a zero-padded key; 0: the object's own length */
    unsigned block; /* 1 .. TOKEN_BLOCKS_MAX; 0: the key is one object */
};
#define TOKEN_LABEL_MAX 160
bool token_label_parse(const char *text, size_t len, struct token_label *out);
/* out has TOKEN_LABEL_MAX bytes. INVALID_ARGUMENT for a name that no label can carry. */
enum mikeyd_status token_label_format(const struct token_label *label, char *out,
                                      struct error *err);

/* A key and what callers need not see. `key` stands first: token_key_at() hands out its address. */
struct token_key_entry {
    struct token_key key;
    atomic_bool hot; /* warmed: its copies are made again after every recovery */
};

/*
 * Enumerates the token's objects and brings token->key up to date: handles by CKA_ID, new keys
 * appended, vanished ones left with present = false and no handles. Under exclusion, by the keeper.
 */
enum mikeyd_status token_keys_load(struct token *token, struct error *err);
/* Both count keys, not what only carries a label that begins like theirs. */
size_t token_keys_present(const struct token *token);
/* Under exclusion. */
size_t token_keys_missing(const struct token *token);
/* Those present, and those that vanished otherwise than by a rescan. */
size_t token_keys_expected(const struct token *token);
/* Says in the log which keys are refused, and why. */
void token_keys_report_unfit(const struct token *token);
void token_keys_free(struct token *token);
/*
 * Outside any bracket: when keys vanished in a recovery, looks whether they are back, as rarely as
 * keeps the requests for other keys undisturbed. True when it looked and found one.
 */
bool token_find_missing(struct token *token);
/* Destroys all copies: the keeper's session outlives a rescan, so they would outlive their keys.
 * Under exclusion. */
void token_copies_drop(struct token *token);
/* One copy, by the keeper: inside a bracket with keeper_lock, or under exclusion. */
CK_RV token_copy_make(struct token *token, CK_OBJECT_HANDLE original, CK_OBJECT_HANDLE *copy);
/* Makes the session-object copies of the hot keys again. Under exclusion. */
void token_copies_remake(struct token *token);
/* Decides session_copies and measures hmac_us. Under exclusion. */
void token_measure(struct token *token);
/* The object that was measured: of any key that signs; NULL when the token has none. */
const struct token_object *token_measured_key(struct token *token);

/* What an object shows of itself (never its value). */
struct token_attributes {
    CK_OBJECT_CLASS object_class;
    CK_KEY_TYPE key_type;
    char label[TOKEN_LABEL_MAX + 1];
    size_t label_len;
    uint8_t id[64];
    size_t id_len;
    CK_ULONG value_len; /* bytes; 0: not told */
    bool sensitive, extractable, private_object, modifiable, always_sensitive, never_extractable;
    bool wrap, unwrap, encrypt, decrypt, sign, derive, wrap_with_trusted;
    bool readable; /* CKA_VALUE has a length: asked for without a buffer */
    CK_MECHANISM_TYPE allowed[16];
    size_t allowed_count;
    bool has_allowed; /* the token knows CKA_ALLOWED_MECHANISMS */
    bool allowed_overflow;
    char start_date[11], end_date[11];
};

/* In one C_GetAttributeValue, inside the caller's bracket. */
CK_RV token_attributes_read(const struct token *token, CK_SESSION_HANDLE session,
                            CK_OBJECT_HANDLE object, struct token_attributes *out);
/* True of a key that says it is sensitive and not extractable, and whose value cannot be read. */
bool token_object_stays_inside(const struct token *token, CK_SESSION_HANDLE session,
                               CK_OBJECT_HANDLE object);
/* KEY_FINDING_* bits of one object as a block of a key of that kind. */
uint32_t token_attributes_findings(const struct token *token,
                                   const struct token_attributes *attributes, enum token_kind kind);
/* Mechanisms a key of that kind may be used with on this token. Returns their number. */
size_t token_kind_mechanisms(const struct token *token, enum token_kind kind,
                             CK_MECHANISM_TYPE out[8]);

#endif
