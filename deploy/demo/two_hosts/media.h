/* One direction of a call's media by libsrtp2, with keys that change while it runs. */
#ifndef DEMO_MEDIA_H
#define DEMO_MEDIA_H

#include <mikeyd/client.h>
#include <srtp2/srtp.h>

#define MEDIA_HEADER 12
#define MEDIA_PAYLOAD 160 /* 20 ms of G.711 */
#define MEDIA_CLEAR (MEDIA_HEADER + MEDIA_PAYLOAD)
#define MEDIA_PACKET (MEDIA_CLEAR + SRTP_MAX_TRAILER_LEN)
#define MEDIA_KEYS 2 /* the one in use, and the one before or after it */

struct media {
    srtp_t srtp;                             /* NULL: none yet */
    struct mikeyd_srtp_key keys[MEDIA_KEYS]; /* of one suite */
    char suite[40];
    unsigned count;
    unsigned packets; /* that went by */
};

/* The stream goes on with this key alone: how a sender switches. */
int media_use_key(struct media *media, const struct mikeyd_srtp_key *key);
/* Packets of this key are taken as well as those of the newest one so far: how a receiver waits. */
int media_add_key(struct media *media, const struct mikeyd_srtp_key *key);
/* Does the stream go on by this key already? */
bool media_uses_key(const struct media *media, const struct mikeyd_srtp_key *key);
/* The next packet, protected. packet: MEDIA_PACKET bytes. */
int media_protect(struct media *media, uint8_t *packet, int *len);
/* The packet that must come next, whole and unchanged. *newest: it was under the newest key. */
int media_unprotect(struct media *media, uint8_t *packet, int len, bool *newest);
/* Rollover counter of the packet that comes next. */
uint32_t media_roc(const struct media *media);
void media_close(struct media *media);
int demo_failed(const char *what, const char *why);

#endif
