/*
 * What monitor and front tell each other: a socket pair of packets, one fixed form, both ends of
 * one binary. The front has nothing else of the monitor, and the monitor reads nothing else that
 * comes from outside its own process.
 */
#ifndef MIKEYD_CHANNEL_H
#define MIKEYD_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_FRONT_FD 3 /* the front's end */

enum channel_kind {
    /* monitor to front */
    CHANNEL_JOIN = 1, /* a keyholder is ready; its control connection comes with the message */
    CHANNEL_GONE,     /* it is dead; status and text say why when it never became ready */
    CHANNEL_RELOAD,   /* somebody asks for a reload: text says who */
    CHANNEL_STOP,
    /* front to monitor */
    CHANNEL_READY, /* for systemd, with text */
    CHANNEL_RELOADING,
    CHANNEL_STOPPING,
    CHANNEL_ALIVE,  /* a sign of life, at least every second while the front does its work */
    CHANNEL_KILL,   /* that keyholder overran its deadline */
    CHANNEL_RECYCLE /* that keyholder has grown: a successor is wanted */
};

struct channel_message {
    uint32_t kind;
    uint32_t member;   /* index of `tokens:` */
    uint64_t instance; /* of that member's keyholders, counted by the monitor from 1 */
    uint32_t status;   /* enum mikeyd_status */
    int32_t pid;       /* CHANNEL_JOIN, CHANNEL_GONE */
    char text[240];    /* NUL-terminated */
};

/* False when the other end is gone. fd: sent along, or -1. */
bool channel_send(int channel, const struct channel_message *message, int fd);
/*
 * Reads one message without waiting: 1 for one, 0 for none now, -1 when the other end is gone or
 * does not keep to the form. *fd: what came along, or -1; the caller's to close.
 */
int channel_receive(int channel, struct channel_message *out, int *fd);

#endif
