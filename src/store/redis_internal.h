/* The replay store on Redis as its own files see it. */
#ifndef STORE_REDIS_INTERNAL_H
#define STORE_REDIS_INTERNAL_H

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "store/redis.h"
#include "store/store_clock.h"
#include "store/store_stamp.h"
#include "store/store_times.h"
#include "store/store_window.h"

#define REDIS_BRANCH 17
#define REDIS_NUMBER 24
#define REDIS_IDENTITY 33
#define REDIS_IDLE_MAX 64
#define REDIS_MET 4096 /* digests that are remembered */

/* The two sets of times, and the version that Redis gave them. */
struct redis_sets {
    char version[REDIS_NUMBER];
    struct store_times forgotten[STORE_SERIES_COUNT], reached[STORE_SERIES_COUNT];
};

/* The highest count of each use that this process was told: brought back when Redis has a lower one.
 * Open addressing, doubled when half full. */
struct redis_uses {
    struct redis_use {
        uint8_t digest[STORE_DIGEST];
        uint64_t count; /* 0: free */
    } * places;
    size_t size, used;
};

/* The second of timestamps that is this daemon's. */
struct redis_stamp {
    pthread_mutex_t lock;
    bool known;        /* lane and mark are ours */
    unsigned lane;     /* ... */
    int64_t mark_ms;   /* Unix time: in Redis, the end of what is ours */
    uint64_t last;     /* the latest given out, or the start of the second */
    uint64_t reserved; /* mark_ms as a timestamp */
};

struct redis_store {
    struct replay_store base; /* first: the port's pointer is this one's */

    /* Set once. */
    char servers[REDIS_SERVERS_MAX][REDIS_ADDRESS], sentinels[REDIS_SERVERS_MAX][REDIS_ADDRESS];
    size_t server_count, sentinel_count;
    char *service, *user, *password_file;
    struct redis_tls *tls;
    unsigned replicas, timeout_ms, window_s;
    int64_t clock_difference_ms;
    char script_sha[41];
    char identity[REDIS_IDENTITY];

    /* Under lock, which nobody holds while he waits for Redis. */
    pthread_mutex_t lock;
    char branch[REDIS_BRANCH]; /* the last write that was acknowledged ... */
    uint64_t n;                /* ... 0: none */
    uint64_t lost_n;           /* the loss that is, or was, waited out */
    int64_t closed_until, closed_until_boottime_ms;
    const char *closed_why;
    struct redis_sets sets;
    struct store_times to_merge[STORE_SERIES_COUNT]; /* reached before a loss: forgotten for all */
    bool merge;
    bool extending; /* some thread writes the reached set */
    char primary[REDIS_ADDRESS];
    unsigned generation; /* of the primary: connections of an earlier one are closed */
    enum mikeyd_status health;
    char health_text[240];
    struct redis_wire *idle[REDIS_IDLE_MAX];
    size_t idle_count;
    uint8_t met[REDIS_MET][STORE_DIGEST];
    struct redis_uses uses;

    struct redis_stamp stamp;

    /* The thread of redis_watch.c. */
    pthread_t thread;
    bool watching;
    pthread_cond_t wake;
    bool stop, kicked; /* under lock */
    bool lone_told;    /* the thread's own */
    struct redis_wire *probe;
    struct store_clock clock;

    _Atomic uint64_t entries, inserted, refused, expired;
};

static inline struct redis_store *redis_of(struct replay_store *base)
{
    return (struct redis_store *)base;
}

/* ---- redis_call.c: one call of the script */

struct redis_call {
    const char *operation;
    const char *argv[8]; /* own arguments of the operation, ... */
    size_t len[8];
    int argc;
    const uint8_t (*digests)[STORE_DIGEST]; /* ... and digests behind them */
    size_t digest_count;
    bool waits;    /* for the replicas' acknowledgement */
    bool as_fresh; /* names no last write and no sets: for one that knows nothing yet */
};
void redis_call_text(struct redis_call *call, const char *text);
void redis_call_bytes(struct redis_call *call, const void *data, size_t len);

enum redis_word {
    WORD_OK,
    WORD_REPLAY,
    WORD_CLOSED,
    WORD_LOST,
    WORD_STALE,
    WORD_COUNTERS,
    WORD_LATER,
    WORD_FULL,
    WORD_USED
};

