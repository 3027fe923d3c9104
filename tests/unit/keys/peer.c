#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>

struct link {
    struct peer *peer;
    int fd, slot;
};

/* ---- what it answers */

void peer_tag(const uint8_t *data, size_t len, uint8_t tag[32])
{
    (void)SHA256(data, len, tag);
}

static void tag_of(const struct mikey_covered *covered, uint8_t tag[32])
{
    uint8_t all[MIKEY_COVERED_MAX];
    size_t len = 0;
    for (size_t i = 0; i < covered->parts; i++) {
        memcpy(all + len, covered->data[i], covered->len[i]);
        len += covered->len[i];
    }
    peer_tag(all, len, tag);
}

static void flip(const uint8_t *from, uint8_t *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = from[i] ^ 0x5a;
}

static void proofs(struct peer *peer, const struct door_request *request,
                   struct door_answer *answer)
{
    answer->proof.count = request->proof.count;
    for (size_t i = 0; i < request->proof.count; i++) {
        const struct keys_entry *asked = &request->proof.entry[i];
        answer->proof.status[i] = MIKEYD_TOKEN_DOWN;
        for (size_t k = 0; k < peer->key_count; k++) {
            const struct peer_key *key = &peer->keys[k];
            if (key->entry.kind != asked->kind || key->entry.generation != asked->generation ||
                strcmp(key->entry.name, asked->name) != 0)
                continue;
            uint8_t data[DOOR_NONCE + KEYS_NAME_MAX + 1] = {0};
            memcpy(data, request->proof.nonce, DOOR_NONCE);
            memcpy(data + DOOR_NONCE, asked->name, strlen(asked->name));
            data[sizeof data - 1] = key->value;
            peer_tag(data, sizeof data, answer->proof.proof[i]);
            answer->proof.status[i] = MIKEYD_OK;
        }
    }
}

static void page(struct peer *peer, const struct door_request *request, struct keys_entry *entries,
                 struct door_answer *answer)
{
    const size_t total = peer->key_count;
    const size_t first = request->keys.first < total ? request->keys.first : total;
    size_t count = total - first;
    if (count > DOOR_KEYS_PER_PAGE)
        count = DOOR_KEYS_PER_PAGE;
    answer->keys.inventory = atomic_load(&peer->inventory);
    answer->keys.total = (uint32_t)total;
    answer->keys.first = (uint32_t)first;
    answer->keys.count = count;
    answer->keys.entry = entries;
    for (size_t i = 0; i < count; i++)
        entries[i] = peer->keys[first + i].entry;
    if (atomic_exchange(&peer->inventory_moves, false))
        (void)atomic_fetch_add(&peer->inventory, 1);
}

static void facts(struct peer *peer, struct door_facts *out)
{
    (void)snprintf(out->label, sizeof out->label, "%s", peer->label);
    (void)snprintf(out->serial, sizeof out->serial, "S-%s", peer->label);
    out->up = true;
    out->prf_derive = true;
    out->sessions = 8;
    out->hmac_us = 20;
    out->inventory = atomic_load(&peer->inventory);
    out->key_count = (uint32_t)peer->key_count;
}

static void claim(const struct peer *peer, const struct door_request *request,
                  struct door_answer *answer)
{
    answer->claim.marked = peer->store != NULL;
    if (peer->store == NULL)
        (void)snprintf(answer->claim.why, sizeof answer->claim.why, "token %s is write-protected",
                       peer->label);
    else if (strcmp(peer->store, request->claim.store) != 0)
        answer->status = MIKEYD_POLICY;
}

