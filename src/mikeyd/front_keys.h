/*
 * The front's side of the keyholders: what the monitor tells of them (channel.h) becomes members of
 * the group, and what happens to the group becomes log lines, audit records and words to the
 * monitor. For the main thread, but for front_keys_pid() and front_keys_why().
 */
#ifndef MIKEYD_FRONT_KEYS_H
#define MIKEYD_FRONT_KEYS_H

#include "mikeyd/daemon.h"

#define FRONT_KEYS_WHY 240

/* Makes the group and waits until one token serves and every other has said what becomes of it.
 * The status of the first that failed when none serves. */
enum mikeyd_status front_keys_open(struct daemon *daemon, struct error *err);
/* No port may be in use any more. */
void front_keys_close(struct daemon *daemon);
/* What came over the channel: joins and losses at once, a reload or a stop by their functions. */
void front_keys_hear(struct daemon *daemon);
/* Tells what happened to the group since the last call. */
void front_keys_tell(struct daemon *daemon);
/* To the monitor. */
void front_tell_monitor(struct daemon *daemon, enum channel_kind kind, const char *text);
/* Process id of a member's keyholder; 0: none. */
int front_keys_pid(const struct daemon *daemon, size_t member);
/* Keyholders of this member that have joined since the start. */
uint64_t front_keys_joined(const struct daemon *daemon, size_t member);
/* Why a member is not there, as its keyholder said when it ended; "" when it said nothing. */
void front_keys_why(const struct daemon *daemon, size_t member, char out[FRONT_KEYS_WHY]);

#endif
