/* The operations of the public header, each once blocking and once pipelined. */
#include <stdlib.h>

#include "client/client_internal.h"

/* Only who asked for an error message gets anything with a failure: others would not free it. */
static bool takes_error_message(const struct request *request)
{
    return request->message.op_case == MIKEYD__REQUEST__OP_RESPOND &&
           request->op.respond.error_message;
}

/* again: the offer to make should the peer's error say what else it would take; NULL: none. */
static enum mikeyd_status operation_call(mikeyd_client *client, struct request *request,
                                         const struct request *again, mikeyd_exchange **out)
{
    struct error err = {0};
    struct call call = {.kind = CALL_EXCHANGE,
                        .owner = CALL_BLOCKING,
                        .takes_error_message = takes_error_message(request)};
    if (again != NULL && client_keep_offer(&call, again, &err) != MIKEYD_OK)
        return client_report(&err, err.status);
    enum mikeyd_status status = client_call(client, request, &call);
    *out = call.exchange;
    free(call.again);
    return status;
}

static enum mikeyd_status operation_submit(mikeyd_client *client, struct request *request,
                                           const struct request *again, mikeyd_done *done,
                                           void *user)
{
    struct error err = {0};
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return client_report(&err, error_set(&err, MIKEYD_INTERNAL, "out of memory"));
    call->kind = CALL_EXCHANGE;
    call->owner = CALL_CALLBACK;
    call->takes_error_message = takes_error_message(request);
    call->done = done;
    call->user = user;
    enum mikeyd_status status = again == NULL ? MIKEYD_OK : client_keep_offer(call, again, &err);
    (void)pthread_mutex_lock(&client->lock);
    if (status == MIKEYD_OK)
        status = client_submit(client, request, call, &err);
    (void)pthread_mutex_unlock(&client->lock);
    if (status != MIKEYD_OK)
        call_free(call);
    return client_report(&err, status);
}

