#include "client/client_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/secret.h"
#include "client/exchange.h"

/* Unpacked, an answer takes a few times its packed size; more would be an answer made to hurt. */
#define ARENA_FACTOR 4
#define ARENA_EXTRA (8 * 1024)
#define ARENA_ALIGN 16

/* protobuf-c's allocator over private memory that is wiped as a whole. */
struct arena {
    uint8_t *data;
    size_t cap, used;
};

static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;
    size_t rounded = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (rounded < size || rounded > arena->cap - arena->used)
        return NULL;
    void *memory = arena->data + arena->used;
    arena->used += rounded;
    return memory;
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

static void client_queue_ready(struct mikeyd_client *client, struct call *call)
{
    bool first = client->ready == NULL;
    *client->ready_end = call;
    client->ready_end = &call->next;
    /* The event loop may be asleep while another thread reads its answer. */
    if (first)
        (void)eventfd_write(client->ready_fd, 1);
}

void client_finish(struct mikeyd_client *client, struct call *call)
{
    call->finished = true;
    switch (call->owner) {
    case CALL_BLOCKING:
        call_leave(call);
        (void)pthread_cond_signal(&call->answered);
        /* Its thread may be the poller. */
        client_wake_poller(client);
        break;
    case CALL_CALLBACK:
        client_queue_ready(client, call);
        break;
    case CALL_ABANDONED:
        mikeyd_exchange_free(call->exchange);
        free(call->report);
        call_free(call);
        break;
    }
}

static void call_set_failure(struct call *call, const Mikeyd__Response *response)
{
    const char *text = response->error[0] != '\0'
                           ? response->error
                           : status_name((enum mikeyd_status)response->status);
    call->status = error_set(&call->err, (enum mikeyd_status)response->status, "%s", text);
}

/* RFC 3830 5.1.2. Of a refusal nothing else is taken, whatever it brings. */
static void call_take_error_message(struct call *call, const Mikeyd__Response *response)
{
    if (!call->takes_error_message || call->kind != CALL_EXCHANGE || response->exchange == NULL ||
        response->exchange->message.len == 0)
        return;
    Mikeyd__Exchange only = MIKEYD__EXCHANGE__INIT;
    only.message = response->exchange->message;
    struct error ignored;
    (void)exchange_make(&only, &call->exchange, &ignored);
}

static void call_set_result(struct call *call, const Mikeyd__Response *response)
{
    if (response->status >= MIKEYD_STATUS_COUNT) {
        call->status = error_set(&call->err, MIKEYD_INTERNAL,
                                 "the daemon's status %u is unknown here", response->status);
    } else if (response->status != MIKEYD_OK) {
        call_set_failure(call, response);
        call_take_error_message(call, response);
    } else if (call->kind == CALL_REPORT) {
        call->report = strdup(response->report);
        call->status = call->report != NULL
                           ? MIKEYD_OK
                           : error_set(&call->err, MIKEYD_INTERNAL, "out of memory");
    } else if (response->exchange == NULL) {
        call->status = error_set(&call->err, MIKEYD_INTERNAL, "the daemon's answer is empty");
    } else {
        call->status = exchange_make(response->exchange, &call->exchange, &call->err);
    }
}

bool client_take_answer(struct mikeyd_client *client, const uint8_t *body, size_t len)
{
    if (private_buffer_reserve(&client->arena, ARENA_FACTOR * len + ARENA_EXTRA, 0) != 0)
        return false;
    struct arena arena = {.data = client->arena.data, .cap = client->arena.cap};
    ProtobufCAllocator allocator = {
        .alloc = arena_alloc, .free = arena_free, .allocator_data = &arena};
    Mikeyd__Response *response = mikeyd__response__unpack(&allocator, len, body);
    struct call *call = response == NULL ? NULL : call_table_take(&client->calls, response->id);
    if (call != NULL) {
        call_set_result(call, response);
        if (!client_offer_again(client, call, response))
            client_finish(client, call);
    }
    secret_wipe(arena.data, arena.used);
    return call != NULL;
}
