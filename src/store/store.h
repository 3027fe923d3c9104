/*
 * Replay store (RFC 3830 5.4): what was authenticated once is never accepted again while its
 * timestamp could still pass; one-time use of tickets; unique CSB IDs; the sender's timestamps.
 * Thread-safe.
 *
 * This is the port: what exchange/ and the daemon ask of a replay store, and what every store
 * promises. A store is a struct replay_ops and a function that opens it; lmdb.c is the one for one
 * host, redis.h the one for several. Window rules that are not one store's own stand in
 * store_window.h, store_times.h, store_stamp.h and store_clock.h.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct replay_ops;
/* The first member of every store. */
struct replay_store {
    const struct replay_ops *ops;
};

/*
 * A 16-byte digest names an entry: SHA-256, cut, over the domain and the entry's fields, each with
 * its length, so that different fields never make the same input.
 */
#define STORE_DIGEST 16
enum store_domain {
    STORE_MESSAGE = 1,
    STORE_TIMESTAMP = 2,
    STORE_TICKET = 3,
    STORE_CSB = 4,
    STORE_COUNTER = 5,
    STORE_USE = 6
};
void store_digest(enum store_domain domain, const void *data[], const size_t len[], size_t parts,
                  uint8_t out[STORE_DIGEST]);

/*
 * The time by which an entry is refused when the entry itself may be gone, whatever the clock says
 * and whatever the skew is then: T of a message received, T of the message that a ticket waits a
 * reply to. NTP-UTC, 64 bits.
 *
 * Before an entry is inserted its time is in a set that outlives the database (lmdb: on the disk,
 * flushed; redis: at every daemon), a minute ahead at a time; as an entry is discarded its time goes
 * into a second one, in the same transaction. What the second has is refused, and when the database
 * is lost it is as large as the first.
 */
enum store_series { STORE_SERIES_MESSAGES, STORE_SERIES_TICKETS, STORE_SERIES_COUNT };
struct store_time {
    enum store_series series;
    uint64_t t;
};

struct store_stats {
    uint64_t entries;
    uint64_t inserted, refused, expired;
    int64_t closed_until;   /* Unix seconds: nothing is accepted before (track was lost); 0: open */
    const char *closed_why; /* while closed */
};

/*
 * Which state of which database: 16 hexadecimal digits, "/", a number that rises with each change.
 * Whoever keeps the latest one elsewhere can tell at the next start that the store is older than it
 * was, or another one.
 */
#define STORE_MARK 40

/* What the audit log knows of the store, asked before the store is opened. */
struct store_witness {
    char mark[STORE_MARK]; /* the latest in the log; "" when it holds none */
    uint64_t log_sequence; /* the log's last record */
};

/*
 * What a call may cost of the calling thread's time: until then (clock_monotonic_ms()), for all that
 * the thread asks of a store that is elsewhere. 0: each call has the store's own time-out.
 */
void store_set_deadline(int64_t deadline_ms);
int64_t store_deadline_ms(void);
/* How long the calling thread waited for stores since it last called this, microseconds: look-ups,
 * entries, counters and timestamps. */
int64_t store_take_wait_us(void);

/*
 * Opens or creates the database in directory path (mode 0700, one process at a time: STORE_DOWN
 * when it is in use).
 *
 * window_s: how long a message can matter after its receipt, and so the least time for which
 * entries are kept (twice the clock skew, and whatever else outlives a loss).
 * witness: NULL when nobody asked.
 *
 * When the database is damaged or gone, is older than the witness or another one, or the witness is
 * older than the store remembers it and so proves nothing, or the store was not closed before the
 * machine itself restarted, replay track is lost: the old files are moved aside and
 * look-ups and inserts return STORE_DOWN until window_s has passed (RFC 3830 5.4), by the wall
 * clock and by the monotonic one, and until the wall clock has left what it had reached before;
 * closed_until in the statistics tells when. A directory that is empty is a first start and opens
 * at once, unless the witness knows of a store.
 */
enum mikeyd_status lmdb_store_open(const char *path, unsigned window_s,
                                   const struct store_witness *witness, struct replay_store **out,
                                   struct error *err);
/* Flushes and marks the store as closed in order. No other call may be running. NULL is allowed. */
void store_close(struct replay_store *store);

/* The mark of now: not older than any call that has returned. */
void store_get_mark(struct replay_store *store, char out[STORE_MARK]);
/* To be told, now and then, which record of the audit log is the last on the disk: the store
 * remembers it with its next entry. */
void store_note_log(struct replay_store *store, uint64_t sequence);
/* Which store this is, through all losses: 32 hexadecimal digits, made with the directory. */
const char *store_identity(const struct replay_store *store);

