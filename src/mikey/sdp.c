/* Which message of a description is meant, and what a new description changes. */
#include "mikey/sdp.h"

#include <stdlib.h>
#include <string.h>

#include "mikey/message.h"

/* ---- choosing */

static bool same_message(const struct mikey_sdp_message *a, const struct mikey_sdp_message *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0; /* public */
}

/* How much a message counts: one that a line in use has, then one that any line has, then any. */
static int rank(const struct mikey_sdp *sdp, size_t message)
{
    int rank = 0;
    for (size_t i = 0; i < sdp->media_count; i++) {
        if (sdp->media[i].message == message)
            rank = sdp->media[i].disabled && rank < 2 ? 1 : 2;
    }
    return rank;
}

static enum mikeyd_status choose_only(const struct mikey_sdp *sdp, size_t *message,
                                      struct error *err)
{
    int best = -1;
    bool several = false;
    for (size_t i = 0; i < sdp->message_count; i++) {
        const int found = rank(sdp, i);
        if (found > best) {
            best = found;
            *message = i;
            several = false;
        } else if (found == best && !same_message(&sdp->message[i], &sdp->message[*message])) {
            several = true;
        }
    }
    if (best < 0)
        return error_set(err, MIKEYD_SYNTAX, "%s",
                         sdp->protocols[0] == '\0' ? "no key-mgmt attribute"
                                                   : "key-mgmt is not of protocol mikey");
    if (several)
        return error_set(err, MIKEYD_SYNTAX,
                         "several different MIKEY messages: say which one is meant");
    return MIKEYD_OK;
}

enum mikeyd_status mikey_sdp_choose(const struct mikey_sdp *sdp, size_t media, size_t *message,
                                    struct error *err)
{
    if (media == 0)
        return choose_only(sdp, message, err);
    if (media > sdp->media_count)
        return error_set(err, MIKEYD_SYNTAX, "no m= line %zu: there are %zu", media,
                         sdp->media_count);
    *message = sdp->media[media - 1].message;
    if (*message == MIKEY_SDP_NONE)
        return error_set(err, MIKEYD_SYNTAX, "m= line %zu has no MIKEY message", media);
    return MIKEYD_OK;
}

enum mikeyd_status mikey_sdp_parse(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                   size_t *len, struct error *err)
{
    *len = 0;
    size_t chosen = 0;
    struct mikey_sdp *sdp = malloc(sizeof *sdp);
    uint8_t *bytes = malloc(text_len + 1);
    enum mikeyd_status status = sdp != NULL && bytes != NULL
                                    ? mikey_sdp_read(text, text_len, bytes, sdp, err)
                                    : error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = mikey_sdp_choose(sdp, 0, &chosen, err);
    if (status == MIKEYD_OK && sdp->message[chosen].len > cap)
        status = error_set(err, MIKEYD_SYNTAX, "the message has %zu bytes, there is room for %zu",
                           sdp->message[chosen].len, cap);
    if (status == MIKEYD_OK) {
        *len = sdp->message[chosen].len;
        memcpy(out, sdp->message[chosen].data, *len);
    }
    free(bytes);
    free(sdp);
    return status;
}

/* ---- comparing */

static const struct mikey_sdp_media *media_at(const struct mikey_sdp *sdp, size_t media)
{
    return sdp != NULL && media >= 1 && media <= sdp->media_count ? &sdp->media[media - 1] : NULL;
}

static const struct mikey_sdp_message *message_at(const struct mikey_sdp *sdp,
                                                  const struct mikey_sdp_media *media)
{
    return media == NULL || media->message == MIKEY_SDP_NONE ? NULL : &sdp->message[media->message];
}

static bool same_sessions(const struct mikey_sdp_media *a, const struct mikey_sdp_media *b)
{
    return a->first_cs == b->first_cs && a->cs_count == b->cs_count;
}

static bool was_said(const struct mikey_sdp *before, const struct mikey_sdp_message *message)
{
    for (size_t i = 0; before != NULL && i < before->message_count; i++) {
        if (same_message(&before->message[i], message))
            return true;
    }
    return false;
}

/* The message's CSB ID, and whether it has no RAND (RFC 3830 4.5); false: it is none of ours. */
static bool read_bundle(const struct mikey_sdp_message *message, uint32_t *csb_id, bool *update)
{
    struct mikey_message m;
    if (mikey_parse(message->data, message->len, &m, NULL, NULL) != MIKEYD_OK)
        return false;
    *csb_id = m.csb_id;
    *update = mikey_is_update(&m);
    return true;
}

static bool is_update_of(const struct mikey_sdp_message *now, const struct mikey_sdp_message *then)
{
    uint32_t id, old_id;
    bool update, ignored;
    return read_bundle(now, &id, &update) && read_bundle(then, &old_id, &ignored) && update &&
           id == old_id;
}

enum mikey_sdp_change mikey_sdp_compare(const struct mikey_sdp *before, const struct mikey_sdp *now,
                                        size_t media)
{
    const struct mikey_sdp_media *line = media_at(now, media), *old_line = media_at(before, media);
    const struct mikey_sdp_message *message = message_at(now, line),
                                   *old = message_at(before, old_line);
    if (message == NULL && (old == NULL || line == NULL || line->disabled))
        return MIKEY_SDP_UNKEYED;
    if (message == NULL)
        return MIKEY_SDP_REFUSED;
    if (old != NULL && same_message(message, old))
        return same_sessions(line, old_line) ? MIKEY_SDP_UNCHANGED : MIKEY_SDP_REFUSED;
    if (was_said(before, message))
        return MIKEY_SDP_REFUSED;
    if (old == NULL || !is_update_of(message, old))
        return MIKEY_SDP_RENEWED;
    return same_sessions(line, old_line) ? MIKEY_SDP_UPDATED : MIKEY_SDP_REFUSED;
}
