#include "mikeyctl/audit_sender.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Connecting, sending and settling each take at most this. */
#define WAIT_S 10
#define SETTLE_STEP_US 10000

enum way { WAY_STDOUT, WAY_UDP, WAY_TCP, WAY_TLS, WAY_UNIX };

struct audit_sender {
    struct audit_sender_options options;
    enum way way;
    char host[256], port[16]; /* unix: host is the path's beginning */
    struct sockaddr_un path;
    int fd; /* -1: not connected */
    SSL_CTX *tls;
    SSL *session;
};

static bool is_stream(const struct audit_sender *sender)
{
    return sender->way == WAY_TCP || sender->way == WAY_TLS;
}

static enum mikeyd_status tls_error(struct error *err, const char *what)
{
    const unsigned long code = ERR_get_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return error_set(err, MIKEYD_INTERNAL, "%s: %s", what, reason == NULL ? "failed" : reason);
}

/* HOST:PORT or [HOST]:PORT */
static bool read_host(struct audit_sender *sender, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof sender->host || strlen(colon + 1) >= sizeof sender->port ||
        colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    memcpy(sender->host, text, len);
    (void)snprintf(sender->port, sizeof sender->port, "%s", colon + 1);
    return true;
}

static bool read_address(struct audit_sender *sender, const char *to)
{
    static const struct {
        const char *prefix;
        enum way way;
    } ways[] = {{"udp:", WAY_UDP}, {"tcp:", WAY_TCP}, {"tls:", WAY_TLS}};
    if (strcmp(to, "stdout") == 0)
        return true;
    if (strncmp(to, "unix:", 5) == 0) {
        sender->way = WAY_UNIX;
        sender->path.sun_family = AF_UNIX;
        if (to[5] == '\0' || strlen(to + 5) >= sizeof sender->path.sun_path)
            return false;
        memcpy(sender->path.sun_path, to + 5, strlen(to + 5));
        return true;
    }
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (strncmp(to, ways[i].prefix, 4) == 0) {
            sender->way = ways[i].way;
            return read_host(sender, to + 4);
        }
    }
    return false;
}

static enum mikeyd_status prepare_tls(struct audit_sender *sender, struct error *err)
{
    const struct audit_sender_options *options = &sender->options;
    sender->tls = SSL_CTX_new(TLS_client_method());
    if (sender->tls == NULL || SSL_CTX_set_min_proto_version(sender->tls, TLS1_2_VERSION) != 1)
        return tls_error(err, "TLS");
    SSL_CTX_set_verify(sender->tls, SSL_VERIFY_PEER, NULL);
    const int trusted = options->ca == NULL
                            ? SSL_CTX_set_default_verify_paths(sender->tls)
                            : SSL_CTX_load_verify_locations(sender->tls, options->ca, NULL);
    if (trusted != 1) {
        (void)tls_error(err, options->ca == NULL ? "the system's certificates" : options->ca);
        err->status = MIKEYD_INVALID_ARGUMENT;
        return err->status;
    }
    if (options->certificate == NULL)
        return MIKEYD_OK;
    const char *key = options->key == NULL ? options->certificate : options->key;
    if (SSL_CTX_use_certificate_chain_file(sender->tls, options->certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(sender->tls, key, SSL_FILETYPE_PEM) == 1)
        return MIKEYD_OK;
    (void)tls_error(err, options->certificate);
    err->status = MIKEYD_INVALID_ARGUMENT;
    return err->status;
}

enum mikeyd_status audit_sender_make(const struct audit_sender_options *options,
                                     struct audit_sender **out, struct error *err)
{
    struct audit_sender *sender = calloc(1, sizeof *sender);
    enum mikeyd_status status = MIKEYD_OK;
    if (sender == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    sender->options = *options;
    sender->fd = -1;
    if (!read_address(sender, options->to))
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "--to: expected stdout, udp:HOST:PORT, tcp:HOST:PORT, tls:HOST:PORT or "
                           "unix:PATH: %s",
                           options->to);
    else if (sender->way == WAY_TLS)
        status = prepare_tls(sender, err);
    if (status == MIKEYD_OK)
        *out = sender;
    else
        audit_sender_free(sender);
    return status;
}

static void disconnect(struct audit_sender *sender)
{
    SSL_free(sender->session);
    sender->session = NULL;
    if (sender->fd >= 0)
        (void)close(sender->fd);
    sender->fd = -1;
}

void audit_sender_free(struct audit_sender *sender)
{
    if (sender == NULL)
        return;
    if (sender->session != NULL)
        (void)SSL_shutdown(sender->session);
    disconnect(sender);
    SSL_CTX_free(sender->tls);
    free(sender);
}

static enum mikeyd_status broken(struct audit_sender *sender, const char *why, struct error *err)
{
    disconnect(sender);
    return error_set(err, MIKEYD_INTERNAL, "%s: %s", sender->options.to, why);
}

static int open_socket(const struct addrinfo *to)
{
    const struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, to->ai_protocol);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
        connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return fd;
    const int reason = errno;
    (void)close(fd);
    errno = reason;
    return -1;
}

static enum mikeyd_status connect_host(struct audit_sender *sender, struct error *err)
{
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_socktype = is_stream(sender) ? SOCK_STREAM : SOCK_DGRAM};
    const int found = getaddrinfo(sender->host, sender->port, &hints, &list);
    if (found != 0)
        return broken(sender, gai_strerror(found), err);
    for (const struct addrinfo *to = list; to != NULL && sender->fd < 0; to = to->ai_next)
        sender->fd = open_socket(to);
    const int reason = errno;
    freeaddrinfo(list);
    return sender->fd >= 0 ? MIKEYD_OK : broken(sender, strerror(reason), err);
}

