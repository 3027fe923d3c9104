/*
 * libmikeyd: MIKEY in SDP and RTSP (RFC 4567). Reads descriptions, says whose message is whose and
 * what a new description changes, and writes the attribute and the header. Nothing here talks to
 * the daemon; mikeyd_client_error(NULL) has the sentence for a failure.
 *
 * A call, its hold and its re-keying, between A and B:
 *
 *   A                                                             B
 *   mikeyd_initiate(offer.sdp = true)
 *   mikeyd_sdp_put(offer, call, 0)
 *       INVITE, a=key-mgmt:mikey M1      ------------------->
 *                                              mikeyd_sdp_compare(NULL, M1): MIKEYD_SDP_RENEWED
 *                                              mikeyd_respond(answer.message = SDP, answer.sdp = true)
 *                                              mikeyd_sdp_put(answer, call, 0)
 *                                        <-------------------  200, a=key-mgmt:mikey R1
 *   mikeyd_confirm(ticket, SDP)
 *                     ====  SRTP  ====
 *       re-INVITE, a=sendonly, M1 again  ------------------->
 *                                              compare(M1, M1): MIKEYD_SDP_UNCHANGED, no key is
 *                                              made: SRTP contexts and their ROC go on
 *                                        <-------------------  200, a=recvonly, R1 again
 *   mikeyd_update(ticket, sdp = true)
 *       re-INVITE, a=key-mgmt:mikey M2   ------------------->
 *                                              compare(M1, M2): MIKEYD_SDP_UPDATED
 *                                              mikeyd_respond(answer.ticket = of the last exchange)
 *                                        <-------------------  200, a=key-mgmt:mikey R2
 *   mikeyd_confirm(ticket, SDP)
 *
 * An offer without a key for a line that had one is MIKEYD_SDP_REFUSED: answer 488, and go on as
 * before (RFC 4567 4.1.2). A program that gave up a line's SRTP context, while it was on hold or at
 * port 0, must not begin a new one under the old key: it asks for, or makes, an update first.
 *
 * With one message at session level, the n-th of its lines has the crypto sessions 2n-1 and 2n, one
 * for each direction, also while it is at port 0: give mikeyd_initiate() two streams for each line.
 * The initiator states the SSRC of the one it sends and leaves the other 0.
 */
#ifndef MIKEYD_SDP_H
#define MIKEYD_SDP_H

#include <mikeyd/client.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* ---- reading */

/* One description or KeyMgmt header. */
typedef struct mikeyd_sdp mikeyd_sdp;

/*
 * A whole SDP, lines of one, or an RTSP header "KeyMgmt: ...": line ends CRLF or LF, data folded or
 * not. MIKEYD_SYNTAX says what is wrong. A description without key-mgmt is read as well.
 */
enum mikeyd_status mikeyd_sdp_read(const char *text, size_t len, mikeyd_sdp **out);
/* NULL is allowed. */
void mikeyd_sdp_free(mikeyd_sdp *sdp);

/* A MIKEY message, as answer.message and mikeyd_confirm() take it. */
struct mikeyd_sdp_message {
    const uint8_t *data;
    size_t len;
    size_t level;    /* 0: of the session; n: of the n-th m= line */
    const char *uri; /* of a KeyMgmt header: what it is for; "" when it does not say */
    const void *reserved[2];
};

enum mikeyd_sdp_direction {
    MIKEYD_SDP_SENDRECV = 0,
    MIKEYD_SDP_SENDONLY = 1, /* hold (RFC 3264 8.4), also by c= of zeros */
    MIKEYD_SDP_RECVONLY = 2,
    MIKEYD_SDP_INACTIVE = 3
};

#define MIKEYD_SDP_NO_MESSAGE ((size_t)-1)

/* An m= line. */
struct mikeyd_sdp_media {
    const char *kind, *profile; /* "audio", "RTP/SAVP" */
    unsigned port;
    enum mikeyd_sdp_direction direction;
    bool disabled;  /* port 0, and not bundle-only (RFC 8843) */
    bool secure;    /* RTP/SAVP or RTP/SAVPF: without a message there is no key for it */
    size_t message; /* index of the message that applies, else MIKEYD_SDP_NO_MESSAGE */
    /* Its keys: mikeyd_srtp_key.cs from first_cs on, cs_count of them. 0 and 0: the message has
     * none for this line. */
    uint8_t first_cs, cs_count;
    const void *reserved[2];
};

/* Number of messages and of m= lines; the arrays live as long as sdp. What stands under a medium
 * wins over what stands at session level (RFC 4567 3.1). */
size_t mikeyd_sdp_messages(const mikeyd_sdp *sdp, const struct mikeyd_sdp_message **messages);
size_t mikeyd_sdp_media_lines(const mikeyd_sdp *sdp, const struct mikeyd_sdp_media **lines);
/*
 * All key management protocols that are offered, "mikey;keyp1" (RFC 4567 4.1.4): for
 * answer.protocols; "" for none. NULL when the levels offer different ones: no list protects such
 * an offer, and mikeyd_respond() refuses its text.
 */
const char *mikeyd_sdp_protocols(const mikeyd_sdp *sdp);

/* ---- what a new description changes */

enum mikeyd_sdp_change {
    MIKEYD_SDP_UNKEYED = 0,   /* no key before, none now */
    MIKEYD_SDP_UNCHANGED = 1, /* the keys go on, whatever else has changed */
    MIKEYD_SDP_UPDATED = 2,   /* mikeyd_respond() with the ticket of the last exchange */
    MIKEYD_SDP_RENEWED = 3,   /* mikeyd_respond() without a ticket: a new bundle */
    MIKEYD_SDP_REFUSED = 4 /* the line had a key and has none now, or gets that of another line */
};
/* For the media-th line (1 ...). before: what the same side said last; NULL: nothing. */
enum mikeyd_sdp_change mikeyd_sdp_compare(const mikeyd_sdp *before, const mikeyd_sdp *now,
                                          size_t media);

/* ---- writing */

/*
 * The description with the exchange's message in it, at session level (media 0) or under the
 * media-th m= line: in the place of the line for mikey that stands there, else before the lines for
 * other protocols, else at the end of the level. Nothing else changes. Answer at the level of the
 * offer. free() *out.
 */
enum mikeyd_status mikeyd_sdp_put(const char *sdp, size_t len, const mikeyd_exchange *exchange,
                                  size_t media, char **out);
/*
 * offer.protocols for a message that will be put there: what the description offers, with mikey.
 * MIKEYD_POLICY when its levels would then offer different protocols. free() *out.
 */
enum mikeyd_status mikeyd_sdp_offer_protocols(const char *sdp, size_t len, size_t media,
                                              char **out);
/*
 * "KeyMgmt: prot=mikey; uri="..."; data="..."" for RTSP (RFC 4567 3.2), without CRLF. uri: the
 * aggregate URI for a message of session level, the medium's or NULL for one of media level.
 * free() *out.
 */
enum mikeyd_status mikeyd_rtsp_header(const mikeyd_exchange *exchange, const char *uri, char **out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
