/* mikeyctl exchange: one step of a key exchange through the daemon, its result as one JSON object.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mikeyd/client.h>
#include <openssl/rand.h>

#include "base/secret.h"
#include "base/suite.h"
#include "base/text.h"
#include "mikeyctl/ctl.h"
#include "mikeyctl/exchange_json.h"

#define SUITE_MAX 40
#define STREAMS_MAX 255 /* RFC 3830 6.1: the number of crypto sessions is one byte */

static const char synopsis[] =
    "mikeyctl exchange STEP ...\n"
    "  initiate --from ID --to ID [--stream SSRC[,SUITE][,roc=N]]... [--verify|--no-verify]\n"
    "           [--method psk|psk-dhe|dhhmac] [--reference TEXT] [--sdp]\n"
    "  respond  --as ID [--from ID] --message B64|SDP|@FILE [--stream SSRC[,roc=N]]...\n"
    "           [--ticket B64|@FILE] [--reference TEXT] [--sdp]\n"
    "  confirm  --ticket B64|@FILE --reply B64|SDP|@FILE\n"
    "  update   --ticket B64|@FILE [--stream SSRC[,SUITE][,roc=N]]... [--verify|--no-verify]\n"
    "           [--sdp]";

struct bytes {
    uint8_t *data;
    size_t len;
};

/* The arguments of one step; `given` has one bit an option, to refuse those of another step. */
struct arguments {
    unsigned given;
    const char *from, *to, *as, *reference;
    struct bytes message, reply, ticket;
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
    GIVEN_REFERENCE = 1 << 13
};

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
    {"json", no_argument, NULL, GIVEN_JSON},
    {"help", no_argument, NULL, GIVEN_HELP},
    {NULL, 0, NULL, 0},
};

static void arguments_clear(struct arguments *arguments)
{
    struct bytes *const parts[] = {&arguments->message, &arguments->reply, &arguments->ticket};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i]->data != NULL)
            secret_wipe(parts[i]->data, parts[i]->len);
        free(parts[i]->data);
    }
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
        return parse_bytes("message", value, &arguments->message, err);
    case GIVEN_REPLY:
        return parse_bytes("reply", value, &arguments->reply, err);
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
    case GIVEN_JSON: /* the output is JSON with or without it */
    case GIVEN_HELP:
        return MIKEYD_OK;
    default:
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "bad option");
    }
}

/* ---- the steps ---- */

static enum mikeyd_status run_initiate(mikeyd_client *client, const struct arguments *arguments,
                                       mikeyd_exchange **out)
{
    struct mikeyd_stream one = {.ssrc = 0, .suite = NULL};
    const bool none = arguments->stream_count == 0;
    /* Without a verification message the responder could not tell which SSRC it chose. */
    while (none && !arguments->verify && one.ssrc == 0) {
        if (RAND_bytes((unsigned char *)&one.ssrc, sizeof one.ssrc) != 1)
            return MIKEYD_INTERNAL;
    }
    const struct mikeyd_offer offer = {
        .from = arguments->from,
        .to = arguments->to,
        .streams = none ? &one : arguments->streams,
        .stream_count = none ? 1 : arguments->stream_count,
        .method = arguments->method,
        .verify = arguments->verify,
        .sdp = arguments->sdp,
        .reference = arguments->reference,
    };
    return mikeyd_initiate(client, &offer, out);
}

static enum mikeyd_status run_respond(mikeyd_client *client, const struct arguments *arguments,
                                      mikeyd_exchange **out)
{
    const struct mikeyd_answer answer = {
        .as = arguments->as,
        .message = arguments->message.data,
        .message_len = arguments->message.len,
        .from = arguments->from,
        .reference = arguments->reference,
        .error_message = true,
        .ssrcs = arguments->ssrcs,
        .rocs = arguments->rocs,
        .ssrc_count = arguments->stream_count,
        .ticket = arguments->ticket.data,
        .ticket_len = arguments->ticket.len,
        .sdp = arguments->sdp,
    };
    return mikeyd_respond(client, &answer, out);
}

static enum mikeyd_status run_confirm(mikeyd_client *client, const struct arguments *arguments,
                                      mikeyd_exchange **out)
{
    return mikeyd_confirm(client, arguments->ticket.data, arguments->ticket.len,
                          arguments->reply.data, arguments->reply.len, out);
}

static enum mikeyd_status run_update(mikeyd_client *client, const struct arguments *arguments,
                                     mikeyd_exchange **out)
{
    return mikeyd_update(client, arguments->ticket.data, arguments->ticket.len, arguments->streams,
                         arguments->stream_count, arguments->verify, arguments->sdp, out);
}

