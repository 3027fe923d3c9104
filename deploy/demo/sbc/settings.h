/* What the command line says. */
#ifndef SBC_SETTINGS_H
#define SBC_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct settings {
    const char *mikeyd;                   /* address of the daemon or gates */
    const char *own, *peer;               /* identities of MIKEY: this SBC and the other one */
    const char *plain, *secure;           /* own SIP URIs: towards the PBX, towards the other SBC */
    const char *plain_next, *secure_next; /* where calls go on each side */
    struct in_addr plain_media, secure_media;
    unsigned rekey_every_ms; /* the SBC that called changes the keys; 0: never */
    int first_sequence;      /* of the packets sent to the other SBC; -1: random */
};

/* Says what is wrong with an argument and returns false. */
bool settings_read(int argc, char **argv, struct settings *out);

#endif
