/* The public structures as a protobuf request: views into the caller's memory, checked. */
#ifndef CLIENT_REQUEST_H
#define CLIENT_REQUEST_H

#include <mikeyd/client.h>

#include "base/error.h"
#include "rpc/mikeyd.pb-c.h"

/* Crypto session IDs have 8 bits (RFC 3830 6.1). */
#define REQUEST_STREAMS_MAX 255

/* Storage of one request; about 12 KiB, for the stack. The request points into it. */
struct request {
    struct request_description *text; /* a message that came as text; request_clear() */
    Mikeyd__Request message;
    union {
        Mikeyd__Initiate initiate;
        Mikeyd__Respond respond;
        Mikeyd__Confirm confirm;
        Mikeyd__Update update;
        Mikeyd__Status status;
    } op;
    Mikeyd__Stream streams[REQUEST_STREAMS_MAX];
    Mikeyd__Stream *stream_list[REQUEST_STREAMS_MAX];
};

/* Each: INVALID_ARGUMENT when a required pointer is missing, a count is out of range or a reserved
 * member is set; SYNTAX for text that holds no message. Whatever it returns, request_clear(). */
enum mikeyd_status request_initiate(struct request *request, const struct mikeyd_offer *offer,
                                    struct error *err);
enum mikeyd_status request_respond(struct request *request, const struct mikeyd_answer *answer,
                                   struct error *err);
enum mikeyd_status request_confirm(struct request *request, const void *ticket, size_t ticket_len,
                                   const void *reply, size_t reply_len, struct error *err);
enum mikeyd_status request_update(struct request *request, const void *ticket, size_t ticket_len,
                                  const struct mikeyd_stream *streams, size_t stream_count,
                                  bool verify, bool sdp, struct error *err);
void request_status(struct request *request, bool checks);
void request_clear(struct request *request);

#endif
