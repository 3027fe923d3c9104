#include "mikeyctl/exchange_arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/suite.h"
#include "base/text.h"
#include "mikeyctl/ctl.h"

static const struct option options[] = {
    {"from", required_argument, NULL, GIVEN_FROM},
    {"to", required_argument, NULL, GIVEN_TO},
    {"as", required_argument, NULL, GIVEN_AS},
    {"message", required_argument, NULL, GIVEN_MESSAGE},
    {"reply", required_argument, NULL, GIVEN_REPLY},
    {"ticket", required_argument, NULL, GIVEN_TICKET},
    {"stream", required_argument, NULL, GIVEN_STREAM},
    {"method", required_argument, NULL, GIVEN_METHOD},
    {"verify", no_argument, NULL, GIVEN_VERIFY},
    {"no-verify", no_argument, NULL, GIVEN_NO_VERIFY},
    {"sdp", no_argument, NULL, GIVEN_SDP},
    {"reference", required_argument, NULL, GIVEN_REFERENCE},
    {"into", required_argument, NULL, GIVEN_INTO},
    {"media", required_argument, NULL, GIVEN_MEDIA},
    {"rtsp", required_argument, NULL, GIVEN_RTSP},
    {"protocols", required_argument, NULL, GIVEN_PROTOCOLS},
    {"json", no_argument, NULL, GIVEN_JSON},
    {"help", no_argument, NULL, GIVEN_HELP},
    {NULL, 0, NULL, 0},
};

void arguments_clear(struct arguments *arguments)
{
    exchange_message_clear(&arguments->message);
    exchange_message_clear(&arguments->reply);
    if (arguments->ticket.data != NULL)
        secret_wipe(arguments->ticket.data, arguments->ticket.len);
    free(arguments->ticket.data);
    free(arguments->found_protocols);
}

/* One part behind the SSRC: "roc=N", or a suite, which goes to `suite`. */
static bool parse_stream_part(const char *part, size_t len, struct mikeyd_stream *stream,
                              char suite[SUITE_MAX])
{
    enum srtp_suite known;
    if (len >= 4 && strncmp(part, "roc=", 4) == 0) {
        char *end;
        errno = 0;
        unsigned long roc = strtoul(part + 4, &end, 10);
        stream->roc = (uint32_t)roc;
        return len > 4 && part[4] >= '0' && part[4] <= '9' && end == part + len && errno == 0 &&
               roc <= UINT32_MAX;
    }
    if (stream->suite != NULL || len >= SUITE_MAX)
        return false;
    memcpy(suite, part, len);
    suite[len] = '\0';
    stream->suite = suite;
    return srtp_suite_by_name(suite, &known);
}

