#include "rtp_rewrite.h"

#include <arpa/inet.h>
#include <string.h>

void rtp_rewrite_open(struct rtp_rewrite *rewrite, uint32_t ssrc, uint16_t first)
{
    *rewrite = (struct rtp_rewrite){.ssrc = ssrc, .highest = first};
}

/* Version 2, and no RTCP (RFC 5761 4). */
bool rtp_is_packet(const unsigned char *packet, size_t len)
{
    return len >= RTP_HEADER && packet[0] >> 6 == 2 && !(packet[1] >= 192 && packet[1] <= 223);
}

void rtp_rewrite(struct rtp_rewrite *rewrite, unsigned char *packet)
{
    uint16_t number;
    uint32_t ssrc;
    memcpy(&number, packet + 2, sizeof number);
    memcpy(&ssrc, packet + 8, sizeof ssrc);
    number = ntohs(number);
    if (!rewrite->begun || ssrc != rewrite->source) {
        const uint32_t next = rewrite->begun ? rewrite->highest + 1 : rewrite->highest;
        rewrite->offset = (uint16_t)(next - number);
        rewrite->source = ssrc;
        rewrite->highest = next;
        rewrite->begun = true;
    }
    const uint16_t own = (uint16_t)(number + rewrite->offset);
    /* Ahead of the highest by less than half a turn, also over the end of 16 bits: a new highest. */
    const int16_t ahead = (int16_t)(own - (uint16_t)rewrite->highest);
    if (ahead > 0)
        rewrite->highest += (uint16_t)ahead;
    const uint16_t number_out = htons(own);
    const uint32_t ssrc_out = htonl(rewrite->ssrc);
    memcpy(packet + 2, &number_out, sizeof number_out);
    memcpy(packet + 8, &ssrc_out, sizeof ssrc_out);
}

uint32_t rtp_rewrite_roc(const struct rtp_rewrite *rewrite)
{
    return rewrite->highest >> 16;
}
