/* The daemon's histograms, in Prometheus' text form. */
#ifndef MIKEYD_METRICS_LATENCY_H
#define MIKEYD_METRICS_LATENCY_H

#include "mikeyd/daemon.h"

struct evbuffer;

/* Main thread. */
void metrics_latency_put(struct evbuffer *out, const struct daemon *daemon);

#endif
