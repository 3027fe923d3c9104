/* A session description, as far as it is about keys (RFC 4567 3.1, RFC 4566; RFC 5939 for acap). */
#include <string.h>

#include "mikey/sdp_span.h"

/* ---- protocols and messages of a level */

/* RFC 4567 3: KMPID = 1*(ALPHA / DIGIT). */
static bool is_kmpid(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
    }
    return s.len != 0;
}

static bool list_has(const char *list, struct span protocol)
{
    struct span s = {list, strlen(list)};
    while (s.len > 0) {
        const struct span word = span_take_until(&s, ";");
        if (word.len == protocol.len && strncmp(word.at, protocol.at, word.len) == 0)
            return true;
        (void)span_skip(&s, ";");
    }
    return false;
}

enum mikeyd_status sdp_reader_protocol(struct sdp_reader *r, struct span protocol)
{
    if (!is_kmpid(protocol))
        return error_set(r->err, MIKEYD_SYNTAX,
                         "the protocol's name is not of letters and digits (RFC 4567 3)");
    if (list_has(r->list, protocol))
        return MIKEYD_OK;
    const size_t len = strlen(r->list), separator = len == 0 ? 0 : 1;
    if (len + separator + protocol.len >= sizeof r->list)
        return error_set(r->err, MIKEYD_SYNTAX, "too many key management protocols");
    if (separator != 0)
        r->list[len] = ';';
    memcpy(r->list + len + separator, protocol.at, protocol.len);
    return MIKEYD_OK;
}

bool mikey_sdp_protocols_are_valid(const char *protocols)
{
    struct span s = {protocols, strlen(protocols)};
    unsigned mikeys = 0;
    if (s.len >= MIKEY_SDP_PROTOCOLS_MAX)
        return false;
    for (;;) {
        const struct span word = span_take_until(&s, ";");
        if (!is_kmpid(word))
            return false;
        mikeys += span_is(word, "mikey");
        if (!span_skip(&s, ";"))
            return mikeys == 1;
    }
}

static bool same_context(const struct mikey_sdp_message *message, size_t level, struct span uri)
{
    return message->level == level && message->uri.len == uri.len &&
           (uri.len == 0 || memcmp(message->uri.at, uri.at, uri.len) == 0); /* public */
}

enum mikeyd_status sdp_reader_message(struct sdp_reader *r, struct span data, struct span uri)
{
    struct mikey_sdp *sdp = r->out;
    size_t len = 0;
    enum mikeyd_status status = span_decode(data, r->bytes, &len, r->err);
    if (status != MIKEYD_OK)
        return status;
    for (size_t i = 0; i < sdp->message_count; i++) {
        const struct mikey_sdp_message *other = &sdp->message[i];
        if (!same_context(other, r->level, uri))
            continue;
        if (other->len == len && memcmp(other->data, r->bytes, len) == 0) /* public */
            return MIKEYD_OK;
        return error_set(r->err, MIKEYD_SYNTAX,
                         "several different MIKEY messages at one level: one is possible");
    }
    if (sdp->message_count == MIKEY_SDP_MESSAGES_MAX)
        return error_set(r->err, MIKEYD_SYNTAX, "more than %d MIKEY messages",
                         MIKEY_SDP_MESSAGES_MAX);
    sdp->message[sdp->message_count++] = (struct mikey_sdp_message){
        .data = r->bytes, .len = len, .level = r->level, .uri = {uri.at, uri.len}};
    r->bytes += len;
    return MIKEYD_OK;
}

/*
 * RFC 4567 4.1.4 has one list for the offer, the same in each message. Where levels offer different
 * protocols, a list of all would also be that of an offer with some of them taken away from one
 * level and some from the other: such an offer is not protected, and is known as one.
 */
void sdp_reader_end_level(struct sdp_reader *r)
{
    char *known = r->out->protocols;
    if (r->list[0] != '\0' && known[0] == '\0')
        memcpy(known, r->list, sizeof r->list);
    else if (r->list[0] != '\0' && strcmp(known, r->list) != 0)
        r->out->protocols_differ = true;
    memset(r->list, 0, sizeof r->list);
}

/* ---- lines */

