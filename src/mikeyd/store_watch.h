/*
 * The replay store and what it rests on: the audit log that proves its age, and the clock.
 */
#ifndef MIKEYD_STORE_WATCH_H
#define MIKEYD_STORE_WATCH_H

#include "mikeyd/daemon.h"

/* Opens the store with what the audit log knows of it, and records how that went. */
enum mikeyd_status store_watch_open(struct daemon *daemon, struct error *err);
/* Every second: store and log hear of each other, and steps of the clock are told. */
void store_watch_look(struct daemon *daemon);
/* OK, or a sentence that says what is wrong and what to do. */
enum mikeyd_status store_watch_check(struct daemon *daemon, struct error *err);
enum mikeyd_status store_watch_check_clock(const struct daemon *daemon, struct error *err);

#endif
