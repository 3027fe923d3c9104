#include "support/pki.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

/* As operators do it: a reader sees the old file or the new one. */
struct fresh_file {
    char path[PKI_PATH + 64], fresh[PKI_PATH + 72];
    FILE *file;
};

static FILE *create(struct fresh_file *out, const struct pki *pki, const char *name,
                    const char *suffix, mode_t mode)
{
    (void)snprintf(out->path, sizeof out->path, "%s/%s.%s", pki->dir, name, suffix);
    (void)snprintf(out->fresh, sizeof out->fresh, "%s.new", out->path);
    out->file = fopen(out->fresh, "w");
    cr_assert_not_null(out->file);
    cr_assert_eq(chmod(out->fresh, mode), 0);
    return out->file;
}

static void put(struct fresh_file *file)
{
    cr_assert_eq(fclose(file->file), 0);
    cr_assert_eq(rename(file->fresh, file->path), 0);
}

static void write_certificate(const struct pki *pki, X509 *certificate, const char *name,
                              const char *suffix)
{
    struct fresh_file file;
    cr_assert_eq(PEM_write_X509(create(&file, pki, name, suffix, 0644), certificate), 1);
    put(&file);
}

static void extend(X509 *certificate, X509 *issuer, int type, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, type, value);
    cr_assert_not_null(extension, "%s", value);
    cr_assert_eq(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_certificate(struct pki *pki, EVP_PKEY *key, const char *name, long start,
                              long end)
{
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_NAME_new();
    cr_assert(certificate != NULL && subject != NULL);
    cr_assert_eq(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                            (const unsigned char *)name, -1, -1, 0),
                 1);
    cr_assert_eq(X509_set_version(certificate, 2), 1);
    cr_assert_eq(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++pki->serial), 1);
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notBefore(certificate), start));
    cr_assert_not_null(X509_gmtime_adj(X509_getm_notAfter(certificate), end));
    cr_assert_eq(X509_set_subject_name(certificate, subject), 1);
    cr_assert_eq(X509_set_pubkey(certificate, key), 1);
    X509_NAME_free(subject);
    return certificate;
}

void pki_make(struct pki *pki, const char *dir, const char *name)
{
    *pki = (struct pki){.key = EVP_EC_gen("P-256"), .revoked = X509_CRL_new()};
    cr_assert(pki->key != NULL && pki->revoked != NULL);
    (void)snprintf(pki->dir, sizeof pki->dir, "%s", dir);
    (void)snprintf(pki->name, sizeof pki->name, "%s", name);
    pki->certificate = make_certificate(pki, pki->key, name, -3600, 86400);
    X509 *own = pki->certificate;
    cr_assert_eq(X509_set_issuer_name(own, X509_get_subject_name(own)), 1);
    extend(own, own, NID_basic_constraints, "critical,CA:TRUE");
    extend(own, own, NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(own, own, NID_subject_key_identifier, "hash");
    cr_assert(X509_sign(own, pki->key, EVP_sha256()) > 0);
    write_certificate(pki, own, name, "pem");
}

void pki_free(struct pki *pki)
{
    EVP_PKEY_free(pki->key);
    X509_free(pki->certificate);
    X509_CRL_free(pki->revoked);
    *pki = (struct pki){0};
}

long pki_issue_for(struct pki *pki, EVP_PKEY *key, const char *name, const char *names, long start,
                   long end)
{
    X509 *certificate = make_certificate(pki, key, name, start, end);
    cr_assert_eq(X509_set_issuer_name(certificate, X509_get_subject_name(pki->certificate)), 1);
    extend(certificate, pki->certificate, NID_basic_constraints, "critical,CA:FALSE");
    extend(certificate, pki->certificate, NID_key_usage, "critical,digitalSignature");
    extend(certificate, pki->certificate, NID_ext_key_usage, "serverAuth,clientAuth");
    extend(certificate, pki->certificate, NID_authority_key_identifier, "keyid");
    if (names != NULL)
        extend(certificate, pki->certificate, NID_subject_alt_name, names);
    cr_assert(X509_sign(certificate, pki->key, EVP_sha256()) > 0);
    write_certificate(pki, certificate, name, "crt");
    X509_free(certificate);
    return pki->serial;
}

long pki_issue(struct pki *pki, const char *name, const char *names, long start, long end)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    cr_assert_not_null(key);
    struct fresh_file file;
    cr_assert_eq(
        PEM_write_PrivateKey(create(&file, pki, name, "key", 0600), key, NULL, NULL, 0, NULL, NULL),
        1);
    put(&file);
    const long serial = pki_issue_for(pki, key, name, names, start, end);
    EVP_PKEY_free(key);
    return serial;
}

void pki_revoke(struct pki *pki, long serial)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
    cr_assert(entry != NULL && number != NULL && now != NULL);
    cr_assert_eq(ASN1_INTEGER_set(number, serial), 1);
    cr_assert_eq(X509_REVOKED_set_serialNumber(entry, number), 1);
    cr_assert_eq(X509_REVOKED_set_revocationDate(entry, now), 1);
    cr_assert_eq(X509_CRL_add0_revoked(pki->revoked, entry), 1);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(now);
}

void pki_write_list(struct pki *pki, long end)
{
    ASN1_TIME *from = X509_gmtime_adj(NULL, -3600), *until = X509_gmtime_adj(NULL, end);
    struct fresh_file file;
    cr_assert(from != NULL && until != NULL);
    cr_assert_eq(X509_CRL_set_version(pki->revoked, 1), 1);
    cr_assert_eq(X509_CRL_set_issuer_name(pki->revoked, X509_get_subject_name(pki->certificate)),
                 1);
    cr_assert_eq(X509_CRL_set1_lastUpdate(pki->revoked, from), 1);
    cr_assert_eq(X509_CRL_set1_nextUpdate(pki->revoked, until), 1);
    (void)X509_CRL_sort(pki->revoked);
    cr_assert(X509_CRL_sign(pki->revoked, pki->key, EVP_sha256()) > 0);
    cr_assert_eq(PEM_write_X509_CRL(create(&file, pki, pki->name, "crl", 0644), pki->revoked), 1);
    put(&file);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
}