/* Whether the next entry would be taken, as far as it is known without asking: OK, or STORE_DOWN and
 * why not. */
enum mikeyd_status store_check(struct replay_store *store, struct error *err);

/*
 * For refusing a replay before it costs anything: store_insert() is what decides. REPLAY when
 * present, OK when not, STORE_DOWN when it cannot tell (also while closed_until lies ahead).
 * CLOCK_SKEW for a message and TICKET_EXPIRED for a ticket whose entry may be gone already. A store
 * that would have to ask another host says OK of what it does not know here.
 * time: NULL for an entry that may be missed once it expired.
 */
enum mikeyd_status store_lookup(struct replay_store *store, const struct store_time *time,
                                const uint8_t digest[STORE_DIGEST], struct error *err);
/*
 * One use of something that may be used `most` times (not 0), by all that share the store: a key
 * with max_exchanges. Counted for good, under a digest that names the key and its generation. When
 * track is lost a count goes on from what is known elsewhere (lmdb: set aside on the disk; redis: by
 * the daemons that run), never from 0 there.
 */
struct store_use {
    uint8_t digest[STORE_DIGEST];
    uint64_t most;
};

/*
 * Inserts count digests, which may be 0, and counts the use, if any, in one transaction, all or
 * none. REPLAY when a digest is already there, and as store_lookup() when one may have been; POLICY
 * when the uses are used up. When it returns OK the entries survive kill -9 of this
 * process; store_sync() writes them to the disk. Entries are discarded some time after
 * expires_unix, in small numbers by later inserts; until then they count as present.
 */
enum mikeyd_status store_insert(struct replay_store *store, const struct store_time *time,
                                const uint8_t digests[][STORE_DIGEST], size_t count,
                                int64_t expires_unix, const struct store_use *use,
                                struct error *err);
/* Flushes everything inserted so far to disk. store_close() does; nothing else needs it, because
 * after a crash of the machine the store opens closed, flushed or not. */
enum mikeyd_status store_sync(struct replay_store *store, struct error *err);

/*
 * For COUNTER timestamps (RFC 3830 6.6), which have no window: takes value when it is greater than
 * every value taken before under this digest, for good; REPLAY otherwise. It survives kill -9 as
 * entries do, but no entry stands for it that could expire: when track is lost the counters are
 * lost for good, and every value is refused from then on (STORE_DOWN), also after the window. A
 * file `counters-lost` in the store's directory says so. To have COUNTER accepted again, the
 * operator gives each key that such senders use a new generation, so that nothing of before
 * verifies, removes that file and restarts the service.
 */
enum mikeyd_status store_advance_counter(struct replay_store *store,
                                         const uint8_t digest[STORE_DIGEST], uint64_t value,
                                         struct error *err);

/*
 * A 64-bit NTP-UTC timestamp that no earlier call ever returned, across restarts, losses and steps
 * of the clock (RFC 3830 5.2: unique per sender), at most a second ahead of the clock. With
 * `after`, also later than that one: the last of the same bundle. CLOCK_SKEW when that lies ahead
 * of the clock, STORE_DOWN when the timestamp cannot be kept. Works while closed.
 */
enum mikeyd_status store_unique_timestamp(struct replay_store *store, const uint64_t *after,
                                          uint64_t *out, struct error *err);

void store_get_stats(struct replay_store *store, struct store_stats *out);

/* What a store implements: the functions above of the same names, with their promises. */
struct replay_ops {
    const char *name;                          /* "lmdb", "redis" */
    void (*close)(struct replay_store *store); /* not NULL */
    void (*get_mark)(struct replay_store *store, char out[STORE_MARK]);
    void (*note_log)(struct replay_store *store, uint64_t sequence);
    const char *(*identity)(const struct replay_store *store);
    enum mikeyd_status (*check)(struct replay_store *store, struct error *err);
    enum mikeyd_status (*lookup)(struct replay_store *store, const struct store_time *time,
                                 const uint8_t digest[STORE_DIGEST], struct error *err);
    enum mikeyd_status (*insert)(struct replay_store *store, const struct store_time *time,
                                 const uint8_t digests[][STORE_DIGEST], size_t count,
                                 int64_t expires_unix, const struct store_use *use,
                                 struct error *err);
    enum mikeyd_status (*sync)(struct replay_store *store, struct error *err);
    enum mikeyd_status (*advance_counter)(struct replay_store *store,
                                          const uint8_t digest[STORE_DIGEST], uint64_t value,
                                          struct error *err);
    enum mikeyd_status (*unique_timestamp)(struct replay_store *store, const uint64_t *after,
                                           uint64_t *out, struct error *err);
    void (*get_stats)(struct replay_store *store, struct store_stats *out);
};

#endif
