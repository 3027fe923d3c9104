#include "gate/tls.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "gate/psk.h"
#include "tls/tls_common.h"
#include "tls/token_key.h"

/* Strongest first: the gate's order decides. A suite of 128 bits carries no longer session key. */
#define SUITES "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define CHAIN_MAX 4
#define WHY_MAX 256

static enum mikeyd_status fail(const char *field, const char *path, struct error *err)
{
    char why[WHY_MAX];
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "gate: %s: %.200s: %s", field, path,
                     tls_queue_reason("it cannot be used", why, sizeof why));
}

static enum mikeyd_status use_identity(SSL_CTX *tls, const struct config_gate *gate,
                                       EVP_PKEY *token_key, struct error *err)
{
    EVP_PKEY *key = token_key;
    if (SSL_CTX_use_certificate_chain_file(tls, gate->certificate) != 1)
        return fail("certificate", gate->certificate, err);
    enum mikeyd_status status = token_key != NULL ? MIKEYD_OK : tls_read_key(gate->key, &key, err);
    if (status == MIKEYD_OK &&
        (SSL_CTX_use_PrivateKey(tls, key) != 1 || SSL_CTX_check_private_key(tls) != 1))
        status = fail("key", gate->key, err);
    if (token_key == NULL)
        EVP_PKEY_free(key);
    return status;
}

/* A list that is too old refuses everybody it could name: OpenSSL's rule, and ours. */
static enum mikeyd_status use_revocations(X509_STORE *store, const char *path, struct error *err)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (lookup == NULL || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
        return fail("crl", path, err);
    (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return MIKEYD_OK;
}

static enum mikeyd_status use_authorities(SSL_CTX *tls, const struct config_gate *gate,
                                          struct error *err)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(gate->ca);
    if (names == NULL || SSL_CTX_load_verify_file(tls, gate->ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail("ca", gate->ca, err);
    }
    SSL_CTX_set_client_CA_list(tls, names);
    SSL_CTX_set_verify_depth(tls, CHAIN_MAX);
    return gate->crl == NULL ? MIKEYD_OK
                             : use_revocations(SSL_CTX_get_cert_store(tls), gate->crl, err);
}

/* No session outlives its connection: every one proves anew who it is. */
static bool set_protocol(SSL_CTX *tls)
{
    (void)SSL_CTX_set_options(tls, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_NO_RENEGOTIATION | SSL_OP_CLEANSE_PLAINTEXT);
    (void)SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    /* OpenSSL asks for a name of what sessions are for, also of those that are PSKs. */
    static const unsigned char use[] = "mikeyd-gate";
    return SSL_CTX_set_session_id_context(tls, use, sizeof use - 1) == 1 &&
           SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(tls, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(tls, 0) == 1 && SSL_CTX_set_ciphersuites(tls, SUITES) == 1;
}

enum mikeyd_status tls_open_token_key(const struct config_gate *gate, EVP_PKEY **out,
                                      struct error *err)
{
    const struct token_key_source source = {
        .what = "gate: key", .uri = gate->key, .module = gate->module, .pin_file = gate->pin_file};
    return token_key_open(&source, out, err);
}

enum mikeyd_status tls_make(const struct config_gate *gate, EVP_PKEY *token_key, SSL_CTX **out,
                            struct error *err)
{
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || !set_protocol(tls)) {
        SSL_CTX_free(tls);
        return error_set(err, MIKEYD_INTERNAL, "OpenSSL has no TLS 1.3 as it is needed");
    }
    /* Whoever has no PSK of the list has to have a certificate, or comes no further. */
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    enum mikeyd_status status = gate->ca == NULL ? MIKEYD_OK : use_authorities(tls, gate, err);
    if (status == MIKEYD_OK && gate->certificate != NULL)
        status = use_identity(tls, gate, token_key, err);
    if (status == MIKEYD_OK && gate->psk_file != NULL)
        status = psk_use(tls, gate->psk_file, err);
    if (status == MIKEYD_OK)
        *out = tls;
    else
        SSL_CTX_free(tls);
    return status;
}

enum mikeyd_status tls_check_again(SSL_CTX *tls, SSL *connection, struct error *err)
{
    if (psk_client(connection) != NULL)
        return psk_is_known(tls, connection)
                   ? MIKEYD_OK
                   : error_set(err, MIKEYD_AUTH_FAILED, "its PSK is no longer in the list");
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    X509 *certificate = SSL_get0_peer_certificate(connection);
    bool good = check != NULL && certificate != NULL &&
                X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(tls), certificate,
                                    SSL_get_peer_cert_chain(connection)) == 1 &&
                X509_STORE_CTX_set_default(check, "ssl_client") == 1;
    if (good)
        X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(check), CHAIN_MAX);
    good = good && X509_verify_cert(check) == 1;
    enum mikeyd_status status =
        good ? MIKEYD_OK
             : error_set(err, MIKEYD_AUTH_FAILED, "%s",
                         check == NULL
                             ? "out of memory"
                             : X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return status;
}
