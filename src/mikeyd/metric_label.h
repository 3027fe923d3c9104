/* label="value" as Prometheus' text format wants it: a token's owner chose its name, and may have put quotes into it. */
#ifndef MIKEYD_METRIC_LABEL_H
#define MIKEYD_METRIC_LABEL_H

struct evbuffer;

void metric_label_put(struct evbuffer *out, const char *label, const char *value);

#endif