static enum mikeyd_status start_tls(struct audit_sender *sender, struct error *err)
{
    sender->session = SSL_new(sender->tls);
    if (sender->session == NULL || SSL_set1_host(sender->session, sender->host) != 1 ||
        SSL_set_tlsext_host_name(sender->session, sender->host) != 1 ||
        SSL_set_fd(sender->session, sender->fd) != 1 || SSL_connect(sender->session) != 1) {
        const long verdict =
            sender->session == NULL ? X509_V_OK : SSL_get_verify_result(sender->session);
        if (verdict != X509_V_OK)
            return broken(sender, X509_verify_cert_error_string(verdict), err);
        (void)tls_error(err, "TLS");
        char why[128];
        (void)snprintf(why, sizeof why, "%.120s", err->text);
        return broken(sender, why, err);
    }
    return MIKEYD_OK;
}

static enum mikeyd_status connect_sender(struct audit_sender *sender, struct error *err)
{
    if (sender->way == WAY_STDOUT || sender->fd >= 0)
        return MIKEYD_OK;
    if (sender->way == WAY_UNIX) {
        const struct addrinfo to = {.ai_family = AF_UNIX,
                                    .ai_socktype = SOCK_DGRAM,
                                    .ai_addr = (struct sockaddr *)&sender->path,
                                    .ai_addrlen = sizeof sender->path};
        sender->fd = open_socket(&to);
        return sender->fd >= 0 ? MIKEYD_OK : broken(sender, strerror(errno), err);
    }
    enum mikeyd_status status = connect_host(sender, err);
    if (status == MIKEYD_OK && sender->way == WAY_TLS)
        status = start_tls(sender, err);
    return status;
}

static enum mikeyd_status write_stream(struct audit_sender *sender, const char *data, size_t len,
                                       struct error *err)
{
    while (len > 0) {
        ssize_t written;
        if (sender->session != NULL)
            written = SSL_write(sender->session, data, (int)len);
        else
            written = send(sender->fd, data, len, MSG_NOSIGNAL);
        if (written < 0 && sender->session == NULL && errno == EINTR)
            continue;
        if (written <= 0)
            return broken(sender, sender->session != NULL ? "TLS: cannot write" : strerror(errno),
                          err);
        data += written;
        len -= (size_t)written;
    }
    return MIKEYD_OK;
}

static enum mikeyd_status write_datagram(struct audit_sender *sender, const char *message,
                                         size_t len, struct error *err)
{
    ssize_t sent;
    do
        sent = send(sender->fd, message, len, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return MIKEYD_OK;
    if (errno == EMSGSIZE)
        return error_set(err, MIKEYD_OVERLOADED, "%s: a message of %zu bytes is too long for it",
                         sender->options.to, len);
    return broken(sender, strerror(errno), err);
}

enum mikeyd_status audit_sender_send(struct audit_sender *sender, const char *message, size_t len,
                                     struct error *err)
{
    enum mikeyd_status status = connect_sender(sender, err);
    if (status != MIKEYD_OK)
        return status;
    if (sender->way == WAY_STDOUT)
        return fwrite(message, 1, len, stdout) == len && fputc('\n', stdout) != EOF
                   ? MIKEYD_OK
                   : error_set(err, MIKEYD_INTERNAL, "stdout: %s", strerror(errno));
    if (!is_stream(sender))
        return write_datagram(sender, message, len, err);
    char length[24];
    const int digits = snprintf(length, sizeof length, "%zu ", len);
    if (sender->options.octet_counting)
        status = write_stream(sender, length, (size_t)digits, err);
    if (status == MIKEYD_OK)
        status = write_stream(sender, message, len, err);
    if (status == MIKEYD_OK && !sender->options.octet_counting)
        status = write_stream(sender, "\n", 1, err);
    return status;
}

/* False when the receiver has closed. A receiver that speaks is let speak: TLS has tickets. */
static bool still_open(const struct audit_sender *sender)
{
    char byte;
    const ssize_t got = recv(sender->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

enum mikeyd_status audit_sender_settle(struct audit_sender *sender, struct error *err)
{
    if (sender->way == WAY_STDOUT)
        return fflush(stdout) == 0 ? MIKEYD_OK
                                   : error_set(err, MIKEYD_INTERNAL, "stdout: %s", strerror(errno));
    if (!is_stream(sender) || sender->fd < 0)
        return MIKEYD_OK;
    for (unsigned step = 0; step < WAIT_S * 1000000U / SETTLE_STEP_US; step++) {
        int waiting = 0;
        if (sender->session != NULL && SSL_pending(sender->session) == 0 &&
            (SSL_get_shutdown(sender->session) & SSL_RECEIVED_SHUTDOWN) != 0)
            return broken(sender, "the receiver closed the connection", err);
        if (!still_open(sender))
            return broken(sender, "the receiver closed the connection", err);
        if (ioctl(sender->fd, SIOCOUTQ, &waiting) != 0)
            return broken(sender, strerror(errno), err);
        if (waiting == 0)
            return MIKEYD_OK;
        (void)usleep(SETTLE_STEP_US);
    }
    return broken(sender, "the receiver does not acknowledge", err);
}
