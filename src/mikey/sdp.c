/* The a=key-mgmt attribute, written (RFC 4567 3.1, RFC Editor erratum 809). Read: sdp_read.c. */
#include "mikey/sdp.h"

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
