/*
 * A client's frame with the gate's word on whose it is. The frame is unpacked, as the daemon does,
 * and packed anew: bytes put before or after a frame could be hidden or overruled by what a client
 * makes of the rest, a field of the unpacked message cannot.
 */
#ifndef GATE_REWRITE_H
#define GATE_REWRITE_H

#include <stdbool.h>

#include "base/error.h"
#include "rpc/arena.h"
#include "rpc/frame.h"

struct rewriter {
    struct rpc_arena arena;
    uint8_t frame[RPC_HEADER + RPC_FRAME_MAX]; /* the result, with its header */
    size_t len;
    uint64_t id; /* of the request */
};

/* Who it is that asks, and how it is connected. */
struct rewrite_client {
    const char *name;
    unsigned bits;
    bool by_psk;
};

void rewriter_init(struct rewriter *rewriter);
/* SYNTAX when the frame is no request, or too long with what is added. */
enum mikeyd_status rewrite_request(struct rewriter *rewriter, const struct rewrite_client *client,
                                   const uint8_t *frame, size_t len, struct error *err);
/* A response without a result, as the gate itself gives. The text is cut to fit. */
void rewrite_answer(struct rewriter *rewriter, uint64_t id, enum mikeyd_status status,
                    const char *text);

#endif
