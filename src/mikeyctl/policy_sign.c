/* mikeyctl policy sign: an officer's signature beside a policy. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "mikeyctl/policy_command.h"
#include "officers/signed_policy.h"

#define SECURE_HEAP (1u << 16)

/* Whole or not at all, in the place of an earlier one: who signs a changed policy signs anew. */
static enum mikeyd_status write_signature(const char *path, const char *base64, struct error *err)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: path too long", path);
    const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", part, strerror(errno));
    const bool written = dprintf(fd, "%s\n", base64) > 0 && fsync(fd) == 0;
    const int why = errno;
    if (close(fd) == 0 && written && rename(part, path) == 0)
        return MIKEYD_OK;
    (void)unlink(part);
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(written ? errno : why));
}

static enum mikeyd_status sign(const struct policy *policy, const struct officer_options *officer,
                               const char *path, char fingerprint[OFFICER_FINGERPRINT],
                               struct error *err)
{
    char statement[POLICY_STATEMENT_MAX], base64[OFFICER_BASE64_MAX];
    EVP_PKEY *key = NULL;
    enum mikeyd_status status = policy_statement(policy, officer->name, statement, err);
    if (status == MIKEYD_OK)
        status = officer_open_key(officer, &key, err);
    if (status == MIKEYD_OK)
        status = officer_key_fingerprint(key, fingerprint, err);
    if (status == MIKEYD_OK)
        status = officer_sign_text(key, statement, base64, err);
    if (status == MIKEYD_OK)
        status = write_signature(path, base64, err);
    EVP_PKEY_free(key);
    return status;
}

static int print_signed(const struct policy *policy, const char *officer, const char *path,
                        const char *fingerprint, bool json)
{
    if (json)
        return ctl_print(json_pack(
            "{s:s, s:s, s:s, s:I, s:s}", "officer", officer, "key", fingerprint, "signature", path,
            "serial", (json_int_t)policy_serial(policy), "sha256", policy_sha256(policy)));
    (void)printf("%s signed serial %" PRIu64 ", SHA-256 %s\n  by the key %s\n  in %s\n", officer,
                 policy_serial(policy), policy_sha256(policy), fingerprint, path);
    return 0;
}

int policy_command_sign(const char *file, const struct officer_options *officer, bool json)
{
    struct error err = {0};
    struct policy *policy = NULL;
    char path[PATH_MAX], fingerprint[OFFICER_FINGERPRINT] = "";
    enum mikeyd_status status = secret_heap_init(SECURE_HEAP, &err);
    if (status == MIKEYD_OK)
        status = secret_process_harden(&err);
    /* A policy with errors would be signed for nothing. */
    if (status == MIKEYD_OK)
        status = policy_load(file, &policy, &err);
    if (status == MIKEYD_OK)
        status = policy_signature_path(file, officer->name, path, sizeof path, &err);
    if (status == MIKEYD_OK)
        status = sign(policy, officer, path, fingerprint, &err);
    const int result = status == MIKEYD_OK
                           ? print_signed(policy, officer->name, path, fingerprint, json)
                           : ctl_fail(json, &err);
    policy_unref(policy);
    return result;
}
