/* mikeyctl exchange: one step of a key exchange through the daemon, its result as one JSON object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mikeyd/client.h>
#include <openssl/rand.h>

#include "mikeyctl/ctl.h"
#include "mikeyctl/exchange_arguments.h"
#include "mikeyctl/exchange_json.h"

static const char synopsis[] =
    "mikeyctl exchange STEP ...\n"
    "  initiate --from ID --to ID [--stream SSRC[,SUITE][,roc=N]]... [--verify|--no-verify]\n"
    "           [--method psk|psk-dhe|dhhmac] [--reference TEXT] PLACE\n"
    "  respond  --as ID [--from ID] --message B64|SDP|@FILE [--stream SSRC[,roc=N]]...\n"
    "           [--ticket B64|@FILE] [--reference TEXT] PLACE\n"
    "  confirm  --ticket B64|@FILE --reply B64|SDP|@FILE [--media N]\n"
    "           [--from ID --to ID, and the rest of initiate: to offer again]\n"
    "  update   --ticket B64|@FILE [--stream SSRC[,SUITE][,roc=N]]... [--verify|--no-verify]\n"
    "           PLACE\n"
    "  PLACE: [--sdp | --into SDP|@FILE [--media N]] [--protocols LIST] [--rtsp URI]";

/* ---- the steps ---- */

/* one: the stream where none is given. */
static struct mikeyd_offer make_offer(const struct arguments *arguments, struct mikeyd_stream *one)
{
    const bool none = arguments->stream_count == 0;
    return (struct mikeyd_offer){
        .from = arguments->from,
        .to = arguments->to,
        .streams = none ? one : arguments->streams,
        .stream_count = none ? 1 : arguments->stream_count,
        .method = arguments->method,
        .verify = arguments->verify,
        .sdp = arguments->sdp,
        .protocols = arguments->protocols,
        .reference = arguments->reference,
    };
}

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
    const struct mikeyd_offer offer = make_offer(arguments, &one);
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
        .protocols = arguments->protocols,
    };
    return mikeyd_respond(client, &answer, out);
}

static enum mikeyd_status run_confirm(mikeyd_client *client, const struct arguments *arguments,
                                      mikeyd_exchange **out)
{
    struct mikeyd_stream one = {.ssrc = 0, .suite = NULL};
    const struct mikeyd_offer offer = make_offer(arguments, &one);
    if (arguments->from == NULL)
        return mikeyd_confirm(client, arguments->ticket.data, arguments->ticket.len,
                              arguments->reply.data, arguments->reply.len, out);
    return mikeyd_confirm_or_retry(client, &offer, arguments->ticket.data, arguments->ticket.len,
                                   arguments->reply.data, arguments->reply.len, out);
}

static enum mikeyd_status run_update(mikeyd_client *client, const struct arguments *arguments,
                                     mikeyd_exchange **out)
{
    return mikeyd_update(client, arguments->ticket.data, arguments->ticket.len, arguments->streams,
                         arguments->stream_count, arguments->verify, arguments->sdp, out);
}

enum {
    GIVEN_PLACE = GIVEN_SDP | GIVEN_INTO | GIVEN_MEDIA | GIVEN_RTSP | GIVEN_PROTOCOLS,
    GIVEN_OFFER = GIVEN_STREAM | GIVEN_VERIFY | GIVEN_NO_VERIFY | GIVEN_METHOD | GIVEN_REFERENCE
};

static const struct step {
    const char *name;
    unsigned required, allowed;
    enum mikeyd_status (*run)(mikeyd_client *, const struct arguments *, mikeyd_exchange **);
    json_t *(*result)(const mikeyd_exchange *);
    json_t *(*refusal)(const struct error *, const mikeyd_exchange *);
    bool offers;
} steps[] = {
    {"initiate", GIVEN_FROM | GIVEN_TO, GIVEN_OFFER | GIVEN_PLACE, run_initiate,
     exchange_json_offer, NULL, true},
    {"respond", GIVEN_AS | GIVEN_MESSAGE,
     GIVEN_FROM | GIVEN_STREAM | GIVEN_TICKET | GIVEN_REFERENCE | GIVEN_PLACE, run_respond,
     exchange_json_respond, exchange_json_refusal, false},
    {"confirm", GIVEN_TICKET | GIVEN_REPLY, GIVEN_FROM | GIVEN_TO | GIVEN_OFFER | GIVEN_PLACE,
     run_confirm, exchange_json_confirm, exchange_json_again, true},
    {"update", GIVEN_TICKET, GIVEN_STREAM | GIVEN_VERIFY | GIVEN_NO_VERIFY | GIVEN_PLACE,
     run_update, exchange_json_offer, NULL, true},
};