static const struct step {
    const char *name;
    unsigned required, allowed;
    enum mikeyd_status (*run)(mikeyd_client *, const struct arguments *, mikeyd_exchange **);
    json_t *(*result)(const mikeyd_exchange *, bool sdp);
} steps[] = {
    {"initiate", GIVEN_FROM | GIVEN_TO,
     GIVEN_STREAM | GIVEN_VERIFY | GIVEN_NO_VERIFY | GIVEN_METHOD | GIVEN_SDP | GIVEN_REFERENCE,
     run_initiate, exchange_json_offer},
    {"respond", GIVEN_AS | GIVEN_MESSAGE,
     GIVEN_FROM | GIVEN_STREAM | GIVEN_TICKET | GIVEN_SDP | GIVEN_REFERENCE, run_respond,
     exchange_json_respond},
    {"confirm", GIVEN_TICKET | GIVEN_REPLY, 0, run_confirm, exchange_json_confirm},
    {"update", GIVEN_TICKET, GIVEN_STREAM | GIVEN_VERIFY | GIVEN_NO_VERIFY | GIVEN_SDP, run_update,
     exchange_json_offer},
};

/* A refusal with the error message that the peer is to get (RFC 3830 5.1.2). */
static int fail_with_message(const struct error *err, const mikeyd_exchange *exchange)
{
    json_t *object = exchange_json_refusal(err, exchange);
    if (object == NULL)
        return ctl_fail(true, err);
    int printed = ctl_print(object);
    return printed != 0 ? printed : status_exit_code(err->status);
}

static int exchange_through_daemon(const struct ctl *ctl, const struct step *step,
                                   const struct arguments *arguments)
{
    struct error err = {0};
    mikeyd_client *client = NULL;
    mikeyd_exchange *exchange = NULL;
    enum mikeyd_status status = mikeyd_client_open(ctl->socket, &client);
    if (status == MIKEYD_OK)
        status = step->run(client, arguments, &exchange);

    int exit_status;
    if (status != MIKEYD_OK) {
        const char *text = mikeyd_client_error(client);
        (void)error_set(&err, status, "%s", text[0] == '\0' ? mikeyd_status_name(status) : text);
        exit_status = exchange == NULL ? ctl_fail(true, &err) : fail_with_message(&err, exchange);
    } else {
        json_t *object = step->result(exchange, arguments->sdp);
        (void)error_set(&err, MIKEYD_INTERNAL, "out of memory");
        exit_status = object == NULL ? ctl_fail(true, &err) : ctl_print(object);
    }
    mikeyd_exchange_free(exchange);
    mikeyd_client_close(client);
    return exit_status;
}

static const struct step *step_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (strcmp(steps[i].name, name) == 0)
            return &steps[i];
    }
    return NULL;
}

static const char *option_name(unsigned bit)
{
    for (size_t i = 0; options[i].name != NULL; i++) {
        if ((unsigned)options[i].val == bit)
            return options[i].name;
    }
    return "";
}

/* The lowest bit of a set, as an option's name. */
static const char *first_option(unsigned set)
{
    return option_name(set & (~set + 1));
}

int ctl_exchange(struct ctl *ctl, int argc, char **argv)
{
    if (argc < 2)
        return ctl_usage(synopsis, "exchange: no step given");
    if (strcmp(argv[1], "--help") == 0) {
        (void)printf("usage: %s\n", synopsis);
        return 0;
    }
    const struct step *step = step_by_name(argv[1]);
    if (step == NULL)
        return ctl_usage(synopsis, "exchange: unknown step \"%s\"", argv[1]);

    struct arguments arguments = {.verify = true};
    struct error err = {0};
    int exit_status;
    int option;
    while ((option = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1) {
        enum mikeyd_status status = parse_option(option, optarg, &arguments, &err);
        if (status == MIKEYD_OK)
            continue;
        /* A message or ticket that does not decode is a protocol failure; the rest is usage. */
        exit_status = status == MIKEYD_INVALID_ARGUMENT ? ctl_usage(synopsis, "%s", err.text)
                                                        : ctl_fail(true, &err);
        goto out;
    }

    const unsigned foreign =
        arguments.given & ~(step->required | step->allowed | GIVEN_JSON | GIVEN_HELP);
    const unsigned missing = step->required & ~arguments.given;
    if ((arguments.given & GIVEN_HELP) != 0) {
        (void)printf("usage: %s\n", synopsis);
        exit_status = 0;
    } else if (foreign != 0) {
        exit_status =
            ctl_usage(synopsis, "exchange %s takes no --%s", step->name, first_option(foreign));
    } else if (missing != 0) {
        exit_status =
            ctl_usage(synopsis, "exchange %s needs --%s", step->name, first_option(missing));
    } else if (optind < argc - 1) {
        exit_status = ctl_usage(synopsis, "unexpected argument \"%s\"", argv[1 + optind]);
    } else {
        exit_status = exchange_through_daemon(ctl, step, &arguments);
    }
out:
    arguments_clear(&arguments);
    return exit_status;
}