/* "SSRC[,SUITE][,roc=N]", SSRC as 8 hex digits. */
static enum mikeyd_status parse_stream(const char *text, struct arguments *arguments,
                                       struct error *err)
{
    uint8_t ssrc[4];
    size_t len = 0;
    const size_t index = arguments->stream_count;
    if (index == STREAMS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "more than %d streams", STREAMS_MAX);
    if (strlen(text) < 8 || hex_decode(text, 8, ssrc, sizeof ssrc, &len, NULL) != MIKEYD_OK ||
        (text[8] != '\0' && text[8] != ',')) {
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--stream %s: not SSRC[,SUITE][,roc=N]",
                         text);
    }
    struct mikeyd_stream *stream = &arguments->streams[index];
    *stream = (struct mikeyd_stream){.ssrc = (uint32_t)ssrc[0] << 24 | (uint32_t)ssrc[1] << 16 |
                                             (uint32_t)ssrc[2] << 8 | (uint32_t)ssrc[3]};
    for (const char *part = text + 8; *part == ',';) {
        part++;
        const size_t part_len = strcspn(part, ",");
        if (!parse_stream_part(part, part_len, stream, arguments->suites[index]))
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "--stream %s: neither suite nor roc=N",
                             text);
        part += part_len;
    }
    arguments->ssrcs[index] = stream->ssrc;
    arguments->rocs[index] = stream->roc;
    arguments->stream_count++;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_bytes(const char *option, const char *text, struct bytes *out,
                                      struct error *err)
{
    if (out->data != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--%s given twice", option);
    enum mikeyd_status status = ctl_argument_bytes(text, &out->data, &out->len, err);
    if (status != MIKEYD_OK)
        error_prefix(err, "--%s", option);
    return status;
}

static enum mikeyd_status take_once(const char *option, const char *value, const char **out,
                                    struct error *err)
{
    if (*out != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--%s given twice", option);
    *out = value;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_media(const char *text, struct arguments *arguments,
                                      struct error *err)
{
    char *end;
    errno = 0;
    const unsigned long media = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || media > MIKEY_SDP_MEDIA_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "--media %s: the number of an m= line, from 1, or 0 for the session",
                         text);
    arguments->place.media = media;
    return MIKEYD_OK;
}

static enum mikeyd_status parse_method(const char *text, struct arguments *arguments,
                                       struct error *err)
{
    if (strcmp(text, "psk") == 0)
        arguments->method = MIKEYD_PSK;
    else if (strcmp(text, "dhhmac") == 0)
        arguments->method = MIKEYD_DHHMAC;
    else if (strcmp(text, "psk-dhe") == 0)
        arguments->method = MIKEYD_PSK_DHE;
    else
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--method %s: psk, psk-dhe or dhhmac", text);
    return MIKEYD_OK;
}

static enum mikeyd_status parse_option(int option, const char *value, struct arguments *arguments,
                                       struct error *err)
{
    arguments->given |= (unsigned)option;
    switch (option) {
    case GIVEN_FROM:
        arguments->from = value;
        return MIKEYD_OK;
    case GIVEN_TO:
        arguments->to = value;
        return MIKEYD_OK;
    case GIVEN_AS:
        arguments->as = value;
        return MIKEYD_OK;
    case GIVEN_REFERENCE:
        arguments->reference = value;
        return MIKEYD_OK;
    case GIVEN_MESSAGE:
        return take_once("message", value, &arguments->message_text, err);
    case GIVEN_REPLY:
        return take_once("reply", value, &arguments->reply_text, err);
    case GIVEN_TICKET:
        return parse_bytes("ticket", value, &arguments->ticket, err);
    case GIVEN_STREAM:
        return parse_stream(value, arguments, err);
    case GIVEN_METHOD:
        return parse_method(value, arguments, err);
    case GIVEN_VERIFY:
        arguments->verify = true;
        return MIKEYD_OK;
    case GIVEN_NO_VERIFY:
        arguments->verify = false;
        return MIKEYD_OK;
    case GIVEN_SDP:
        arguments->sdp = true;
        return MIKEYD_OK;
    case GIVEN_INTO:
        arguments->sdp = true;
        return take_once("into", value, &arguments->place.into, err);
    case GIVEN_MEDIA:
        return parse_media(value, arguments, err);
    case GIVEN_RTSP:
        return take_once("rtsp", value, &arguments->place.uri, err);
    case GIVEN_PROTOCOLS:
        return take_once("protocols", value, &arguments->protocols, err);
    case GIVEN_JSON: /* the output is JSON with or without it */
    case GIVEN_HELP:
        return MIKEYD_OK;
    default:
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "bad option");
    }
}

enum mikeyd_status arguments_parse(int argc, char **argv, struct arguments *out, struct error *err)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        enum mikeyd_status status = parse_option(option, optarg, out, err);
        if (status != MIKEYD_OK)
            return status;
    }
    if (optind < argc)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "unexpected argument \"%s\"", argv[optind]);
    return MIKEYD_OK;
}

const char *arguments_option_name(unsigned set)
{
    for (size_t i = 0; options[i].name != NULL; i++) {
        if ((unsigned)options[i].val == (set & (~set + 1)))
            return options[i].name;
    }
    return "";
}

/* ---- messages */

static enum mikeyd_status read_message(const char *option, const char *text, size_t media,
                                       struct exchange_message *out, struct error *err)
{
    if (text == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = exchange_message_read(text, media, out, err);
    if (status != MIKEYD_OK)
        error_prefix(err, "--%s", option);
    return status;
}

/* RFC 4567 4.1.4: of an offer that was received, what it says. */
static enum mikeyd_status received_protocols(struct arguments *arguments, struct error *err)
{
    const struct exchange_message *message = &arguments->message;
    if (!arguments->sdp || arguments->protocols != NULL || message->protocols[0] == '\0')
        return MIKEYD_OK;
    if (message->protocols_differ)
        return error_set(err, MIKEYD_POLICY,
                         "session and media level offer different key management protocols, which "
                         "no list protects (RFC 4567 4.1.4)");
    arguments->protocols = message->protocols;
    return MIKEYD_OK;
}

/* And of one that is made, what it will say. */
static enum mikeyd_status offered_protocols(struct arguments *arguments, struct error *err)
{
    if (arguments->protocols != NULL)
        return MIKEYD_OK;
    enum mikeyd_status status =
        exchange_place_protocols(&arguments->place, &arguments->found_protocols, err);
    arguments->protocols = arguments->found_protocols;
    return status;
}

enum mikeyd_status arguments_read(struct arguments *arguments, bool offers, struct error *err)
{
    const size_t media = arguments->place.media;
    enum mikeyd_status status =
        read_message("message", arguments->message_text, media, &arguments->message, err);
    if (status == MIKEYD_OK)
        status = read_message("reply", arguments->reply_text, media, &arguments->reply, err);
    if (status == MIKEYD_OK)
        status = offers ? offered_protocols(arguments, err) : received_protocols(arguments, err);
    /* The answer stands at the level of what it answers. */
    if (arguments->message.protocols[0] != '\0' && arguments->place.into != NULL)
        arguments->place.media = arguments->message.level;
    return status;
}
