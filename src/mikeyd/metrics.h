/* What the daemon counts, as Prometheus reads it. */
#ifndef MIKEYD_METRICS_H
#define MIKEYD_METRICS_H

#include "mikeyd/daemon.h"

/* The whole text, to be freed with free(); NULL without memory. Waits for nothing.
 * Main thread. */
char *metrics_text(struct daemon *daemon);

#endif