static void compute(struct peer *peer, const struct door_request *request, uint8_t *room,
                    struct keys_entry *entries, struct door_answer *answer)
{
    uint8_t tag[32];
    answer->prf = request->op <= DOOR_TGK ? "sign" : NULL;
    switch (request->op) {
    case DOOR_SEAL:
        flip(request->seal.plain, room + 32, request->seal.plain_len);
        peer_tag(request->seal.head, request->seal.head_len, room);
        answer->seal.encrypted = room + 32;
        answer->seal.encrypted_len = request->seal.plain_len;
        answer->seal.mac = room;
        answer->seal.mac_len = 32;
        break;
    case DOOR_OPEN:
        flip(request->open.covered + request->open.encrypted_at, room + 32,
             request->open.encrypted_len);
        peer_tag(request->open.covered, request->open.covered_len, room);
        answer->open.plain = room + 32;
        answer->open.plain_len = request->open.encrypted_len;
        answer->open.v = room;
        answer->open.v_len = request->open.reply != NULL ? 32 : 0;
        break;
    case DOOR_TAG:
        tag_of(&request->tag.job.covered, room);
        answer->bytes.data = room;
        answer->bytes.len = atomic_load(&peer->wrong_length) ? 20 : 32;
        break;
    case DOOR_CHECK:
        tag_of(&request->tag.job.covered, tag);
        if (memcmp(tag, request->tag.tag, 32) != 0)
            answer->status = MIKEYD_AUTH_FAILED;
        break;
    case DOOR_TGK:
        memset(room, (int)(request->tgk.what.csb_id & 0xff), request->tgk.len);
        answer->bytes.data = room;
        answer->bytes.len = request->tgk.len;
        break;
    case DOOR_TICKET_KEY_OF_DAY:
        memset(room, (int)(request->ticket.day & 0xff), DOOR_TICKET_KEY);
        answer->bytes.data = room;
        answer->bytes.len = DOOR_TICKET_KEY;
        break;
    case DOOR_CHECKPOINT:
        memcpy(room, request->audit.claim.chain, 32);
        answer->checkpoint.signature = room;
        answer->checkpoint.signature_len = 32;
        answer->checkpoint.uses = 42;
        answer->checkpoint.incarnation[0] = 7;
        break;
    case DOOR_CLAIM:
        claim(peer, request, answer);
        break;
    case DOOR_FACTS:
        facts(peer, &answer->facts);
        break;
    case DOOR_KEYS:
        page(peer, request, entries, answer);
        break;
    case DOOR_HEALTH:
        answer->status = (enum mikeyd_status)atomic_load(&peer->health_status);
        break;
    case DOOR_PROOF_OF:
        proofs(peer, request, answer);
        break;
    default:
        break;
    }
}

/* ---- how it answers */

static void sleep_us(unsigned us)
{
    const struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    (void)nanosleep(&time, NULL);
}

static bool is_use(enum door_op op)
{
    return op <= DOOR_CHECKPOINT;
}

