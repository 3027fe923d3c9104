/* mikeyctl: the global options, then the command named by the first other argument. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/output.h"
#include "mikeyctl/ctl.h"
#include "mikeyctl/progress.h"

#define DEFAULT_SOCKET "/run/mikeyd/mikeyd.sock"
#define DEFAULT_CONFIG "/etc/mikeyd/mikeyd.yaml"

static const char synopsis[] =
    "mikeyctl [--socket PATH | --connect ADDRESS] [--config FILE] [--json] [--progress] COMMAND "
    "...\n"
    "  exchange initiate|respond|confirm|update   a key exchange through the daemon\n"
    "  status                                     state of the daemon\n"
    "  decode B64|HEX|@FILE                       dissect a MIKEY message\n"
    "  sdp SDP|@FILE                              which message is whose, and what changes\n"
    "  key generate|import|unwrap|wrap|derive|list|inventory|check|destroy\n"
    "  policy check FILE [--token] [--report]\n"
    "  token compat                               what a token does, and its lines of mikeyd.yaml\n"
    "  audit verify|query|export|follow|report|export-key ...";

static const struct command {
    const char *name;
    int (*run)(struct ctl *ctl, int argc, char **argv);
} commands[] = {
    {"exchange", ctl_exchange}, {"status", ctl_status}, {"decode", ctl_decode}, {"key", ctl_key},
    {"policy", ctl_policy},     {"audit", ctl_audit},   {"token", ctl_token},   {"sdp", ctl_sdp},
};

static const char *environment_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], word) == 0)
            return true;
    }
    return false;
}

static int run(int argc, char **argv)
{
    enum {
        OPTION_SOCKET = 1000,
        OPTION_CONNECT,
        OPTION_CONFIG,
        OPTION_JSON,
        OPTION_PROGRESS,
        OPTION_VERSION
    };
    static const struct option options[] = {
        {"socket", required_argument, NULL, OPTION_SOCKET},
        {"connect", required_argument, NULL, OPTION_CONNECT},
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"json", no_argument, NULL, OPTION_JSON},
        {"progress", no_argument, NULL, OPTION_PROGRESS},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ctl ctl = {
        .socket = environment_or("MIKEYD_SOCKET", DEFAULT_SOCKET),
        .config = environment_or("MIKEYD_CONFIG", DEFAULT_CONFIG),
    };

    /* Before the first JSON value: what it holds may be a key. */
    ctl_wipe_json_memory();

    int option;
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_SOCKET:
        case OPTION_CONNECT:
            ctl.socket = optarg;
            break;
        case OPTION_CONFIG:
            ctl.config = optarg;
            break;
        case OPTION_JSON:
            ctl.json = true;
            break;
        case OPTION_PROGRESS:
            progress_always();
            break;
        case OPTION_VERSION:
            (void)printf("mikeyctl %s\n", MIKEYD_VERSION);
            return 0;
        case 'h':
            (void)printf("usage: %s\n", synopsis);
            return 0;
        default:
            return ctl_usage(synopsis, "bad option");
        }
    }
    if (optind >= argc)
        return ctl_usage(synopsis, "no command given");

    /* Every command takes it behind its name as well. */
    ctl.json = ctl.json || has_word(argc - optind, argv + optind, "--json");
    if (ctl.json)
        progress_never();
    if (ctl.json || strcmp(argv[optind], "exchange") == 0)
        ctl_errors_as_json();
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[optind], commands[i].name) == 0) {
            int skipped = optind;
            optind = 0; /* glibc: start afresh, for the command's own getopt_long */
            return commands[i].run(&ctl, argc - skipped, argv + skipped);
        }
    }
    return ctl_usage(synopsis, "unknown command \"%s\"", argv[optind]);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    output_hold_descriptors();
    /* A file over its size limit is a failed write, as a full disk is. */
    (void)signal(SIGXFSZ, SIG_IGN);
    output_make_visible();
    int result = run(argc, argv);
    if (output_finish(&err) == MIKEYD_OK)
        return result;
    (void)fprintf(stderr, "mikeyctl: %s\n", err.text);
    return result != 0 ? result : status_exit_code(err.status);
}
