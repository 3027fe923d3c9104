/* A frame as a request: protobuf into the worker's arena, then into the exchange's own terms. */
#ifndef MIKEYD_REQUEST_H
#define MIKEYD_REQUEST_H

#include "exchange/exchange.h"
#include "mikeyd/job.h"
#include "rpc/arena.h"

#define REQUEST_STREAMS_MAX 255 /* RFC 3830 6.1: the number of crypto sessions is one byte */

/* What one request is unpacked into, given back all at once: no malloc on the request path. */
struct request_arena {
    struct rpc_arena frame;
    struct exchange_stream streams[REQUEST_STREAMS_MAX];
};

/*
 * Who asks. by_gate: the socket's peer may ask for others (on_behalf), and then *caller becomes who
 * it asks for. NOT_ENTITLED when anybody else tries, or the gate says only half of it.
 */
enum mikeyd_status request_caller(const Mikeyd__Request *request, bool by_gate,
                                  struct caller *caller, struct error *err);

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
