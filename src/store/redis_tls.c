/* TLS to Redis: 1.2 or later, the server's certificate checked, ours shown when there is one. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "store/redis_wire.h"
#include "tls/tls_common.h"

struct redis_tls {
    SSL_CTX *context;
    char server_name[256];
};

/* SSL's own type is behind the name, so that only this file knows of it. */
static SSL *session_of(struct redis_tls_session *session)
{
    return (SSL *)session;
}

static enum mikeyd_status tls_fail(const char *what, const char *path, enum mikeyd_status status,
                                   struct error *err)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    (void)error_set(err, status, "TLS to Redis: %s%s%s: %s", what, path == NULL ? "" : " ",
                    path == NULL ? "" : path, reason == NULL ? "failed" : reason);
    ERR_clear_error();
    return status;
}

/* Of a file that no other user can read. */
static enum mikeyd_status tls_load_key(SSL_CTX *context, const char *path, struct error *err)
{
    EVP_PKEY *key = NULL;
    enum mikeyd_status status = tls_read_key(path, &key, err);
    if (status != MIKEYD_OK) {
        error_prefix(err, "TLS to Redis");
        return status;
    }
    if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1)
        status = tls_fail("key that is not the certificate's:", path, MIKEYD_INVALID_ARGUMENT, err);
    EVP_PKEY_free(key);
    return status;
}

static enum mikeyd_status tls_load(SSL_CTX *context, const struct redis_tls_files *files,
                                   struct error *err)
{
    const enum mikeyd_status bad = MIKEYD_INVALID_ARGUMENT;
    if (SSL_CTX_load_verify_file(context, files->ca) != 1)
        return tls_fail("CA file", files->ca, bad, err);
    if (files->certificate == NULL)
        return MIKEYD_OK;
    if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1)
        return tls_fail("certificate", files->certificate, bad, err);
    return tls_load_key(context, files->key, err);
}

enum mikeyd_status redis_tls_make(const struct redis_tls_files *files, struct redis_tls **out,
                                  struct error *err)
{
    struct redis_tls *tls = calloc(1, sizeof *tls);
    *out = NULL;
    if (tls == NULL)
        return error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    ERR_clear_error();
    if (files->server_name != NULL)
        (void)strncpy(tls->server_name, files->server_name, sizeof tls->server_name - 1);
    tls->context = SSL_CTX_new(TLS_client_method());
    enum mikeyd_status status = MIKEYD_OK;
    if (tls->context == NULL || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
        status = tls_fail("no context", NULL, MIKEYD_INTERNAL, err);
    if (status == MIKEYD_OK) {
        SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
        (void)SSL_CTX_set_mode(tls->context,
                               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        status = tls_load(tls->context, files, err);
    }
    if (status != MIKEYD_OK) {
        redis_tls_free(tls);
        return status;
    }
    *out = tls;
    return MIKEYD_OK;
}

void redis_tls_free(struct redis_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

/* Whose certificate it has to be: a valid one of somebody else's is none. */
static bool tls_expect(const struct redis_tls *tls, SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (tls->server_name[0] != '\0')
        return SSL_set1_host(ssl, tls->server_name) == 1 &&
               SSL_set_tlsext_host_name(ssl, tls->server_name) == 1;
    return host[0] != '\0' && X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
}

/* What the last call of ssl waits for; 0 when it waits for nothing but failed. */
static short tls_events(SSL *ssl, int result)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return POLLIN;
    case SSL_ERROR_WANT_WRITE:
        return POLLOUT;
    default:
        return 0;
    }
}

enum mikeyd_status redis_tls_connect(struct redis_tls *tls, int fd, const char *host,
                                     int64_t deadline_ms, struct redis_tls_session **out,
                                     struct error *err)
{
    ERR_clear_error();
    SSL *ssl = SSL_new(tls->context);
    if (ssl == NULL || !tls_expect(tls, ssl, host) || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return tls_fail("the server's name cannot be checked", NULL, MIKEYD_STORE_DOWN, err);
    }
    *out = (struct redis_tls_session *)ssl;
    for (;;) {
        ERR_clear_error();
        const int result = SSL_connect(ssl);
        if (result == 1)
            return MIKEYD_OK;
        const short events = tls_events(ssl, result);
        const long verified = SSL_get_verify_result(ssl);
        if (events == 0 && verified != X509_V_OK)
            return error_set(err, MIKEYD_STORE_DOWN, "TLS to Redis: the server's certificate: %s",
                             X509_verify_cert_error_string(verified));
        if (events == 0)
            return tls_fail("handshake", NULL, MIKEYD_STORE_DOWN, err);
        if (!redis_wait(fd, events, deadline_ms))
            return error_set(err, MIKEYD_STORE_DOWN, "TLS to Redis: no handshake in time");
    }
}

void redis_tls_end(struct redis_tls_session *session)
{
    SSL_free(session_of(session));
}

static ssize_t tls_result(SSL *ssl, int result, short *events)
{
    if (result > 0)
        return result;
    const int saved = errno;
    const short waits = tls_events(ssl, result);
    if (waits != 0) {
        *events = waits;
        errno = EAGAIN;
        return -1;
    }
    if (SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = SSL_get_error(ssl, result) == SSL_ERROR_SYSCALL && saved != 0 ? saved : EPROTO;
    return -1;
}

ssize_t redis_tls_read(struct redis_tls_session *session, void *data, size_t len, short *events)
{
    ERR_clear_error();
    errno = 0;
    return tls_result(session_of(session), SSL_read(session_of(session), data, (int)len), events);
}

ssize_t redis_tls_write(struct redis_tls_session *session, const void *data, size_t len,
                        short *events)
{
    ERR_clear_error();
    errno = 0;
    return tls_result(session_of(session), SSL_write(session_of(session), data, (int)len), events);
}
