#include "tls/token_key.h"

#include <libp11.h>
#include <openssl/err.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <string.h>

#include "base/private_file.h"
#include "base/secret.h"
#include "tls/tls_common.h"

#define SCHEME "pkcs11:"
#define PIN_MAX 256
#define WHY_MAX 200

/* What the URI names. */
struct wanted {
    P11KitUri *uri;
    const CK_TOKEN_INFO *token;
    const CK_ATTRIBUTE *label, *id; /* of the key; one of them may be NULL */
};

/* Never released: unloading libp11's context would end the module under the key. */
static struct {
    PKCS11_CTX *context;
    PKCS11_SLOT *slots;
    EVP_PKEY *key;
} kept;

bool token_key_is_uri(const char *key)
{
    return key != NULL && strncmp(key, SCHEME, strlen(SCHEME)) == 0;
}

static enum mikeyd_status fail(const struct token_key_source *source, enum mikeyd_status status,
                               const char *what, struct error *err)
{
    char why[WHY_MAX];
    return error_set(err, status, "%s in the token: %s: %s", source->what, what,
                     tls_queue_reason("no reason given", why, sizeof why));
}

/* The URI is never quoted: it might hold a PIN. */
static enum mikeyd_status read_uri(const struct token_key_source *source, struct wanted *out,
                                   struct error *err)
{
    out->uri = p11_kit_uri_new();
    if (out->uri == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (p11_kit_uri_parse(source->uri, P11_KIT_URI_FOR_ANY, out->uri) != P11_KIT_URI_OK ||
        p11_kit_uri_any_unrecognized(out->uri))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: not a pkcs11: URI (RFC 7512)",
                         source->what);
    if (p11_kit_uri_get_pin_value(out->uri) != NULL || p11_kit_uri_get_pin_source(out->uri) != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%s: a PIN in the URI is refused: it comes from a file", source->what);
    out->token = p11_kit_uri_get_token_info(out->uri);
    out->label = p11_kit_uri_get_attribute(out->uri, CKA_LABEL);
    out->id = p11_kit_uri_get_attribute(out->uri, CKA_ID);
    if ((out->token->label[0] == '\0' && out->token->serialNumber[0] == '\0') ||
        (out->label == NULL && out->id == NULL))
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%s: the URI names a token (token= or serial=) and a key in it "
                         "(object= or id=)",
                         source->what);
    return MIKEYD_OK;
}

/* A field of CK_TOKEN_INFO is padded with blanks; one that begins with a zero is not asked for. */
static bool same_field(const unsigned char *field, size_t cap, const char *text)
{
    size_t len = cap;
    if (field[0] == '\0')
        return true;
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
        len--;
    return text != NULL && strlen(text) == len && strncmp(text, (const char *)field, len) == 0;
}

static bool is_token(const struct wanted *wanted, const PKCS11_SLOT *slot)
{
    const CK_TOKEN_INFO *info = wanted->token;
    const PKCS11_TOKEN *token = slot->token;
    return token != NULL && same_field(info->label, sizeof info->label, token->label) &&
           same_field(info->serialNumber, sizeof info->serialNumber, token->serialnr) &&
           same_field(info->manufacturerID, sizeof info->manufacturerID, token->manufacturer) &&
           same_field(info->model, sizeof info->model, token->model);
}

static bool is_key(const struct wanted *wanted, const PKCS11_KEY *key)
{
    if (wanted->label != NULL &&
        (key->label == NULL || strlen(key->label) != wanted->label->ulValueLen ||
         strncmp(key->label, wanted->label->pValue, wanted->label->ulValueLen) != 0))
        return false;
    return wanted->id == NULL ||
           (key->id_len == wanted->id->ulValueLen &&
            memcmp(key->id, wanted->id->pValue, key->id_len) == 0); /* public */
}

static enum mikeyd_status find_slot(const struct token_key_source *source,
                                    const struct wanted *wanted, PKCS11_SLOT **out,
                                    struct error *err)
{
    unsigned count = 0, found = 0;
    kept.context = PKCS11_CTX_new();
    if (kept.context == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (PKCS11_CTX_load(kept.context, source->module) != 0 ||
        PKCS11_enumerate_slots(kept.context, &kept.slots, &count) != 0)
        return fail(source, MIKEYD_TOKEN_DOWN, source->module, err);
    for (unsigned i = 0; i < count; i++) {
        if (is_token(wanted, &kept.slots[i]) && ++found == 1)
            *out = &kept.slots[i];
    }
    if (found != 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: the URI names %u tokens", source->what,
                         found);
    return MIKEYD_OK;
}

static enum mikeyd_status log_in(const struct token_key_source *source, PKCS11_SLOT *slot,
                                 struct error *err)
{
    struct secret pin SECRET_CLEANUP = {0};
    enum mikeyd_status status = private_file_read("PIN file", source->pin_file, PIN_MAX, &pin, err);
    if (status != MIKEYD_OK)
        return status;
    char *text = (char *)pin.data;
    text[strcspn(text, "\n")] = '\0';
    ERR_clear_error();
    if (PKCS11_login(slot, 0, text) == 0)
        return MIKEYD_OK;
    const int reason = ERR_GET_REASON(ERR_peek_last_error());
    return fail(source,
                reason == CKR_PIN_INCORRECT || reason == CKR_PIN_LOCKED ? MIKEYD_PIN_REFUSED
                                                                        : MIKEYD_TOKEN_DOWN,
                "login", err);
}

static enum mikeyd_status take_key(const struct token_key_source *source,
                                   const struct wanted *wanted, PKCS11_SLOT *slot, EVP_PKEY **out,
                                   struct error *err)
{
    PKCS11_KEY *keys = NULL, *key = NULL;
    unsigned count = 0, found = 0;
    if (PKCS11_enumerate_keys(slot->token, &keys, &count) != 0)
        return fail(source, MIKEYD_TOKEN_DOWN, "its list of keys", err);
    for (unsigned i = 0; i < count; i++) {
        if (is_key(wanted, &keys[i]) && ++found == 1)
            key = &keys[i];
    }
    if (found != 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%s: the URI names %u private keys of the token", source->what, found);
    *out = kept.key = PKCS11_get_private_key(key);
    return *out != NULL ? MIKEYD_OK : fail(source, MIKEYD_TOKEN_DOWN, "a private key", err);
}

enum mikeyd_status token_key_open(const struct token_key_source *source, EVP_PKEY **out,
                                  struct error *err)
{
    struct wanted wanted = {0};
    PKCS11_SLOT *slot = NULL;
    enum mikeyd_status status = read_uri(source, &wanted, err);
    if (status == MIKEYD_OK)
        status = find_slot(source, &wanted, &slot, err);
    if (status == MIKEYD_OK)
        status = log_in(source, slot, err);
    if (status == MIKEYD_OK)
        status = take_key(source, &wanted, slot, out, err);
    p11_kit_uri_free(wanted.uri);
    return status;
}
