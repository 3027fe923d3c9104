/* SDP and RTSP around an exchange: the message out of a description, and into one (RFC 4567). */
#ifndef MIKEYCTL_EXCHANGE_SDP_H
#define MIKEYCTL_EXCHANGE_SDP_H

#include <mikeyd/client.h>

#include "mikey/sdp.h"

/* A message or reply argument; exchange_message_clear(). */
struct exchange_message {
    uint8_t *data;
    size_t len;
    size_t level; /* where it stood: 0 session, n the n-th m= line */
    char protocols[MIKEY_SDP_PROTOCOLS_MAX];
    bool protocols_differ;
};
/* Reads base64, hexadecimal, SDP or a KeyMgmt header, or @FILE of these; media: the m= line whose
 * message is meant, 0 for the only one. */
enum mikeyd_status exchange_message_read(const char *argument, size_t media,
                                         struct exchange_message *out, struct error *err);
void exchange_message_clear(struct exchange_message *message);

/* Where the result goes: the options --into, --media, --rtsp. */
struct exchange_place {
    const char *into; /* SDP or @FILE; NULL: nowhere */
    const char *uri;  /* of --rtsp; NULL: none */
    size_t media;
};
/* What the offer names once mikey's line is in the description; NULL: there is none. free() it. */
enum mikeyd_status exchange_place_protocols(const struct exchange_place *place, char **out,
                                            struct error *err);
/*
 * The description with the exchange's line (else the line alone), and the header, each NULL where
 * nobody asked for it or there is no message. free() both, whatever it returns.
 */
enum mikeyd_status exchange_place_write(const struct exchange_place *place, bool sdp,
                                        const mikeyd_exchange *exchange, char **description,
                                        char **header, struct error *err);

#endif
