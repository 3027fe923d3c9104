#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "base/log.h"

static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_sha256;

/* Fetched once: a fetch costs more than the hash. */
static void digest_fetch(void)
{
    digest_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static bool digest_part(EVP_MD_CTX *context, const void *data, size_t len)
{
    uint8_t prefix[8];
    struct byte_writer w = writer_of(prefix, sizeof prefix);
    writer_u64(&w, len);
    return EVP_DigestUpdate(context, prefix, sizeof prefix) == 1 &&
           EVP_DigestUpdate(context, data, len) == 1;
}

void store_digest(enum store_domain domain, const void *data[], const size_t len[], size_t parts,
                  uint8_t out[STORE_DIGEST])
{
    (void)pthread_once(&digest_once, digest_fetch);
    uint8_t hash[EVP_MAX_MD_SIZE];
    const uint8_t domain_byte = (uint8_t)domain;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && digest_sha256 != NULL &&
                EVP_DigestInit_ex(context, digest_sha256, NULL) == 1 &&
                EVP_DigestUpdate(context, &domain_byte, 1) == 1;
    for (size_t i = 0; done && i < parts; i++)
        done = digest_part(context, data[i], len[i]);
    done = done && EVP_DigestFinal_ex(context, hash, NULL) == 1;
    EVP_MD_CTX_free(context);
    if (!done) {
        /* Only without memory. Any value returned here could name another entry: better no process
         * than a wrong replay decision. */
        log_error("replay store: SHA-256 is not available");
        abort();
    }
    memcpy(out, hash, STORE_DIGEST);
}
