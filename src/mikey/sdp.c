/* The a=key-mgmt attribute (RFC 4567 3.1, RFC Editor erratum 809). */
#include "mikey/sdp.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

static const char lead[] = "a=key-mgmt:mikey ";

size_t mikey_sdp_size(size_t len)
{
    return sizeof lead - 1 + base64_size(len);
}

void mikey_sdp_format(const uint8_t *message, size_t len, char *out)
{
    memcpy(out, lead, sizeof lead - 1);
    base64_encode(message, len, out + sizeof lead - 1);
}

struct cursor {
    const char *at;
    size_t left;
};

static bool skip(struct cursor *c, const char *text)
{
    size_t len = strlen(text);
    if (c->left < len || strncmp(c->at, text, len) != 0)
        return false;
    c->at += len;
    c->left -= len;
    return true;
}

enum mikeyd_status mikey_sdp_parse(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                   size_t *len, struct error *err)
{
    struct cursor c = {.at = text, .left = text_len};
    *len = 0;
    while (c.left > 0 && (c.at[c.left - 1] == '\n' || c.at[c.left - 1] == '\r'))
        c.left--;
    bool a = skip(&c, "a=");
    bool key_mgmt = skip(&c, "key-mgmt:");
    if (a && !key_mgmt)
        return error_set(err, MIKEYD_SYNTAX, "not a key-mgmt attribute");
    if (key_mgmt) {
        (void)skip(&c, " ");
        /* RFC 4567 9.3: the protocol identifier is case-sensitive. */
        if (!skip(&c, "mikey "))
            return error_set(err, MIKEYD_SYNTAX, "key-mgmt is not of protocol mikey");
    }
    if (c.left == 0)
        return error_set(err, MIKEYD_SYNTAX, "no base64 text");
    enum mikeyd_status status = base64_decode(c.at, c.left, out, cap, len, err);
    if (status != MIKEYD_OK)
        error_prefix(err, "key-mgmt data");
    return status;
}
