#include "base/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "base/text.h"

size_t checkpoint_text(const struct checkpoint_claim *claim, char out[CHECKPOINT_TEXT_MAX])
{
    char chain[2 * sizeof claim->chain + 1], head[2 * sizeof claim->head + 1];
    hex_encode(claim->chain, sizeof claim->chain, chain);
    hex_encode(claim->head, sizeof claim->head, head);
    int len = snprintf(
        out, CHECKPOINT_TEXT_MAX, "mikeyd audit checkpoint %d\n%" PRIu64 "\n%s\n%s\n",
        claim->counted ? CHECKPOINT_FORM_COUNTED : CHECKPOINT_FORM, claim->covers, chain, head);
    if (len > 0 && claim->counted) {
        char holder[2 * sizeof claim->holder + 1];
        hex_encode(claim->holder, sizeof claim->holder, holder);
        len += snprintf(out + len, CHECKPOINT_TEXT_MAX - (size_t)len, "%s\n%" PRIu64 "\n", holder,
                        claim->uses);
    }
    return len < 0 ? 0 : (size_t)len;
}

enum mikeyd_status checkpoint_digest(const struct checkpoint_claim *claim, uint8_t digest[32],
                                     struct error *err)
{
    char text[CHECKPOINT_TEXT_MAX];
    if (EVP_Q_digest(NULL, "SHA256", NULL, text, checkpoint_text(claim, text), digest, NULL) != 1)
        return error_set(err, MIKEYD_INTERNAL, "SHA-256 failed");
    return MIKEYD_OK;
}
