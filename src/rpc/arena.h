/* Requests unpacked into memory of one fixed size: what a frame can make its reader take is bounded. */
#ifndef RPC_ARENA_H
#define RPC_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/mikeyd.pb-c.h"

/* Room for what a frame of RPC_FRAME_MAX unpacks to; a frame made to need more is no request. */
#define RPC_ARENA ((size_t)512 * 1024)

struct rpc_arena {
    size_t used;
    ProtobufCAllocator allocator;
    _Alignas(max_align_t) uint8_t memory[RPC_ARENA];
};

void rpc_arena_init(struct rpc_arena *arena);
/* The request in the frame (without its header), living in the arena until the next call; NULL when
 * it is not one. */
Mikeyd__Request *rpc_request_unpack(struct rpc_arena *arena, const uint8_t *frame, size_t len);

#endif
