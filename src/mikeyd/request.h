/* A frame as a request: protobuf into the worker's arena, then into the exchange's own terms. */
#ifndef MIKEYD_REQUEST_H
#define MIKEYD_REQUEST_H

#include "exchange/exchange.h"
#include "mikeyd/job.h"
#include "rpc/mikeyd.pb-c.h"

/*
 * Memory for unpacking one request, given back all at once: no malloc on the request path. A frame
 * that asks for more (many empty submessages) is refused as SYNTAX.
 */
#define REQUEST_ARENA ((size_t)512 * 1024)
#define REQUEST_STREAMS_MAX 255 /* RFC 3830 6.1: the number of crypto sessions is one byte */

struct request_arena {
    size_t used;
    ProtobufCAllocator allocator;
    struct exchange_stream streams[REQUEST_STREAMS_MAX];
    _Alignas(max_align_t) uint8_t memory[REQUEST_ARENA];
};

void request_arena_init(struct request_arena *arena);

/* The request in the frame, living in the arena until the next call; NULL when it is not one. */
Mikeyd__Request *request_unpack(struct request_arena *arena, const uint8_t *frame, size_t len);

/*
 * Fills what exchange_serve() takes. Everything points into the unpacked request, the arena and
 * the caller. INVALID_ARGUMENT or SYNTAX for what no exchange has; not for status requests.
 */
enum mikeyd_status request_describe(struct request_arena *arena, const Mikeyd__Request *request,
                                    const struct caller *caller, struct exchange_request *out,
                                    struct error *err);

/*
 * The client's request id without unpacking, for refusals under load: protobuf writes fields in
 * order, so an honest client's frame begins with it. False when it does not.
 */
bool request_peek_id(const uint8_t *frame, size_t len, uint64_t *id);

#endif
