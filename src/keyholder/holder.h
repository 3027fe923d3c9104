/*
 * Inside keyholder/: what all connections share, and the desk at which one request is answered.
 */
#ifndef KEYHOLDER_HOLDER_H
#define KEYHOLDER_HOLDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "keyholder/audit_key.h"
#include "keyholder/desk.h"
#include "keyholder/inventory.h"
#include "keyholder/keyholder.h"
#include "keyholder/pair_cache.h"

/* Bytes of the secure heap beside desks and sessions. */
#define HOLDER_HEAP_SPARE ((size_t)512 * 1024)
#define HOLDER_HEAP_LEAST (HOLDER_HEAP_SPARE / 2)

struct connection;

struct keyholder {
    struct token *token;
    struct keyholder_options options; /* defaults filled in */
    char label[33];                   /* of the token */
    bool hkdf, prf_derive;            /* it can import an EPSK; run MIKEY's PRF */
    bool session_keys;                /* it takes the keys of a message: MACs in the token */
    bool spreads;                     /* independent calls run side by side */
    atomic_uint wary;                 /* messages still to be authenticated first: see use.c */
    struct inventory *inventory;
    struct pair_cache *pairs;
    atomic_uint_fast64_t era; /* of pair keys at hand: those of earlier ones are made anew */
    struct audit_keys *audit;
    struct desk_pool *desks;
    uint8_t incarnation[16];
    atomic_uint_fast64_t uses;     /* requests that use a pre-shared key, whatever became of them */
    atomic_uint_fast64_t requests; /* answers of any kind */
    atomic_uint sessions_used;     /* taken from the token's pool now */
    uint32_t rss_kb;               /* when the token was open */
    pthread_mutex_t looking;       /* at the token's keys */

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t some_ended;
    unsigned open;            /* connections */
    struct connection *ended; /* their threads are to be joined */
};

/* ---- connection.c */

/* Serves one connection until it ends; closes it. */
void keyholder_serve_connection(struct keyholder *holder, int fd);

/* ---- answer.c */

/*
 * Counts a request that uses a pre-shared key, before it is served. One that is refused or fails
 * counts too: nobody sees what the token has done by then, and the front, which counts what it
 * sends, comes to the same number.
 */
void keyholder_count(struct keyholder *holder, enum door_op op);
/*
 * The answer to desk->request, in desk->answer: views into the desk. deadline_ms (monotonic): until
 * then it may wait for a token session.
 */
void keyholder_answer(struct keyholder *holder, struct desk *desk, int64_t deadline_ms);
/* A session of the pool before the deadline, else TOKEN_BUSY. To be given back. */
enum mikeyd_status keyholder_session(struct keyholder *holder, int64_t deadline_ms,
                                     struct token_session **out, struct error *err);
void keyholder_session_end(struct keyholder *holder, struct token_session *session);

/* ---- use.c: one pre-shared key, one message's worth of work */

/* SEAL, OPEN, TAG, CHECK, TGK; PREPARE stops when the key is ready. */
enum mikeyd_status keyholder_use(struct keyholder *holder, struct desk *desk, int64_t deadline_ms,
                                 struct error *err);

/* ---- prove.c: what is computed with a key under labels that are no MIKEY labels */

enum mikeyd_status keyholder_ticket_key(struct keyholder *holder, struct desk *desk,
                                        int64_t deadline_ms, struct error *err);
enum mikeyd_status keyholder_prove(struct keyholder *holder, struct desk *desk, int64_t deadline_ms,
                                   struct error *err);

/* ---- facts.c */

enum mikeyd_status keyholder_facts(struct keyholder *holder, struct door_facts *out,
                                   struct error *err);
/* Looks at the token's keys again; with `retire`, pair keys at hand are made anew. */
enum mikeyd_status keyholder_look(struct keyholder *holder, bool retire, struct error *err);
enum mikeyd_status keyholder_health(struct keyholder *holder, struct error *err);
enum mikeyd_status keyholder_rescan(struct keyholder *holder, struct error *err);

#endif
