/* mikeyd --check: configuration, policy, token and keys, without serving. */
#ifndef MIKEYD_CHECK_H
#define MIKEYD_CHECK_H

#include <stdbool.h>

/* The front's job with --check: its keyholders are started as for serving. Prints findings, one a
 * line, and returns the exit status: 0 clean, 1 the configuration does not read, 3 a finding of
 * severity error, 4 the token fails. */
int check_run(const char *config_path, bool sandbox, int channel);

#endif
