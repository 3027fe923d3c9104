/*
 * The streams of an I_MESSAGE, and what its initiator leaves to us: SSRCs and ROCs of streams that we
 * send (RFC 3830 6.1.1). Before authentication, because the reply is made in one step with it: hence
 * a mistake in the client's list does not cost it the message, and hence it must be cheap.
 */
#include "exchange/respond.h"

#include <openssl/rand.h>

static bool names_stream(const struct mikey_message *m, uint32_t ssrc, size_t *index)
{
    for (*index = 0; *index < m->cs_count; (*index)++) {
        if (m->cs[*index].ssrc == ssrc)
            return true;
    }
    return false;
}

/*
 * The client's list of SSRCs and ROCs, before anything is done: a mistake in it shall not cost the
 * client the message.
 */
static enum mikeyd_status check_list(const struct exchange_worker *w, struct error *err)
{
    const struct mikey_message *m = &w->call.message;
    const struct exchange_request *request = w->call.request;
    size_t open = 0, chosen = 0;
    for (size_t i = 0; i < m->cs_count; i++)
        open += m->cs[i].ssrc == 0 ? 1 : 0;
    for (size_t i = 0; i < request->ssrc_count; i++) {
        const uint32_t ssrc = request->ssrcs[i], roc = request_roc(request, i);
        size_t at;
        for (size_t j = 0; ssrc != 0 && j < i; j++) {
            if (request->ssrcs[j] == ssrc)
                return error_set(err, MIKEYD_INVALID_ARGUMENT, "SSRC %08x is given twice", ssrc);
        }
        if (ssrc == 0 || !names_stream(m, ssrc, &at)) {
            chosen++;
            continue;
        }
        if (roc == 0)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "SSRC %08x is one of the initiator's",
                             ssrc);
        if (m->cs[at].roc != 0 && m->cs[at].roc != roc)
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "SSRC %08x: the initiator states ROC %u (RFC 3830 6.1.1)", ssrc,
                             m->cs[at].roc);
    }
    if (chosen > open)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "%zu SSRCs given, the message leaves %zu to choose", chosen, open);
    return MIKEYD_OK;
}

/* All streams as the message lists them; an update keeps the suites of those that are known. */
static void take_streams(struct exchange_worker *w)
{
    const struct mikey_message *m = &w->call.message;
    struct bundle *b = &w->call.bundle;
    const size_t known = b->stream_count;
    for (size_t i = 0; i < m->cs_count; i++) {
        b->streams[i].ssrc = m->cs[i].ssrc;
        b->streams[i].roc = m->cs[i].roc;
        if (i >= known)
            b->streams[i].suite = SRTP_SUITE_COUNT;
    }
    b->stream_count = m->cs_count;
}

static struct mikey_stream *find_stream(struct bundle *b, uint32_t ssrc)
{
    for (size_t i = 0; i < b->stream_count; i++) {
        if (b->streams[i].ssrc == ssrc)
            return &b->streams[i];
    }
    return NULL;
}

/* The client's SSRCs take the open streams in their order, 0 skipping one; its ROCs go to these and
 * to streams of its own that run already. */
static void fill_from_list(struct exchange_worker *w)
{
    const struct exchange_request *request = w->call.request;
    struct bundle *b = &w->call.bundle;
    size_t next = 0;
    for (size_t i = 0; i < request->ssrc_count; i++) {
        const uint32_t ssrc = request->ssrcs[i], roc = request_roc(request, i);
        struct mikey_stream *stream = ssrc == 0 ? NULL : find_stream(b, ssrc);
        while (stream == NULL && next < b->stream_count) {
            if (w->call.message.cs[next++].ssrc == 0)
                stream = &b->streams[next - 1];
        }
        if (stream == NULL)
            return; /* the list has been checked */
        stream->ssrc = ssrc;
        if (roc != 0)
            stream->roc = roc;
    }
}

/* Random SSRCs for those still open, not zero and distinct: all with one call, so that a forged
 * message with 255 of them costs no more than any other. */
static enum mikeyd_status fill_at_random(struct bundle *b, struct error *err)
{
    while (find_stream(b, 0) != NULL) {
        uint32_t fresh[MIKEY_CS_MAX];
        if (RAND_bytes((uint8_t *)fresh, (int)(b->stream_count * sizeof fresh[0])) != 1)
            return error_set(err, MIKEYD_INTERNAL, "no random bytes");
        for (size_t i = 0; i < b->stream_count; i++) {
            if (b->streams[i].ssrc == 0 && find_stream(b, fresh[i]) == NULL)
                b->streams[i].ssrc = fresh[i];
        }
    }
    return MIKEYD_OK;
}

enum mikeyd_status respond_streams(struct exchange_worker *w, struct error *err)
{
    enum mikeyd_status status = check_list(w, err);
    if (status != MIKEYD_OK)
        return status;
    take_streams(w);
    fill_from_list(w);
    return fill_at_random(&w->call.bundle, err);
}
