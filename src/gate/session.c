#include "gate/session.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gate/psk.h"
#include "gate/session_internal.h"
#include "gate/tls.h"

#define WHY_MAX 200
/* Callbacks come from the main loop alone, never from within a call that a callback makes. */
#define SESSION_OPTIONS (BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)

/* ---- the list */

static void link_session(struct session *session)
{
    struct gate *gate = session->gate;
    session->next = gate->sessions;
    if (session->next != NULL)
        session->next->previous = session;
    gate->sessions = session;
    gate->session_count++;
    gate->handshake_count++;
}

static void unlink_session(struct session *session)
{
    struct gate *gate = session->gate;
    if (session->previous != NULL)
        session->previous->next = session->next;
    else
        gate->sessions = session->next;
    if (session->next != NULL)
        session->next->previous = session->previous;
    gate->session_count--;
    gate->handshake_count -= session->client == NULL;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
                              &((const struct sockaddr_in6 *)b)->sin6_addr);
}

/* Whoever has not said who it is counts for its address, so that one host cannot keep all others
 * from beginning. */
static size_t handshakes_of(const struct gate *gate, const struct sockaddr_storage *peer)
{
    size_t count = 0;
    for (const struct session *at = gate->sessions; at != NULL; at = at->next)
        count += at->client == NULL && same_host(&at->address, peer);
    return count;
}

static bool within_bounds(const struct gate *gate, const struct sockaddr_storage *peer)
{
    const struct config_gate *settings = gate->settings;
    return gate->session_count < settings->connections + settings->handshakes &&
           gate->handshake_count < settings->handshakes &&
           handshakes_of(gate, peer) < settings->handshakes_per_address;
}

/* ---- its end */

void session_close(struct session *session)
{
    struct gate *gate = session->gate;
    unlink_session(session);
    gate->in_flight -= session->in_flight;
    if (session->client != NULL) {
        session->client->in_flight -= session->in_flight;
        client_leave(&gate->clients, session->client);
    }
    if (session->daemon != NULL)
        bufferevent_free(session->daemon);
    if (session->tls != NULL) {
        /* So that the client can tell an end from a cut. */
        if (session->client != NULL)
            (void)SSL_shutdown(bufferevent_openssl_get_ssl(session->tls));
        bufferevent_free(session->tls);
    }
    ERR_clear_error();
    free(session);
}

void session_drain(struct session *session)
{
    session->ending = true;
    session->partial_ms = 0;
    (void)bufferevent_disable(session->tls, EV_READ);
    const size_t unsent = evbuffer_get_length(bufferevent_get_output(session->tls));
    if (session->client == NULL ||
        (unsent == 0 && (session->daemon == NULL || session->in_flight == 0)))
        session_close(session);
}

/* Says why, and closes when it has been said. */
static void turn_away(struct session *session, enum mikeyd_status status, const char *why)
{
    static struct log_limit limit;
    log_write_limited(&limit, LOG_LEVEL_WARNING, "%s: turned away: %s", session->peer, why);
    session->ending = true;
    session->blocked_ms = clock_monotonic_ms();
    (void)bufferevent_disable(session->tls, EV_READ);
    session_answer(session, 0, status, why);
}

/* ---- the daemon's side */

