/*
 * What a token is and does, found by opening it as the daemon does: for whoever writes its entry of
 * mikeyd.yaml. Nothing is written to it: only session objects are made.
 */
#ifndef PKCS11_COMPAT_H
#define PKCS11_COMPAT_H

#include "pkcs11/token/profile.h"
#include "pkcs11/token/token.h"

enum token_copying {
    TOKEN_COPIES_UNTRIED, /* there is no key of ours to copy */
    TOKEN_COPIES_WORK,
    TOKEN_COPIES_REFUSED,
};

struct token_compat {
    struct token_facts facts; /* as they were; `module` points into the token_config */
    uint32_t told;            /* switches (profile.h) that the profile has on */
    uint32_t tried;           /* those that trying found beyond it */
    enum token_copying copies;
    unsigned sessions;              /* as many as the token gives of those wanted */
    bool aes_kwp, aes_kw, rsa_oaep; /* mechanisms that it offers for the transport of keys */
    bool p256, rsa;                 /* and for the signer of the audit log */
};

/*
 * One login, one PIN attempt. config->profile and ->switches hold for the trial, too: what a
 * profile says is not tried. Fails as token_open() does: a token that computes wrong is no token.
 */
enum mikeyd_status token_compat_probe(const struct token_config *config, struct token_compat *out,
                                      struct error *err);

#endif
