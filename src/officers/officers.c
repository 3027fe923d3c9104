#include "officers/officers.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct officer {
    const char *name; /* of the configuration */
    EVP_PKEY *key;
    char fingerprint[OFFICER_FINGERPRINT];
};

struct officers {
    struct officer *list;
    size_t count;
};

/* Who can write the file decides whose signature counts. */
static enum mikeyd_status open_key(const struct config_officer *officer, int *fd, struct error *err)
{
    struct stat info;
    *fd = open(officer->public_key, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "public key of officer %s: %s: %s",
                         officer->name, officer->public_key, strerror(errno));
    if (fstat(*fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 022) == 0)
        return MIKEYD_OK;
    (void)close(*fd);
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "public key of officer %s: %s: not a file that only its owner can write: "
                     "chmod go-w",
                     officer->name, officer->public_key);
}

static enum mikeyd_status read_key(const struct config_officer *officer, struct officer *out,
                                   struct error *err)
{
    int fd = -1;
    enum mikeyd_status status = open_key(officer, &fd, err);
    if (status != MIKEYD_OK)
        return status;
    BIO *file = BIO_new_fd(fd, BIO_CLOSE);
    if (file == NULL) {
        (void)close(fd);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    out->name = officer->name;
    out->key = PEM_read_bio_PUBKEY(file, NULL, NULL, NULL);
    (void)BIO_free(file);
    if (!officer_key_fits(out->key))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "public key of officer %s: %s: no public key in PEM that is " OFFICER_KEYS,
                         officer->name, officer->public_key);
    return officer_key_fingerprint(out->key, out->fingerprint, err);
}

/* One person with two names would be two signatures. */
static enum mikeyd_status refuse_twice(const struct officers *officers, struct error *err)
{
    for (size_t i = 0; i < officers->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (EVP_PKEY_eq(officers->list[i].key, officers->list[j].key) == 1)
                return error_set(err, MIKEYD_INVALID_ARGUMENT,
                                 "officers %s and %s have the same public key: each officer "
                                 "signs with a key of their own",
                                 officers->list[j].name, officers->list[i].name);
        }
    }
    return MIKEYD_OK;
}

enum mikeyd_status officers_load(const struct config *config, struct officers **out,
                                 struct error *err)
{
    *out = NULL;
    if (config->officer_count == 0)
        return MIKEYD_OK;
    struct officers *officers = calloc(1, sizeof *officers);
    if (officers != NULL)
        officers->list = calloc(config->officer_count, sizeof *officers->list);
    if (officers == NULL || officers->list == NULL) {
        officers_free(officers);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < config->officer_count && status == MIKEYD_OK; i++) {
        officers->count = i + 1;
        status = read_key(&config->officers[i], &officers->list[i], err);
    }
    if (status == MIKEYD_OK)
        status = refuse_twice(officers, err);
    if (status != MIKEYD_OK) {
        officers_free(officers);
        error_prefix(err, "%s", config->path);
        return status;
    }
    *out = officers;
    return MIKEYD_OK;
}

void officers_free(struct officers *officers)
{
    if (officers == NULL)
        return;
    for (size_t i = 0; i < officers->count; i++)
        EVP_PKEY_free(officers->list[i].key);
    free(officers->list);
    free(officers);
}

size_t officers_count(const struct officers *officers)
{
    return officers == NULL ? 0 : officers->count;
}

const char *officers_name(const struct officers *officers, size_t index)
{
    return officers->list[index].name;
}

const char *officers_fingerprint(const struct officers *officers, size_t index)
{
    return officers->list[index].fingerprint;
}

EVP_PKEY *officers_key(const struct officers *officers, size_t index)
{
    return officers->list[index].key;
}