/* What follows "key-mgmt:": an optional blank, the protocol, one blank, the data. */
static enum mikeyd_status read_key_mgmt(struct sdp_reader *r, struct span value)
{
    (void)span_skip(&value, " ");
    const struct span protocol = span_take_until(&value, " \t\r\n");
    enum mikeyd_status status = sdp_reader_protocol(r, protocol);
    if (status == MIKEYD_OK && r->level != 0)
        r->out->media[r->level - 1].own = true;
    if (status != MIKEYD_OK || !span_is(protocol, "mikey"))
        return status;
    if (value.len == 0 || value.at[0] != ' ')
        return error_set(r->err, MIKEYD_SYNTAX, "key-mgmt:mikey without data");
    span_advance(&value, 1);
    if (value.len > 0 && value.at[0] == ' ')
        return error_set(r->err, MIKEYD_SYNTAX, "key-mgmt:mikey with a second blank");
    return sdp_reader_message(r, value, (struct span){0});
}

/* What a level says of where media go. */
struct flow {
    enum mikey_sdp_direction direction;
    bool nowhere; /* c= of zeros */
};

static void read_direction(struct span name, struct flow *flow)
{
    static const char *const names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    for (unsigned i = 0; i < 4; i++) {
        if (span_is_any_case(name, names[i]))
            flow->direction = (enum mikey_sdp_direction)i;
    }
}

/* After "a=". */
static enum mikeyd_status read_attribute(struct sdp_reader *r, struct span s, struct flow *flow)
{
    if (span_skip_any_case(&s, "acap:"))
        (void)span_take_until(&s, " "), span_skip_blanks(&s);
    if (span_skip_any_case(&s, "key-mgmt:"))
        return read_key_mgmt(r, s);
    const struct span name = span_take_word(&s);
    read_direction(name, flow);
    if (r->level != 0 && span_is_any_case(name, "bundle-only"))
        r->out->media[r->level - 1].disabled = false;
    return MIKEYD_OK;
}

/* "IN IP4 0.0.0.0": how RFC 2543 put a call on hold. */
static bool is_nowhere(struct span s)
{
    (void)span_take_word(&s);
    const struct span type = span_take_word(&s);
    const struct span address = span_take_word(&s);
    return (span_is(type, "IP4") && span_is(address, "0.0.0.0")) ||
           (span_is(type, "IP6") && span_is(address, "::"));
}

/* RTP/SAVP, RTP/SAVPF, also over another transport; with DTLS keys come another way (RFC 5764). */
static bool is_secure_profile(struct span s)
{
    bool secure = false;
    while (s.len > 0) {
        const struct span word = span_take_until(&s, "/");
        (void)span_skip(&s, "/");
        if (span_is_any_case(word, "TLS") || span_is_any_case(word, "DTLS"))
            return false;
        secure |= span_is_any_case(word, "SAVP") || span_is_any_case(word, "SAVPF");
    }
    return secure;
}

/* A port, also "PORT/COUNT". */
static bool read_port(struct span s, unsigned *port)
{
    const struct span digits = span_take_until(&s, "/");
    *port = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9' || *port > 65535)
            return false;
        *port = *port * 10 + (unsigned)(digits.at[i] - '0');
    }
    return digits.len != 0 && *port <= 65535;
}

/* After "m=": kind, port, profile, formats. */
static enum mikeyd_status read_media(struct sdp_reader *r, struct span s)
{
    struct mikey_sdp *sdp = r->out;
    if (sdp->media_count == MIKEY_SDP_MEDIA_MAX)
        return error_set(r->err, MIKEYD_SYNTAX, "more than %d m= lines", MIKEY_SDP_MEDIA_MAX);
    struct mikey_sdp_media *media = &sdp->media[sdp->media_count];
    const struct span kind = span_take_word(&s);
    const struct span port = span_take_word(&s);
    const struct span profile = span_take_word(&s);
    *media = (struct mikey_sdp_media){.kind = {kind.at, kind.len},
                                      .profile = {profile.at, profile.len},
                                      .secure = is_secure_profile(profile),
                                      .message = MIKEY_SDP_NONE};
    if (profile.len == 0 || !read_port(port, &media->port))
        return error_set(r->err, MIKEYD_SYNTAX, "m= line %zu has no kind, port and profile",
                         sdp->media_count + 1);
    media->disabled = media->port == 0;
    r->level = ++sdp->media_count;
    return MIKEYD_OK;
}

/*
 * RFC 3264 8.4: who says "nowhere" does not receive. Not so with port 0, in the descriptions of RTSP
 * servers, and with port 9, while ICE looks for an address (RFC 8840 4.1).
 */
