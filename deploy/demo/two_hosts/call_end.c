/*
 * call-end: one end of a call between two hosts, each with a mikeyd of its own.
 *
 *   call-end --mikeyd SOCKET --own ID --address IPV4 --listen FILE
 *   call-end --mikeyd SOCKET --own ID --address IPV4 --peer ID --call IPV4:PORT [--method METHOD]
 *
 * The first waits, with its port in FILE, and answers one call; the second calls. MIKEY messages
 * pass in SDP bodies over TCP, SRTP over UDP: each packet that arrives is answered by one, and some
 * are always under way. After 200 packets the
 * caller updates the keys, after 200 packets by those the called end does, and after 200 by those the
 * caller hangs up. Packets flow all the while: each end receives by old and new keys, and sends by
 * the new ones once it knows that the other has them. Exit 0 only if no packet was lost or refused.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "media.h"
#include "signal.h"

#define PACKETS_PER_KEY 200
#define KEYS_IN_ALL 3
#define UNDER_WAY 16
#define WAIT_MS 30000

struct end {
    mikeyd_client *client;
    const char *own, *peer;
    enum mikeyd_method method;
    bool caller, ended;
    int signalling, udp;
    struct sockaddr_in own_media, peer_media;
    uint32_t ssrc;
    mikeyd_exchange *has;  /* the last that both ends have */
    mikeyd_exchange *sent; /* waits for its answer; NULL: none */
    struct media send, receive;
    unsigned number;                  /* of the newest key, from 1 */
    unsigned by_key[KEYS_IN_ALL + 1]; /* packets received under each */
};

static int refused(const struct end *end, const char *what)
{
    return demo_failed(what, mikeyd_client_error(end->client));
}

/* ---- keys */

/* Crypto session 1 is the caller's stream, 2 that of the end that was called. */
static const struct mikeyd_srtp_key *key_of(const struct end *end, bool own)
{
    const struct mikeyd_srtp_key *keys;
    if (mikeyd_exchange_keys(end->has, &keys) != 2)
        return NULL;
    return &keys[end->caller == own ? 0 : 1];
}

static int send_by_newest(struct end *end)
{
    if (media_uses_key(&end->send, key_of(end, true)))
        return 0;
    return media_use_key(&end->send, key_of(end, true));
}

static int take_keys(struct end *end, mikeyd_exchange *exchange)
{
    mikeyd_exchange_free(end->has);
    end->has = exchange;
    if (key_of(end, true) == NULL)
        return demo_failed("keys", "not one stream each way");
    end->number++;
    end->ssrc = key_of(end, true)->ssrc;
    return media_add_key(&end->receive, key_of(end, false));
}

static int send_sdp(const struct end *end, char type, const mikeyd_exchange *exchange)
{
    static char sdp[SIGNAL_SDP_MAX];
    if (signal_write_sdp(sdp, &end->own_media, mikeyd_exchange_sdp(exchange)) != 0)
        return -1;
    return signal_send(end->signalling, type, sdp);
}

static int offer_call(struct end *end)
{
    const struct mikeyd_stream streams[] = {{.ssrc = end->ssrc}, {.ssrc = 0}};
    const struct mikeyd_offer offer = {.from = end->own,
                                       .to = end->peer,
                                       .streams = streams,
                                       .stream_count = 2,
                                       .method = end->method,
                                       .verify = true,
                                       .sdp = true};
    if (mikeyd_initiate(end->client, &offer, &end->sent) != MIKEYD_OK)
        return refused(end, "initiate");
    return send_sdp(end, SIGNAL_OFFER, end->sent);
}

static int offer_update(struct end *end)
{
    size_t len;
    const uint8_t *ticket = mikeyd_exchange_ticket(end->has, &len);
    const struct mikeyd_stream own = {.ssrc = end->ssrc, .roc = media_roc(&end->send)};
    if (mikeyd_update(end->client, ticket, len, &own, own.roc != 0 ? 1 : 0, true, true,
                      &end->sent) != MIKEYD_OK)
        return refused(end, "update");
    return send_sdp(end, SIGNAL_OFFER, end->sent);
}

