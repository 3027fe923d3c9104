/*
 * A call's media: RTP comes in at the plain side and goes out as SRTP at the secure side, and back.
 * A packet leaves the secure side protected or not at all.
 */
#ifndef SBC_MEDIA_H
#define SBC_MEDIA_H

#include <netinet/in.h>
#include <sofia-sip/su_wait.h>

#include "rtp_rewrite.h"
#include "secure_stream.h"

/* Of all calls; for the counts at the end. */
struct media_counts {
    unsigned long plain_in, protected_out; /* towards the other SBC */
    unsigned long authentic_in, plain_out; /* from the other SBC */
    unsigned long by_new_key;              /* of authentic_in: under a key that came by an update */
    unsigned long refused;                 /* from the other SBC, and not authentic */
    unsigned long not_sent;                /* libsrtp2 or the network refused */
};

struct media_side {
    int fd;
    int registration; /* in the event loop; 0: packets wait in the socket */
    struct sockaddr_in own, peer;
};

struct media {
    su_root_t *root;
    struct media_counts *counts;
    struct media_side plain, secure;
    struct secure_stream send, receive;
    struct rtp_rewrite rewrite;
    bool updated;                     /* the receiving key came by an update */
    void (*new_key_seen)(void *user); /* the other end sends by the newest key: once for each key */
    void *user;
};

/* Two sockets with even ports. false: there are none, nothing is open. */
bool media_open(struct media *media, su_root_t *root, struct in_addr plain, struct in_addr secure);
/* From now on packets pass: both peers are known and both streams have a key. Packets that came earlier have waited. */
bool media_start(struct media *media);
void media_close(struct media *media);

#endif
