/* A store in a directory of its own, and clocks that a test can move (linked with --wrap). */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <stdint.h>

#include "store/redis.h"
#include "store/store.h"
#include "support/redis_server.h"

#define WINDOW 100

extern char store_path[64];
/* Added to the wall clock, and to the clock that never steps. */
extern int64_t wall_offset_ms;
extern int64_t boottime_offset_ms;
/* Moves both, as time does. */
void time_passes(int64_t seconds);

void store_fixture_start(void);
/* The same with a Redis in the directory: open_store() opens that one. */
void redis_fixture_start(void);
void store_fixture_stop(void);
extern struct redis_server redis;
/* What redis_fixture_start() and open_store() go by; a test may change it before it opens. */
extern struct redis_options redis_options;

/* A test of what every store promises, once on each: SUITE on LMDB, SUITE_redis on Redis. */
#define ON_BOTH(suite, name)                                                                       \
    static void suite##_##name(void);                                                              \
    Test(suite, name, .init = store_fixture_start, .fini = store_fixture_stop, .timeout = 60)      \
    {                                                                                              \
        suite##_##name();                                                                          \
    }                                                                                              \
    Test(suite##_redis, name, .init = redis_fixture_start, .fini = store_fixture_stop,             \
         .timeout = 60)                                                                            \
    {                                                                                              \
        suite##_##name();                                                                          \
    }                                                                                              \
    static void suite##_##name(void)

/* Asserts that it opens. */
struct replay_store *open_store(void);
/* With the mark and the last record that the audit log holds. */
struct replay_store *open_store_with(unsigned window_s, const char *witness);
extern uint64_t log_sequence;
/* The digest that stands for a number. */
void digest_of(uint64_t number, uint8_t out[STORE_DIGEST]);
enum mikeyd_status insert_number(struct replay_store *store, uint64_t number, int64_t life_s,
                                 struct error *err);
enum mikeyd_status lookup_number(struct replay_store *store, uint64_t number, struct error *err);
/* REPLAY when it is in the store, also where a look-up does not ask; else it is afterwards. */
enum mikeyd_status meet_number(struct replay_store *store, uint64_t number);
/* An entry with a time, whose digest is made of it. */
struct store_time time_from_now(enum store_series series, int64_t seconds);
enum mikeyd_status insert_of(struct replay_store *store, const struct store_time *time,
                             int64_t life_s, struct error *err);
enum mikeyd_status lookup_of(struct replay_store *store, const struct store_time *time,
                             struct error *err);
/* Inserts until what has expired is discarded; asserts that something was. */
void make_store_discard(struct replay_store *store);
int64_t closed_until(struct replay_store *store);

/* Writes `new` over the place in a file of the store where `old` begins. */
void edit_store_file(const char *name, const char *old, const char *new);
/* As if the process had been killed instead: the state file says "open". Redis notes no such thing. */
void leave_as_if_killed(void);
/* As if the machine had restarted since: another boot id stands in the state file. */
void pretend_another_boot(void);

#endif
