/* What the tests of the log share: a folder of their own, records, a signer with an OpenSSL key. */
#ifndef TEST_AUDIT_FIXTURE_H
#define TEST_AUDIT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "audit/audit.h"

struct fixture {
    char folder[64];
    char path[96];     /* folder/audit.jsonl */
    char key_path[96]; /* public key, PEM */
    EVP_PKEY *key;
    struct audit_signer signer;
    bool signer_fails;
};

void fixture_make(struct fixture *fixture);
void fixture_drop(struct fixture *fixture);

struct audit_log *fixture_open(struct fixture *fixture, const struct audit_options *options);
/* A release of one key from sbc-a to sbc-b; returns its number. Fails the test when refused. */
uint64_t fixture_append(struct audit_log *log);
/* Opens, appends `records` releases, waits for the last, closes. */
void fixture_write(struct fixture *fixture, unsigned records);
struct audit_record fixture_record(void);

/* A whole file, NUL terminated; free() it. */
char *fixture_read(const char *path, size_t *len);
void fixture_replace(const char *path, const char *text, size_t len);
/* The n-th line (from 0) with its newline; *len its length. */
char *fixture_line(char *text, unsigned n, size_t *len);
unsigned fixture_count_lines(const char *text);

#endif
