#include "client/tls_psk.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/psk_file.h"
#include "client/private_memory.h"
#include "tls/tls_common.h"

/* The one suite with the hash of the imported key's target KDF that is TLS 1.3's. */
#define SUITE "TLS_AES_256_GCM_SHA384"

struct client_psk {
    uint8_t identity[IMPORTER_TLS_IDENTITY_MAX];
    size_t identity_len;
    uint8_t key[IMPORTER_TLS_PSK_LEN];
};

static void on_context_free(void *parent, void *psk, CRYPTO_EX_DATA *data, int index, long number,
                            void *pointer)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)pointer;
    private_free(psk, sizeof(struct client_psk));
}

static int psk_index = -1;

static void make_index(void)
{
    psk_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
}

/* md: of the suite that the gate has chosen, in an answer to its request for another hello. */
static int on_hello(SSL *tls, const EVP_MD *md, const unsigned char **identity, size_t *len,
                    SSL_SESSION **out)
{
    const struct client_psk *psk = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), psk_index);
    *out = NULL;
    if (psk == NULL || (md != NULL && !EVP_MD_is_a(md, "SHA384")))
        return 1;
    *out = tls_session_of_psk(tls, psk->key);
    *identity = psk->identity;
    *len = psk->identity_len;
    return *out != NULL;
}

static enum mikeyd_status import(const struct psk_file *file, const char *path,
                                 struct client_psk *out, struct error *err)
{
    struct byte_writer identity = writer_of(out->identity, sizeof out->identity);
    const struct psk_entry *own = &file->entries[0];
    if (file->count != 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "psk=%.200s: a client has one key, not %zu",
                         path, file->count);
    enum mikeyd_status status =
        importer_tls_psk(own->name, own->key.data, own->key.len, &identity, out->key, err);
    out->identity_len = identity.len;
    return status;
}

enum mikeyd_status tls_psk_use(SSL_CTX *tls, const char *path, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct psk_file file;
    enum mikeyd_status status = psk_file_load(path, &file, err);
    if (status != MIKEYD_OK)
        return status;
    (void)pthread_once(&once, make_index);
    struct client_psk *psk = private_alloc(sizeof *psk);
    status = psk == NULL || psk_index < 0 ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                          : import(&file, path, psk, err);
    psk_file_clear(&file);
    if (status == MIKEYD_OK && (SSL_CTX_set_ciphersuites(tls, SUITE) != 1 ||
                                SSL_CTX_set_ex_data(tls, psk_index, psk) != 1))
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status != MIKEYD_OK) {
        private_free(psk, sizeof *psk);
        return status;
    }
    SSL_CTX_set_psk_use_session_callback(tls, on_hello);
    return MIKEYD_OK;
}
