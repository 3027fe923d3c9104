/* Packets of a plain source become those of the SBC's own stream: one SSRC, one row of sequence numbers. */
#ifndef SBC_RTP_REWRITE_H
#define SBC_RTP_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER 12

struct rtp_rewrite {
    uint32_t ssrc;    /* of the SBC's stream */
    uint32_t highest; /* sequence number sent, with the rollover counter above its 16 bits */
    uint32_t source;  /* SSRC at the plain side */
    uint16_t offset;  /* own number minus the source's */
    bool begun;
};

/* first: the sequence number of the first packet. */
void rtp_rewrite_open(struct rtp_rewrite *rewrite, uint32_t ssrc, uint16_t first);
bool rtp_is_packet(const unsigned char *packet, size_t len);
/*
 * Another source in mid-call, such as an announcement after a transfer, may begin with any number. SRTP's
 * index would jump with it and the other end would lose the rollover counter: its packets go on from ours.
 */
void rtp_rewrite(struct rtp_rewrite *rewrite, unsigned char *packet);
/* The rollover counter that an update states (mikeyd_stream.roc). */
uint32_t rtp_rewrite_roc(const struct rtp_rewrite *rewrite);

#endif
