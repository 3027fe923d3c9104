/*
 * How makers' modules differ where PKCS#11 leaves it open, and what follows from each CKR: one row of
 * a const table for each profile. What a profile does not say is tried on the token (known_answer.c);
 * what it says is believed, because some answers cannot be had by trying without harm.
 */
#ifndef PKCS11_PROFILE_H
#define PKCS11_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a return value of the module asks for. */
enum profile_reaction {
    PROFILE_TOKEN_LOST,   /* C_Finalize and C_Initialize; also for codes that no table names */
    PROFILE_LOGIN_LOST,   /* login and resolution of all handles, else the module */
    PROFILE_SESSION_LOST, /* a new session, else login, else the module */
    PROFILE_SESSION_SICK, /* may be the fault of one session alone: a new one, else the module */
    PROFILE_BUSY,         /* too much to do: wait, try again in the same session */
    PROFILE_FULL,         /* no session left: wait for one, never re-initialise */
    PROFILE_FINAL,        /* lies in the arguments or the key: a second try does not help */
};

/* "busy: try again" and the like, for people. */
const char *profile_reaction_text(enum profile_reaction reaction);

struct profile_retry {
    unsigned long rv; /* a CKR; 0 (CKR_OK) ends the list */
    enum profile_reaction reaction;
};

#define PROFILE_RETRY_MAX 4

struct profile {
    const char *name;
    /* C_GetTokenInfo's manufacturer and model begin so; NULL: any, for the model; not found by
     * `auto`, for the manufacturer. */
    const char *manufacturer, *model;
    const char *source; /* of what is said here: "measured: ..." or "from its documents ..." */
    const char *limits; /* what does not work on it, for people; "" for nothing */
    /* Part of the module's path, for what has to be known before it is loaded; NULL: nothing. */
    const char *path;
    bool measured;
    bool read_write;      /* session objects can be made in R/W sessions only */
    bool hash_keys;       /* CKK_SHA_1_HMAC and CKK_SHA256_HMAC: one hash a key */
    bool no_session_keys; /* C_CreateObject makes no session objects: MACs on the host */
    bool per_session;     /* a session object serves the session alone that made it */
    bool no_copies;       /* C_CopyObject is not to be tried */
    bool leaks_objects;   /* memory of each session object until C_Finalize */
    bool leaks_heap;      /* of each HMAC 32 bytes of OpenSSL's secure heap, for good */
    bool begins_once;     /* what follows a second C_Initialize in a process is not to be had */
    bool serialise;       /* concurrent calls are slower than serial ones */
    bool hmac_bits;       /* CK_MECHANISM_INFO.ulMinKeySize of HMAC counts bits */
    struct profile_retry retry[PROFILE_RETRY_MAX]; /* goes before what holds for all */
};

/* The profile of that name; NULL when there is none. "auto" is no profile. */
const struct profile *profile_named(const char *name);
/* By what a token says of itself; never NULL: one that nobody knows is "generic". */
const struct profile *profile_for(const char *manufacturer, const char *model);
/* Before the module is loaded: the one of that name, else (NULL, "auto") by the module's path. */
const struct profile *profile_foreseen(const char *name, const char *module);
/* For lists: NULL past the last one. */
const struct profile *profile_at(size_t index);

/*
 * Switches: what mikeyd.yaml can turn on over a profile, a bit each; the name of bit `index`, NULL
 * past the last one. Nothing turns one off: what a profile says may not have been tried.
 */
const char *profile_switch_at(size_t index);
/* False when no switch has that name. */
bool profile_switch_named(const char *name, uint32_t *bit);
uint32_t profile_switches(const struct profile *profile);
void profile_switch_on(struct profile *profile, uint32_t switches);

enum profile_reaction profile_reaction(const struct profile *profile, unsigned long rv);

#endif
