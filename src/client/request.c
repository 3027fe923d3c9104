#include "client/request.h"

#include <stdint.h>
#include <stdlib.h>

#include "mikey/sdp.h"

#define MIKEY_VERSION 1 /* the first byte of every message, and of no text */

/* protobuf-c's structures are not const, but packing only reads them. */
static void *request_unconst(const void *data)
{
    union {
        const void *in;
        void *out;
    } pointer = {.in = data};
    return pointer.out;
}

static char *request_text(const char *text)
{
    return request_unconst(text);
}

static ProtobufCBinaryData request_bytes(const void *data, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = request_unconst(data)};
}

static enum mikeyd_status request_missing(struct error *err, const char *what)
{
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s is missing", what);
}

/* What a newer program sets and this library does not know cannot be ignored. */
static enum mikeyd_status request_reserved(const void *const reserved[], size_t count,
                                           struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (reserved[i] != NULL)
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "a reserved member is set: the program is newer than libmikeyd");
    }
    return MIKEYD_OK;
}

#define RESERVED(structure, err)                                                                   \
    request_reserved((structure)->reserved,                                                        \
                     sizeof(structure)->reserved / sizeof(structure)->reserved[0], err)

/* Text that holds messages. */
struct request_description {
    struct mikey_sdp sdp;
    uint8_t bytes[];
};

