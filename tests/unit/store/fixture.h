/* A store in a directory of its own, and clocks that a test can move (linked with --wrap). */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <stdint.h>

#include "store/store.h"

#define WINDOW 100

extern char store_path[64];
/* Added to the wall clock, and to the clock that never steps. */
extern int64_t wall_offset_ms;
extern int64_t boottime_offset_ms;
/* Moves both, as time does. */
void time_passes(int64_t seconds);

void store_fixture_start(void);
void store_fixture_stop(void);

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
/* As if the process had been killed instead: the state file says "open". */
void leave_as_if_killed(void);
/* As if the machine had restarted since: another boot id stands in the state file. */
void pretend_another_boot(void);

#endif
