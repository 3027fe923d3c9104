/* What the daemon tells about itself: JSON for mikeyctl status. Names and counts, no secret. */
#ifndef MIKEYD_STATUS_REPORT_H
#define MIKEYD_STATUS_REPORT_H

#include "mikeyd/daemon.h"

/*
 * The report as JSON text, to be freed with free(); NULL when memory runs out. checks: also asks
 * the token for its state and every key (takes token calls). Any thread.
 */
char *status_report_make(struct daemon *daemon, bool checks);

#endif
