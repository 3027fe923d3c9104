#include "client/peer.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/frame.h"

static void *peer_run(void *arg)
{
    struct peer *peer = arg;
    int number = 0, fd;
    while ((fd = accept(peer->listener, NULL, NULL)) >= 0) {
        peer->script(fd, number++);
        (void)close(fd);
    }
    return NULL;
}

void peer_start(struct peer *peer, peer_script *script)
{
    *peer = (struct peer){.directory = "/tmp/mikeyd-client-XXXXXX", .script = script};
    cr_assert_not_null(mkdtemp(peer->directory));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/s", peer->directory);
    (void)snprintf(peer->address, sizeof peer->address, "unix:%s/s", peer->directory);
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(peer->listener, 64), 0);
    cr_assert_eq(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

void peer_stop(struct peer *peer)
{
    (void)shutdown(peer->listener, SHUT_RDWR);
    (void)pthread_join(peer->thread, NULL);
    (void)close(peer->listener);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/s", peer->directory);
    (void)unlink(path);
    (void)rmdir(peer->directory);
}

mikeyd_client *peer_connect(const struct peer *peer)
{
    mikeyd_client *client = NULL;
    cr_assert_eq(mikeyd_client_open(peer->address, &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    return client;
}

static bool peer_read_all(int fd, uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = recv(fd, data + at, len - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

Mikeyd__Request *peer_read(int fd)
{
    uint8_t header[RPC_HEADER];
    static _Thread_local uint8_t body[RPC_FRAME_MAX];
    if (!peer_read_all(fd, header, sizeof header))
        return NULL;
    size_t len = rpc_frame_length(header);
    if (len > sizeof body || !peer_read_all(fd, body, len))
        return NULL;
    return mikeyd__request__unpack(NULL, len, body);
}

void peer_write(int fd, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        len -= (size_t)sent;
    }
}

void peer_write_frame(int fd, const void *body, size_t len)
{
    uint8_t header[RPC_HEADER];
    rpc_frame_put_length(header, (uint32_t)len);
    peer_write(fd, header, sizeof header);
    peer_write(fd, body, len);
}

uint8_t *peer_pack(const Mikeyd__Response *response, size_t *len)
{
    size_t body = mikeyd__response__get_packed_size(response);
    uint8_t *frame = malloc(RPC_HEADER + body);
    rpc_frame_put_length(frame, (uint32_t)body);
    (void)mikeyd__response__pack(response, frame + RPC_HEADER);
    *len = RPC_HEADER + body;
    return frame;
}

void peer_send(int fd, const Mikeyd__Response *response)
{
    size_t len;
    uint8_t *frame = peer_pack(response, &len);
    peer_write(fd, frame, len);
    free(frame);
}

uint8_t peer_key_byte(size_t i)
{
    /* volatile: no compiler works the key out beforehand and leaves it in the program itself. */
    static volatile const uint8_t seed = 0xa5;
    return (uint8_t)(seed ^ (i * 73 + 19) ^ (i >> 1));
}

void peer_send_exchange(int fd, uint64_t id)
{
    uint8_t key_bytes[32], salt_bytes[12] = {1, 2, 3}, mki[1] = {7};
    for (size_t i = 0; i < sizeof key_bytes; i++)
        key_bytes[i] = peer_key_byte(i);
    char suite[] = "AEAD_AES_256_GCM", from[] = "sip:a@x", to[] = "sip:b@x", text[32];
    uint8_t ticket[] = "ticket";
    Mikeyd__Key key = MIKEYD__KEY__INIT, *keys[] = {&key};
    key.cs = 1;
    key.ssrc = 0x11223344;
    key.roc = 2;
    key.suite = suite;
    key.master_key = (ProtobufCBinaryData){sizeof key_bytes, key_bytes};
    key.master_salt = (ProtobufCBinaryData){sizeof salt_bytes, salt_bytes};
    key.mki = (ProtobufCBinaryData){sizeof mki, mki};
    Mikeyd__Exchange exchange = MIKEYD__EXCHANGE__INIT;
    int len = snprintf(text, sizeof text, "message-%llu", (unsigned long long)id);
    exchange.message = (ProtobufCBinaryData){(size_t)len, (uint8_t *)text};
    exchange.ticket = (ProtobufCBinaryData){sizeof ticket - 1, ticket};
    exchange.n_keys = 1;
    exchange.keys = keys;
    exchange.from = from;
    exchange.to = to;
    exchange.csb_id = (uint32_t)id;
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    response.id = id;
    response.exchange = &exchange;
    peer_send(fd, &response);
}

void peer_serve(int fd, int number)
{
    (void)number;
    Mikeyd__Request *request;
    while ((request = peer_read(fd)) != NULL) {
        peer_send_exchange(fd, request->id);
        mikeyd__request__free_unpacked(request, NULL);
    }
}
