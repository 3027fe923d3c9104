/*
 * SIGHUP: one thread that reopens the audit file, looks for new keys in the token and puts the
 * policy file in force, so that the main loop never waits for a disk or a token. A policy that does
 * not validate, or whose keys are missing, never replaces the one that runs.
 */
#ifndef MIKEYD_RELOADER_H
#define MIKEYD_RELOADER_H

#include "mikeyd/daemon.h"

enum mikeyd_status reloader_start(struct daemon *daemon, struct reloader **out, struct error *err);
/* Room for who asks. */
#define RELOADER_WHO 96
/* Asks for a reload and returns; the mailbox is woken when it is over. who: for the record. */
void reloader_request(struct reloader *reloader, const char *who);
/* False when it hangs in the token. */
bool reloader_stop(struct reloader *reloader, unsigned timeout_ms);

#endif
