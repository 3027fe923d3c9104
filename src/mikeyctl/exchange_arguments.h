/* The options of mikeyctl exchange, all steps together. */
#ifndef MIKEYCTL_EXCHANGE_ARGUMENTS_H
#define MIKEYCTL_EXCHANGE_ARGUMENTS_H

#include <mikeyd/client.h>

#include "mikeyctl/exchange_sdp.h"

#define SUITE_MAX 40
#define STREAMS_MAX 255 /* RFC 3830 6.1: the number of crypto sessions is one byte */

struct bytes {
    uint8_t *data;
    size_t len;
};

/* The arguments of one step; `given` has one bit an option, to refuse those of another step. */
struct arguments {
    unsigned given;
    const char *from, *to, *as, *reference;
    const char *message_text, *reply_text;
    struct exchange_message message, reply;
    struct bytes ticket;
    struct exchange_place place;
    const char *protocols; /* --protocols, else what the offer's description says */
    char *found_protocols;
    struct mikeyd_stream streams[STREAMS_MAX];
    uint32_t ssrcs[STREAMS_MAX], rocs[STREAMS_MAX];
    char suites[STREAMS_MAX][SUITE_MAX];
    size_t stream_count;
    enum mikeyd_method method;
    bool verify;
    bool sdp;
};

enum {
    GIVEN_FROM = 1 << 0,
    GIVEN_TO = 1 << 1,
    GIVEN_AS = 1 << 2,
    GIVEN_MESSAGE = 1 << 3,
    GIVEN_REPLY = 1 << 4,
    GIVEN_TICKET = 1 << 5,
    GIVEN_STREAM = 1 << 6,
    GIVEN_METHOD = 1 << 7,
    GIVEN_VERIFY = 1 << 8,
    GIVEN_NO_VERIFY = 1 << 9,
    GIVEN_SDP = 1 << 10,
    GIVEN_JSON = 1 << 11,
    GIVEN_HELP = 1 << 12,
    GIVEN_REFERENCE = 1 << 13,
    GIVEN_INTO = 1 << 14,
    GIVEN_MEDIA = 1 << 15,
    GIVEN_RTSP = 1 << 16,
    GIVEN_PROTOCOLS = 1 << 17
};

/* The option's name in text; "" for none. The lowest of a set. */
const char *arguments_option_name(unsigned set);
/* Reads all options of argv. INVALID_ARGUMENT is usage; else a message or ticket does not decode. */
enum mikeyd_status arguments_parse(int argc, char **argv, struct arguments *out, struct error *err);
/* Once the step is known: the messages, which --media chooses, and the protocols of an offer. */
enum mikeyd_status arguments_read(struct arguments *arguments, bool offers, struct error *err);
void arguments_clear(struct arguments *arguments);

#endif
