#include "gate/psk.h"

#include <stdlib.h>
#include <string.h>

#include "base/psk_file.h"
#include "base/secret.h"
#include "tls/tls_common.h"

struct psk {
    char name[PSK_NAME_MAX + 1];
    uint8_t identity[IMPORTER_TLS_IDENTITY_MAX];
    size_t identity_len;
    uint8_t *key; /* IMPORTER_TLS_PSK_LEN, secure heap */
};

struct psk_table {
    struct psk *list;
    size_t count;
};

static void table_free(struct psk_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->count; i++)
        secret_release(table->list[i].key, IMPORTER_TLS_PSK_LEN);
    free(table->list);
    free(table);
}

static void on_context_free(void *parent, void *table, CRYPTO_EX_DATA *data, int index, long number,
                            void *pointer)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)pointer;
    table_free(table);
}

/* Where a context keeps its table, and a session the client it belongs to. One thread. */
static int table_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
    return index;
}

static int client_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

static enum mikeyd_status import(const struct psk_entry *entry, struct psk *out, struct error *err)
{
    struct byte_writer identity = writer_of(out->identity, sizeof out->identity);
    memcpy(out->name, entry->name, sizeof out->name);
    out->key = secret_alloc(IMPORTER_TLS_PSK_LEN);
    if (out->key == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of secret memory");
    enum mikeyd_status status =
        importer_tls_psk(entry->name, entry->key.data, entry->key.len, &identity, out->key, err);
    out->identity_len = identity.len;
    return status;
}

static enum mikeyd_status make_table(const struct psk_file *file, struct psk_table **out,
                                     struct error *err)
{
    struct psk_table *table = calloc(1, sizeof *table);
    if (table == NULL || (table->list = calloc(file->count, sizeof *table->list)) == NULL) {
        free(table);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < file->count && status == MIKEYD_OK; i++) {
        status = import(&file->entries[i], &table->list[i], err);
        table->count = i + 1;
    }
    if (status == MIKEYD_OK)
        *out = table;
    else
        table_free(table);
    return status;
}

static const struct psk *find(const struct psk_table *table, const uint8_t *identity, size_t len)
{
    for (size_t i = 0; table != NULL && i < table->count; i++) {
        const struct psk *psk = &table->list[i];
        if (psk->identity_len == len && memcmp(psk->identity, identity, len) == 0) /* public */
            return psk;
    }
    return NULL;
}

static SSL_SESSION *session_of(SSL *tls, const struct psk *psk)
{
    SSL_SESSION *session = tls_session_of_psk(tls, psk->key);
    if (session != NULL &&
        SSL_SESSION_set_ex_data(session, client_index(), (void *)(uintptr_t)psk) == 1)
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

/* A name that nobody has is no failure: the handshake goes on to certificates, if there are any. */
static int on_identity(SSL *tls, const unsigned char *identity, size_t len, SSL_SESSION **out)
{
    const struct psk_table *table = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(tls), table_index());
    const struct psk *psk = find(table, identity, len);
    *out = psk == NULL ? NULL : session_of(tls, psk);
    return psk == NULL || *out != NULL;
}

enum mikeyd_status psk_use(SSL_CTX *tls, const char *path, struct error *err)
{
    struct psk_file file;
    struct psk_table *table = NULL;
    enum mikeyd_status status = psk_file_load(path, &file, err);
    if (status != MIKEYD_OK)
        return status;
    status = make_table(&file, &table, err);
    psk_file_clear(&file);
    if (status == MIKEYD_OK && (client_index() < 0 || table_index() < 0 ||
                                SSL_CTX_set_ex_data(tls, table_index(), table) != 1)) {
        table_free(table);
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    if (status == MIKEYD_OK)
        SSL_CTX_set_psk_find_session_callback(tls, on_identity);
    return status;
}

/* From the session in force, and not from what was asked for on the way to it: that a client knows
 * a name proves nothing before the handshake is done with its key. */
static const struct psk *psk_of(const SSL *connection)
{
    const SSL_SESSION *session = SSL_get_session(connection);
    if (session == NULL || client_index() < 0 || SSL_session_reused(connection) != 1)
        return NULL;
    return SSL_SESSION_get_ex_data(session, client_index());
}

const char *psk_client(const SSL *connection)
{
    const struct psk *psk = psk_of(connection);
    return psk == NULL ? NULL : psk->name;
}

bool psk_is_known(SSL_CTX *tls, const SSL *connection)
{
    const struct psk *old = psk_of(connection);
    const struct psk_table *table = SSL_CTX_get_ex_data(tls, table_index());
    const struct psk *now = old == NULL ? NULL : find(table, old->identity, old->identity_len);
    return now != NULL && secret_equal(now->key, old->key, IMPORTER_TLS_PSK_LEN);
}
