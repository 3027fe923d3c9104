/*
 * For whom a connection of the gate's is: the gate opens one for each of its clients, and says the
 * name in every request. The first one tells; with it the connection counts for that client, in
 * turns and in bounds, and not for all who come through the gate. Names that are no client of the
 * policy stay with the gate, so there are never more of them than the policy has clients. Who may do
 * what is decided by each request for itself.
 */
#include "mikeyd/connection_parts.h"

#include "mikeyd/request.h"

bool connection_is_of_gate(const struct daemon *daemon, uid_t uid)
{
    return daemon->has_gate && uid == daemon->gate_uid;
}

/* The policy's number of the client that the frame names; 0: none. */
static uint64_t client_of(const struct daemon *daemon, const uint8_t *frame, size_t len)
{
    static struct rpc_arena arena; /* the main thread's */
    struct caller caller = {0};
    rpc_arena_init(&arena);
    const Mikeyd__Request *request = rpc_request_unpack(&arena, frame, len);
    if (request == NULL || request_caller(request, true, &caller, NULL) != MIKEYD_OK ||
        caller.san == NULL)
        return 0;
    const struct policy_client *client = policy_client_by_caller(daemon->policy, &caller);
    return client == NULL ? 0 : policy_client_number(client);
}

void connection_learn_client(struct connection *connection, const uint8_t *frame, size_t len)
{
    struct daemon *daemon = connection->daemon;
    if (connection->client_asked || !connection_is_of_gate(daemon, connection->uid))
        return;
    connection->client_asked = true;
    const uint64_t client = client_of(daemon, frame, len);
    struct account *account =
        client == 0 ? NULL : account_open(&daemon->accounts, connection->uid, client);
    if (account == NULL)
        return; /* or without memory: as before, the gate's */
    connection->client = client;
    connection->client_account = account;
}

void connection_forget_client(struct connection *connection)
{
    if (connection->client_account != NULL)
        account_close(&connection->daemon->accounts, connection->client_account);
    connection->client_account = NULL;
    connection->client = 0;
    connection->client_asked = false;
}
