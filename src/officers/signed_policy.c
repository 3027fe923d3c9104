#include "officers/signed_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define FILE_MAX ((size_t)512)

enum mikeyd_status policy_statement(const struct policy *policy, const char *officer,
                                    char out[POLICY_STATEMENT_MAX], struct error *err)
{
    if (policy_serial(policy) == 0)
        return error_set(err, MIKEYD_POLICY,
                         "the policy has no serial: add \"serial: 1\", and raise it with each "
                         "change");
    (void)snprintf(out, POLICY_STATEMENT_MAX,
                   "mikeyd policy signature 1\n"
                   "serial %" PRIu64 "\n"
                   "sha256 %s\n"
                   "officer %s\n",
                   policy_serial(policy), policy_sha256(policy), officer);
    return MIKEYD_OK;
}

enum mikeyd_status policy_signature_path(const char *policy, const char *officer, char *out,
                                         size_t size, struct error *err)
{
    if ((size_t)snprintf(out, size, "%s.%s.sig", policy, officer) < size)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "the signature of %s: path too long", officer);
}

/* ---- who signed */

/* One line of base64. */
static enum policy_signature read_signature(const char *path, uint8_t *out, size_t *len)
{
    char text[FILE_MAX];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? POLICY_NOT_SIGNED : POLICY_SIGNATURE_UNREAD;
    const ssize_t got = read(fd, text, sizeof text);
    (void)close(fd);
    if (got < 0)
        return POLICY_SIGNATURE_UNREAD;
    size_t text_len = (size_t)got;
    if (text_len > 0 && text[text_len - 1] == '\n')
        text_len--;
    return base64_decode(text, text_len, out, OFFICER_SIGNATURE_MAX, len, NULL) == MIKEYD_OK
               ? POLICY_SIGNED
               : POLICY_SIGNED_WRONGLY;
}

static enum policy_signature look_at_one(const char *path, const struct policy *policy,
                                         const char *name, EVP_PKEY *key)
{
    char file[PATH_MAX], statement[POLICY_STATEMENT_MAX];
    uint8_t signature[OFFICER_SIGNATURE_MAX];
    size_t len = 0;
    if (policy_signature_path(path, name, file, sizeof file, NULL) != MIKEYD_OK)
        return POLICY_SIGNATURE_UNREAD;
    enum policy_signature found = read_signature(file, signature, &len);
    if (found != POLICY_SIGNED)
        return found;
    if (policy_statement(policy, name, statement, NULL) != MIKEYD_OK)
        return POLICY_SIGNED_WRONGLY;
    return officer_verifies(key, statement, signature, len) ? POLICY_SIGNED : POLICY_SIGNED_WRONGLY;
}

void policy_look_for_signers(const char *path, const struct policy *policy,
                             const struct officers *officers, struct policy_signers *out)
{
    *out = (struct policy_signers){.count = 0};
    for (size_t i = 0; i < officers_count(officers); i++) {
        const char *name = officers_name(officers, i);
        out->by[i] = look_at_one(path, policy, name, officers_key(officers, i));
        if (out->by[i] != POLICY_SIGNED)
            continue;
        const size_t used = strlen(out->text);
        (void)snprintf(out->text + used, sizeof out->text - used, "%s%s %s",
                       out->count == 0 ? "" : ", ", name, officers_fingerprint(officers, i));
        out->count++;
    }
}

/* ---- enough of them, and not an older one */

const char *policy_signature_text(enum policy_signature signature)
{
    static const char *const texts[] = {
        [POLICY_SIGNED] = "signed",
        [POLICY_NOT_SIGNED] = "is not there",
        [POLICY_SIGNATURE_UNREAD] = "cannot be read",
        [POLICY_SIGNED_WRONGLY] = "is not over this file, or not by that officer's key",
    };
    return texts[signature];
}

/* The officer whose signature tells most about why it is not enough: one that is wrong before one
 * that is missing. */
static void name_one(const struct config *config, const struct policy_signers *signers,
                     const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    out[0] = '\0';
    for (unsigned wanted = POLICY_SIGNED_WRONGLY; wanted > POLICY_SIGNED; wanted--) {
        for (size_t i = 0; i < config->officer_count && out[0] == '\0'; i++) {
            if (signers->by[i] == wanted)
                (void)snprintf(out, size, "%s.%s.sig %s", slash == NULL ? path : slash + 1,
                               config->officers[i].name, policy_signature_text(wanted));
        }
    }
}

enum mikeyd_status signed_policy_check(const struct config *config, const char *path,
                                       const struct policy *policy,
                                       const struct policy_signers *signers, struct error *err)
{
    char one[120];
    if (config->officer_count == 0 && policy_signatures_required(policy))
        return error_set(
            err, MIKEYD_POLICY,
            "%.60s: \"signatures: required\", but %.60s has no officers: add officers: "
            "and policy_signatures: there, and mikeyctl policy sign",
            path, config->path);
    if (config->officer_count == 0)
        return MIKEYD_OK;
    if (policy_serial(policy) == 0)
        return error_set(
            err, MIKEYD_POLICY,
            "%.100s has no serial, which a signed policy needs: add \"serial: 1\", and "
            "raise it with each change",
            path);
    if (signers->count >= config->policy_signatures)
        return MIKEYD_OK;
    name_one(config, signers, path, one, sizeof one);
    return error_set(err, MIKEYD_POLICY,
                     "%.60s is signed by %u officers, %u are needed: %s: mikeyctl policy sign",
                     path, signers->count, config->policy_signatures, one);
}

/* An older policy has good signatures, too. Two with one serial would have no order. */
static enum mikeyd_status check_serial(const struct config *config, const struct policy *policy,
                                       const struct audit_policy_mark *last, struct error *err)
{
    const uint64_t serial = policy_serial(policy);
    if (config->officer_count == 0 || last->serial == 0 || serial > last->serial ||
        (serial == last->serial && strcmp(policy_sha256(policy), last->sha256) == 0))
        return MIKEYD_OK;
    if (serial == last->serial)
        return error_set(err, MIKEYD_POLICY,
                         "%.80s is another policy under serial %" PRIu64
                         ", which was loaded before: raise its serial and have it signed again",
                         config->policy, serial);
    return error_set(err, MIKEYD_POLICY,
                     "%.80s has serial %" PRIu64 ", and serial %" PRIu64
                     " was loaded before: an older policy is not taken; raise its serial and have "
                     "it signed again",
                     config->policy, serial, last->serial);
}

enum mikeyd_status signed_policy_load(const struct config *config, const struct officers *officers,
                                      const struct audit_policy_mark *last, struct policy **out,
                                      struct policy_signers *signers, struct error *err)
{
    *signers = (struct policy_signers){.count = 0};
    enum mikeyd_status status = policy_load(config->policy, out, err);
    if (status != MIKEYD_OK)
        return status;
    policy_look_for_signers(config->policy, *out, officers, signers);
    status = signed_policy_check(config, config->policy, *out, signers, err);
    if (status == MIKEYD_OK)
        status = check_serial(config, *out, last, err);
    if (status != MIKEYD_OK) {
        policy_unref(*out);
        *out = NULL;
    }
    return status;
}

uint64_t signed_policy_serial(const struct config *config, const struct policy *policy)
{
    return config->officer_count == 0 ? 0 : policy_serial(policy);
}
