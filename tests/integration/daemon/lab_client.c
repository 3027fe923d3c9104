/* The clients of a laboratory: through libmikeyd, and frame by frame without it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lab.h"
#include "rpc/frame.h"
#include "rpc/mikeyd.pb-c.h"

mikeyd_client *lab_client(const struct lab *lab)
{
    mikeyd_client *client = NULL;
    cr_assert_eq(mikeyd_client_open(lab->address, &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    return client;
}

int lab_connect(const struct lab *lab)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)strcpy(address.sun_path, lab->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0, "%s",
                 strerror(errno));
    return fd;
}

enum mikeyd_status lab_initiate(mikeyd_client *client, mikeyd_exchange **out)
{
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    const struct mikeyd_offer offer = {
        .from = LAB_A, .to = LAB_B, .streams = &stream, .stream_count = 1, .verify = true};
    return mikeyd_initiate(client, &offer, out);
}

void lab_exchange(mikeyd_client *client)
{
    mikeyd_exchange *initiated = NULL, *responded = NULL, *confirmed = NULL;
    size_t message_len, reply_len, ticket_len;
    cr_assert_eq(lab_initiate(client, &initiated), MIKEYD_OK, "%s", mikeyd_client_error(client));
    const uint8_t *message = mikeyd_exchange_message(initiated, &message_len);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message, .message_len = message_len};
    cr_assert_eq(mikeyd_respond(client, &answer, &responded), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *reply = mikeyd_exchange_message(responded, &reply_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(initiated, &ticket_len);
    cr_assert_eq(mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &confirmed),
                 MIKEYD_OK, "%s", mikeyd_client_error(client));
    const struct mikeyd_srtp_key *theirs, *ours;
    cr_assert_eq(mikeyd_exchange_keys(responded, &theirs), 1);
    cr_assert_eq(mikeyd_exchange_keys(confirmed, &ours), 1);
    cr_assert_arr_eq(theirs->key, ours->key, sizeof ours->key);
    cr_assert_arr_eq(theirs->salt, ours->salt, sizeof ours->salt);
    mikeyd_exchange_free(initiated);
    mikeyd_exchange_free(responded);
    mikeyd_exchange_free(confirmed);
}

/* ---- frames ---- */

static size_t frame(const Mikeyd__Request *request, uint8_t *out, size_t cap)
{
    size_t len = mikeyd__request__get_packed_size(request);
    cr_assert(RPC_HEADER + len <= cap);
    rpc_frame_put_length(out, (uint32_t)len);
    (void)mikeyd__request__pack(request, out + RPC_HEADER);
    return RPC_HEADER + len;
}

size_t lab_frame_initiate(uint64_t id, const char *on_behalf, uint8_t *out, size_t cap)
{
    Mikeyd__Stream stream = MIKEYD__STREAM__INIT;
    Mikeyd__Stream *streams[1] = {&stream};
    Mikeyd__Initiate initiate = MIKEYD__INITIATE__INIT;
    Mikeyd__Request request = MIKEYD__REQUEST__INIT;
    char from[] = LAB_A, to[] = LAB_B, behalf[64];
    stream.ssrc = 0x11223344;
    initiate.from = from;
    initiate.to = to;
    initiate.streams = streams;
    initiate.n_streams = 1;
    initiate.verify = true;
    request.id = id;
    request.op_case = MIKEYD__REQUEST__OP_INITIATE;
    request.initiate = &initiate;
    if (on_behalf != NULL) {
        (void)snprintf(behalf, sizeof behalf, "%s", on_behalf);
        request.on_behalf = behalf;
    }
    return frame(&request, out, cap);
}

size_t lab_frame_status(uint64_t id, uint8_t *out, size_t cap)
{
    Mikeyd__Status status = MIKEYD__STATUS__INIT;
    Mikeyd__Request request = MIKEYD__REQUEST__INIT;
    request.id = id;
    request.op_case = MIKEYD__REQUEST__OP_STATUS;
    status.checks = true;
    request.status = &status;
    return frame(&request, out, cap);
}

/* 1: all read; 0: the connection ended; -2: nothing came in time. */
static int read_all(int fd, uint8_t *out, size_t len, int timeout_ms)
{
    size_t at = 0;
    while (at < len) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, timeout_ms) <= 0)
            return -2;
        ssize_t got = read(fd, out + at, len - at);
        if (got <= 0)
            return 0;
        at += (size_t)got;
    }
    return 1;
}

int lab_read_response(int fd, int timeout_ms, uint64_t *id)
{
    uint8_t header[RPC_HEADER];
    int result = read_all(fd, header, sizeof header, timeout_ms);
    if (result != 1)
        return result == 0 ? -1 : result;
    size_t len = rpc_frame_length(header);
    cr_assert(len <= RPC_FRAME_MAX);
    uint8_t *body = malloc(len + 1);
    result = read_all(fd, body, len, timeout_ms);
    if (result == 1) {
        Mikeyd__Response *response = mikeyd__response__unpack(NULL, len, body);
        cr_assert_not_null(response);
        result = (int)response->status;
        if (id != NULL)
            *id = response->id;
        mikeyd__response__free_unpacked(response, NULL);
    } else if (result == 0) {
        result = -1;
    }
    free(body);
    return result;
}
