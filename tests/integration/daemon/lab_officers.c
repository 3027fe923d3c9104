#include "lab_officers.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_key(const char *path, EVP_PKEY *key, bool private)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(private ? PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)
                         : PEM_write_PUBKEY(file, key),
                 1);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(chmod(path, private ? 0600 : 0644), 0);
}

void lab_officer_make(const struct lab *lab, const char *name, const char *type)
{
    char path[LAB_PATH * 2];
    EVP_PKEY *key = strcmp(type, "EC") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                            : EVP_PKEY_Q_keygen(NULL, NULL, type);
    cr_assert_not_null(key);
    (void)snprintf(path, sizeof path, "%s/%s.key", lab->dir, name);
    write_key(path, key, true);
    (void)snprintf(path, sizeof path, "%s/%s.pem", lab->dir, name);
    write_key(path, key, false);
    EVP_PKEY_free(key);
}

void lab_officers_configure(struct lab *lab, const char *const names[], unsigned signatures,
                            const char *more)
{
    char text[2048];
    int len = snprintf(text, sizeof text, "policy_signatures: %u\n%sofficers:\n", signatures, more);
    for (size_t i = 0; names[i] != NULL; i++)
        len += snprintf(text + len, sizeof text - (size_t)len,
                        "  - {name: %s, public_key: %s.pem}\n", names[i], names[i]);
    lab_write_config(lab, &(struct lab_config){.module = lab->token.module, .extra = text});
    cr_assert_eq(rename(lab->config, lab->ceremony), 0);
    lab_write_config(lab, &(struct lab_config){.extra = text});
}

void lab_policy_with_serial(struct lab *lab, unsigned serial, const char *text)
{
    char more[512];
    (void)snprintf(more, sizeof more, "serial: %u\n%s", serial, text);
    lab_write_policy(lab, more);
}

int lab_policy_sign(struct lab *lab, const char *officer, const char *key)
{
    char path[LAB_PATH * 2];
    (void)snprintf(path, sizeof path, "%s/%s.key", lab->dir, key);
    return lab_run(lab, (const char *const[]){MIKEYCTL_PROGRAM, "policy", "sign", lab->policy,
                                              "--officer", officer, "--key", path, NULL});
}

void lab_policy_signed_by(struct lab *lab, const char *officer)
{
    cr_assert_eq(lab_policy_sign(lab, officer, officer), 0);
}
