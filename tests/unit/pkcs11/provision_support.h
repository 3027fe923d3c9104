/* A token open for the ceremony, and the proofs its tests share. */
#ifndef TESTS_UNIT_PKCS11_PROVISION_SUPPORT_H
#define TESTS_UNIT_PKCS11_PROVISION_SUPPORT_H

#include "pkcs11/provision/provision.h"
#include "pkcs11/token/internal.h"
#include "support/token_fixture.h"

struct bench {
    struct token_fixture fixture;
    struct token *token;
    struct token_session *session;
};

/* Each makes a token of its own and opens it for reading and writing. */
void bench_softhsm(struct bench *bench);
void bench_nss(struct bench *bench);
void bench_close(struct bench *bench);
/* Opens another token of the same SoftHSM, by label; made when new. */
void bench_open_second(struct bench *first, const char *label, struct token **token,
                       struct token_session **session);

/* Looks anew; the key as listed, or NULL. */
const struct token_key *bench_key(struct token *token, enum token_kind kind, const char *name,
                                  unsigned generation);
/* How many objects of any class the token holds under labels that begin so. */
size_t bench_objects(struct token_session *session, const char *label_prefix);
/* True when HMAC-SHA-256 under block of the token's key is that under the bytes on the host. */
bool bench_hmac_equal(struct token_session *session, const struct token_key *key, size_t block,
                      const uint8_t *value, size_t len);
/* An AES-256 key for wrapping and unwrapping, made of known bytes. */
void bench_kek(struct token_session *session, const char *label, const uint8_t kek[32]);
/* RFC 3394 / RFC 5649 by OpenSSL. Returns the length. */
size_t bench_wrap(bool padded, const uint8_t kek[32], const uint8_t *key, size_t len, uint8_t *out);

#endif
