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

#include "base/secret.h"
#include "pkcs11/pkcs11_v3.h"
#include "pkcs11/token.h"

/* ---- return values
 * ------------------------------------------------------------------------------ */

/* "CKR_DEVICE_ERROR"; "CKR_0x80000001" for one without a name here. The text is static or of this
 * thread. */
const char *ckr_name(CK_RV rv);

/* ---- the module: one per path and process, shared by the tokens behind it
 * ------------------------ */

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
    bool leaks_session_objects;   /* SoftHSM */
    bool serialise;               /* concurrent calls are slower than serial ones */
    pthread_mutex_t serial;
};

enum mikeyd_status token_module_open(const char *path, const char *init_args,
                                     struct token_module **out, struct error *err);
void token_module_close(struct token_module *module);
/* C_Finalize, C_Initialize. The caller holds `recovery` and has drained every token's calls. */
enum mikeyd_status token_module_reinitialise(struct token_module *module, struct error *err);

/* ---- URI and PIN
 * -------------------------------------------------------------------------------- */

/* The slot of the one token that the URI names. */
enum mikeyd_status token_uri_find_slot(struct token_module *module, const char *uri,
                                       CK_SLOT_ID *slot, CK_TOKEN_INFO *info, struct error *err);
/* Reads the PIN into the secure heap: O_NOFOLLOW, regular, mode 0400 or 0600, owner self or root.
 */
enum mikeyd_status token_pin_read(const char *path, struct secret *out, struct error *err);

/* ---- sessions
 * ----------------------------------------------------------------------------------- */

struct token_session {
    struct token *token;
    CK_SESSION_HANDLE handle;      /* CK_INVALID_HANDLE: to be opened by the next begin */
    uint64_t generation;           /* of the token when it was opened */
    _Atomic int64_t busy_since_ms; /* 0: idle; else when the running call began */
    _Atomic(const char *) operation;
    bool taken;
};

/* Why calls may not pass; 0: they may. */
enum token_gate {
    TOKEN_GATE_CLOSED = 1u << 0, /* a recovery runs: wait for it */
    TOKEN_GATE_DOWN = 1u << 1,   /* a recovery failed: refused until the next probe */
    TOKEN_GATE_HUNG = 1u << 2,   /* a call overran its deadline and still runs */
    TOKEN_GATE_STALE = 1u << 3,  /* the module was re-initialised for another token */
};

enum mikeyd_status token_call_begin(struct token_session *session, const char *operation,
                                    struct error *err);
/* Names the next call of the same bracket and restarts its deadline. */
void token_call_mark(struct token_session *session, const char *operation);
void token_call_end(struct token_session *session);
/*
 * Ends the bracket of a call that did not return CKR_OK: fills err ("token T: OPERATION: CKR_..."),
 * closes the session (an active operation cannot be cancelled otherwise) and has the next begin
 * open another. Returns the status for the caller: TOKEN_DOWN, UNSUPPORTED for CKR_MECHANISM_*,
 * TOKEN_BUSY for CKR_SESSION_COUNT.
 */
enum mikeyd_status token_call_failed(struct token_session *session, const char *operation, CK_RV rv,
                                     struct error *err);
/*
 * After token_call_failed: brings the token back in stages (new session, login, re-initialisation)
 * as far as rv calls for. OK: try the operation once more (handles may have changed).
 */
enum mikeyd_status token_recover(struct token_session *session, CK_RV rv, struct error *err);

/* ---- the token
 * ---------------------------------------------------------------------------------- */

#define TOKEN_MECHANISMS_MAX 512

struct token {
    struct token *next_on_module;
    struct token_module *module;
    CK_FUNCTION_LIST *f; /* module->f */
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    char label[33], serial[17], manufacturer[33], model[17];

    char *uri, *pin_file;
    bool read_write, provisioning;
    enum token_copies copies_wanted;
    unsigned call_timeout_ms;

    CK_MECHANISM_TYPE mechanisms[TOKEN_MECHANISMS_MAX];
    size_t mechanism_count;
    size_t hmac_min[2]; /* least key length in bytes by enum hmac_hash; 0: none known */
    bool hkdf, prf_derive, session_copies;
    unsigned hmac_us;

    /* keeper: owns the session objects that outlive a call (copies, pair keys) and makes the
     * recovery's calls; used under keeper_lock, never by a worker. guest: libp11's calls. */
    struct token_session keeper, guest;
    pthread_mutex_t keeper_lock, guest_lock;

    struct token_session *session; /* the pool */
    unsigned session_count;
    pthread_mutex_t pool_lock;
    pthread_cond_t pool_freed;

    atomic_uint gate; /* TOKEN_GATE_* bits */
    _Atomic uint64_t generation;
    _Atomic int64_t next_probe_ms; /* while DOWN */
    int64_t probe_wait_ms;
    bool pin_refused; /* the PIN was wrong or is locked: no further attempt */
    struct error down_reason;
    pthread_mutex_t reason_lock;

    struct token_key **key; /* grows at rescan; a key never moves */
    size_t key_count, key_room;
    pthread_rwlock_t key_lock;

    _Atomic uint64_t calls, hmacs, derives, objects_created;
    struct token_assist *assist; /* threads for slow tokens, or NULL */
};

bool token_has_mechanism(const struct token *token, CK_MECHANISM_TYPE mechanism);
CK_MECHANISM_TYPE token_hmac_mechanism(enum hmac_hash hash);

/* Calls through libp11 stand in this bracket instead: one at a time, excluded from recovery. */
enum mikeyd_status token_guest_begin(struct token *token, const char *operation, struct error *err);
void token_guest_end(struct token *token);

/* ---- keys
 * --------------------------------------------------------------------------------------- */

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
/* TOKEN_FINDING_* bits of one object as a block of a key of that kind. */
uint32_t token_attributes_findings(const struct token_attributes *attributes, enum token_kind kind);
/* Mechanisms a key of that kind may be used with on this token. Returns their number. */
size_t token_kind_mechanisms(const struct token *token, enum token_kind kind,
                             CK_MECHANISM_TYPE out[8]);

#endif
