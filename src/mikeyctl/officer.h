/* An officer at work: the private key, in a file or in a token, and what is signed with it. */
#ifndef MIKEYCTL_OFFICER_H
#define MIKEYCTL_OFFICER_H

#include "config/config_officers.h"
#include "officers/officers.h"

struct officer_options {
    const char *name;     /* --officer */
    const char *key;      /* --key: a PEM file or "pkcs11:..." */
    const char *pin_file; /* --pin-file: of the token, or the passphrase of the PEM; or NULL */
    const char *module;   /* --module: of a pkcs11: key */
};

/* The private key; EVP_PKEY_free() it. INVALID_ARGUMENT when it is none that officers have. */
enum mikeyd_status officer_open_key(const struct officer_options *options, EVP_PKEY **out,
                                    struct error *err);
/* Signs a text and looks at the signature with the key's public part. base64 has room for 4/3 of
 * OFFICER_SIGNATURE_MAX and a terminator. */
#define OFFICER_BASE64_MAX (4 * ((OFFICER_SIGNATURE_MAX + 2) / 3) + 1)
enum mikeyd_status officer_sign_text(EVP_PKEY *key, const char *text,
                                     char base64[OFFICER_BASE64_MAX], struct error *err);

#endif
