#include "gate/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client *client_enter(struct client **clients, const char *name, bool by_psk)
{
    struct client *client = *clients;
    while (client != NULL && (client->by_psk != by_psk || strcmp(client->name, name) != 0))
        client = client->next;
    if (client == NULL) {
        client = calloc(1, sizeof *client);
        if (client == NULL)
            return NULL;
        (void)snprintf(client->name, sizeof client->name, "%s", name);
        client->by_psk = by_psk;
        client->next = *clients;
        *clients = client;
    }
    client->sessions++;
    return client;
}

void client_leave(struct client **clients, struct client *client)
{
    if (--client->sessions != 0)
        return;
    while (*clients != client)
        clients = &(*clients)->next;
    *clients = client->next;
    free(client);
}
