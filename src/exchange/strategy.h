/*
 * The ways to run MIKEY's PRF on a token (architecture: "sign" and "derive"), as const vtables.
 *
 * sign: mikey_psk_by_hmac over one of the HMAC services below. derive: the encryption and the
 * authentication key of a message are made inside the token by SP 800-108 and never leave it; only
 * the salt, which is no key, comes from HMAC calls. Both give the same bytes on the wire.
 *
 * For all of them psk->service is the worker's struct token_session and psk->blocks[] are struct
 * token_object.
 */
#ifndef EXCHANGE_STRATEGY_H
#define EXCHANGE_STRATEGY_H

#include "mikey/psk.h"
#include "policy/policy.h"

/* HMACs under the PSK in the token; the MAC of the message there too, or (mac: host) by OpenSSL. */
extern const struct mikey_hmac_ops exchange_hmac_token;
extern const struct mikey_hmac_ops exchange_hmac_mac_on_host;

/* Strategy "derive": for a PSK of one block on a token with token_facts.prf_derive. */
extern const struct mikey_psk_ops exchange_psk_derive;

#endif