/* The message of that m= line, or with 0 the only one, from text. */
static enum mikeyd_status request_choose(struct request *request, const char *text, size_t len,
                                         size_t media, ProtobufCBinaryData *out, struct error *err)
{
    struct request_description *read = malloc(sizeof *read + len);
    request->text = read;
    if (read == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    size_t message = 0;
    enum mikeyd_status status = mikey_sdp_read(text, len, read->bytes, &read->sdp, err);
    if (status == MIKEYD_OK)
        status = mikey_sdp_choose(&read->sdp, media, &message, err);
    if (status == MIKEYD_OK)
        *out = request_bytes(read->sdp.message[message].data, read->sdp.message[message].len);
    return status;
}

/* A message, or text that holds one. */
static enum mikeyd_status request_message(struct request *request, const void *data, size_t len,
                                          size_t media, ProtobufCBinaryData *out, struct error *err)
{
    *out = request_bytes(data, len);
    if (*(const uint8_t *)data != MIKEY_VERSION)
        return request_choose(request, data, len, media, out, err);
    if (media != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "a message has no m= lines: media must be 0");
    return MIKEYD_OK;
}

/* RFC 4567 4.1.4: what SDP offers, unless the program says it. */
static enum mikeyd_status request_protocols(const struct request *request,
                                            const struct mikeyd_answer *answer, char **out,
                                            struct error *err)
{
    if (answer->protocols != NULL) {
        *out = request_text(answer->protocols);
    } else if (answer->sdp && request->text != NULL) {
        if (request->text->sdp.protocols_differ)
            return error_set(err, MIKEYD_POLICY,
                             "session and media level offer different key management protocols, "
                             "which no list protects (RFC 4567 4.1.4)");
        *out = request->text->sdp.protocols;
    }
    return MIKEYD_OK;
}

void request_clear(struct request *request)
{
    free(request->text); /* holds what went or goes over the wire, no secret */
    request->text = NULL;
}

static enum mikeyd_status request_streams(struct request *request,
                                          const struct mikeyd_stream *streams, size_t count,
                                          struct error *err)
{
    if (count > REQUEST_STREAMS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu streams, at most %d are possible",
                         count, REQUEST_STREAMS_MAX);
    if (count != 0 && streams == NULL)
        return request_missing(err, "the list of streams");
    for (size_t i = 0; i < count; i++) {
        enum mikeyd_status status = RESERVED(&streams[i], err);
        if (status != MIKEYD_OK)
            return status;
        mikeyd__stream__init(&request->streams[i]);
        request->streams[i].ssrc = streams[i].ssrc;
        request->streams[i].roc = streams[i].roc;
        if (streams[i].suite != NULL)
            request->streams[i].suite = request_text(streams[i].suite);
        request->stream_list[i] = &request->streams[i];
    }
    return MIKEYD_OK;
}

enum mikeyd_status request_initiate(struct request *request, const struct mikeyd_offer *offer,
                                    struct error *err)
{
    request->text = NULL;
    if (offer == NULL || offer->from == NULL || offer->to == NULL)
        return request_missing(err, "an identity of the offer");
    if (offer->stream_count == 0)
        return request_missing(err, "a stream");
    enum mikeyd_status status = RESERVED(offer, err);
    if (status != MIKEYD_OK)
        return status;
    Mikeyd__Initiate *op = &request->op.initiate;
    mikeyd__request__init(&request->message);
    mikeyd__initiate__init(op);
    request->message.op_case = MIKEYD__REQUEST__OP_INITIATE;
    request->message.initiate = op;
    op->from = request_text(offer->from);
    op->to = request_text(offer->to);
    op->streams = request->stream_list;
    op->n_streams = offer->stream_count;
    op->method = (uint32_t)offer->method;
    if (offer->protocols != NULL)
        op->protocols = request_text(offer->protocols);
    if (offer->reference != NULL)
        op->reference = request_text(offer->reference);
    op->verify = offer->verify;
    op->sdp = offer->sdp;
    return request_streams(request, offer->streams, offer->stream_count, err);
}

enum mikeyd_status request_respond(struct request *request, const struct mikeyd_answer *answer,
                                   struct error *err)
{
    request->text = NULL;
    if (answer == NULL || answer->as == NULL)
        return request_missing(err, "the identity that answers");
    if (answer->message == NULL || answer->message_len == 0)
        return request_missing(err, "the message to answer");
    if (answer->ssrc_count > REQUEST_STREAMS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu SSRCs, at most %d are possible",
                         answer->ssrc_count, REQUEST_STREAMS_MAX);
    if ((answer->ssrc_count != 0 && answer->ssrcs == NULL) ||
        (answer->ticket_len != 0 && answer->ticket == NULL))
        return request_missing(err, "a part of the answer");
    enum mikeyd_status status = RESERVED(answer, err);
    if (status != MIKEYD_OK)
        return status;
    Mikeyd__Respond *op = &request->op.respond;
    mikeyd__request__init(&request->message);
    mikeyd__respond__init(op);
    request->message.op_case = MIKEYD__REQUEST__OP_RESPOND;
    request->message.respond = op;
    op->as = request_text(answer->as);
    op->ticket = request_bytes(answer->ticket, answer->ticket_len);
    op->ssrcs = request_unconst(answer->ssrcs);
    op->n_ssrcs = answer->ssrc_count;
    op->rocs = request_unconst(answer->rocs);
    op->n_rocs = answer->rocs == NULL ? 0 : answer->ssrc_count;
    op->sdp = answer->sdp;
    op->error_message = answer->error_message;
    if (answer->from != NULL)
        op->from = request_text(answer->from);
    if (answer->reference != NULL)
        op->reference = request_text(answer->reference);
    status = request_message(request, answer->message, answer->message_len, answer->media,
                             &op->message, err);
    return status == MIKEYD_OK ? request_protocols(request, answer, &op->protocols, err) : status;
}

enum mikeyd_status request_confirm(struct request *request, const void *ticket, size_t ticket_len,
                                   const void *reply, size_t reply_len, struct error *err)
{
    request->text = NULL;
    if (ticket == NULL || ticket_len == 0)
        return request_missing(err, "the ticket");
    if (reply == NULL || reply_len == 0)
        return request_missing(err, "the reply");
    Mikeyd__Confirm *op = &request->op.confirm;
    mikeyd__request__init(&request->message);
    mikeyd__confirm__init(op);
    request->message.op_case = MIKEYD__REQUEST__OP_CONFIRM;
    request->message.confirm = op;
    op->ticket = request_bytes(ticket, ticket_len);
    return request_message(request, reply, reply_len, 0, &op->reply, err);
}

enum mikeyd_status request_update(struct request *request, const void *ticket, size_t ticket_len,
                                  const struct mikeyd_stream *streams, size_t stream_count,
                                  bool verify, bool sdp, struct error *err)
{
    request->text = NULL;
    if (ticket == NULL || ticket_len == 0)
        return request_missing(err, "the ticket");
    Mikeyd__Update *op = &request->op.update;
    mikeyd__request__init(&request->message);
    mikeyd__update__init(op);
    request->message.op_case = MIKEYD__REQUEST__OP_UPDATE;
    request->message.update = op;
    op->ticket = request_bytes(ticket, ticket_len);
    op->streams = request->stream_list;
    op->n_streams = stream_count;
    op->verify = verify;
    op->sdp = sdp;
    return request_streams(request, streams, stream_count, err);
}

void request_status(struct request *request, bool checks)
{
    request->text = NULL;
    Mikeyd__Status *op = &request->op.status;
    mikeyd__request__init(&request->message);
    mikeyd__status__init(op);
    request->message.op_case = MIKEYD__REQUEST__OP_STATUS;
    request->message.status = op;
    op->checks = checks;
}
