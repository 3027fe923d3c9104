#include "mikeyctl/officer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#include "base/private_file.h"
#include "base/secret.h"
#include "base/text.h"
#include "tls/tls_common.h"
#include "tls/token_key.h"

#define PASSPHRASE_MAX 256
#define WHY_MAX 200

/* The first line of --pin-file, or nothing: nobody is asked. */
static int give_passphrase(char *text, int size, int writing, void *context)
{
    const struct secret *passphrase = context;
    (void)writing;
    if (passphrase->data == NULL)
        return -1;
    const size_t len = strcspn((const char *)passphrase->data, "\n");
    if (len == 0 || len > (size_t)size)
        return -1;
    memcpy(text, passphrase->data, len);
    return (int)len;
}

static enum mikeyd_status read_file(const struct officer_options *options, EVP_PKEY **out,
                                    struct error *err)
{
    int fd = -1;
    struct stat info;
    char why[WHY_MAX];
    struct secret passphrase SECRET_CLEANUP = {0};
    enum mikeyd_status status = MIKEYD_OK;
    if (options->pin_file != NULL)
        status = private_file_read("passphrase file", options->pin_file, PASSPHRASE_MAX,
                                   &passphrase, err);
    if (status == MIKEYD_OK)
        status = private_file_open("private key", options->key, &fd, &info, err);
    if (status != MIKEYD_OK)
        return status;
    BIO *file = BIO_new_fd(fd, BIO_CLOSE);
    if (file == NULL) {
        (void)close(fd);
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    ERR_clear_error();
    *out = PEM_read_bio_PrivateKey(file, NULL, give_passphrase, &passphrase);
    (void)BIO_free(file);
    return *out != NULL
               ? MIKEYD_OK
               : error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "--key %s: no private key in PEM that opens (its passphrase comes from "
                           "--pin-file): %s",
                           options->key, tls_queue_reason("it is none", why, sizeof why));
}

static enum mikeyd_status open_in_token(const struct officer_options *options, EVP_PKEY **out,
                                        struct error *err)
{
    if (options->module == NULL || options->pin_file == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "--key pkcs11:... needs --module FILE and --pin-file FILE");
    const struct token_key_source source = {.what = "--key",
                                            .uri = options->key,
                                            .module = options->module,
                                            .pin_file = options->pin_file};
    return token_key_open(&source, out, err);
}

enum mikeyd_status officer_open_key(const struct officer_options *options, EVP_PKEY **out,
                                    struct error *err)
{
    *out = NULL;
    if (!config_officer_name_fits(options->name))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--officer %.80s: no name of an officer",
                         options->name);
    enum mikeyd_status status = token_key_is_uri(options->key) ? open_in_token(options, out, err)
                                                               : read_file(options, out, err);
    if (status == MIKEYD_OK && !officer_key_fits(*out)) {
        EVP_PKEY_free(*out);
        *out = NULL;
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--key %.100s: not " OFFICER_KEYS,
                         token_key_is_uri(options->key) ? "in the token" : options->key);
    }
    return status;
}

enum mikeyd_status officer_sign_text(EVP_PKEY *key, const char *text,
                                     char base64[OFFICER_BASE64_MAX], struct error *err)
{
    uint8_t signature[OFFICER_SIGNATURE_MAX];
    size_t len = sizeof signature;
    enum mikeyd_status status = officer_sign(key, text, signature, &len, err);
    if (status == MIKEYD_OK && !officer_verifies(key, text, signature, len))
        status = error_set(err, MIKEYD_TOKEN_DOWN, "the signature does not hold for the key");
    if (status == MIKEYD_OK)
        base64_encode(signature, len, base64);
    return status;
}
