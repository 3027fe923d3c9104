/* A keyholder's process as the front sees it: a control socket and the connections made through it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "keys/group_internal.h"

struct keys_keyholder *keys_keyholder_make(uint64_t number, size_t member, int control)
{
    struct keys_keyholder *keyholder = calloc(1, sizeof *keyholder);
    if (keyholder == NULL) {
        (void)close(control);
        return NULL;
    }
    keyholder->number = number;
    keyholder->member = member;
    keyholder->control = control;
    atomic_init(&keyholder->references, 1);
    (void)pthread_mutex_init(&keyholder->lock, NULL);
    return keyholder;
}

void keys_keyholder_ref(struct keys_keyholder *keyholder)
{
    (void)atomic_fetch_add(&keyholder->references, 1);
}

static void close_control(struct keys_keyholder *keyholder)
{
    if (keyholder->control >= 0)
        (void)close(keyholder->control);
    keyholder->control = -1;
}

void keys_keyholder_unref(struct keys_keyholder *keyholder)
{
    if (keyholder == NULL || atomic_fetch_sub(&keyholder->references, 1) != 1)
        return;
    close_control(keyholder);
    (void)pthread_mutex_destroy(&keyholder->lock);
    free(keyholder);
}

static void end_connections(struct keys_keyholder *keyholder, bool busy_ones)
{
    (void)pthread_mutex_lock(&keyholder->lock);
    close_control(keyholder);
    for (struct keys_connection *c = keyholder->connections; c != NULL; c = c->next) {
        /* Its owner closes it; whoever waits there reads the end. */
        if (busy_ones || !atomic_load(&c->busy))
            (void)shutdown(c->fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&keyholder->lock);
}

void keys_keyholder_cut(struct keys_keyholder *keyholder)
{
    atomic_store(&keyholder->cut, true);
    end_connections(keyholder, true);
}

/*
 * A connection that begins a request now sets `busy` and then looks at `retired`; here it is the
 * other way round, so one of the two sees the other (sequentially consistent atomics).
 */
void keys_keyholder_retire(struct keys_keyholder *keyholder)
{
    atomic_store(&keyholder->retired, true);
    end_connections(keyholder, false);
}

/* ---- connections */

static enum keys_outcome attach(struct keys_keyholder *keyholder, int fd, struct error *err)
{
    if (atomic_load(&keyholder->retired))
        return KEYS_UNSENT;
    if (keyholder->control < 0) {
        (void)error_set(err, MIKEYD_TOKEN_DOWN, "the keyholder is gone");
        return KEYS_LOST;
    }
    return door_attach(keyholder->control, fd, err) == MIKEYD_OK ? KEYS_ANSWERED : KEYS_LOST;
}

enum keys_outcome keys_connection_open(struct keys_connection *connection,
                                       struct keys_keyholder *keyholder, struct error *err)
{
    int pair[2];
    connection->fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        (void)error_set(err, MIKEYD_INTERNAL, "socketpair: %s", strerror(errno));
        return KEYS_IMPOSSIBLE;
    }
    (void)pthread_mutex_lock(&keyholder->lock);
    enum keys_outcome outcome = attach(keyholder, pair[1], err);
    if (outcome == KEYS_ANSWERED) {
        keys_keyholder_ref(keyholder);
        connection->fd = pair[0];
        connection->keyholder = keyholder;
        connection->previous = NULL;
        connection->next = keyholder->connections;
        if (connection->next != NULL)
            connection->next->previous = connection;
        keyholder->connections = connection;
    }
    (void)pthread_mutex_unlock(&keyholder->lock);
    (void)close(pair[1]);
    if (outcome != KEYS_ANSWERED)
        (void)close(pair[0]);
    return outcome;
}

void keys_connection_close(struct keys_connection *connection)
{
    struct keys_keyholder *keyholder = connection->keyholder;
    if (keyholder == NULL)
        return;
    (void)pthread_mutex_lock(&keyholder->lock);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        keyholder->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    (void)pthread_mutex_unlock(&keyholder->lock);
    (void)close(connection->fd);
    connection->fd = -1;
    connection->keyholder = NULL;
    keys_keyholder_unref(keyholder);
}

/* ---- one round trip */

static void note_used(struct keys_ask *ask, size_t len)
{
    if (len > ask->used)
        ask->used = len;
}

static enum keys_outcome receive(struct keys_connection *connection, struct keys_ask *ask,
                                 struct error *err)
{
    size_t len;
    enum mikeyd_status status =
        door_receive(connection->fd, ask->timeout_ms, ask->buffer, DOOR_MESSAGE_MAX, &len, err);
    note_used(ask, len);
    if (status == MIKEYD_TOKEN_BUSY)
        return KEYS_LATE;
    if (status == MIKEYD_OK)
        status = door_read_answer(ask->buffer, len, ask->page, ask->answer, err);
    else if (status != MIKEYD_SYNTAX)
        return KEYS_LOST;
    if (status != MIKEYD_OK)
        return KEYS_MALFORMED;
    if (ask->answer->op == ask->request->op && ask->answer->id == ask->request->id)
        return KEYS_ANSWERED;
    (void)error_set(err, MIKEYD_INTERNAL, "the keyholder answers something else than was asked");
    return KEYS_MALFORMED;
}

static enum keys_outcome round_trip(struct keys_connection *connection, struct keys_ask *ask,
                                    struct error *err)
{
    struct byte_writer out = writer_of(ask->buffer, DOOR_MESSAGE_MAX);
    ask->request->id = ++connection->id;
    enum mikeyd_status status = door_write_request(ask->request, &out, err);
    note_used(ask, out.len);
    if (status != MIKEYD_OK)
        return KEYS_IMPOSSIBLE;
    if (door_send(connection->fd, &out, err) != MIKEYD_OK)
        return KEYS_LOST;
    return receive(connection, ask, err);
}

enum keys_outcome keys_connection_ask(struct keys_connection *connection, struct keys_ask *ask,
                                      struct error *err)
{
    struct keys_keyholder *keyholder = connection->keyholder;
    enum keys_outcome outcome = KEYS_UNSENT;
    atomic_store(&connection->busy, true);
    if (!atomic_load(&keyholder->retired))
        outcome = round_trip(connection, ask, err);
    atomic_store(&connection->busy, false);
    const bool clean = outcome == KEYS_ANSWERED || outcome == KEYS_IMPOSSIBLE;
    if (!clean || atomic_load(&keyholder->retired))
        keys_connection_close(connection);
    return outcome;
}