/* Arguments that every operation of a kind has in common. */
static enum mikeyd_status operation_check(const mikeyd_client *client, const void *target,
                                          struct error *err)
{
    if (client == NULL || target == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the client or the result is missing");
    return MIKEYD_OK;
}

enum mikeyd_status mikeyd_initiate(mikeyd_client *client, const struct mikeyd_offer *offer,
                                   mikeyd_exchange **out)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = operation_check(client, out, &err);
    if (status == MIKEYD_OK) {
        *out = NULL;
        status = request_initiate(&request, offer, &err);
    }
    status = status == MIKEYD_OK ? operation_call(client, &request, NULL, out)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_respond(mikeyd_client *client, const struct mikeyd_answer *answer,
                                  mikeyd_exchange **out)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = operation_check(client, out, &err);
    if (status == MIKEYD_OK) {
        *out = NULL;
        status = request_respond(&request, answer, &err);
    }
    status = status == MIKEYD_OK ? operation_call(client, &request, NULL, out)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_confirm(mikeyd_client *client, const void *ticket, size_t ticket_len,
                                  const void *reply, size_t reply_len, mikeyd_exchange **out)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = operation_check(client, out, &err);
    if (status == MIKEYD_OK) {
        *out = NULL;
        status = request_confirm(&request, ticket, ticket_len, reply, reply_len, &err);
    }
    status = status == MIKEYD_OK ? operation_call(client, &request, NULL, out)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_confirm_or_retry(mikeyd_client *client, const struct mikeyd_offer *offer,
                                           const void *ticket, size_t ticket_len, const void *reply,
                                           size_t reply_len, mikeyd_exchange **out)
{
    struct error err = {0};
    struct request request, again;
    request.text = again.text = NULL;
    enum mikeyd_status status = operation_check(client, out, &err);
    if (status == MIKEYD_OK) {
        *out = NULL;
        status = request_initiate(&again, offer, &err);
    }
    if (status == MIKEYD_OK)
        status = request_confirm(&request, ticket, ticket_len, reply, reply_len, &err);
    status = status == MIKEYD_OK ? operation_call(client, &request, &again, out)
                                 : client_report(&err, status);
    request_clear(&request);
    request_clear(&again);
    return status;
}

enum mikeyd_status mikeyd_update(mikeyd_client *client, const void *ticket, size_t ticket_len,
                                 const struct mikeyd_stream *streams, size_t stream_count,
                                 bool verify, bool sdp, mikeyd_exchange **out)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = operation_check(client, out, &err);
    if (status == MIKEYD_OK) {
        *out = NULL;
        status =
            request_update(&request, ticket, ticket_len, streams, stream_count, verify, sdp, &err);
    }
    status = status == MIKEYD_OK ? operation_call(client, &request, NULL, out)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_client_status(mikeyd_client *client, bool checks, char **json)
{
    struct error err = {0};
    enum mikeyd_status status = operation_check(client, json, &err);
    if (status != MIKEYD_OK)
        return client_report(&err, status);
    struct request request;
    struct call call = {.kind = CALL_REPORT, .owner = CALL_BLOCKING};
    request_status(&request, checks);
    status = client_call(client, &request, &call);
    *json = call.report;
    return status;
}

/* Only a callback makes sense of an answer, so it must be there. */
static enum mikeyd_status submit_check(const mikeyd_client *client, mikeyd_done *done,
                                       struct error *err)
{
    if (client == NULL || done == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the client or the callback is missing");
    return MIKEYD_OK;
}

enum mikeyd_status mikeyd_submit_initiate(mikeyd_client *client, const struct mikeyd_offer *offer,
                                          mikeyd_done *done, void *user)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = submit_check(client, done, &err);
    if (status == MIKEYD_OK)
        status = request_initiate(&request, offer, &err);
    status = status == MIKEYD_OK ? operation_submit(client, &request, NULL, done, user)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_submit_respond(mikeyd_client *client, const struct mikeyd_answer *answer,
                                         mikeyd_done *done, void *user)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = submit_check(client, done, &err);
    if (status == MIKEYD_OK)
        status = request_respond(&request, answer, &err);
    status = status == MIKEYD_OK ? operation_submit(client, &request, NULL, done, user)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_submit_confirm(mikeyd_client *client, const void *ticket,
                                         size_t ticket_len, const void *reply, size_t reply_len,
                                         mikeyd_done *done, void *user)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = submit_check(client, done, &err);
    if (status == MIKEYD_OK)
        status = request_confirm(&request, ticket, ticket_len, reply, reply_len, &err);
    status = status == MIKEYD_OK ? operation_submit(client, &request, NULL, done, user)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}

enum mikeyd_status mikeyd_submit_confirm_or_retry(mikeyd_client *client,
                                                  const struct mikeyd_offer *offer,
                                                  const void *ticket, size_t ticket_len,
                                                  const void *reply, size_t reply_len,
                                                  mikeyd_done *done, void *user)
{
    struct error err = {0};
    struct request request, again;
    request.text = again.text = NULL;
    enum mikeyd_status status = submit_check(client, done, &err);
    if (status == MIKEYD_OK)
        status = request_initiate(&again, offer, &err);
    if (status == MIKEYD_OK)
        status = request_confirm(&request, ticket, ticket_len, reply, reply_len, &err);
    status = status == MIKEYD_OK ? operation_submit(client, &request, &again, done, user)
                                 : client_report(&err, status);
    request_clear(&request);
    request_clear(&again);
    return status;
}

enum mikeyd_status mikeyd_submit_update(mikeyd_client *client, const void *ticket,
                                        size_t ticket_len, const struct mikeyd_stream *streams,
                                        size_t stream_count, bool verify, bool sdp,
                                        mikeyd_done *done, void *user)
{
    struct error err = {0};
    struct request request;
    request.text = NULL;
    enum mikeyd_status status = submit_check(client, done, &err);
    if (status == MIKEYD_OK)
        status =
            request_update(&request, ticket, ticket_len, streams, stream_count, verify, sdp, &err);
    status = status == MIKEYD_OK ? operation_submit(client, &request, NULL, done, user)
                                 : client_report(&err, status);
    request_clear(&request);
    return status;
}
