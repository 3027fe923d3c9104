/*
 * The first process: starts the front and a keyholder for each token, restarts keyholders that die,
 * kills those that overran their deadline, forwards signals and systemd's notifications. It holds
 * no key, no PIN and no client's data, and reads nothing but its configuration, the front's fixed
 * messages (channel.h) and a byte of each keyholder.
 */
#ifndef MIKEYD_MONITOR_H
#define MIKEYD_MONITOR_H

#include <stdbool.h>

/* Goes on until the front has ended: its exit status. config_path goes to the children as it is.
 * check: the front looks and does not serve. */
int monitor_run(const char *config_path, bool check, bool sandbox);

#endif
