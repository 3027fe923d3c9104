#include "media.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET_MAX 2048
#define BATCH 32      /* packets of one call before the others have their turn */
#define PORT_TRIES 16 /* until the kernel gives an even one (RFC 3550 11) */

/* ---- sockets */

static bool open_side(struct media_side *side, struct in_addr address)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        socklen_t len = sizeof side->own;
        side->own = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = address};
        side->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (side->fd < 0)
            return false;
        if (bind(side->fd, (const struct sockaddr *)&side->own, len) == 0 &&
            getsockname(side->fd, (struct sockaddr *)&side->own, &len) == 0 &&
            ntohs(side->own.sin_port) % 2 == 0)
            return true;
        (void)close(side->fd);
        side->fd = -1;
    }
    return false;
}

static void close_side(struct media *media, struct media_side *side)
{
    if (side->registration > 0)
        (void)su_root_deregister(media->root, side->registration);
    if (side->fd >= 0)
        (void)close(side->fd);
    *side = (struct media_side){.fd = -1};
}

bool media_open(struct media *media, su_root_t *root, struct in_addr plain, struct in_addr secure)
{
    media->root = root;
    media->plain.fd = media->secure.fd = -1;
    if (open_side(&media->plain, plain) && open_side(&media->secure, secure))
        return true;
    media_close(media);
    return false;
}

/* ---- packets */

static bool send_to(const struct media_side *side, const unsigned char *packet, int len)
{
    return sendto(side->fd, packet, (size_t)len, MSG_DONTWAIT, (const struct sockaddr *)&side->peer,
                  sizeof side->peer) == len;
}

/* The one place where something leaves for the other SBC. */
static void plain_to_secure(struct media *media, unsigned char *packet, int len)
{
    media->counts->plain_in++;
    rtp_rewrite(&media->rewrite, packet);
    if (secure_stream_protect(&media->send, packet, &len) && send_to(&media->secure, packet, len))
        media->counts->protected_out++;
    else
        media->counts->not_sent++;
}

static void secure_to_plain(struct media *media, unsigned char *packet, int len)
{
    bool by_newest = false;
    if (!secure_stream_unprotect(&media->receive, packet, &len, &by_newest)) {
        media->counts->refused++;
        return;
    }
    media->counts->authentic_in++;
    if (by_newest && media->updated)
        media->counts->by_new_key++;
    if (send_to(&media->plain, packet, len))
        media->counts->plain_out++;
    else
        media->counts->not_sent++;
    if (by_newest && media->new_key_seen != NULL) {
        void (*seen)(void *) = media->new_key_seen;
        media->new_key_seen = NULL;
        seen(media->user);
    }
}

static int receive(struct media *media, struct media_side *side,
                   void (*pass)(struct media *, unsigned char *, int))
{
    unsigned char packet[PACKET_MAX + SRTP_MAX_TRAILER_LEN];
    for (int i = 0; i < BATCH; i++) {
        const ssize_t len = recv(side->fd, packet, PACKET_MAX, 0);
        if (len < 0 && errno != EINTR && errno != ECONNREFUSED)
            break;
        if (len > 0 && rtp_is_packet(packet, (size_t)len))
            pass(media, packet, (int)len);
    }
    return 0;
}

static int plain_ready(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    (void)magic, (void)wait;
    struct media *media = (struct media *)arg;
    return receive(media, &media->plain, plain_to_secure);
}

static int secure_ready(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    (void)magic, (void)wait;
    struct media *media = (struct media *)arg;
    return receive(media, &media->secure, secure_to_plain);
}

static bool watch(struct media *media, struct media_side *side, su_wakeup_f ready)
{
    su_wait_t wait[1];
    if (side->registration > 0)
        return true;
    if (su_wait_create(wait, side->fd, SU_WAIT_IN) != 0)
        return false;
    side->registration = su_root_register(media->root, wait, ready, (su_wakeup_arg_t *)media, 0);
    return side->registration > 0;
}

bool media_start(struct media *media)
{
    return media->send.newest != NULL && media->receive.newest != NULL &&
           watch(media, &media->plain, plain_ready) && watch(media, &media->secure, secure_ready);
}

void media_close(struct media *media)
{
    close_side(media, &media->plain);
    close_side(media, &media->secure);
    secure_stream_close(&media->send);
    secure_stream_close(&media->receive);
}
