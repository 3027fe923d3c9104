/*
 * A scripted keyholder in threads of this process: answers like a real one by what it is given, and
 * fails on command while it runs. Its answers are functions of the request, so that a test can tell
 * whose answer it got.
 */
#ifndef TESTS_UNIT_KEYS_PEER_H
#define TESTS_UNIT_KEYS_PEER_H

#include <pthread.h>
#include <stdatomic.h>

#include "keys/keys.h"

struct peer_key {
    struct keys_entry entry;
    uint8_t value; /* stands for the key; proofs depend on it */
};

struct peer {
    const char *label;
    struct peer_key *keys; /* under lock */
    size_t key_count;
    const char *store; /* the replay store its token belongs to; NULL: it takes no mark */
    pthread_mutex_t lock;

    /* The script. */
    atomic_int use_status;    /* of SEAL ... CHECKPOINT; 0: as asked */
    atomic_int health_status; /* of HEALTH */
    atomic_bool hang;         /* no use is answered while it is set */
    atomic_bool hang_all;     /* nothing is */
    atomic_bool drop;         /* every use closes its connection */
    atomic_bool wrong_id, wrong_length, garbage;
    atomic_uint delay_us; /* of each use */
    atomic_uint_fast64_t inventory;
    atomic_bool inventory_moves; /* once, after the first page */

    /* What happened. */
    atomic_uint count[DOOR_OP_END];
    atomic_int connections; /* open now */
    atomic_bool control_ended;

    int control;
    pthread_t thread;
    atomic_int threads;
    int fds[256]; /* under lock; -1: free */
};

/* Starts one; the front's end of its control socket is returned, to be given to keys_group_join(). */
int peer_start(struct peer *peer, const char *label);
void peer_add_key(struct peer *peer, enum keys_kind kind, const char *name, uint8_t value);
/* As if it were killed: everything closes. */
void peer_kill(struct peer *peer);
/* Kills it and waits for its threads. */
void peer_stop(struct peer *peer);
unsigned peer_uses(const struct peer *peer);

/* What a right answer to a TAG over these bytes is. */
void peer_tag(const uint8_t *data, size_t len, uint8_t tag[32]);

#endif
