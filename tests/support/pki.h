/* A certification authority for one test: its certificates and revocation list, in files. What
 * fails, fails the test. */
#ifndef TESTS_PKI_H
#define TESTS_PKI_H

#include <openssl/x509.h>

#define PKI_PATH 192

struct pki {
    char dir[PKI_PATH], name[32];
    EVP_PKEY *key;
    X509 *certificate;
    X509_CRL *revoked;
    long serial;
};

/* Writes DIR/NAME.pem. */
void pki_make(struct pki *pki, const char *dir, const char *name);
void pki_free(struct pki *pki);
/*
 * A certificate with these subject alternative names ("DNS:a,URI:b:c"), valid from now + start to
 * now + end (seconds): DIR/NAME.crt, and its private key DIR/NAME.key. Returns its serial number.
 */
long pki_issue(struct pki *pki, const char *name, const char *names, long start, long end);
/* The same for a key that is elsewhere: its public part is enough. */
long pki_issue_for(struct pki *pki, EVP_PKEY *key, const char *name, const char *names, long start,
                   long end);
void pki_revoke(struct pki *pki, long serial);
/* Writes DIR/NAME.crl, valid for `end` seconds. */
void pki_write_list(struct pki *pki, long end);

#endif
