#include "rpc/arena.h"

static void *arena_alloc(void *context, size_t size)
{
    struct rpc_arena *arena = context;
    const size_t alignment = _Alignof(max_align_t);
    size_t at = (arena->used + alignment - 1) / alignment * alignment;
    if (at > RPC_ARENA || size > RPC_ARENA - at)
        return NULL;
    arena->used = at + size;
    return arena->memory + at;
}

static void arena_free(void *context, void *memory)
{
    /* Given back as a whole by the next request. */
    (void)context;
    (void)memory;
}

void rpc_arena_init(struct rpc_arena *arena)
{
    arena->used = 0;
    arena->allocator =
        (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_free, .allocator_data = arena};
}

Mikeyd__Request *rpc_request_unpack(struct rpc_arena *arena, const uint8_t *frame, size_t len)
{
    arena->used = 0;
    return mikeyd__request__unpack(&arena->allocator, len, frame);
}
