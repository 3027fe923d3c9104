#include "mikeyd/request.h"

#include <stddef.h>
#include <string.h>

static const char *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

static enum mikeyd_status describe_streams(struct request_arena *arena,
                                           Mikeyd__Stream *const *streams, size_t count,
                                           struct exchange_request *out, struct error *err)
{
    if (count > REQUEST_STREAMS_MAX) {
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu streams; one exchange has %d at most",
                         count, REQUEST_STREAMS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        arena->streams[i] = (struct exchange_stream){.ssrc = streams[i]->ssrc,
                                                     .roc = streams[i]->roc,
                                                     .suite = text_or_null(streams[i]->suite)};
    }
    out->streams = arena->streams;
    out->stream_count = count;
    return MIKEYD_OK;
}

static enum mikeyd_status describe_initiate(struct request_arena *arena,
                                            const Mikeyd__Initiate *initiate,
                                            struct exchange_request *out, struct error *err)
{
    out->operation = EXCHANGE_INITIATE;
    out->from = initiate->from;
    out->to = initiate->to;
    out->reference = text_or_null(initiate->reference);
    out->verify = initiate->verify;
    out->sdp = initiate->sdp;
    out->protocols = text_or_null(initiate->protocols);
    out->again = initiate->again;
    if (initiate->method >= POLICY_METHOD_END)
        return error_set(err, MIKEYD_UNSUPPORTED, "no exchange method %u", initiate->method);
    out->method = (enum policy_method)initiate->method;
    return describe_streams(arena, initiate->streams, initiate->n_streams, out, err);
}

static enum mikeyd_status describe_respond(const Mikeyd__Respond *respond,
                                           struct exchange_request *out, struct error *err)
{
    out->operation = EXCHANGE_RESPOND;
    out->as = respond->as;
    out->from = text_or_null(respond->from);
    out->reference = text_or_null(respond->reference);
    out->error_message = respond->error_message;
    out->message = respond->message.data;
    out->message_len = respond->message.len;
    out->ssrcs = respond->ssrcs;
    out->ssrc_count = respond->n_ssrcs;
    out->rocs = respond->n_rocs == 0 ? NULL : respond->rocs;
    out->ticket = respond->ticket.len == 0 ? NULL : respond->ticket.data;
    out->ticket_len = respond->ticket.len;
    out->sdp = respond->sdp;
    out->protocols = text_or_null(respond->protocols);
    if (respond->n_rocs != 0 && respond->n_rocs != respond->n_ssrcs)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu ROCs for %zu SSRCs", respond->n_rocs,
                         respond->n_ssrcs);
    if (respond->n_ssrcs > REQUEST_STREAMS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%zu SSRCs for one exchange",
                         respond->n_ssrcs);
    return MIKEYD_OK;
}

enum mikeyd_status request_describe(struct request_arena *arena, const Mikeyd__Request *request,
                                    const struct caller *caller, struct exchange_request *out,
                                    struct error *err)
{
    *out = (struct exchange_request){.caller = *caller};
    switch (request->op_case) {
    case MIKEYD__REQUEST__OP_INITIATE:
        return describe_initiate(arena, request->initiate, out, err);
    case MIKEYD__REQUEST__OP_RESPOND:
        return describe_respond(request->respond, out, err);
    case MIKEYD__REQUEST__OP_CONFIRM:
        out->operation = EXCHANGE_CONFIRM;
        out->ticket = request->confirm->ticket.data;
        out->ticket_len = request->confirm->ticket.len;
        out->message = request->confirm->reply.data;
        out->message_len = request->confirm->reply.len;
        return MIKEYD_OK;
    case MIKEYD__REQUEST__OP_UPDATE:
        out->operation = EXCHANGE_UPDATE;
        out->ticket = request->update->ticket.data;
        out->ticket_len = request->update->ticket.len;
        out->verify = request->update->verify;
        out->sdp = request->update->sdp;
        return describe_streams(arena, request->update->streams, request->update->n_streams, out,
                                err);
    default:
        return error_set(err, MIKEYD_UNSUPPORTED, "the request asks for nothing known here");
    }
}

enum mikeyd_status request_caller(const Mikeyd__Request *request, bool by_gate,
                                  struct caller *caller, struct error *err)
{
    const char *behalf = text_or_null(request->on_behalf);
    if (behalf == NULL && request->channel == NULL)
        return MIKEYD_OK;
    if (!by_gate)
        return error_set(err, MIKEYD_NOT_ENTITLED, "this client may not speak for another");
    /* The gate says both, or something is wrong with it. */
    if (behalf == NULL || request->channel == NULL)
        return error_set(err, MIKEYD_NOT_ENTITLED, "the gate does not say for whom, or how");
    *caller = (struct caller){
        .san = behalf, .by_psk = request->channel->psk, .tls_bits = request->channel->bits};
    return MIKEYD_OK;
}

bool request_peek_id(const uint8_t *frame, size_t len, uint64_t *id)
{
    /* Field 1, wire type 1 (fixed64), least significant byte first. */
    if (len < 9 || frame[0] != (1 << 3 | 1))
        return false;
    uint64_t value = 0;
    for (size_t i = 8; i >= 1; i--)
        value = value << 8 | frame[i];
    *id = value;
    return true;
}