struct redis_answer {
    enum redis_word word;
    redisReply *reply; /* the script's: freed by redis_answer_free() */
    const redisReply *extra;
};
void redis_answer_free(struct redis_answer *answer);

/*
 * Runs it over wire, takes what the answer tells of the store, and says so when OK is not
 * acknowledged by enough replicas. Not OK (STORE_DOWN): the connection is of no more use.
 */
enum mikeyd_status redis_call_over(struct redis_store *store, struct redis_wire *wire,
                                   int64_t deadline_ms, const struct redis_call *call,
                                   struct redis_answer *answer, struct error *err);
/* Over a connection of the pool, before the thread's deadline. At once, when the store is down. */
enum mikeyd_status redis_call_run(struct redis_store *store, const struct redis_call *call,
                                  struct redis_answer *answer, struct error *err);
void redis_drop_idle(struct redis_store *store);
int64_t redis_deadline(const struct redis_store *store);

/* ---- redis_connect.c */

/* Connects and gives the password. What the server says to that is in no error but for its kind:
 * it may repeat the password. */
enum mikeyd_status redis_connect(struct redis_store *store, const char *address, bool with_password,
                                 int64_t deadline_ms, struct redis_wire **out, struct error *err);

/* ---- redis_state.c: what is known of the store here */

/* From the script's answer. STORE_DOWN when it is not one. Takes the lock. */
enum mikeyd_status redis_take_state(struct redis_store *store, const redisReply *reply,
                                    struct error *err);
/* The caller's write was acknowledged. Takes the lock. */
void redis_take_mark(struct redis_store *store, const redisReply *reply);
enum mikeyd_status redis_check_gate(struct redis_store *store, struct error *err);
bool redis_is_forgotten(struct redis_store *store, const struct store_time *time);
enum mikeyd_status redis_reach(struct redis_store *store, const struct store_time *time,
                               struct error *err);
void redis_copy_sets(struct redis_store *store, struct redis_sets *out);
/* The sets of the server that gave this answer. False when it holds none. */
bool redis_answer_sets(struct redis_store *store, const redisReply *reply, struct redis_sets *out);
/* The version and the four sets, as arguments. bytes has to last as long as the call. */
struct redis_packed {
    uint8_t bytes[2 * STORE_SERIES_COUNT][STORE_TIMES_BYTES];
};
void redis_call_sets(struct redis_call *call, const struct redis_sets *sets,
                     struct redis_packed *packed);
const char *redis_why(const char *word);

/* ---- redis_use.c */

/* The highest count that is known here; 0: none. Takes the lock. */
uint64_t redis_use_known(struct redis_store *store, const uint8_t digest[STORE_DIGEST]);
/* What the script answered. STORE_DOWN when it is no number, or memory is out. Takes the lock. */
enum mikeyd_status redis_use_take(struct redis_store *store, const uint8_t digest[STORE_DIGEST],
                                  const redisReply *count, struct error *err);

/* ---- redis_watch.c */

/* Once, in the calling thread; then by a thread of its own. */
enum mikeyd_status redis_watch_start(struct redis_store *store, struct error *err);
void redis_watch_stop(struct redis_store *store);
/* Something is wrong: look now. */
void redis_watch_kick(struct redis_store *store);
/* Under lock: says what redis_call_run() says while it is not OK. */
void redis_set_health(struct redis_store *store, enum mikeyd_status status, const char *text);

/* ---- redis_tend.c: what the watch does to the store */

/* Closes the fleet's store, as after a crash: what it held is not all there. */
enum mikeyd_status redis_lose(struct redis_store *store, struct error *err);
/* Reached before somebody else's loss becomes forgotten; what expired goes. */
enum mikeyd_status redis_tend(struct redis_store *store, struct error *err);

/* ---- redis_find.c */

/* Which server is the primary. certain: most of all Sentinels named it, or it alone says so. */
enum mikeyd_status redis_find_primary(struct redis_store *store, char out[REDIS_ADDRESS],
                                      bool *certain, struct error *err);

/* ---- redis_stamp.c */
enum mikeyd_status redis_unique_timestamp(struct replay_store *base, const uint64_t *after,
                                          uint64_t *out, struct error *err);

#endif
