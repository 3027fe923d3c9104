/*
 * The ways to run MIKEY's PRF on a token (architecture: "sign" and "derive"), as const vtables.
 *
 * sign: the PRF by HMAC calls on the token (mikey_psk_by_hmac). The authentication key that results
 * goes back into the token for the MACs of the message, as one session object that lives until the
 * message keys are released; with `mac: host` OpenSSL computes them. derive: the encryption and the
 * authentication key of a message are made inside the token by SP 800-108 and never leave it; only
 * the salt, which is no key, comes from HMAC calls. All give the same bytes on the wire.
 *
 * For all of them psk->service is the worker's struct token_session and psk->blocks[] are struct
 * token_object.
 */
#ifndef KEYHOLDER_STRATEGY_H
#define KEYHOLDER_STRATEGY_H

#include "mikey/psk.h"

/* HMACs under the PSK in the token; under a key in clear by OpenSSL. */
extern const struct mikey_hmac_ops keyholder_hmac_token;

/* Strategy "sign": psk->hmac is keyholder_hmac_token. For `mac: host`: mikey_psk_by_hmac. */
extern const struct mikey_psk_ops keyholder_psk_sign;

/* Strategy "derive": for a PSK of one block on a token with token_facts.prf_derive. */
extern const struct mikey_psk_ops keyholder_psk_derive;

#endif
