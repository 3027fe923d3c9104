/*
 * MIKEY in SDP and RTSP (RFC 4567): the attribute "a=key-mgmt:mikey <base64>" at session and media
 * level, the RTSP header KeyMgmt. Read, chosen from, compared and written.
 */
#ifndef MIKEY_SDP_H
#define MIKEY_SDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define MIKEY_SDP_MEDIA_MAX 64
#define MIKEY_SDP_MESSAGES_MAX (MIKEY_SDP_MEDIA_MAX + 1)
#define MIKEY_SDP_PROTOCOLS_MAX 128 /* "mikey;keyp1;keyp2", with the terminator */
#define MIKEY_SDP_ALONE "mikey"     /* the list of an offer of nothing else */
#define MIKEY_SDP_NONE SIZE_MAX

/* ---- reading */

/* Text inside the description that was read. */
struct mikey_sdp_text {
    const char *at;
    size_t len;
};

struct mikey_sdp_message {
    const uint8_t *data;
    size_t len;
    size_t level;              /* 0: session; n: the n-th m= line */
    struct mikey_sdp_text uri; /* of a KeyMgmt header */
};

enum mikey_sdp_direction {
    MIKEY_SDP_SENDRECV,
    MIKEY_SDP_SENDONLY,
    MIKEY_SDP_RECVONLY,
    MIKEY_SDP_INACTIVE
};

struct mikey_sdp_media {
    struct mikey_sdp_text kind, profile; /* "audio", "RTP/SAVP" */
    unsigned port;
    enum mikey_sdp_direction direction; /* c= of zeros counts as hold (RFC 3264 8.4) */
    bool disabled;                      /* port 0 (RFC 3264 8.2), and not bundle-only (RFC 8843) */
    bool secure;                        /* keyed by key management: RTP/SAVP, RTP/SAVPF */
    bool own;                           /* has key-mgmt of its own: that of the session is void */
    size_t message;                     /* the one that applies, or MIKEY_SDP_NONE */
    /* The crypto sessions of that message that are this line's (RFC 4567 7.1); 0 and 0: none. */
    uint8_t first_cs, cs_count;
};

struct mikey_sdp {
    struct mikey_sdp_message message[MIKEY_SDP_MESSAGES_MAX];
    size_t message_count;
    struct mikey_sdp_media media[MIKEY_SDP_MEDIA_MAX];
    size_t media_count;
    /* What each level with key-mgmt offers, in its order, joined by ';' (RFC 4567 4.1.4). */
    char protocols[MIKEY_SDP_PROTOCOLS_MAX];
    bool protocols_differ; /* between levels: then no one list names them */
};

/*
 * Reads what SIP and RTSP stacks have at hand:
 *
 *   a whole SDP, or lines of one; a=acap:1 key-mgmt:mikey ... is a capability (RFC 5939)
 *   key-mgmt:mikey DATA           also without "a="
 *   KeyMgmt: prot=mikey; uri="..."; data="DATA"   RTSP (RFC 4567 3.2), parameters in any order
 *   DATA                          alone
 *
 * DATA is base64, folded over lines or not, its padding there or not. The protocol identifier is
 * case-sensitive (RFC 4567 9.3); protocols other than mikey are listed and else passed over.
 * A medium without key-mgmt of its own is keyed by the session's message if its profile is secure.
 * bytes has text_len bytes, where the messages will stand; out points into both. SYNTAX names what
 * is wrong. A text without any message is read: the caller says whether it needs one.
 */
enum mikeyd_status mikey_sdp_read(const char *text, size_t text_len, uint8_t *bytes,
                                  struct mikey_sdp *out, struct error *err);
/*
 * The message that is meant: of the media-th m= line (1 ...), or with 0 the only one that any
 * line in use has. SYNTAX: there is none, or there are several.
 */
enum mikeyd_status mikey_sdp_choose(const struct mikey_sdp *sdp, size_t media, size_t *message,
                                    struct error *err);
/*
 * mikey_sdp_read() and mikey_sdp_choose() of the only message, copied to out, which has cap bytes:
 * text_len are always enough.
 */
enum mikeyd_status mikey_sdp_parse(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                   size_t *len, struct error *err);
/* True for KMPID *(";" KMPID) that is short enough and names "mikey" once. */
bool mikey_sdp_protocols_are_valid(const char *protocols);

/* What a new description means for the keys of one m= line. */
enum mikey_sdp_change {
    MIKEY_SDP_UNKEYED,   /* no key before, none now */
    MIKEY_SDP_UNCHANGED, /* the same message: the same keys go on */
    MIKEY_SDP_UPDATED,   /* new keys in the same bundle (RFC 3830 4.5) */
    MIKEY_SDP_RENEWED,   /* a new bundle, also where there was none */
    MIKEY_SDP_REFUSED    /* no key for a line that had one, or a key that serves another line */
};
/*
 * media counts from 1. before: what the same side said last, or NULL. A line that gets a message
 * which other lines have had already is refused: its keys would be theirs.
 */
enum mikey_sdp_change mikey_sdp_compare(const struct mikey_sdp *before, const struct mikey_sdp *now,
                                        size_t media);

/* ---- writing */

/* Bytes that the line for a message of len bytes needs, with the terminator. */
size_t mikey_sdp_size(size_t len);
/* Writes the attribute line without CRLF. out has mikey_sdp_size(len) bytes. */
void mikey_sdp_format(const uint8_t *message, size_t len, char *out);

/* Bytes that mikey_sdp_put() needs at most, with the terminator. */
size_t mikey_sdp_put_size(size_t text_len, size_t line_len);
/*
 * The description with the attribute line at session level (media 0) or under the media-th m= line:
 * in the place of the level's line for mikey, else before those for other protocols, else at the
 * end of the level. Everything else stays as it is. INVALID_ARGUMENT: no such m= line, or no SDP.
 */
enum mikeyd_status mikey_sdp_put(const char *text, size_t text_len, const char *line, size_t media,
                                 char *out, struct error *err);

/* Bytes that the header for a message of len bytes needs, with the terminator. uri: NULL for none. */
size_t mikey_rtsp_size(size_t len, const char *uri);
/*
 * Writes "KeyMgmt: prot=mikey; uri="..."; data="..."" without CRLF. INVALID_ARGUMENT for a uri that
 * could end its quotes or the line.
 */
enum mikeyd_status mikey_rtsp_format(const uint8_t *message, size_t len, const char *uri, char *out,
                                     struct error *err);

#endif
