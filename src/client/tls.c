#include "client/tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/tls_psk.h"
#include "tls/tls_common.h"

#define WHY_MAX 200
/* A gate whose host is gone says nothing: what it does not acknowledge for so long breaks the
 * connection, and so does silence for about as long on an idle one. */
#define UNACKNOWLEDGED_MS 5000
#define IDLE_S 10

/* ---- the socket below: OpenSSL's own raises SIGPIPE, which a library must not */

static int socket_write(BIO *bio, const char *data, int len)
{
    const int fd = (int)(intptr_t)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t sent = send(fd, data, (size_t)len, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int socket_read(BIO *bio, char *data, int cap)
{
    const int fd = (int)(intptr_t)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    const ssize_t got = recv(fd, data, (size_t)cap, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)got;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *socket_method;

static void make_socket_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mikeyd socket");
    if (method == NULL)
        return;
    if (BIO_meth_set_write(method, socket_write) == 1 &&
        BIO_meth_set_read(method, socket_read) == 1 &&
        BIO_meth_set_ctrl(method, socket_control) == 1)
        socket_method = method;
    else
        BIO_meth_free(method);
}

static BIO *socket_bio(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_socket_method);
    BIO *bio = socket_method == NULL ? NULL : BIO_new(socket_method);
    if (bio != NULL) {
        BIO_set_data(bio, (void *)(intptr_t)fd);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- what both ends must be */

static enum mikeyd_status fail_file(const char *what, const char *path, struct error *err)
{
    char why[WHY_MAX];
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s=%.200s: %s", what, path,
                     tls_queue_reason("it cannot be used", why, sizeof why));
}

static enum mikeyd_status use_key(SSL_CTX *tls, const char *path, struct error *err)
{
    EVP_PKEY *key = NULL;
    enum mikeyd_status status = tls_read_key(path, &key, err);
    if (status == MIKEYD_OK &&
        (SSL_CTX_use_PrivateKey(tls, key) != 1 || SSL_CTX_check_private_key(tls) != 1))
        status = fail_file("key", path, err);
    EVP_PKEY_free(key);
    return status;
}

static bool set_protocol(SSL_CTX *tls)
{
    (void)SSL_CTX_set_options(tls, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_mode(tls,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(tls, TLS1_3_VERSION) == 1;
}

static enum mikeyd_status make_context(const struct address *address, SSL_CTX **out,
                                       struct error *err)
{
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    enum mikeyd_status status = MIKEYD_OK;
    if (tls == NULL || !set_protocol(tls))
        status = error_set(err, MIKEYD_INTERNAL, "OpenSSL has no TLS 1.3 as it is needed");
    else if (address->psk != NULL)
        status = tls_psk_use(tls, address->psk, err);
    else if (SSL_CTX_load_verify_file(tls, address->ca) != 1)
        status = fail_file("ca", address->ca, err);
    else if (SSL_CTX_use_certificate_chain_file(tls, address->cert) != 1)
        status = fail_file("cert", address->cert, err);
    else
        status = use_key(tls, address->key, err);
    if (status == MIKEYD_OK)
        *out = tls;
    else
        SSL_CTX_free(tls);
    return status;
}

/* Whose certificate it must be. */
static bool expect_name(SSL *tls, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
        return true;
    ERR_clear_error();
    return SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1;
}

/* ---- connecting */

static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd wait = {.fd = fd, .events = events};
    for (;;) {
        const int64_t left = deadline_ms - clock_monotonic_ms();
        if (left <= 0)
            return false;
        const int result = poll(&wait, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (result > 0)
            return true;
        if (result < 0 && errno != EINTR)
            return false;
    }
}

bool tls_wait(SSL *tls, int fd, int64_t deadline_ms)
{
    return wait_for(fd, SSL_want_write(tls) ? POLLOUT : POLLIN, deadline_ms);
}

static void set_options(int fd)
{
    const int on = 1, idle = IDLE_S, every = 2, times = 3, unacknowledged = UNACKNOWLEDGED_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
}

/* -1 with errno. */
static int connect_one(const struct addrinfo *at, int64_t deadline_ms)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -1;
    int why = connect(fd, at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (why == EINPROGRESS) {
        socklen_t len = sizeof why;
        if (!wait_for(fd, POLLOUT, deadline_ms))
            why = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0)
            why = errno;
    }
    if (why == 0) {
        set_options(fd);
        return fd;
    }
    (void)close(fd);
    errno = why;
    return -1;
}

static enum mikeyd_status connect_any(const struct address_host *host, int64_t deadline_ms, int *fd,
                                      struct error *err)
{
    const struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const int result = getaddrinfo(host->host, host->port, &hints, &found);
    if (result != 0)
        return error_set(err, MIKEYD_UNREACHABLE, "%s:%s: %s", host->host, host->port,
                         gai_strerror(result));
    *fd = -1;
    for (const struct addrinfo *at = found; at != NULL && *fd < 0; at = at->ai_next)
        *fd = connect_one(at, deadline_ms);
    const int why = errno;
    freeaddrinfo(found);
    return *fd >= 0 ? MIKEYD_OK
                    : error_set(err, MIKEYD_UNREACHABLE, "%s:%s: %s", host->host, host->port,
                                strerror(why));
}

static enum mikeyd_status shake_hands(SSL *tls, int fd, const struct address_host *host,
                                      int64_t deadline_ms, struct error *err)
{
    char why[WHY_MAX];
    int result;
    ERR_clear_error();
    while ((result = SSL_connect(tls)) != 1) {
        const int error = SSL_get_error(tls, result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return error_set(err, MIKEYD_UNREACHABLE, "%s:%s: TLS: %s", host->host, host->port,
                             tls_reason(tls, why, sizeof why));
        if (!tls_wait(tls, fd, deadline_ms))
            return error_set(err, MIKEYD_UNREACHABLE, "%s:%s: no TLS handshake in time", host->host,
                             host->port);
    }
    return MIKEYD_OK;
}

static SSL *make_connection(SSL_CTX *context, int fd, const char *name)
{
    SSL *tls = SSL_new(context);
    BIO *bio = socket_bio(fd);
    if (tls != NULL && bio != NULL && expect_name(tls, name)) {
        SSL_set_bio(tls, bio, bio);
        return tls;
    }
    (void)BIO_free(bio);
    SSL_free(tls);
    return NULL;
}

enum mikeyd_status tls_connect(const struct address *address, const struct address_host *host,
                               int64_t deadline_ms, SSL **out, int *fd, struct error *err)
{
    SSL_CTX *context = NULL;
    enum mikeyd_status status = make_context(address, &context, err);
    if (status == MIKEYD_OK)
        status = connect_any(host, deadline_ms, fd, err);
    if (status != MIKEYD_OK) {
        SSL_CTX_free(context);
        return status;
    }
    *out = make_connection(context, *fd, address->name != NULL ? address->name : host->host);
    SSL_CTX_free(context); /* the connection keeps it */
    status = *out == NULL ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                          : shake_hands(*out, *fd, host, deadline_ms, err);
    /* With a PSK alone there is no CA, so no certificate could have been taken in its place. */
    if (status == MIKEYD_OK && address->psk != NULL && SSL_session_reused(*out) != 1)
        status = error_set(err, MIKEYD_UNREACHABLE, "%s:%s: TLS: the gate does not know this PSK",
                           host->host, host->port);
    if (status != MIKEYD_OK) {
        SSL_free(*out);
        (void)close(*fd);
        *out = NULL;
        *fd = -1;
    }
    return status;
}

/* ---- bytes */

const char *tls_reason(SSL *tls, char *text, size_t cap)
{
    const long verified = SSL_get_verify_result(tls);
    if (verified != X509_V_OK) {
        (void)snprintf(text, cap, "the gate's certificate: %s",
                       X509_verify_cert_error_string(verified));
        ERR_clear_error();
        return text;
    }
    return tls_queue_reason("the connection ended", text, cap);
}

static ssize_t outcome(SSL *tls, int result, size_t done)
{
    if (result == 1)
        return (ssize_t)done;
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

ssize_t tls_send(SSL *tls, const void *data, size_t len)
{
    size_t done = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(tls, data, len, &done);
    return outcome(tls, result, done);
}

ssize_t tls_receive(SSL *tls, void *data, size_t cap)
{
    size_t done = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(tls, data, cap, &done);
    return outcome(tls, result, done);
}

bool tls_is_stale(SSL *tls)
{
    uint8_t byte;
    size_t done = 0;
    ERR_clear_error();
    const int result = SSL_peek_ex(tls, &byte, sizeof byte, &done);
    const ssize_t got = outcome(tls, result, done);
    return got == 0 || (got < 0 && errno != EAGAIN);
}
