/* mikeyctl sdp: which message of a description is whose, and what it changes. Without a daemon. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mikeyd/sdp.h>

#include "base/text.h"
#include "base/visible.h"
#include "mikeyctl/ctl.h"

static const char synopsis[] = "mikeyctl sdp [--json] [--before SDP|@FILE] SDP|@FILE";

static const char *change_name(enum mikeyd_sdp_change change)
{
    static const char *const names[] = {"unkeyed", "unchanged", "updated", "renewed", "refused"};
    return names[change];
}

static const char *direction_name(enum mikeyd_sdp_direction direction)
{
    static const char *const names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    return names[direction];
}

/* ---- JSON */

/* Of the description, so bytes of any kind; what JSON has none of is shown as in text. */
static json_t *foreign_text(const char *text)
{
    const size_t len = strlen(text);
    char *shown = malloc(VISIBLE_SIZE(len));
    if (shown == NULL)
        return NULL;
    (void)visible_text(text, len, shown, VISIBLE_SIZE(len));
    json_t *string = json_string(shown);
    free(shown);
    return string;
}

static json_t *message_of(const struct mikeyd_sdp_message *message)
{
    char *text = malloc(base64_size(message->len));
    if (text == NULL)
        return NULL;
    base64_encode(message->data, message->len, text);
    json_t *object = json_pack("{s:I, s:o, s:s}", "level", (json_int_t)message->level, "uri",
                               foreign_text(message->uri), "message", text);
    free(text);
    return object;
}

static json_t *line_of(const struct mikeyd_sdp_media *line, enum mikeyd_sdp_change change)
{
    json_t *cs = json_array();
    for (unsigned i = 0; i < line->cs_count; i++)
        (void)json_array_append_new(cs, json_integer(line->first_cs + (int)i));
    json_t *message = line->message == MIKEYD_SDP_NO_MESSAGE
                          ? json_null()
                          : json_integer((json_int_t)line->message + 1);
    return json_pack("{s:o, s:I, s:o, s:s, s:b, s:b, s:o, s:o, s:s}", "kind",
                     foreign_text(line->kind), "port", (json_int_t)line->port, "profile",
                     foreign_text(line->profile), "direction", direction_name(line->direction),
                     "disabled", line->disabled, "secure", line->secure, "message", message, "cs",
                     cs, "change", change_name(change));
}

static json_t *describe(const mikeyd_sdp *before, const mikeyd_sdp *sdp)
{
    const struct mikeyd_sdp_message *messages;
    const struct mikeyd_sdp_media *lines;
    const size_t message_count = mikeyd_sdp_messages(sdp, &messages);
    const size_t line_count = mikeyd_sdp_media_lines(sdp, &lines);
    json_t *message_list = json_array(), *line_list = json_array();
    /* All or nothing: their places are their numbers. */
    bool whole = true;
    for (size_t i = 0; i < message_count; i++)
        whole &= json_array_append_new(message_list, message_of(&messages[i])) == 0;
    for (size_t i = 0; i < line_count; i++)
        whole &= json_array_append_new(
                     line_list, line_of(&lines[i], mikeyd_sdp_compare(before, sdp, i + 1))) == 0;
    if (!whole) {
        json_decref(message_list);
        json_decref(line_list);
        return NULL;
    }
    const char *protocols = mikeyd_sdp_protocols(sdp);
    return json_pack("{s:o, s:o, s:o}", "protocols",
                     protocols == NULL ? json_null() : json_string(protocols), "messages",
                     message_list, "media", line_list);
}

/* ---- text */

static void print_line(size_t number, const struct mikeyd_sdp_media *line,
                       enum mikeyd_sdp_change change)
{
    (void)printf("%zu  %s %u %s, %s%s: ", number, line->kind, line->port, line->profile,
                 direction_name(line->direction), line->disabled ? ", not in use" : "");
    if (line->message == MIKEYD_SDP_NO_MESSAGE)
        (void)printf("no key%s", line->secure ? ", although its profile wants one" : "");
    else if (line->cs_count == 0)
        (void)printf("message %zu, which has no crypto session for it", line->message + 1);
    else
        (void)printf("message %zu, crypto sessions %u to %u", line->message + 1, line->first_cs,
                     line->first_cs + line->cs_count - 1u);
    (void)printf("; %s\n", change_name(change));
}

static void print_text(const mikeyd_sdp *before, const mikeyd_sdp *sdp)
{
    const struct mikeyd_sdp_message *messages;
    const struct mikeyd_sdp_media *lines;
    const char *protocols = mikeyd_sdp_protocols(sdp);
    (void)printf("key management: %s\n", protocols == NULL ? "the levels offer different protocols"
                                         : protocols[0] == '\0' ? "none"
                                                                : protocols);
    const size_t message_count = mikeyd_sdp_messages(sdp, &messages);
    for (size_t i = 0; i < message_count; i++) {
        (void)printf("message %zu: %zu bytes, ", i + 1, messages[i].len);
        if (messages[i].level == 0)
            (void)printf("of the session%s%s\n", messages[i].uri[0] == '\0' ? "" : ", for ",
                         messages[i].uri);
        else
            (void)printf("of m= line %zu\n", messages[i].level);
    }
    const size_t line_count = mikeyd_sdp_media_lines(sdp, &lines);
    for (size_t i = 0; i < line_count; i++)
        print_line(i + 1, &lines[i], mikeyd_sdp_compare(before, sdp, i + 1));
}

static enum mikeyd_status read_argument(const char *argument, mikeyd_sdp **out, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    enum mikeyd_status status = ctl_argument_text(argument, &text, &len, err);
    if (status == MIKEYD_OK && mikeyd_sdp_read(text, len, out) != MIKEYD_OK)
        status = error_set(err, MIKEYD_SYNTAX, "%s", mikeyd_client_error(NULL));
    free(text);
    return status;
}

static int show(const char *old, const char *argument, bool as_json)
{
    struct error err = {0};
    mikeyd_sdp *before = NULL, *sdp = NULL;
    enum mikeyd_status status = old == NULL ? MIKEYD_OK : read_argument(old, &before, &err);
    if (status == MIKEYD_OK)
        status = read_argument(argument, &sdp, &err);
    int exit_status = 0;
    if (status != MIKEYD_OK)
        exit_status = ctl_fail(as_json, &err);
    else if (as_json)
        exit_status = ctl_print(describe(before, sdp));
    else
        print_text(before, sdp);
    mikeyd_sdp_free(before);
    mikeyd_sdp_free(sdp);
    return exit_status;
}

int ctl_sdp(struct ctl *ctl, int argc, char **argv)
{
    enum { OPTION_JSON = 1000, OPTION_HELP, OPTION_BEFORE };
    static const struct option options[] = {
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, OPTION_HELP},
        {"before", required_argument, NULL, OPTION_BEFORE},
        {NULL, 0, NULL, 0},
    };
    bool as_json = ctl->json;
    const char *before = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_JSON:
            as_json = true;
            break;
        case OPTION_HELP:
            (void)printf("usage: %s\n", synopsis);
            return 0;
        case OPTION_BEFORE:
            before = optarg;
            break;
        default:
            return ctl_usage(synopsis, "bad option");
        }
    }
    if (optind != argc - 1)
        return ctl_usage(synopsis, "sdp takes one description");
    return show(before, argv[optind], as_json);
}