static void on_daemon_event(struct bufferevent *daemon, short events, void *context)
{
    struct session *session = context;
    (void)daemon;
    if ((events & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
        return;
    /* What it answered before may still leave; the client asks another gate for the rest. */
    bufferevent_free(session->daemon);
    session->daemon = NULL;
    session_drain(session);
}

/* On a Unix socket this is done at once or not at all. */
static int connect_daemon(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        const int why = errno;
        (void)close(fd);
        errno = why;
        fd = -1;
    }
    return fd;
}

static bool open_daemon(struct session *session)
{
    struct gate *gate = session->gate;
    int fd = connect_daemon(gate->config->listen[0].unix_path);
    if (fd < 0) {
        static struct log_limit limit;
        log_write_limited(&limit, LOG_LEVEL_ERROR, "%s: %s", gate->config->listen[0].unix_path,
                          strerror(errno));
        return false;
    }
    session->daemon = bufferevent_socket_new(gate->base, fd, SESSION_OPTIONS);
    if (session->daemon == NULL) {
        (void)close(fd);
        return false;
    }
    bufferevent_setcb(session->daemon, session_on_answer, session_on_passed, on_daemon_event,
                      session);
    bufferevent_setwatermark(session->daemon, EV_READ, 0, RPC_HEADER + RPC_FRAME_MAX);
    return bufferevent_enable(session->daemon, EV_READ | EV_WRITE) == 0;
}

/* ---- the client's side */

static int64_t expiry_of(const X509 *certificate)
{
    struct tm end = {0};
    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1 ? timegm(&end) : 0;
}

/* NOT_ENTITLED as in name.h; AUTH_FAILED when it has proven nothing, which the handshake does not let
 * happen. */
static enum mikeyd_status find_name(struct session *session, const SSL *ssl,
                                    char name[NAME_MAX_LEN + 1], struct error *err)
{
    const char *psk = psk_client(ssl);
    const X509 *certificate = SSL_get0_peer_certificate(ssl);
    if (psk != NULL) {
        session->by_psk = true;
        session->expires = INT64_MAX;
        (void)snprintf(name, NAME_MAX_LEN + 1, "%s", psk);
        return MIKEYD_OK;
    }
    if (certificate == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return error_set(err, MIKEYD_AUTH_FAILED, "there is no proof of who it is");
    session->expires = expiry_of(certificate);
    return name_of_certificate(certificate, name, err);
}

/* The handshake is done: who is it? */
static void welcome(struct session *session)
{
    struct gate *gate = session->gate;
    SSL *ssl = bufferevent_openssl_get_ssl(session->tls);
    char name[NAME_MAX_LEN + 1];
    struct error err = {0};
    enum mikeyd_status status = find_name(session, ssl, name, &err);
    if (status != MIKEYD_OK) {
        turn_away(session, status, err.text);
        return;
    }
    struct client *client = client_enter(&gate->clients, name, session->by_psk);
    if (client == NULL) {
        session_close(session);
        return;
    }
    session->client = client;
    gate->handshake_count--;
    session->bits = (unsigned)SSL_CIPHER_get_bits(SSL_get_current_cipher(ssl), NULL);
    session->last_ms = clock_monotonic_ms();
    if (client->sessions > gate->settings->connections_per_client ||
        gate->session_count - gate->handshake_count > gate->settings->connections)
        turn_away(session, MIKEYD_OVERLOADED, "too many connections");
    else if (!open_daemon(session))
        turn_away(session, MIKEYD_UNREACHABLE, "the gate does not reach its daemon");
    else
        session_answer(session, 0, MIKEYD_OK, "");
}

static void on_client_event(struct bufferevent *tls, short events, void *context)
{
    static struct log_limit limit;
    struct session *session = context;
    if ((events & BEV_EVENT_CONNECTED) != 0) {
        welcome(session);
        return;
    }
    if ((events & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) == 0)
        return;
    if (session->client == NULL) {
        char why[WHY_MAX] = "the connection ended";
        const unsigned long code = bufferevent_get_openssl_error(tls);
        if (code != 0)
            ERR_error_string_n(code, why, sizeof why);
        log_write_limited(&limit, LOG_LEVEL_WARNING, "%s: no handshake: %s", session->peer, why);
    }
    session_close(session);
}

static void describe_peer(struct session *session)
{
    char host[48] = "?", port[8] = "?";
    (void)getnameinfo((const struct sockaddr *)&session->address, sizeof session->address, host,
                      sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(session->peer, sizeof session->peer, "%s port %s", host, port);
}

static bool begin_handshake(struct session *session, int fd)
{
    struct gate *gate = session->gate;
    SSL *ssl = SSL_new(gate->tls);
    if (ssl == NULL)
        return false;
    session->tls = bufferevent_openssl_socket_new(gate->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                  SESSION_OPTIONS);
    if (session->tls == NULL) {
        SSL_free(ssl);
        return false;
    }
    bufferevent_setcb(session->tls, session_on_request, session_on_sent, on_client_event, session);
    bufferevent_setwatermark(session->tls, EV_READ, 0, RPC_HEADER + gate->settings->frame);
    return bufferevent_enable(session->tls, EV_READ | EV_WRITE) == 0;
}

void session_open(struct gate *gate, int fd, const struct sockaddr_storage *peer)
{
    static struct log_limit limit;
    const int on = 1;
    struct session *session = within_bounds(gate, peer) ? calloc(1, sizeof *session) : NULL;
    if (session == NULL) {
        log_write_limited(&limit, LOG_LEVEL_WARNING, "too many connections: one was refused");
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    session->gate = gate;
    session->address = *peer;
    session->since_ms = clock_monotonic_ms();
    describe_peer(session);
    link_session(session);
    if (!begin_handshake(session, fd)) {
        if (session->tls == NULL)
            (void)close(fd);
        session_close(session);
    }
}

/* ---- time */

void session_check(struct session *session, int64_t now_ms, int64_t now)
{
    const struct config_gate *settings = session->gate->settings;
    static struct log_limit limit;
    const char *why = NULL;
    if (session->client == NULL && !session->ending)
        why = now_ms - session->since_ms > settings->handshake_ms ? "its handshake takes too long"
                                                                  : NULL;
    else if (session->partial_ms != 0 && now_ms - session->partial_ms > settings->stall_ms)
        why = "a half-sent frame was not finished";
    else if (session->blocked_ms != 0 && now_ms - session->blocked_ms > settings->stall_ms)
        why = "answers were not read";
    else if (session->client != NULL && now >= session->expires)
        why = "its certificate has expired";
    else if (session->in_flight == 0 && now_ms - session->last_ms > settings->idle_ms) {
        session_close(session);
        return;
    }
    if (why == NULL)
        return;
    log_write_limited(&limit, LOG_LEVEL_WARNING, "%s%s%s: closed: %s",
                      session->client == NULL ? "" : session->client->name,
                      session->client == NULL ? "" : " at ", session->peer, why);
    session_close(session);
}

void session_check_again(struct session *session)
{
    struct error err = {0};
    SSL *ssl = bufferevent_openssl_get_ssl(session->tls);
    if (session->client == NULL || tls_check_again(session->gate->tls, ssl, &err) == MIKEYD_OK)
        return;
    log_warning("%s at %s: closed after the reload: %s", session->client->name, session->peer,
                err.text);
    session_close(session);
}
