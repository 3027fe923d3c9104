/* Counters for Prometheus (text format 0.0.4) over HTTP on metrics.listen, GET /metrics only. */
#ifndef MIKEYD_METRICS_H
#define MIKEYD_METRICS_H

#include "mikeyd/daemon.h"

enum mikeyd_status metrics_open(struct daemon *daemon, struct metrics **out, struct error *err);
void metrics_close(struct metrics *metrics);

#endif