/* Until it may answer, or the other end is gone. */
static bool stopped(struct link *link, const struct door_request *request)
{
    while (atomic_load(&link->peer->hang_all) ||
           (is_use(request->op) && atomic_load(&link->peer->hang))) {
        char byte;
        if (recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            return true;
        sleep_us(1000);
    }
    return is_use(request->op) && atomic_load(&link->peer->drop);
}

static bool answer_one(struct link *link, uint8_t *in, size_t len, uint8_t *out_room,
                       struct keys_entry *entries)
{
    struct peer *peer = link->peer;
    static const uint8_t junk[] = {9, 9, 9};
    uint8_t room[4096] = {0};
    struct door_request request;
    struct door_answer answer = {0};
    struct error err = {0};
    if (door_read_request(in, len, &request, &err) != MIKEYD_OK)
        return false;
    (void)atomic_fetch_add(&peer->count[request.op], 1);
    if (is_use(request.op))
        sleep_us(atomic_load(&peer->delay_us));
    if (stopped(link, &request))
        return false;
    answer.op = request.op;
    answer.id = request.id + (atomic_load(&peer->wrong_id) && is_use(request.op) ? 1 : 0);
    (void)pthread_mutex_lock(&peer->lock);
    compute(peer, &request, room, entries, &answer);
    const int failing = atomic_load(&peer->use_status);
    if (is_use(request.op) && failing != 0)
        answer.status = (enum mikeyd_status)failing;
    (void)snprintf(answer.text, sizeof answer.text, "%s says so", peer->label);
    struct byte_writer out = writer_of(out_room, DOOR_MESSAGE_MAX);
    enum mikeyd_status status = door_write_answer(&answer, &out, &err);
    (void)pthread_mutex_unlock(&peer->lock);
    if (atomic_load(&peer->garbage) && is_use(request.op)) {
        out = writer_of(out_room, DOOR_MESSAGE_MAX);
        writer_bytes(&out, junk, sizeof junk);
    }
    return status == MIKEYD_OK && door_send(link->fd, &out, &err) == MIKEYD_OK;
}

static void *serve(void *argument)
{
    struct link *link = argument;
    struct peer *peer = link->peer;
    uint8_t *in = malloc(DOOR_MESSAGE_MAX), *out = malloc(DOOR_MESSAGE_MAX);
    struct keys_entry *entries = calloc(DOOR_KEYS_PER_PAGE, sizeof *entries);
    size_t len;
    while (door_receive(link->fd, -1, in, DOOR_MESSAGE_MAX, &len, NULL) == MIKEYD_OK &&
           answer_one(link, in, len, out, entries)) {
    }
    (void)pthread_mutex_lock(&peer->lock);
    peer->fds[link->slot] = -1;
    (void)close(link->fd);
    (void)pthread_mutex_unlock(&peer->lock);
    free(in);
    free(out);
    free(entries);
    free(link);
    (void)atomic_fetch_sub(&peer->connections, 1);
    (void)atomic_fetch_sub(&peer->threads, 1);
    return NULL;
}

static void begin_link(struct peer *peer, int fd)
{
    struct link *link = malloc(sizeof *link);
    pthread_t thread;
    *link = (struct link){.peer = peer, .fd = fd};
    (void)pthread_mutex_lock(&peer->lock);
    while (peer->fds[link->slot] != -1)
        link->slot++;
    peer->fds[link->slot] = fd;
    (void)pthread_mutex_unlock(&peer->lock);
    (void)atomic_fetch_add(&peer->connections, 1);
    (void)atomic_fetch_add(&peer->threads, 1);
    if (pthread_create(&thread, NULL, serve, link) != 0)
        abort();
    (void)pthread_detach(thread);
}

static void *accept_links(void *argument)
{
    struct peer *peer = argument;
    int fd;
    while (door_accept(peer->control, &fd, NULL) == MIKEYD_OK)
        begin_link(peer, fd);
    atomic_store(&peer->control_ended, true);
    return NULL;
}

/* ---- its life */

int peer_start(struct peer *peer, const char *label)
{
    int pair[2];
    peer->label = label;
    (void)pthread_mutex_init(&peer->lock, NULL);
    for (size_t i = 0; i < sizeof peer->fds / sizeof peer->fds[0]; i++)
        peer->fds[i] = -1;
    atomic_store(&peer->control_ended, false);
    if (atomic_load(&peer->inventory) == 0)
        atomic_store(&peer->inventory, 1);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    peer->control = pair[1];
    if (pthread_create(&peer->thread, NULL, accept_links, peer) != 0)
        abort();
    return pair[0];
}

void peer_add_key(struct peer *peer, enum keys_kind kind, const char *name, uint8_t value)
{
    (void)pthread_mutex_lock(&peer->lock);
    peer->keys = realloc(peer->keys, (peer->key_count + 1) * sizeof *peer->keys);
    struct peer_key *key = &peer->keys[peer->key_count++];
    *key = (struct peer_key){.entry = {.kind = kind, .generation = 1, .bits = 256, .usable = true},
                             .value = value};
    (void)snprintf(key->entry.name, KEYS_NAME_MAX, "%s", name);
    (void)atomic_fetch_add(&peer->inventory, 1);
    (void)pthread_mutex_unlock(&peer->lock);
}

void peer_kill(struct peer *peer)
{
    (void)shutdown(peer->control, SHUT_RDWR);
    (void)pthread_mutex_lock(&peer->lock);
    for (size_t i = 0; i < sizeof peer->fds / sizeof peer->fds[0]; i++) {
        if (peer->fds[i] >= 0)
            (void)shutdown(peer->fds[i], SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&peer->lock);
}

void peer_stop(struct peer *peer)
{
    atomic_store(&peer->hang, false);
    atomic_store(&peer->hang_all, false);
    (void)shutdown(peer->control, SHUT_RDWR);
    (void)pthread_join(peer->thread, NULL);
    peer_kill(peer);
    while (atomic_load(&peer->threads) != 0)
        sleep_us(1000);
    (void)close(peer->control);
    free(peer->keys);
    peer->keys = NULL;
    peer->key_count = 0;
}

unsigned peer_uses(const struct peer *peer)
{
    unsigned uses = 0;
    for (int op = DOOR_SEAL; op <= DOOR_CHECKPOINT; op++)
        uses += atomic_load(&peer->count[op]);
    return uses;
}
