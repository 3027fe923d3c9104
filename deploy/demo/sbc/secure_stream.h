/* One direction of a call's SRTP, by libsrtp2, with keys that change while it runs. */
#ifndef SBC_SECURE_STREAM_H
#define SBC_SECURE_STREAM_H

#include <mikeyd/libsrtp.h>

struct secure_stream {
    srtp_t srtp; /* NULL: no key yet */
    const struct mikeyd_srtp_key
        *newest; /* belongs to an exchange; nothing is sent or received without */
};

/*
 * The stream goes on with these keys; ROC and replay list stay. A sender gives its key alone, a receiver
 * also the one before as long as its packets may be under way. Both stay the exchange's: it must live
 * until the next call of this function. false: libsrtp2 does not take them, and the stream is closed.
 */
bool secure_stream_key(struct secure_stream *stream, const struct mikeyd_srtp_key *newest,
                       const struct mikeyd_srtp_key *before);
/* In place; room for SRTP_MAX_TRAILER_LEN more bytes is needed. */
bool secure_stream_protect(struct secure_stream *stream, unsigned char *packet, int *len);
/* In place. *by_newest: the packet is authentic, and under the newest key. */
bool secure_stream_unprotect(struct secure_stream *stream, unsigned char *packet, int *len,
                             bool *by_newest);
/* libsrtp2 wipes its keys. */
void secure_stream_close(struct secure_stream *stream);

#endif
