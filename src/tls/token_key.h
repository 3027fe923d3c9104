/*
 * A private key in a token ("pkcs11:token=...;object=..."), by libp11: the gate's, an officer's. The
 * module lives in this process and the key stays in the token: whoever breaks the gate can have it
 * sign while inside, and take nothing along. One is opened, once.
 */
#ifndef TLS_TOKEN_KEY_H
#define TLS_TOKEN_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "base/error.h"

struct token_key_source {
    const char *what; /* "gate: key", for errors */
    const char *uri, *module, *pin_file;
};

/* Is that a key in a token, not a file? NULL is neither. */
bool token_key_is_uri(const char *key);
/*
 * INVALID_ARGUMENT for a URI that is none or names not one token and one key, TOKEN_DOWN when the
 * module fails, PIN_REFUSED. The key lasts as long as the process.
 */
enum mikeyd_status token_key_open(const struct token_key_source *source, EVP_PKEY **out,
                                  struct error *err);

#endif