/* The object, and where its message goes. */
static int print_result(const struct arguments *arguments, const mikeyd_exchange *exchange,
                        json_t *object, int exit_status)
{
    struct error err = {0};
    char *description, *header;
    enum mikeyd_status status = exchange_place_write(&arguments->place, arguments->sdp, exchange,
                                                     &description, &header, &err);
    if (status == MIKEYD_OK &&
        (object == NULL || exchange_json_place(object, "sdp", description) != 0 ||
         exchange_json_place(object, "rtsp", header) != 0))
        status = error_set(&err, MIKEYD_INTERNAL, "out of memory");
    free(description);
    free(header);
    if (status != MIKEYD_OK) {
        json_decref(object);
        return ctl_fail(true, &err);
    }
    const int printed = ctl_print(object);
    return printed != 0 ? printed : exit_status;
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
    if (status == MIKEYD_OK) {
        exit_status = print_result(arguments, exchange, step->result(exchange), 0);
    } else {
        const char *text = mikeyd_client_error(client);
        (void)error_set(&err, status, "%s", text[0] == '\0' ? mikeyd_status_name(status) : text);
        exit_status = exchange == NULL
                          ? ctl_fail(true, &err)
                          : print_result(arguments, exchange, step->refusal(&err, exchange),
                                         status_exit_code(status));
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

/* What the step does not take or lacks, as a usage error; 0: nothing. */
static int check_given(const struct step *step, const struct arguments *arguments)
{
    const unsigned given = arguments->given;
    const unsigned foreign = given & ~(step->required | step->allowed | GIVEN_JSON | GIVEN_HELP);
    const unsigned missing = step->required & ~given;
    if (foreign != 0)
        return ctl_usage(synopsis, "exchange %s takes no --%s", step->name,
                         arguments_option_name(foreign));
    if (missing != 0)
        return ctl_usage(synopsis, "exchange %s needs --%s", step->name,
                         arguments_option_name(missing));
    /* An offer to make again has both ends; nothing else of it makes sense without. */
    if (step->run == run_confirm &&
        ((given & GIVEN_FROM) == 0 ? (given & (GIVEN_TO | GIVEN_OFFER)) != 0
                                   : (given & GIVEN_TO) == 0))
        return ctl_usage(synopsis, "exchange confirm: to offer again, give --from and --to");
    return 0;
}

static int run_step(const struct ctl *ctl, const struct step *step, struct arguments *arguments)
{
    struct error err = {0};
    if ((arguments->given & GIVEN_HELP) != 0) {
        (void)printf("usage: %s\n", synopsis);
        return 0;
    }
    const int usage = check_given(step, arguments);
    if (usage != 0)
        return usage;
    enum mikeyd_status status = arguments_read(arguments, step->offers, &err);
    if (status == MIKEYD_INVALID_ARGUMENT)
        return ctl_usage(synopsis, "%s", err.text);
    /* RFC 4567 4.1.2: keys are renewed by the protocol that made them. */
    if (status == MIKEYD_OK && step->run == run_update && arguments->protocols != NULL &&
        strcmp(arguments->protocols, MIKEY_SDP_ALONE) != 0)
        status = error_set(&err, MIKEYD_POLICY, "an update is offered by MIKEY alone");
    return status == MIKEYD_OK ? exchange_through_daemon(ctl, step, arguments)
                               : ctl_fail(true, &err);
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
    /* A ticket that does not decode is a protocol failure; the rest is usage. */
    enum mikeyd_status status = arguments_parse(argc - 1, argv + 1, &arguments, &err);
    int exit_status;
    if (status == MIKEYD_OK)
        exit_status = run_step(ctl, step, &arguments);
    else
        exit_status = status == MIKEYD_INVALID_ARGUMENT ? ctl_usage(synopsis, "%s", err.text)
                                                        : ctl_fail(true, &err);
    arguments_clear(&arguments);
    return exit_status;
}
