#include "mikeyd/metric_label.h"

#include <event2/buffer.h>

void metric_label_put(struct evbuffer *out, const char *label, const char *value)
{
    (void)evbuffer_add_printf(out, "%s=\"", label);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\n')
            (void)evbuffer_add(out, "\\n", 2);
        else if (*at == '"' || *at == '\\')
            (void)evbuffer_add_printf(out, "\\%c", *at);
        else
            (void)evbuffer_add(out, at, 1);
    }
    (void)evbuffer_add(out, "\"", 1);
}
