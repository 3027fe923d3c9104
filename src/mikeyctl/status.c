/* mikeyctl status: the daemon's report, in short for people or whole as JSON. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include <mikeyd/client.h>

#include "mikeyctl/ctl.h"
#include "mikeyctl/status_summary.h"

static const char synopsis[] = "mikeyctl status [--json] [--no-checks]";

static int print_report(const char *text, bool as_json)
{
    struct error err = {0};
    json_error_t parse_error;
    json_t *report = json_loads(text, JSON_REJECT_DUPLICATES, &parse_error);
    if (report == NULL) {
        (void)error_set(&err, MIKEYD_INTERNAL, "the daemon's report is no JSON: %s",
                        parse_error.text);
        return ctl_fail(as_json, &err);
    }
    /* What scripts test: a daemon that answers but cannot serve is a failure of the token. */
    const bool healthy = !json_is_false(json_object_get(report, "healthy"));
    if (as_json) {
        int printed = ctl_print(report);
        return printed != 0 ? printed : healthy ? 0 : status_exit_code(MIKEYD_TOKEN_DOWN);
    }
    status_summary_print(report, stdout);
    json_decref(report);
    return healthy ? 0 : status_exit_code(MIKEYD_TOKEN_DOWN);
}

int ctl_status(struct ctl *ctl, int argc, char **argv)
{
    enum { OPTION_JSON = 1000, OPTION_NO_CHECKS, OPTION_HELP };
    static const struct option options[] = {
        {"json", no_argument, NULL, OPTION_JSON},
        {"no-checks", no_argument, NULL, OPTION_NO_CHECKS},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    bool as_json = ctl->json, checks = true;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_JSON:
            as_json = true;
            break;
        case OPTION_NO_CHECKS:
            checks = false;
            break;
        case OPTION_HELP:
            (void)printf("usage: %s\n", synopsis);
            return 0;
        default:
            return ctl_usage(synopsis, "bad option");
        }
    }
    if (optind < argc)
        return ctl_usage(synopsis, "unexpected argument \"%s\"", argv[optind]);

    mikeyd_client *client = NULL;
    char *report = NULL;
    enum mikeyd_status status = mikeyd_client_open(ctl->socket, &client);
    if (status == MIKEYD_OK)
        status = mikeyd_client_status(client, checks, &report);
    int exit_status;
    if (status != MIKEYD_OK) {
        struct error err = {0};
        const char *text = mikeyd_client_error(client);
        (void)error_set(&err, status, "%s", text[0] == '\0' ? mikeyd_status_name(status) : text);
        exit_status = ctl_fail(as_json, &err);
    } else {
        exit_status = print_report(report, as_json);
    }
    free(report);
    mikeyd_client_close(client);
    return exit_status;
}
