/*
 * The gate's private key in a token (`key: "pkcs11:token=...;object=..."`), by libp11. The module
 * lives in the gate's process and the key stays in the token: whoever breaks the gate can have it
 * sign while inside, and take nothing along. It is opened once; SIGHUP does not change it.
 */
#ifndef GATE_TOKEN_KEY_H
#define GATE_TOKEN_KEY_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "config/config.h"

/* Does the configuration name a key in a token? */
bool token_key_is_wanted(const struct config_gate *gate);
/*
 * INVALID_ARGUMENT for a URI that is none or names not one token and one key, TOKEN_DOWN when the
 * module fails, PIN_REFUSED. The key lasts as long as the process.
 */
enum mikeyd_status token_key_open(const struct config_gate *gate, EVP_PKEY **out,
                                  struct error *err);

#endif
