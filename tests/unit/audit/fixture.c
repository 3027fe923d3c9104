#include "fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

static enum mikeyd_status sign(void *context, struct checkpoint_claim *claim, uint8_t *signature,
                               size_t *len, struct error *err)
{
    struct fixture *fixture = context;
    uint8_t digest[32];
    cr_assert_eq(checkpoint_digest(claim, digest, err), MIKEYD_OK);
    if (fixture->signer_fails)
        return error_set(err, MIKEYD_TOKEN_DOWN, "CKR_DEVICE_REMOVED");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(fixture->key, NULL);
    cr_assert(EVP_PKEY_sign_init(ctx) == 1);
    cr_assert(EVP_PKEY_sign(ctx, signature, len, digest, 32) == 1);
    EVP_PKEY_CTX_free(ctx);
    return MIKEYD_OK;
}

void fixture_make(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/mikeyd-audit-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/audit.jsonl", fixture->folder);
    (void)snprintf(fixture->key_path, sizeof fixture->key_path, "%s/key.pem", fixture->folder);
    fixture->key = EVP_EC_gen("P-256");
    cr_assert_not_null(fixture->key);
    FILE *file = fopen(fixture->key_path, "w");
    cr_assert_not_null(file);
    cr_assert(PEM_write_PUBKEY(file, fixture->key) == 1);
    (void)fclose(file);
    fixture->signer =
        (struct audit_signer){.context = fixture, .sign = sign, .key_label = "mikeyd/audit/main/1"};
}

void fixture_drop(struct fixture *fixture)
{
    DIR *listing = opendir(fixture->folder);
    cr_assert_not_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(listing), entry->d_name, 0);
    }
    (void)closedir(listing);
    (void)rmdir(fixture->folder);
    EVP_PKEY_free(fixture->key);
}

struct audit_log *fixture_open(struct fixture *fixture, const struct audit_options *options)
{
    struct audit_options defaults = {.signer = &fixture->signer};
    if (options != NULL)
        defaults = *options;
    defaults.path = fixture->path;
    struct audit_log *log = NULL;
    struct error err = {0};
    enum mikeyd_status status = audit_open(&defaults, &log, &err);
    cr_assert_eq(status, MIKEYD_OK, "%s", err.text);
    return log;
}

struct audit_record fixture_record(void)
{
    static const char from[] = "sip:sbc-a@carrier.example";
    static const char to[] = "sip:sbc-b@carrier.example";
    return (struct audit_record){
        .event = AUDIT_RESPOND,
        .client = "sbc-b",
        .from = {IDENTITY_URI, sizeof from - 1, (const uint8_t *)from},
        .to = {IDENTITY_URI, sizeof to - 1, (const uint8_t *)to},
        .has_csb_id = true,
        .csb_id = 0x0badcafe,
        .key = "core/1",
        .method = "psk",
        .algorithms = "mikey-256",
        .suites = "AEAD_AES_256_GCM",
        .prf = "sign",
        .keys = 1,
        .policy_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
}

uint64_t fixture_append(struct audit_log *log)
{
    const struct audit_record record = fixture_record();
    uint64_t sequence = 0;
    struct error err = {0};
    enum mikeyd_status status = audit_append(log, &record, &sequence, &err);
    cr_assert_eq(status, MIKEYD_OK, "%s", err.text);
    return sequence;
}

void fixture_write(struct fixture *fixture, unsigned records)
{
    struct audit_log *log = fixture_open(fixture, NULL);
    uint64_t last = 0;
    for (unsigned i = 0; i < records; i++)
        last = fixture_append(log);
    if (records > 0)
        cr_assert_eq(audit_wait(log, last, NULL), MIKEYD_OK);
    audit_close(log);
}

char *fixture_read(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    cr_assert_not_null(text);
    cr_assert_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    text[size] = '\0';
    (void)fclose(file);
    if (len != NULL)
        *len = (size_t)size;
    return text;
}

void fixture_replace(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, len, file), len);
    cr_assert_eq(fclose(file), 0);
}

char *fixture_line(char *text, unsigned n, size_t *len)
{
    while (n-- > 0) {
        text = strchr(text, '\n');
        cr_assert_not_null(text);
        text++;
    }
    char *end = strchr(text, '\n');
    cr_assert_not_null(end);
    *len = (size_t)(end - text) + 1;
    return text;
}

unsigned fixture_count_lines(const char *text)
{
    unsigned lines = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++)
        lines++;
    return lines;
}