static enum mikey_sdp_direction direction_of(const struct flow *flow, unsigned port)
{
    const bool nowhere = flow->nowhere && port != 0 && port != 9;
    if (nowhere && flow->direction == MIKEY_SDP_SENDRECV)
        return MIKEY_SDP_SENDONLY;
    if (nowhere && flow->direction == MIKEY_SDP_RECVONLY)
        return MIKEY_SDP_INACTIVE;
    return flow->direction;
}

static void set_direction(struct sdp_reader *r, const struct flow *flow)
{
    struct mikey_sdp_media *media = &r->out->media[r->level - 1];
    media->direction = direction_of(flow, media->port);
}

static enum mikeyd_status read_description(struct sdp_reader *r, struct span text)
{
    struct flow session = {0}, flow = {0};
    enum mikeyd_status status = MIKEYD_OK;
    while (status == MIKEYD_OK && text.len > 0) {
        struct span line = span_take_line(&text);
        if (span_skip(&line, "m=")) {
            if (r->level == 0)
                session = flow;
            sdp_reader_end_level(r);
            flow = session;
            status = read_media(r, line);
        } else if (span_skip(&line, "c=")) {
            flow.nowhere = is_nowhere(line);
        } else {
            (void)span_skip(&line, "a=");
            status = read_attribute(r, line, &flow);
        }
        if (r->level != 0)
            set_direction(r, &flow);
    }
    sdp_reader_end_level(r);
    return status;
}

/* ---- which message is whose */

static size_t message_of_level(const struct mikey_sdp *sdp, size_t level)
{
    for (size_t i = 0; i < sdp->message_count; i++) {
        if (sdp->message[i].level == level)
            return i;
    }
    return MIKEY_SDP_NONE;
}

/* RFC 3830 6.1: #CS stands behind version, type, next payload, V and PRF, CSB ID. */
static unsigned announced_cs(const struct mikey_sdp_message *message)
{
    return message->len > 8 ? message->data[8] : 0;
}

/*
 * RFC 4567 7.1: two crypto sessions for each line, one a direction, in the order of the lines; a
 * line at port 0 keeps its two, for crypto sessions are never renumbered (RFC 3830 4.5). Senders
 * that have one for each line are understood.
 */
static void share_crypto_sessions(struct mikey_sdp *sdp, size_t message)
{
    const unsigned announced = announced_cs(&sdp->message[message]);
    unsigned lines = 0, next = 1;
    for (size_t i = 0; i < sdp->media_count; i++)
        lines += sdp->media[i].message == message;
    const unsigned each = announced == lines ? 1 : 2;
    for (size_t i = 0; i < sdp->media_count; i++) {
        struct mikey_sdp_media *media = &sdp->media[i];
        if (media->message != message)
            continue;
        if (next <= announced) {
            media->first_cs = (uint8_t)next;
            media->cs_count = (uint8_t)(announced - next + 1 < each ? announced - next + 1 : each);
        }
        next += each;
    }
}

/* RFC 4567 3.1: key-mgmt of the medium, of whatever protocol, makes that of the session void. */
static void assign(struct mikey_sdp *sdp)
{
    for (size_t i = 0; i < sdp->media_count; i++) {
        struct mikey_sdp_media *media = &sdp->media[i];
        if (media->own)
            media->message = message_of_level(sdp, i + 1);
        else if (media->secure)
            media->message = message_of_level(sdp, 0);
    }
    for (size_t i = 0; i < sdp->message_count; i++)
        share_crypto_sessions(sdp, i);
}

enum mikeyd_status mikey_sdp_read(const char *text, size_t text_len, uint8_t *bytes,
                                  struct mikey_sdp *out, struct error *err)
{
    struct span s = {.at = text, .len = text_len};
    struct sdp_reader r = {.out = out, .bytes = bytes, .err = err};
    *out = (struct mikey_sdp){0};
    enum mikeyd_status status;
    if (span_skip_any_case(&s, "keymgmt:")) {
        status = sdp_read_header(&r, s);
    } else if (span_starts_line(s) || (s.len >= 9 && strncmp(s.at, "key-mgmt:", 9) == 0)) {
        status = read_description(&r, s);
    } else {
        status = sdp_reader_message(&r, s, (struct span){0});
        memcpy(out->protocols, MIKEY_SDP_ALONE, sizeof MIKEY_SDP_ALONE);
        return status;
    }
    if (status != MIKEYD_OK)
        error_prefix(err, "key-mgmt data");
    assign(out);
    return status;
}
