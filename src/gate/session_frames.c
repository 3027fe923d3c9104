/* Frames: requests in, with the client's name; answers out, as they are. */
#include <event2/buffer.h>

#include "base/clock.h"
#include "base/log.h"
#include "gate/session_internal.h"

static size_t waiting_in(struct bufferevent *stream)
{
    return evbuffer_get_length(bufferevent_get_output(stream));
}

/* For the client to read them: session_check() closes when that takes too long. */
static void answers_wait(struct session *session)
{
    if (session->blocked_ms == 0 && waiting_in(session->tls) != 0)
        session->blocked_ms = clock_monotonic_ms();
}

void session_answer(struct session *session, uint64_t id, enum mikeyd_status status,
                    const char *text)
{
    struct rewriter *rewriter = &session->gate->rewriter;
    rewrite_answer(rewriter, id, status, text);
    (void)bufferevent_write(session->tls, rewriter->frame, rewriter->len);
    answers_wait(session);
}

/* Daemon and client each have a bound in the daemon; these keep what waits here from growing. */
static bool has_room(const struct session *session)
{
    const struct gate *gate = session->gate;
    return gate->in_flight < gate->settings->in_flight &&
           session->client->in_flight < gate->settings->in_flight_per_client;
}

/* False when the connection makes no sense any more. */
static bool pass_request(struct session *session, const uint8_t *frame, size_t len)
{
    static struct log_limit limit;
    struct rewriter *rewriter = &session->gate->rewriter;
    const struct rewrite_client client = {
        .name = session->client->name, .bits = session->bits, .by_psk = session->by_psk};
    struct error err = {0};
    if (rewrite_request(rewriter, &client, frame, len, &err) != MIKEYD_OK) {
        log_write_limited(&limit, LOG_LEVEL_WARNING, "%s (%s): %s", session->client->name,
                          session->peer, err.text);
        return false;
    }
    if (!has_room(session)) {
        session_answer(session, rewriter->id, MIKEYD_OVERLOADED,
                       "too many requests of this client wait for their answers");
        return true;
    }
    session->in_flight++;
    session->client->in_flight++;
    session->gate->in_flight++;
    return bufferevent_write(session->daemon, rewriter->frame, rewriter->len) == 0;
}

/* The length of the frame that begins the buffer, without its header; 0: not whole yet. False when
 * no frame is so long. */
static bool next_frame(struct evbuffer *in, size_t most, size_t *len)
{
    uint8_t header[RPC_HEADER];
    *len = 0;
    if (evbuffer_copyout(in, header, sizeof header) != (ev_ssize_t)sizeof header)
        return true;
    const size_t announced = rpc_frame_length(header);
    if (announced == 0 || announced > most)
        return false;
    if (evbuffer_get_length(in) >= RPC_HEADER + announced)
        *len = announced;
    return true;
}

static bool take_requests(struct session *session, struct evbuffer *in)
{
    size_t len;
    while (waiting_in(session->daemon) < GATE_OUTPUT_MAX &&
           waiting_in(session->tls) < GATE_OUTPUT_MAX) {
        if (!next_frame(in, session->gate->settings->frame, &len))
            return false;
        if (len == 0)
            return true;
        const uint8_t *frame = evbuffer_pullup(in, (ev_ssize_t)(RPC_HEADER + len));
        if (frame == NULL || !pass_request(session, frame + RPC_HEADER, len))
            return false;
        (void)evbuffer_drain(in, RPC_HEADER + len);
        session->partial_ms = 0;
    }
    /* Goes on when what waits has gone. */
    (void)bufferevent_disable(session->tls, EV_READ);
    return true;
}

void session_on_request(struct bufferevent *tls, void *context)
{
    struct session *session = context;
    struct evbuffer *in = bufferevent_get_input(tls);
    if (session->daemon == NULL || session->ending)
        return;
    session->last_ms = clock_monotonic_ms();
    if (!take_requests(session, in)) {
        session_close(session);
        return;
    }
    const bool reads = (bufferevent_get_enabled(tls) & EV_READ) != 0;
    if (evbuffer_get_length(in) == 0 || !reads)
        session->partial_ms = 0;
    else if (session->partial_ms == 0)
        session->partial_ms = session->last_ms;
}

static void count_answer(struct session *session)
{
    if (session->in_flight == 0)
        return;
    session->in_flight--;
    session->client->in_flight--;
    session->gate->in_flight--;
}

void session_on_answer(struct bufferevent *daemon, void *context)
{
    struct session *session = context;
    struct evbuffer *in = bufferevent_get_input(daemon);
    struct evbuffer *out = bufferevent_get_output(session->tls);
    size_t len;
    session->last_ms = clock_monotonic_ms();
    while (evbuffer_get_length(out) < GATE_OUTPUT_MAX) {
        if (!next_frame(in, RPC_FRAME_MAX, &len)) {
            log_error("the daemon's answer is no frame");
            session_close(session);
            return;
        }
        if (len == 0)
            break;
        (void)evbuffer_remove_buffer(in, out, RPC_HEADER + len);
        count_answer(session);
    }
    if (evbuffer_get_length(out) >= GATE_OUTPUT_MAX)
        (void)bufferevent_disable(daemon, EV_READ);
    answers_wait(session);
}

static void go_on(struct session *session)
{
    if (!session->ending && (bufferevent_get_enabled(session->tls) & EV_READ) == 0) {
        (void)bufferevent_enable(session->tls, EV_READ);
        session_on_request(session->tls, session);
    }
}

void session_on_sent(struct bufferevent *tls, void *context)
{
    struct session *session = context;
    (void)tls;
    session->blocked_ms = 0;
    answers_wait(session);
    if (session->blocked_ms != 0)
        return; /* more came since; this is called again */
    if (session->ending && (session->daemon == NULL || session->in_flight == 0)) {
        session_close(session);
        return;
    }
    if (session->daemon == NULL)
        return;
    if ((bufferevent_get_enabled(session->daemon) & EV_READ) == 0) {
        (void)bufferevent_enable(session->daemon, EV_READ);
        session_on_answer(session->daemon, session);
        return; /* the client's turn comes with what that sends, or with its next bytes */
    }
    go_on(session);
}

void session_on_passed(struct bufferevent *daemon, void *context)
{
    (void)daemon;
    go_on(context);
}