/* The other end is waiting: it gets the answer before anything is sent by the new keys. */
static int answer_offer(struct end *end, const char *sdp)
{
    mikeyd_exchange *answered = NULL;
    const uint32_t roc = media_roc(&end->send);
    struct mikeyd_answer answer = {
        .as = end->own, .message = sdp, .message_len = strlen(sdp), .sdp = true};
    if (end->has != NULL) {
        answer.ticket = mikeyd_exchange_ticket(end->has, &answer.ticket_len);
        answer.ssrcs = &end->ssrc;
        answer.rocs = &roc;
        answer.ssrc_count = roc != 0 ? 1 : 0;
    }
    if (mikeyd_respond(end->client, &answer, &answered) != MIKEYD_OK)
        return refused(end, "respond");
    const bool first = end->has == NULL;
    if (signal_read_sdp(sdp, &end->peer_media) != 0 || take_keys(end, answered) != 0)
        return -1;
    if (first && send_by_newest(end) != 0)
        return -1;
    return send_sdp(end, SIGNAL_ANSWER, answered);
}

static int confirm_answer(struct end *end, const char *sdp)
{
    size_t len;
    mikeyd_exchange *confirmed = NULL;
    if (end->sent == NULL)
        return demo_failed("signalling", "an answer to nothing");
    const uint8_t *ticket = mikeyd_exchange_ticket(end->sent, &len);
    if (mikeyd_confirm(end->client, ticket, len, sdp, strlen(sdp), &confirmed) != MIKEYD_OK)
        return refused(end, "confirm");
    mikeyd_exchange_free(end->sent);
    end->sent = NULL;
    if (signal_read_sdp(sdp, &end->peer_media) != 0 || take_keys(end, confirmed) != 0)
        return -1;
    return send_by_newest(end); /* the other end has them */
}

static int handle_signalling(struct end *end)
{
    static char body[SIGNAL_SDP_MAX];
    switch (signal_read(end->signalling, body)) {
    case SIGNAL_OFFER:
        return answer_offer(end, body);
    case SIGNAL_ANSWER:
        return confirm_answer(end, body);
    case SIGNAL_BYE:
        end->ended = true;
        return 0;
    default:
        return -1;
    }
}

/* ---- media */

static int send_packet(struct end *end)
{
    uint8_t packet[MEDIA_PACKET];
    int len;
    if (media_protect(&end->send, packet, &len) != 0)
        return -1;
    if (sendto(end->udp, packet, (size_t)len, 0, (const struct sockaddr *)&end->peer_media,
               sizeof end->peer_media) != len)
        return demo_failed("media", "cannot be sent");
    return 0;
}

static int receive_packet(struct end *end)
{
    uint8_t packet[MEDIA_PACKET];
    bool newest;
    const ssize_t len = recv(end->udp, packet, sizeof packet, 0);
    if (len <= 0 || media_unprotect(&end->receive, packet, (int)len, &newest) != 0)
        return -1;
    end->by_key[newest ? end->number : end->number - 1]++;
    return newest ? send_by_newest(end) : 0; /* the other end has them: it sends by them */
}

/* Whose turn it is to change the keys, or to hang up. */
static int next_step(struct end *end)
{
    if (end->by_key[end->number] != PACKETS_PER_KEY || end->sent != NULL)
        return 0;
    if (end->number == KEYS_IN_ALL) {
        end->ended = end->caller;
        return end->caller ? signal_send(end->signalling, SIGNAL_BYE, "") : 0;
    }
    return end->caller == (end->number == 1) ? offer_update(end) : 0;
}

/* Media and signalling as they come: an update never stops the packets. */
static int run(struct end *end)
{
    struct pollfd fds[] = {{.fd = end->signalling, .events = POLLIN},
                           {.fd = end->udp, .events = POLLIN}};
    while (!end->ended) {
        if (poll(fds, 2, WAIT_MS) <= 0)
            return demo_failed("media", "a packet was lost, or the other end is gone");
        if (fds[0].revents != 0) {
            const bool first = end->has == NULL;
            if (handle_signalling(end) != 0)
                return -1;
            for (int i = 0; first && end->caller && i < UNDER_WAY; i++) {
                if (send_packet(end) != 0)
                    return -1;
            }
        } else if (receive_packet(end) != 0 || next_step(end) != 0 ||
                   (!end->ended && send_packet(end) != 0)) {
            return -1;
        }
    }
    printf(
        "%s: %u packets sent, %u received in their order; under key 1: %u, key 2: %u, key 3: %u\n",
        end->own, end->send.packets, end->receive.packets, end->by_key[1], end->by_key[2],
        end->by_key[3]);
    return 0;
}

/* ---- the way to the other end */

