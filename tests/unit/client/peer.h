/*
 * The far end of a client under test: listens on a Unix socket in a directory of its own and plays
 * one script for each connection, so that a test can break the protocol in any way it likes.
 */
#ifndef TESTS_CLIENT_PEER_H
#define TESTS_CLIENT_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mikeyd/client.h>

#include "rpc/mikeyd.pb-c.h"

/* Plays one connection. number: 0 for the first, 1 for the second ... */
typedef void peer_script(int fd, int number);

struct peer {
    char directory[64];
    char address[96]; /* for mikeyd_client_open() */
    int listener;
    peer_script *script;
    pthread_t thread;
};

void peer_start(struct peer *peer, peer_script *script);
/* Takes no more connections and waits for the script that runs. */
void peer_stop(struct peer *peer);
mikeyd_client *peer_connect(const struct peer *peer);

/* ---- for scripts; they end quietly when the client has gone */

/*
 * The next request, or NULL at the end of the stream. Free with mikeyd__request__free_unpacked().
 */
Mikeyd__Request *peer_read(int fd);
void peer_write(int fd, const void *data, size_t len);
void peer_write_frame(int fd, const void *body, size_t len);
/* An answer as a frame in memory, header included; free() it. */
uint8_t *peer_pack(const Mikeyd__Response *response, size_t *len);
void peer_send(int fd, const Mikeyd__Response *response);
/* A good exchange: one key, message "message-ID", ticket "ticket", csb_id = ID. */
void peer_send_exchange(int fd, uint64_t id);
/* Answers every request well until the client goes. */
void peer_serve(int fd, int number);

/* Byte i of the one key that peer_send_exchange() gives out. */
uint8_t peer_key_byte(size_t i);

#endif
