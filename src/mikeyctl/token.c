/* mikeyctl token compat: tries a token as the daemon would use it, and says how to configure it. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "config/config.h"
#include "mikeyctl/ctl.h"
#include "mikeyctl/token_compat.h"

#define SECURE_HEAP (1u << 16)
#define SESSIONS 8
/* The first call of a network HSM may take its time; nobody waits for this but the operator. */
#define CALL_TIMEOUT_MS 60000

static const char synopsis[] =
    "mikeyctl [--config FILE] [--json] token compat [--token NUMBER|URI] [--pin-file F]\n"
    "           [--profile NAME]                 a token of the configuration\n"
    "mikeyctl [--json] token compat --module PATH --uri URI --pin-file F [--init-args TEXT]\n"
    "           [--profile NAME]                 one that has no configuration yet";

struct options {
    const char *token; /* NULL: the only one */
    struct token_config given;
    bool json, help;
};

static enum mikeyd_status choose(const struct options *options, const struct config *config,
                                 struct token_config *out, struct error *err)
{
    const char *wanted = options->token;
    char number[24];
    if (wanted == NULL && config->token_count != 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the configuration has %zu tokens: say which by --token",
                         config->token_count);
    for (size_t i = 0; i < config->token_count; i++) {
        (void)snprintf(number, sizeof number, "%zu", i + 1);
        if (wanted != NULL && strcmp(wanted, number) != 0 &&
            strcmp(wanted, config->tokens[i].uri) != 0)
            continue;
        *out = config->tokens[i];
        if (options->given.pin_file != NULL)
            out->pin_file = options->given.pin_file;
        if (options->given.profile != NULL)
            out->profile = options->given.profile;
        return MIKEYD_OK;
    }
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "--token %s: neither 1 to %zu nor a uri of the configuration", wanted,
                     config->token_count);
}

static int print(const struct options *options, const struct token_compat *found, unsigned wanted)
{
    struct compat_lines lines;
    compat_lines_make(found, wanted, &lines);
    if (options->json)
        return ctl_print(compat_json(found, &lines));
    compat_print(found, &lines, stdout);
    return 0;
}

static enum mikeyd_status prepare(struct error *err)
{
    log_open("mikeyctl", LOG_LEVEL_WARNING);
    enum mikeyd_status status = secret_heap_init(SECURE_HEAP, err);
    return status == MIKEYD_OK ? secret_process_harden(err) : status;
}

static int compat(const struct ctl *ctl, const struct options *options)
{
    struct error err = {0};
    struct config *config = NULL;
    struct token_config trial = options->given;
    struct token_compat found;
    enum mikeyd_status status = prepare(&err);
    if (status == MIKEYD_OK && options->given.module == NULL)
        status = config_load(ctl->config, &config, &err);
    if (status == MIKEYD_OK && config != NULL)
        status = choose(options, config, &trial, &err);
    if (status == MIKEYD_OK) {
        trial.call_timeout_ms = CALL_TIMEOUT_MS;
        status = token_compat_probe(&trial, &found, &err);
    }
    const int result = status == MIKEYD_OK ? print(options, &found, trial.sessions)
                                           : ctl_fail(options->json, &err);
    config_free(config);
    return result;
}

static bool take_option(struct options *options, int option)
{
    switch (option) {
    case 't':
        options->token = optarg;
        return true;
    case 'm':
        options->given.module = optarg;
        return true;
    case 'u':
        options->given.uri = optarg;
        return true;
    case 'p':
        options->given.pin_file = optarg;
        return true;
    case 'i':
        options->given.init_args = optarg;
        return true;
    case 'P':
        options->given.profile = optarg;
        return true;
    case 'j':
        options->json = true;
        return true;
    case 'h':
        options->help = true;
        return true;
    default:
        return false;
    }
}

/* Either a token of the configuration, or all that names one without. */
static const char *complaint(const struct options *options)
{
    const struct token_config *given = &options->given;
    if (given->module == NULL && given->uri == NULL && given->init_args == NULL)
        return NULL;
    if (given->module == NULL || given->uri == NULL || given->pin_file == NULL)
        return "--module, --uri and --pin-file go together";
    if (options->token != NULL)
        return "--token is of the configuration, --module of none";
    return NULL;
}

int ctl_token(struct ctl *ctl, int argc, char **argv)
{
    static const struct option known[] = {
        {"token", required_argument, NULL, 't'},
        {"module", required_argument, NULL, 'm'},
        {"uri", required_argument, NULL, 'u'},
        {"pin-file", required_argument, NULL, 'p'},
        {"init-args", required_argument, NULL, 'i'},
        {"profile", required_argument, NULL, 'P'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.json = ctl->json, .given = {.sessions = SESSIONS}};
    if (argc < 2)
        return ctl_usage(synopsis, "token: no command given");
    if (strcmp(argv[1], "compat") != 0 && strcmp(argv[1], "--help") != 0)
        return ctl_usage(synopsis, "token: unknown command \"%s\"", argv[1]);
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!take_option(&options, option))
            return ctl_usage(synopsis, "bad option");
    }
    if (options.help) {
        (void)printf("usage: %s\n", synopsis);
        return 0;
    }
    if (optind != argc - 1)
        return ctl_usage(synopsis, "unexpected argument \"%s\"", argv[argc - 1]);
    if (complaint(&options) != NULL)
        return ctl_usage(synopsis, "%s", complaint(&options));
    return compat(ctl, &options);
}