static int open_media(struct end *end, const char *address)
{
    socklen_t len = sizeof end->own_media;
    end->own_media = (struct sockaddr_in){.sin_family = AF_INET};
    end->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (end->udp < 0 || inet_pton(AF_INET, address, &end->own_media.sin_addr) != 1 ||
        bind(end->udp, (const struct sockaddr *)&end->own_media, len) != 0 ||
        getsockname(end->udp, (struct sockaddr *)&end->own_media, &len) != 0)
        return demo_failed("media", "cannot use this address");
    return 0;
}

/* One call; the port goes into the file in one step. */
static int wait_for_call(struct end *end, const char *file)
{
    struct sockaddr_in own = end->own_media;
    socklen_t len = sizeof own;
    char fresh[512];
    own.sin_port = 0;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&own, sizeof own) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&own, &len) != 0)
        return demo_failed("listen", "cannot use this address");
    (void)snprintf(fresh, sizeof fresh, "%s.new", file);
    FILE *out = fopen(fresh, "w");
    if (out == NULL || fprintf(out, "%u\n", ntohs(own.sin_port)) < 0 || fclose(out) != 0 ||
        rename(fresh, file) != 0)
        return demo_failed("listen", file);
    end->signalling = accept(listener, NULL, NULL);
    (void)close(listener);
    return end->signalling >= 0 ? 0 : demo_failed("listen", "no call");
}

static int call_peer(struct end *end, const char *where)
{
    char address[INET_ADDRSTRLEN];
    unsigned port;
    struct sockaddr_in peer = {.sin_family = AF_INET};
    if (sscanf(where, "%15[0-9.]:%u", address, &port) != 2 || port > UINT16_MAX ||
        inet_pton(AF_INET, address, &peer.sin_addr) != 1)
        return demo_failed("call", "not IPV4:PORT");
    peer.sin_port = htons((uint16_t)port);
    end->signalling = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (end->signalling < 0 ||
        connect(end->signalling, (const struct sockaddr *)&peer, sizeof peer) != 0)
        return demo_failed("call", "nobody answers");
    return offer_call(end);
}

static int set_method(const char *name, enum mikeyd_method *out)
{
    if (strcmp(name, "psk") == 0)
        *out = MIKEYD_PSK;
    else if (strcmp(name, "psk-dhe") == 0)
        *out = MIKEYD_PSK_DHE;
    else if (strcmp(name, "dhhmac") == 0)
        *out = MIKEYD_DHHMAC;
    else
        return demo_failed("--method", "psk, psk-dhe or dhhmac");
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: call-end --mikeyd SOCKET --own ID --address IPV4\n"
            "                (--listen FILE | --peer ID --call IPV4:PORT [--method METHOD])\n");
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"mikeyd", required_argument, NULL, 'm'}, {"own", required_argument, NULL, 'o'},
        {"peer", required_argument, NULL, 'p'},   {"address", required_argument, NULL, 'a'},
        {"listen", required_argument, NULL, 'l'}, {"call", required_argument, NULL, 'c'},
        {"method", required_argument, NULL, 'k'}, {NULL, 0, NULL, 0}};
    static struct end end = {.signalling = -1, .udp = -1, .ssrc = 0x1a2b3c4d};
    const char *socket = NULL, *address = NULL, *listen = NULL, *call = NULL;
    int option, result = 0;
    while (result == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'm':
            socket = optarg;
            break;
        case 'o':
            end.own = optarg;
            break;
        case 'p':
            end.peer = optarg;
            break;
        case 'a':
            address = optarg;
            break;
        case 'l':
            listen = optarg;
            break;
        case 'c':
            call = optarg;
            break;
        case 'k':
            result = set_method(optarg, &end.method);
            break;
        default:
            return usage();
        }
    }
    end.caller = call != NULL;
    if (result != 0 || socket == NULL || end.own == NULL || address == NULL ||
        (listen == NULL) == (call == NULL) || (call != NULL && end.peer == NULL))
        return usage();
    if (srtp_init() != srtp_err_status_ok)
        result = demo_failed("libsrtp2", "cannot be initialised");
    else if (mikeyd_client_open(socket, &end.client) != MIKEYD_OK)
        result = demo_failed("connect", mikeyd_client_error(NULL));
    else if ((result = open_media(&end, address)) == 0)
        result = end.caller ? call_peer(&end, call) : wait_for_call(&end, listen);
    if (result == 0)
        result = run(&end);
    media_close(&end.send);
    media_close(&end.receive);
    mikeyd_exchange_free(end.has);
    mikeyd_exchange_free(end.sent);
    mikeyd_client_close(end.client);
    (void)srtp_shutdown();
    return result == 0 ? 0 : 1;
}
