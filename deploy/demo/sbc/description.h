/* SDP bodies of the SBC, by Sofia-SIP's parser. Keys are not its matter: <mikeyd/sdp.h> puts them in. */
#ifndef SBC_DESCRIPTION_H
#define SBC_DESCRIPTION_H

#include <netinet/in.h>
#include <stdbool.h>

/* Where the first audio line wants its packets. false: no such line, no IPv4 address, or port 0. */
bool description_target(const char *body, struct sockaddr_in *media);
/*
 * What one peer said, for the other: same codecs, the SBC's own address, port and profile (RTP/SAVP or
 * RTP/AVP), no other medium, no key. version: of the origin line, one more for each description that
 * differs (RFC 3264 8). free() it; NULL when body cannot be read.
 */
char *description_for_other(const char *body, const struct sockaddr_in *own, bool secure,
                            unsigned version);

#endif
