/*
 * How a key is named between the daemon and those who hold keys: by kind, name and generation, and
 * for a pair key by the pair and the algorithms it was imported for. Never by handle or label of a
 * token: every member of a group finds its own object, or derives it.
 */
#ifndef KEYS_NAME_H
#define KEYS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/suite.h"

#define KEYS_NAME_MAX 96 /* with the terminator */
#define KEYS_BLOCKS_MAX 8

/* Kinds of key objects; their numbers travel and never change. */
enum keys_kind {
    KEYS_PSK = 1,  /* used directly */
    KEYS_EPSK = 2, /* used through pair keys only */
    KEYS_EPSKX = 3,
    KEYS_PAIR = 4,
    KEYS_TICKET = 5,
    KEYS_AUDIT = 6,
    KEYS_OTHER = 7 /* no key of ours, told for what is wrong with it; name: its whole label */
};

/* How the holder may compute: the policy's words, sent with every use. */
enum {
    KEYS_MUST_DERIVE = 1u << 0, /* `prf: derive`: in the token or not at all */
    KEYS_MAC_HOST = 1u << 1,    /* `mac: host` */
    KEYS_NO_COPIES = 1u << 2    /* no session-object copies */
};

/* A pre-shared key as a message uses it: KEYS_PSK by itself, or KEYS_EPSK for one directed pair. */
struct keys_name {
    enum keys_kind kind;
    const char *name;
    unsigned generation;
    enum mikey_algorithms algorithms;
    struct identity initiator, responder; /* of KEYS_EPSK; len 0 otherwise */
    uint32_t how;                         /* KEYS_MUST_DERIVE ... */
};

/* What a member tells of a key object it holds. No handle, no value. */
struct keys_entry {
    enum keys_kind kind;
    char name[KEYS_NAME_MAX];
    unsigned generation;
    unsigned bits;        /* true length before padding; 0: not told */
    unsigned block_count; /* of KEYS_PSK */
    uint32_t findings;    /* KEY_FINDING_* of pkcs11/token.h: opaque here but for `usable` */
    bool usable;          /* present, and no finding that forbids its use */
    char start_date[11], end_date[11]; /* "2026-11-21" or empty */
};

#endif
