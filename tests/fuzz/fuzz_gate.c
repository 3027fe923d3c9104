/* A client's frame through the gate: refused, or it says whose it is. */
#include <string.h>

#include "fuzz.h"
#include "gate/rewrite.h"
#include "mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rewrite_client client = {.name = "sbc.lab.example", .bits = 128};
    static struct rewriter rewriter;
    static struct rpc_arena arena;
    struct error err = {0};
    rewriter_init(&rewriter);
    rpc_arena_init(&arena);
    if (size > RPC_FRAME_MAX)
        return 0;
    if (rewrite_request(&rewriter, &client, data, size, &err) != MIKEYD_OK) {
        PROMISE(rewriter.len == 0);
        return 0;
    }
    PROMISE(rewriter.len >= RPC_HEADER && rewriter.len <= sizeof rewriter.frame);
    PROMISE(rpc_frame_length(rewriter.frame) == rewriter.len - RPC_HEADER);
    const Mikeyd__Request *seen =
        rpc_request_unpack(&arena, rewriter.frame + RPC_HEADER, rewriter.len - RPC_HEADER);
    /* Packed with more than the client's own, it may need more memory than there is: no request. */
    if (seen == NULL)
        return 0;
    PROMISE(strcmp(seen->on_behalf, client.name) == 0);
    PROMISE(seen->channel != NULL && seen->channel->bits == client.bits);
    PROMISE(seen->id == rewriter.id);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_request(data, size, max, &dice);
}
