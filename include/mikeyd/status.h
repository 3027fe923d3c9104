/*
 * Status of every mikeyd operation. The names printed by mikeyd_status_name() ("REPLAY", "POLICY"
 * ...) are stable: scripts, audit records and metrics rely on them. Numbers travel on the wire and
 * never change.
 */
#ifndef MIKEYD_STATUS_H
#define MIKEYD_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

enum mikeyd_status {
    MIKEYD_OK = 0,
    MIKEYD_SYNTAX = 1,         /* not a well-formed MIKEY message, frame or file */
    MIKEYD_UNSUPPORTED = 2,    /* well-formed, but asks for what is not offered here */
    MIKEYD_AUTH_FAILED = 3,    /* MAC or verification value wrong, or reflected message */
    MIKEYD_REPLAY = 4,         /* authenticated before */
    MIKEYD_CLOCK_SKEW = 5,     /* timestamp outside the allowed window */
    MIKEYD_UNKNOWN_PEER = 6,   /* no such node, or no pair of these two */
    MIKEYD_POLICY = 7,         /* the policy forbids it */
    MIKEYD_NOT_ENTITLED = 8,   /* this client may not do it */
    MIKEYD_TICKET_INVALID = 9, /* not a ticket of ours, of another client, or used */
    MIKEYD_TICKET_EXPIRED = 10,
    MIKEYD_TOKEN_DOWN = 11, /* token unreachable, failing or without the key */
    MIKEYD_TOKEN_BUSY = 12, /* no token session free within the bound */
    MIKEYD_STORE_DOWN = 13, /* no replay decision possible */
    MIKEYD_AUDIT_DOWN = 14, /* no audit record possible */
    MIKEYD_OVERLOADED = 15, /* queue full: try later */
    MIKEYD_INTERNAL = 16,
    MIKEYD_UNREACHABLE = 17,      /* client side only: no daemon at that address */
    MIKEYD_INVALID_ARGUMENT = 18, /* the caller's arguments make no sense */
    MIKEYD_PIN_REFUSED = 19 /* at the start and in the ceremony only: the token refused the PIN */
};

#define MIKEYD_STATUS_COUNT 20

#ifdef __cplusplus
}
#endif
#endif
