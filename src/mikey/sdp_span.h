/* Inside sdp_*.c: a text that is read from its front, and its base64. */
#ifndef MIKEY_SDP_SPAN_H
#define MIKEY_SDP_SPAN_H

#include "mikey/sdp.h"

struct span {
    const char *at;
    size_t len;
};

bool span_is_blank(char c);
void span_advance(struct span *s, size_t len);
/* Takes this text off the front; false when it is not there. */
bool span_skip(struct span *s, const char *text);
bool span_skip_any_case(struct span *s, const char *text);
void span_skip_blanks(struct span *s);
/* Everything up to the first of these characters, which stays. */
struct span span_take_until(struct span *s, const char *ends);
/* Everything up to the next blank, and blanks before it. */
struct span span_take_word(struct span *s);
bool span_is(struct span s, const char *text);
bool span_is_any_case(struct span s, const char *text);

/* True at the start of an SDP line (RFC 4566 5): a letter, "=" and a value. Base64 that ends in
 * "x=" is no such line. */
bool span_starts_line(struct span s);
/* A line and what continues it: folded data, empty lines. */
struct span span_take_line(struct span *s);

/* Base64, folded or not, padded or not; out has data.len bytes. */
enum mikeyd_status span_decode(struct span data, uint8_t *out, size_t *len, struct error *err);

/* ---- what is being read */

struct sdp_reader {
    struct mikey_sdp *out;
    uint8_t *bytes; /* where the next message goes */
    size_t level;
    char list[MIKEY_SDP_PROTOCOLS_MAX]; /* the level's protocols so far */
    struct error *err;
};

/* A protocol that the level offers; SYNTAX: it is no KMPID (RFC 4567 3), or there are too many. */
enum mikeyd_status sdp_reader_protocol(struct sdp_reader *r, struct span protocol);
/* A message of the level; the same twice is one. */
enum mikeyd_status sdp_reader_message(struct sdp_reader *r, struct span data, struct span uri);
/* The end of a level: its protocols must be those of the others. */
void sdp_reader_end_level(struct sdp_reader *r);

/* What follows "KeyMgmt:". */
enum mikeyd_status sdp_read_header(struct sdp_reader *r, struct span text);

#endif
