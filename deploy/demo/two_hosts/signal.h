/* SDP bodies between the two ends over TCP, in the place of SIP. */
#ifndef DEMO_SIGNAL_H
#define DEMO_SIGNAL_H

#include <netinet/in.h>
#include <stddef.h>

#define SIGNAL_SDP_MAX 16384

enum { SIGNAL_OFFER = 'O', SIGNAL_ANSWER = 'A', SIGNAL_BYE = 'B' };

/* Sends one body. */
int signal_send(int fd, char type, const char *body);
/* Waits for one body, NUL-terminated; its type, or -1. */
int signal_read(int fd, char body[SIGNAL_SDP_MAX]);

/* An SDP with this key-mgmt line and this end's address for media. */
int signal_write_sdp(char out[SIGNAL_SDP_MAX], const struct sockaddr_in *media,
                     const char *key_mgmt);
/* Where the other end wants its media. */
int signal_read_sdp(const char *sdp, struct sockaddr_in *media);

#endif
