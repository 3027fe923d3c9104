#include "tls/tls_common.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/private_file.h"

#define WHY_MAX 200

const char *tls_queue_reason(const char *otherwise, char *text, size_t cap)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    (void)snprintf(text, cap, "%s", reason == NULL ? otherwise : reason);
    ERR_clear_error();
    return text;
}

/* Nobody is there to type one. */
static int no_passphrase(char *text, int size, int writing, void *context)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

enum mikeyd_status tls_read_key(const char *path, EVP_PKEY **out, struct error *err)
{
    int fd = -1;
    struct stat st;
    char why[WHY_MAX];
    enum mikeyd_status status = private_file_open("private key", path, &fd, &st, err);
    if (status != MIKEYD_OK)
        return status;
    BIO *file = BIO_new_fd(fd, BIO_CLOSE);
    if (file == NULL) {
        (void)close(fd);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    ERR_clear_error();
    *out = PEM_read_bio_PrivateKey(file, NULL, no_passphrase, NULL);
    (void)BIO_free(file);
    return *out != NULL
               ? MIKEYD_OK
               : error_set(err, MIKEYD_INVALID_ARGUMENT, "private key %s: %s", path,
                           tls_queue_reason("no PEM without a passphrase", why, sizeof why));
}

SSL_SESSION *tls_session_of_psk(SSL *tls, const uint8_t key[IMPORTER_TLS_PSK_LEN])
{
    static const uint8_t aes_256_gcm_sha384[] = {0x13, 0x02};
    const SSL_CIPHER *cipher = SSL_CIPHER_find(tls, aes_256_gcm_sha384);
    SSL_SESSION *session = SSL_SESSION_new();
    if (session != NULL && cipher != NULL &&
        SSL_SESSION_set1_master_key(session, key, IMPORTER_TLS_PSK_LEN) == 1 &&
        SSL_SESSION_set_cipher(session, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
        return session;
    SSL_SESSION_free(session);
    return NULL;
}
