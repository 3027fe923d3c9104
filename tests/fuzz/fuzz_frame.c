/*
 * A client's frame as the daemon reads it: unpacked, said what it asks, and on whose behalf. The
 * gate's word counts from the gate alone.
 */
#include <string.h>

#include "fuzz.h"
#include "mikeyd/request.h"
#include "mutate.h"

static volatile uint32_t used;

static void check_described(const struct exchange_request *out)
{
    PROMISE(out->operation == EXCHANGE_INITIATE || out->operation == EXCHANGE_RESPOND ||
            out->operation == EXCHANGE_CONFIRM || out->operation == EXCHANGE_UPDATE);
    PROMISE(out->stream_count <= REQUEST_STREAMS_MAX && out->ssrc_count <= REQUEST_STREAMS_MAX);
    PROMISE(out->message_len == 0 || out->message != NULL);
    PROMISE(out->ticket_len == 0 || out->ticket != NULL);
    for (size_t i = 0; i < out->stream_count; i++)
        PROMISE(out->streams[i].suite == NULL || out->streams[i].suite[0] != '\0');
    /* As many ROCs as SSRCs, all of which can be read. */
    uint32_t sum = 0;
    for (size_t i = 0; out->rocs != NULL && i < out->ssrc_count; i++)
        sum ^= out->rocs[i] ^ out->ssrcs[i];
    used = sum;
}

static void check_caller(const Mikeyd__Request *request)
{
    struct error err = {0};
    struct caller caller = {.uid = 1000, .has_uid = true};
    const bool claims = request->on_behalf[0] != '\0' || request->channel != NULL;
    PROMISE((request_caller(request, false, &caller, &err) == MIKEYD_OK) == !claims);
    PROMISE(caller.has_uid && caller.san == NULL);
    if (request_caller(request, true, &caller, &err) == MIKEYD_OK && claims)
        PROMISE(!caller.has_uid && strcmp(caller.san, request->on_behalf) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rpc_arena memory;
    static struct request_arena described;
    struct exchange_request out;
    struct error err = {0};
    uint64_t id = 0;
    rpc_arena_init(&memory);
    const Mikeyd__Request *request = rpc_request_unpack(&memory, data, size);
    (void)request_peek_id(data, size, &id);
    if (request == NULL)
        return 0;
    check_caller(request);
    const struct caller caller = {.uid = 1000, .has_uid = true};
    if (request_describe(&described, request, &caller, &out, &err) == MIKEYD_OK)
        check_described(&out);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_request(data, size, max, &dice);
}
