#include "gate/name.h"

#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

static bool all_of(const uint8_t *text, size_t len, const char *more)
{
    for (size_t i = 0; i < len; i++) {
        const uint8_t c = text[i];
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(more, c) == NULL))
            return false;
    }
    return true;
}

/* RFC 3986: the characters of a URI, which begins with a scheme, so that none is a DNS name too. */
static bool is_uri(const uint8_t *text, size_t len)
{
    const uint8_t *colon = memchr(text, ':', len);
    return colon != NULL && colon != text && all_of(text, len, "-._~:/?#[]@!$&'()*+,;=%");
}

static bool is_host(const uint8_t *text, size_t len)
{
    return all_of(text, len, "-._");
}

/* The one name of that type; *count tells how many there are. */
static const ASN1_IA5STRING *only_of_type(const GENERAL_NAMES *names, int type, unsigned *count)
{
    const ASN1_IA5STRING *found = NULL;
    *count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != type)
            continue;
        found = name->d.ia5;
        ++*count;
    }
    return found;
}

static enum mikeyd_status take(const ASN1_IA5STRING *name, bool uri, char *out, struct error *err)
{
    const uint8_t *text = ASN1_STRING_get0_data(name);
    const int len = ASN1_STRING_length(name);
    if (len < 1 || len > NAME_MAX_LEN)
        return error_set(err, MIKEYD_NOT_ENTITLED,
                         "the certificate's name has %d bytes, 1 to %d are possible", len,
                         NAME_MAX_LEN);
    if (!(uri ? is_uri(text, (size_t)len) : is_host(text, (size_t)len)))
        return error_set(err, MIKEYD_NOT_ENTITLED, "the certificate's %s is no plain name",
                         uri ? "URI" : "DNS name");
    for (int i = 0; i < len; i++)
        out[i] = (char)(!uri && text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
    out[len] = '\0';
    return MIKEYD_OK;
}

enum mikeyd_status name_of_certificate(const X509 *certificate, char out[NAME_MAX_LEN + 1],
                                       struct error *err)
{
    unsigned uris = 0, hosts = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const ASN1_IA5STRING *uri = only_of_type(names, GEN_URI, &uris);
    const ASN1_IA5STRING *host = only_of_type(names, GEN_DNS, &hosts);
    enum mikeyd_status status;
    if (uris == 1)
        status = take(uri, true, out, err);
    else if (uris == 0 && hosts == 1)
        status = take(host, false, out, err);
    else
        status = error_set(err, MIKEYD_NOT_ENTITLED,
                           "the certificate must have one subject alternative name of type URI, or "
                           "one of type DNS: it has %u and %u",
                           uris, hosts);
    GENERAL_NAMES_free(names);
    return status;
}
