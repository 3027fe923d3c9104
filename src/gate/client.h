/* What one client has of the gate at this moment. */
#ifndef GATE_CLIENT_H
#define GATE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "gate/name.h"

struct client {
    struct client *next;
    char name[NAME_MAX_LEN + 1];
    bool by_psk; /* names in certificates and of PSKs are not the same names */
    size_t sessions, in_flight;
};

/* One more session of this client; NULL without memory. */
struct client *client_enter(struct client **clients, const char *name, bool by_psk);
/* One less; goes with its last. */
void client_leave(struct client **clients, struct client *client);

#endif
