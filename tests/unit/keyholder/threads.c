/*
 * Many connections at once, with rescans and questions in between: for ThreadSanitizer, so without
 * Criterion. Every answer must be the host's, bit for bit.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/secret.h"
#include "importer/importer.h"
#include "keyholder/keyholder.h"
#include "support/token_fixture.h"

#define CONNECTIONS 6
#define ROUNDS 40
#define NODES 5 /* pairs of these: more than the cache below holds */

static const uint8_t psk[32] = {1, 2, 3}, epsk[32] = {4, 5, 6}, rand_bytes[16] = {7};
static const uint8_t head[40] = {1}, plain[24] = {9, 9};
static const char *const nodes[NODES] = {"sip:a@x", "sip:b@x", "sip:c@x", "sip:d@x", "sip:e@x"};

static struct token_fixture fixture;
static struct keyholder *holder;
static int control[2];
static atomic_uint wrong;

static void check(bool right, const char *what)
{
    if (!right) {
        (void)fprintf(stderr, "failed: %s\n", what);
        atomic_fetch_add(&wrong, 1);
    }
}

static struct identity node(size_t i)
{
    return (struct identity){IDENTITY_URI, strlen(nodes[i]), (const uint8_t *)nodes[i]};
}

static struct keys_name pair_name(size_t i, size_t j)
{
    return (struct keys_name){.kind = KEYS_EPSK,
                              .name = "core",
                              .generation = 1,
                              .algorithms = MIKEY_ALGORITHMS_256,
                              .initiator = node(i),
                              .responder = node(j)};
}

static struct door_request seal(const struct keys_name *name)
{
    return (struct door_request){.op = DOOR_SEAL,
                                 .name = *name,
                                 .seal = {.what = {.prf = MIKEY_PRF_HMAC_SHA256,
                                                   .csb_id = 5,
                                                   .rand = rand_bytes,
                                                   .rand_len = sizeof rand_bytes,
                                                   .encryption = 3,
                                                   .mac = 2},
                                          .t = 77,
                                          .head = head,
                                          .head_len = sizeof head,
                                          .plain = plain,
                                          .plain_len = sizeof plain}};
}

/* What the answer must be. */
static void host_mac(size_t i, size_t j, uint8_t mac[32])
{
    uint8_t epskx[32], key[32], encrypted[sizeof plain];
    struct importer_pair pair;
    const struct keys_name name = pair_name(i, j);
    struct mikey_psk_port port = {.keys = secret_alloc(sizeof *port.keys)};
    struct door_request request = seal(&name);
    request.seal.encrypted = encrypted;
    request.seal.mac = mac;
    const struct mikey_key host = {.ops = &mikey_key_by_psk, .port = &port};
    check(importer_pair("core", 1, &name.initiator, &name.responder, MIKEY_ALGORITHMS_256, &pair,
                        NULL) == MIKEYD_OK &&
              importer_extract(IMPORTER_SHA256, epsk, sizeof epsk, epskx, NULL) == MIKEYD_OK &&
              importer_expand(IMPORTER_SHA256, epskx, pair.info, pair.info_len, key, 32, NULL) ==
                  MIKEYD_OK &&
              mikey_host_psk(key, sizeof key, &port.psk, NULL) == MIKEYD_OK &&
              host.ops->seal(&host, &request.seal, NULL) == MIKEYD_OK,
          "the host's own");
    mikey_host_psk_clear(&port.psk);
    secret_release(port.keys, sizeof *port.keys);
}

static uint8_t macs[NODES][NODES][32];

struct client {
    pthread_t thread;
    unsigned number;
    int door;
    uint8_t message[DOOR_MESSAGE_MAX];
    struct keys_entry entries[DOOR_KEYS_PER_PAGE];
    struct door_answer answer;
};

static bool ask(struct client *c, const struct door_request *request)
{
    size_t len = 0;
    struct byte_writer out = writer_of(c->message, sizeof c->message);
    return door_write_request(request, &out, NULL) == MIKEYD_OK &&
           door_send(c->door, &out, NULL) == MIKEYD_OK &&
           door_receive(c->door, 60000, c->message, sizeof c->message, &len, NULL) == MIKEYD_OK &&
           door_read_answer(c->message, len, c->entries, &c->answer, NULL) == MIKEYD_OK &&
           c->answer.status == MIKEYD_OK;
}

static void ask_round(struct client *c, unsigned round)
{
    const size_t i = (c->number + round) % NODES, j = (i + 1 + round % (NODES - 1)) % NODES;
    const struct keys_name name = pair_name(i, j);
    const struct door_request request = seal(&name);
    check(ask(c, &request), c->answer.text);
    check(c->answer.seal.mac != NULL && memcmp(c->answer.seal.mac, macs[i][j], 32) == 0,
          "a MAC is another pair's");
    if (round % 8 == c->number) {
        const enum door_op ops[] = {DOOR_RESCAN, DOOR_FACTS, DOOR_KEYS, DOOR_HEALTH};
        check(ask(c, &(struct door_request){.op = ops[round / 8 % 4]}), "a question");
    }
}

static void *client_main(void *argument)
{
    struct client *c = argument;
    for (unsigned round = 0; round < ROUNDS; round++)
        ask_round(c, round);
    (void)close(c->door);
    return NULL;
}

static void *serve(void *unused)
{
    (void)unused;
    keyholder_serve(holder, control[1]);
    return NULL;
}

static void run_clients(void)
{
    static struct client client[CONNECTIONS];
    pthread_t server;
    check(pthread_create(&server, NULL, serve, NULL) == 0, "thread");
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int ends[2];
        check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 &&
                  door_attach(control[0], ends[1], NULL) == MIKEYD_OK,
              "connection");
        (void)close(ends[1]);
        client[i].number = i;
        client[i].door = ends[0];
        check(pthread_create(&client[i].thread, NULL, client_main, &client[i]) == 0, "thread");
    }
    for (unsigned i = 0; i < CONNECTIONS; i++)
        (void)pthread_join(client[i].thread, NULL);
    (void)close(control[0]);
    (void)pthread_join(server, NULL);
}

int main(void)
{
    struct error err = {0};
    struct token *token = NULL;
    check(secret_heap_init((size_t)1 << 22, NULL) == MIKEYD_OK && token_fixture_nss(&fixture),
          "token");
    check(token_fixture_psk(&fixture, "plain", psk, sizeof psk) &&
              token_fixture_key(&fixture, &(struct token_fixture_key){.label = "mikeyd/epsk/core/1",
                                                                      .value = epsk,
                                                                      .len = sizeof epsk}),
          "keys");
    for (size_t i = 0; i < NODES; i++) {
        for (size_t j = 0; j < NODES; j++) {
            if (i != j)
                host_mac(i, j, macs[i][j]);
        }
    }
    const struct token_config config = token_fixture_config(&fixture);
    const struct keyholder_options options = {.pair_cache = 6, .wait_ms = 30000};
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0, "sockets");
    if (token_open(&config, &token, &err) == MIKEYD_OK &&
        keyholder_make(token, &options, &holder, &err) == MIKEYD_OK)
        run_clients();
    else
        check(false, err.text);
    keyholder_free(holder);
    token_close(token);
    token_fixture_remove(&fixture);
    return atomic_load(&wrong) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
