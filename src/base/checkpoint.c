#include "base/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"

size_t checkpoint_text(const struct checkpoint *checkpoint, char out[CHECKPOINT_TEXT_MAX])
{
    char chain[2 * sizeof checkpoint->chain + 1];
    char incarnation[2 * sizeof checkpoint->incarnation + 1];
    hex_encode(checkpoint->chain, sizeof checkpoint->chain, chain);
    hex_encode(checkpoint->incarnation, sizeof checkpoint->incarnation, incarnation);
    int len = snprintf(out, CHECKPOINT_TEXT_MAX,
                       "mikeyd audit checkpoint 2\n%" PRIu64 "\n%s\n%d\n%s\n%s\n%" PRIu64 "\n",
                       checkpoint->covers, chain, checkpoint->final ? 1 : 0, checkpoint->signer,
                       incarnation, checkpoint->uses);
    return len < 0 || len >= CHECKPOINT_TEXT_MAX ? 0 : (size_t)len;
}
