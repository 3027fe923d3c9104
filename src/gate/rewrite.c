#include "gate/rewrite.h"

#include <stdio.h>

#define TEXT_MAX 512

void rewriter_init(struct rewriter *rewriter)
{
    rpc_arena_init(&rewriter->arena);
    rewriter->len = 0;
}

/* protobuf-c's strings are not const, but packing only reads them. */
static char *unconst(const char *text)
{
    return (char *)(uintptr_t)text;
}

enum mikeyd_status rewrite_request(struct rewriter *rewriter, const struct rewrite_client *client,
                                   const uint8_t *frame, size_t len, struct error *err)
{
    Mikeyd__Request *request = rpc_request_unpack(&rewriter->arena, frame, len);
    rewriter->len = 0;
    if (request == NULL)
        return error_set(err, MIKEYD_SYNTAX, "the frame is not a request");
    Mikeyd__Channel channel = MIKEYD__CHANNEL__INIT;
    channel.bits = client->bits;
    channel.psk = client->by_psk;
    request->channel = &channel;
    request->on_behalf = unconst(client->name);
    const size_t need = mikeyd__request__get_packed_size(request);
    if (need > RPC_FRAME_MAX)
        return error_set(err, MIKEYD_SYNTAX, "the frame is too long");
    rpc_frame_put_length(rewriter->frame, (uint32_t)need);
    rewriter->len = RPC_HEADER + mikeyd__request__pack(request, rewriter->frame + RPC_HEADER);
    rewriter->id = request->id;
    return MIKEYD_OK;
}

void rewrite_answer(struct rewriter *rewriter, uint64_t id, enum mikeyd_status status,
                    const char *text)
{
    char copy[TEXT_MAX];
    Mikeyd__Response response;
    mikeyd__response__init(&response);
    (void)snprintf(copy, sizeof copy, "%s", text);
    response.id = id;
    response.status = (uint32_t)status;
    response.error = copy;
    const size_t len = mikeyd__response__pack(&response, rewriter->frame + RPC_HEADER);
    rpc_frame_put_length(rewriter->frame, (uint32_t)len);
    rewriter->len = RPC_HEADER + len;
}
