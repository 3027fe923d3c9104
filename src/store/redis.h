/*
 * The replay store of a fleet: Redis (or Valkey), one primary with replicas, for daemons on several
 * hosts. Keeps the promises of store.h; what is different for a shared store:
 *
 * - An entry is accepted when `replicas` replicas have it. Any replica that has the last write has
 *   all before it; so where every replica acknowledges (replicas is their number), none can be
 *   promoted that lacks an entry.
 * - Each call proves in the same round trip that the server has the caller's last acknowledged write
 *   (redis_script.lua). When it has not, and it is the primary, the whole fleet's store is closed.
 * - store_lookup() knows the entries that this process met, and asks nobody.
 * - The set of times that may have been accepted is in Redis and in the memory of every daemon. When
 *   Redis is emptied a daemon that still runs brings it back, and the store's identity with it.
 * - A mark of "" is no loss: a new host joins a fleet. How much of its log each daemon has is not
 *   kept (store_note_log() does nothing).
 */
#ifndef STORE_REDIS_H
#define STORE_REDIS_H

#include <stdbool.h>

#include "store/redis_wire.h"
#include "store/store.h"

#define REDIS_SERVERS_MAX 16

struct redis_options {
    const char *const *servers; /* addresses (redis_wire.h): every one that may be the primary */
    size_t server_count;
    const char
        *sentinel_service; /* NULL: no Sentinel; whichever server says that it is the primary */
    const char *const *sentinels;
    size_t sentinel_count;
    unsigned replicas;                 /* acknowledgements that an entry needs */
    const char *user, *password_file;  /* NULL: none; the file is read for each connection */
    const struct redis_tls_files *tls; /* NULL: none */
    unsigned timeout_ms;         /* of a call whose thread has set no deadline, and of probes */
    int64_t clock_difference_ms; /* of Redis and this host, at most; 0: 5 s */
};

/*
 * Connects, proves, and starts the thread that looks after the store. STORE_DOWN when no primary can
 * be reached or it is not fit, INVALID_ARGUMENT for options that make no sense. window_s and witness
 * as for lmdb_store_open(). All of options is copied.
 */
enum mikeyd_status redis_store_open(const struct redis_options *options, unsigned window_s,
                                    const struct store_witness *witness, struct replay_store **out,
                                    struct error *err);

#endif
