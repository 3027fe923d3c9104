/*
 * What a client sends after its handshake, in pieces as the network cuts it: whole frames go to the
 * daemon with the client's name, what is no frame closes the session, and the counts of requests
 * in flight are right. Answers of the daemon, cut likewise, reach the client as they are.
 * session_frames.c runs on buffers without sockets; session_close() is a flag here.
 *
 * Bytes: mode(1), then pieces: length(1) and as many bytes. Mode 0: a client's, mode 1: a daemon's;
 * mode 2: a client's, and whole requests stand one after the other with their lengths (2 bytes).
 */
#include <string.h>

#include <event2/buffer.h>

#include "base/log.h"
#include "fuzz.h"
#include "gate/session_internal.h"
#include "mutate.h"

#define IN_FLIGHT 4

static bool closed;
static struct event_base *base;
static struct bufferevent *tls, *daemon;

void session_close(struct session *session)
{
    (void)session;
    closed = true;
}

static struct bufferevent *stream(void)
{
    struct bufferevent *made = bufferevent_socket_new(base, -1, 0);
    PROMISE(made != NULL);
    (void)evbuffer_unfreeze(bufferevent_get_input(made), 0);
    (void)evbuffer_unfreeze(bufferevent_get_output(made), 1);
    return made;
}

static void empty(struct evbuffer *buffer)
{
    (void)evbuffer_drain(buffer, evbuffer_get_length(buffer));
}

/* Takes whole frames off; returns how many. */
static size_t frames_in(struct evbuffer *from, const char *client)
{
    static struct rpc_arena arena;
    size_t count = 0;
    uint8_t header[RPC_HEADER];
    rpc_arena_init(&arena);
    while (evbuffer_remove(from, header, sizeof header) == (int)sizeof header) {
        const size_t len = rpc_frame_length(header);
        const uint8_t *body = evbuffer_pullup(from, (ev_ssize_t)len);
        PROMISE(evbuffer_get_length(from) >= len && (len == 0 || body != NULL));
        if (client != NULL) {
            const Mikeyd__Request *request = rpc_request_unpack(&arena, body, len);
            PROMISE(request == NULL || strcmp(request->on_behalf, client) == 0);
        }
        (void)evbuffer_drain(from, len);
        count++;
    }
    PROMISE(evbuffer_get_length(from) == 0);
    return count;
}

static void feed(struct session *session, struct bufferevent *from, const uint8_t *data,
                 size_t size)
{
    while (size > 0 && !closed) {
        size_t len = data[0];
        len = len < size ? len : size - 1;
        (void)evbuffer_add(bufferevent_get_input(from), data + 1, len);
        if (from == session->tls)
            session_on_request(from, session);
        else
            session_on_answer(from, session);
        data += 1 + len;
        size -= 1 + len;
    }
}

static void feed_whole(struct session *session, const uint8_t *data, size_t size)
{
    while (size > 2 && !closed) {
        size_t len = (size_t)data[0] << 8 | data[1];
        len = len < size - 2 ? len : size - 2;
        uint8_t header[RPC_HEADER];
        rpc_frame_put_length(header, (uint32_t)len);
        (void)evbuffer_add(bufferevent_get_input(session->tls), header, sizeof header);
        (void)evbuffer_add(bufferevent_get_input(session->tls), data + 2, len);
        session_on_request(session->tls, session);
        data += 2 + len;
        size -= 2 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config_gate settings = {
        .in_flight = IN_FLIGHT, .in_flight_per_client = IN_FLIGHT, .frame = 65536};
    static struct gate gate;
    static struct client client = {.name = "sbc.lab.example"};
    if (base == NULL) {
        log_open("fuzz", LOG_LEVEL_ERROR - 1);
        base = event_base_new();
        tls = stream();
        daemon = stream();
        rewriter_init(&gate.rewriter);
        gate.settings = &settings;
    }
    if (size < 2)
        return 0;
    struct session session = {
        .gate = &gate, .client = &client, .bits = 128, .tls = tls, .daemon = daemon};
    const bool from_daemon = data[0] % 3 == 1;
    session.in_flight = client.in_flight = gate.in_flight = from_daemon ? IN_FLIGHT : 0;
    closed = false;
    if (data[0] % 3 == 2)
        feed_whole(&session, data + 1, size - 1);
    else
        feed(&session, from_daemon ? session.daemon : session.tls, data + 1, size - 1);
    const size_t to_client = frames_in(bufferevent_get_output(session.tls), NULL);
    const size_t to_daemon = frames_in(bufferevent_get_output(session.daemon), client.name);
    PROMISE(session.in_flight == client.in_flight && gate.in_flight == session.in_flight);
    if (from_daemon)
        PROMISE(session.in_flight == (to_client >= IN_FLIGHT ? 0 : IN_FLIGHT - to_client));
    else
        PROMISE(to_daemon == session.in_flight && to_daemon <= IN_FLIGHT);
    empty(bufferevent_get_input(tls));
    empty(bufferevent_get_input(daemon));
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static uint8_t body[2048];
    struct dice dice = dice_of(seed);
    if (dice_roll(&dice, 3) == 0 || max < 4)
        return LLVMFuzzerMutate(data, size, max);
    if (size < 3 || data[0] % 3 != 2) {
        data[0] = 2;
        size = 1;
    }
    /* One more request, or another one in the place of the first. */
    size_t old = size < 3 ? 0 : (size_t)data[1] << 8 | data[2], at = 1;
    const bool more = size < 3 || dice_roll(&dice, 2) == 0;
    old = size < 3 ? 0 : old < size - 3 ? old : size - 3;
    const size_t kept = old < sizeof body - 2 ? old : sizeof body - 2;
    if (kept != 0)
        memcpy(body + 2, data + 3, kept);
    const size_t len = mutate_request(body + 2, kept, sizeof body - 2, &dice);
    body[0] = (uint8_t)(len >> 8);
    body[1] = (uint8_t)len;
    return mutate_splice(data, size, max, at, more ? 0 : 2 + old, body, 2 + len);
}
