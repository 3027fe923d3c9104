/*
 * Replay store (RFC 3830 5.4): what was authenticated once is never accepted again while its
 * timestamp could still pass; one-time use of tickets; unique CSB IDs; the sender's timestamp
 * high-water mark. LMDB on one host. Thread-safe.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct replay_store;

/* A 16-byte digest names an entry; make them with store_digest() over a domain byte and the entry's
 * own fields. */
#define STORE_DIGEST 16
enum store_domain { STORE_MESSAGE = 1, STORE_TIMESTAMP = 2, STORE_TICKET = 3, STORE_CSB = 4 };
void store_digest(enum store_domain domain, const void *data[], const size_t len[], size_t parts,
                  uint8_t out[STORE_DIGEST]);

struct store_stats {
    uint64_t entries;
    uint64_t inserted, refused, expired;
    int64_t
        closed_until; /* Unix seconds: nothing is accepted before (track was lost); 0 when open */
};

/*
 * Opens or creates the database in directory path. window_s: how long an entry can matter (2 x
 * largest skew). When the database is new, damaged, or was not closed before the machine itself
 * restarted, replay track is lost and *closed_until tells until when messages must be refused (RFC
 * 3830 5.4), except for a brand-new empty directory.
 */
enum mikeyd_status store_open(const char *path, unsigned window_s, struct replay_store **out,
                              struct error *err);
void store_close(struct replay_store *store);

/* REPLAY when present, OK when not, STORE_DOWN when it cannot tell (also while closed_until lies
 * ahead). */
enum mikeyd_status store_lookup(struct replay_store *store, const uint8_t digest[STORE_DIGEST],
                                struct error *err);
/*
 * Inserts count digests in one transaction, all or none. REPLAY when one is already there. When it
 * returns OK the entries survive kill -9 of this process; store_sync() makes them survive power
 * loss.
 */
enum mikeyd_status store_insert(struct replay_store *store, const uint8_t digests[][STORE_DIGEST],
                                size_t count, int64_t expires_unix, struct error *err);
/* Flushes everything inserted so far to disk. Called by the release gate, one call for many
 * inserts. */
enum mikeyd_status store_sync(struct replay_store *store, struct error *err);

/*
 * A 64-bit NTP-UTC timestamp that no earlier call ever returned, across restarts and clock steps
 * backwards (RFC 3830 5.2: unique per sender). Normally now. CLOCK_SKEW when the mark lies more
 * than max_ahead_ms in the future.
 */
enum mikeyd_status store_unique_timestamp(struct replay_store *store, int64_t max_ahead_ms,
                                          uint64_t *out, struct error *err);

void store_get_stats(struct replay_store *store, struct store_stats *out);

#endif
