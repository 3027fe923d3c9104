/*
 * A second offer, when the peer's error message names suites that it would take (RFC 3830 5.1.1).
 * Which of them, and whether the peer has proven the error its own, the daemon says: it gives suites
 * out for no other.
 */
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"

enum mikeyd_status client_keep_offer(struct call *call, const struct request *offer,
                                     struct error *err)
{
    call->again_len = mikeyd__request__get_packed_size(&offer->message);
    call->again = malloc(call->again_len);
    if (call->again == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    (void)mikeyd__request__pack(&offer->message, call->again);
    return MIKEYD_OK;
}

static bool is_among(const char *suite, const Mikeyd__Exchange *peer)
{
    for (size_t i = 0; i < peer->n_suites; i++) {
        if (strcmp(suite, peer->suites[i]) == 0)
            return true;
    }
    return false;
}

/* Streams keep a suite that the peer would take; the others get its first. */
static bool change_suites(Mikeyd__Initiate *offer, const Mikeyd__Exchange *peer)
{
    for (size_t i = 0; i < offer->n_streams; i++) {
        Mikeyd__Stream *stream = offer->streams[i];
        if (is_among(stream->suite, peer))
            continue;
        char *suite = strdup(peer->suites[0]);
        if (suite == NULL)
            return false;
        if (stream->suite != protobuf_c_empty_string)
            free(stream->suite);
        stream->suite = suite;
    }
    return true;
}

/* The call's own offer with other suites; NULL: out of memory. */
static Mikeyd__Request *make_offer(const struct call *call, const Mikeyd__Exchange *peer)
{
    Mikeyd__Request *request = mikeyd__request__unpack(NULL, call->again_len, call->again);
    if (request == NULL)
        return NULL;
    if (change_suites(request->initiate, peer)) {
        request->initiate->again = true;
        return request;
    }
    mikeyd__request__free_unpacked(request, NULL);
    return NULL;
}

/* The answer to the second offer: the refusal of the first stands, and comes with it. */
static void finish_offer(struct call *call)
{
    if (call->status == MIKEYD_OK)
        call->status = error_set(&call->err, MIKEYD_UNSUPPORTED,
                                 "the peer takes other suites: there is a new offer to send");
    else
        error_prefix(&call->err, "offering again");
}

bool client_offer_again(struct mikeyd_client *client, struct call *call,
                        const Mikeyd__Response *response)
{
    /* Nobody waits any more for what was cancelled. */
    if (call->again == NULL || call->owner == CALL_ABANDONED)
        return false;
    if (call->offered_again) {
        finish_offer(call);
        return false;
    }
    const Mikeyd__Exchange *peer = response->exchange;
    if (call->status != MIKEYD_UNSUPPORTED || peer == NULL || peer->n_suites == 0)
        return false;
    call->offered_again = true;
    Mikeyd__Request *request = make_offer(call, peer);
    call->status = request == NULL ? error_set(&call->err, MIKEYD_INTERNAL, "out of memory")
                                   : client_resubmit(client, request, call, &call->err);
    if (request != NULL)
        mikeyd__request__free_unpacked(request, NULL);
    return call->status == MIKEYD_OK;
}
