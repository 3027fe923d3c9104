/* mikeyctl key: options and the choice of the command. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "mikeyctl/key.h"

static const char synopsis[] =
    "mikeyctl key COMMAND ...\n"
    "  generate --kind psk|epsk|epskx|ticket|audit --name N [--generation G] [--bits B]\n"
    "           [--not-before DATE] [--not-after DATE] [--for-transport] [--modifiable]\n"
    "  generate --kind wrapping --name LABEL --out PEM [--bits 3072|4096]\n"
    "  import   --kind psk|epsk|epskx --name N [--generation G] [--bits B] --hex-file F\n"
    "           [--not-before DATE] [--not-after DATE] --insecure-plaintext\n"
    "  unwrap   --kind psk|epsk|epskx --name N [--generation G] --bits B --with LABEL --in "
    "FILE...\n"
    "           [--scheme aes-kwp|aes-kw|rsa-oaep-sha1|rsa-oaep-sha256] [--mechanism NUMBER]\n"
    "  wrap     --kind psk|epsk|epskx --name N [--generation G] --with LABEL --out FILE [--scheme "
    "S]\n"
    "  trust    --with LABEL --public-key PEM --so-pin-file F\n"
    "  derive   [--name N] [--generation G] [--delete-main] [--dry-run]\n"
    "  list     [--kind K] [--name N]\n"
    "  inventory [--kind K] [--name N] [--csv|--json]\n"
    "  check\n"
    "  destroy  --kind K --name N --generation G [--yes]\n"
    "  release-store   the next daemon that starts has the token, with its own replay store\n"
    "  with any: --config FILE  --token NUMBER|URI  --pin-file F  --audit FILE  --json";

enum {
    GIVEN_KIND = 1 << 0,
    GIVEN_NAME = 1 << 1,
    GIVEN_GENERATION = 1 << 2,
    GIVEN_BITS = 1 << 3,
    GIVEN_NOT_BEFORE = 1 << 4,
    GIVEN_NOT_AFTER = 1 << 5,
    GIVEN_FOR_TRANSPORT = 1 << 6,
    GIVEN_MODIFIABLE = 1 << 7,
    GIVEN_HEX_FILE = 1 << 8,
    GIVEN_INSECURE = 1 << 9,
    GIVEN_WITH = 1 << 10,
    GIVEN_IN = 1 << 11,
    GIVEN_SCHEME = 1 << 12,
    GIVEN_MECHANISM = 1 << 13,
    GIVEN_OUT = 1 << 14,
    GIVEN_PUBLIC_KEY = 1 << 15,
    GIVEN_SO_PIN_FILE = 1 << 16,
    GIVEN_DELETE_MAIN = 1 << 17,
    GIVEN_DRY_RUN = 1 << 18,
    GIVEN_YES = 1 << 19,
    GIVEN_CONFIG = 1 << 20,
    GIVEN_TOKEN = 1 << 21,
    GIVEN_PIN_FILE = 1 << 22,
    GIVEN_AUDIT = 1 << 23,
    GIVEN_JSON = 1 << 24,
    GIVEN_HELP = 1 << 25,
    GIVEN_CSV = 1 << 26
};

#define GIVEN_ALWAYS                                                                               \
    (GIVEN_CONFIG | GIVEN_TOKEN | GIVEN_PIN_FILE | GIVEN_AUDIT | GIVEN_JSON | GIVEN_HELP)

static const struct option long_options[] = {
    {"kind", required_argument, NULL, GIVEN_KIND},
    {"name", required_argument, NULL, GIVEN_NAME},
    {"key", required_argument, NULL, GIVEN_NAME}, /* another word for --name */
    {"generation", required_argument, NULL, GIVEN_GENERATION},
    {"bits", required_argument, NULL, GIVEN_BITS},
    {"not-before", required_argument, NULL, GIVEN_NOT_BEFORE},
    {"not-after", required_argument, NULL, GIVEN_NOT_AFTER},
    {"for-transport", no_argument, NULL, GIVEN_FOR_TRANSPORT},
    {"modifiable", no_argument, NULL, GIVEN_MODIFIABLE},
    {"hex-file", required_argument, NULL, GIVEN_HEX_FILE},
    {"insecure-plaintext", no_argument, NULL, GIVEN_INSECURE},
    {"with", required_argument, NULL, GIVEN_WITH},
    {"in", required_argument, NULL, GIVEN_IN},
    {"scheme", required_argument, NULL, GIVEN_SCHEME},
    {"mechanism", required_argument, NULL, GIVEN_MECHANISM},
    {"out", required_argument, NULL, GIVEN_OUT},
    {"public-key", required_argument, NULL, GIVEN_PUBLIC_KEY},
    {"so-pin-file", required_argument, NULL, GIVEN_SO_PIN_FILE},
    {"delete-main", no_argument, NULL, GIVEN_DELETE_MAIN},
    {"dry-run", no_argument, NULL, GIVEN_DRY_RUN},
    {"yes", no_argument, NULL, GIVEN_YES},
    {"config", required_argument, NULL, GIVEN_CONFIG},
    {"token", required_argument, NULL, GIVEN_TOKEN},
    {"pin-file", required_argument, NULL, GIVEN_PIN_FILE},
    {"audit", required_argument, NULL, GIVEN_AUDIT},
    {"json", no_argument, NULL, GIVEN_JSON},
    {"csv", no_argument, NULL, GIVEN_CSV},
    {"help", no_argument, NULL, GIVEN_HELP},
    {NULL, 0, NULL, 0},
};

static const struct command {
    const char *name;
    int (*run)(const struct key_options *options);
    unsigned required, allowed;
} commands[] = {
    {"generate", key_generate, GIVEN_KIND | GIVEN_NAME,
     GIVEN_GENERATION | GIVEN_BITS | GIVEN_NOT_BEFORE | GIVEN_NOT_AFTER | GIVEN_FOR_TRANSPORT |
         GIVEN_MODIFIABLE | GIVEN_OUT},
    {"import", key_import, GIVEN_KIND | GIVEN_NAME | GIVEN_HEX_FILE,
     GIVEN_GENERATION | GIVEN_BITS | GIVEN_NOT_BEFORE | GIVEN_NOT_AFTER | GIVEN_MODIFIABLE |
         GIVEN_INSECURE},
    {"unwrap", key_unwrap, GIVEN_KIND | GIVEN_NAME | GIVEN_BITS | GIVEN_WITH | GIVEN_IN,
     GIVEN_GENERATION | GIVEN_NOT_BEFORE | GIVEN_NOT_AFTER | GIVEN_MODIFIABLE | GIVEN_SCHEME |
         GIVEN_MECHANISM},
    {"wrap", key_wrap, GIVEN_KIND | GIVEN_NAME | GIVEN_WITH | GIVEN_OUT,
     GIVEN_GENERATION | GIVEN_SCHEME | GIVEN_MECHANISM},
    {"trust", key_trust, GIVEN_WITH | GIVEN_PUBLIC_KEY | GIVEN_SO_PIN_FILE, 0},
    {"derive", key_derive, 0,
     GIVEN_NAME | GIVEN_GENERATION | GIVEN_DELETE_MAIN | GIVEN_DRY_RUN | GIVEN_MODIFIABLE},
    {"list", key_list, 0, GIVEN_KIND | GIVEN_NAME},
    {"inventory", key_inventory, 0, GIVEN_KIND | GIVEN_NAME | GIVEN_CSV},
    {"check", key_check, 0, 0},
    {"destroy", key_destroy, GIVEN_KIND | GIVEN_NAME | GIVEN_GENERATION, GIVEN_YES},
    {"release-store", key_release_store, 0, 0},
};

static enum mikeyd_status parse_number(const char *name, const char *text, unsigned long max,
                                       unsigned long *out, struct error *err)
{
    char *end = NULL;
    errno = 0;
    *out = strtoul(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || *out == 0 || *out > max)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--%s %s: not a number from 1 to %lu", name,
                         text, max);
    return MIKEYD_OK;
}

static enum mikeyd_status parse_scheme(const char *text, enum provision_scheme *out,
                                       struct error *err)
{
    static const struct {
        const char *name;
        enum provision_scheme scheme;
    } schemes[] = {
        {"aes-kwp", PROVISION_AES_KWP},
        {"aes-kw", PROVISION_AES_KW},
        {"rsa-oaep-sha1", PROVISION_RSA_OAEP_SHA1},
        {"rsa-oaep-sha256", PROVISION_RSA_OAEP_SHA256},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strcmp(text, schemes[i].name) == 0) {
            *out = schemes[i].scheme;
            return MIKEYD_OK;
        }
    }
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "--scheme %s: aes-kwp, aes-kw, rsa-oaep-sha1 or rsa-oaep-sha256", text);
}

/* Where the text of an option goes; NULL for the others. */
static const char **text_of(struct key_options *options, int option)
{
    switch (option) {
    case GIVEN_KIND:
        return &options->kind;
    case GIVEN_NAME:
        return &options->name;
    case GIVEN_NOT_BEFORE:
        return &options->not_before;
    case GIVEN_NOT_AFTER:
        return &options->not_after;
    case GIVEN_HEX_FILE:
        return &options->hex_file;
    case GIVEN_WITH:
        return &options->with;
    case GIVEN_OUT:
        return &options->out;
    case GIVEN_PUBLIC_KEY:
        return &options->public_key;
    case GIVEN_SO_PIN_FILE:
        return &options->so_pin_file;
    case GIVEN_CONFIG:
        return &options->config;
    case GIVEN_TOKEN:
        return &options->token;
    case GIVEN_PIN_FILE:
        return &options->pin_file;
    case GIVEN_AUDIT:
        return &options->audit;
    default:
        return NULL;
    }
}

static bool *flag_of(struct key_options *options, int option)
{
    switch (option) {
    case GIVEN_FOR_TRANSPORT:
        return &options->for_transport;
    case GIVEN_MODIFIABLE:
        return &options->modifiable;
    case GIVEN_INSECURE:
        return &options->insecure_plaintext;
    case GIVEN_DELETE_MAIN:
        return &options->delete_main;
    case GIVEN_DRY_RUN:
        return &options->dry_run;
    case GIVEN_YES:
        return &options->yes;
    case GIVEN_JSON:
        return &options->json;
    case GIVEN_CSV:
        return &options->csv;
    default:
        return NULL;
    }
}

static enum mikeyd_status take_option(struct key_options *options, int option, const char *value,
                                      struct error *err)
{
    const char **text = text_of(options, option);
    bool *flag = flag_of(options, option);
    unsigned long number = 0;
    enum mikeyd_status status = MIKEYD_OK;
    if (text != NULL) {
        *text = value;
    } else if (flag != NULL) {
        *flag = true;
    } else if (option == GIVEN_GENERATION) {
        status = parse_number("generation", value, 999999999, &number, err);
        options->generation = (unsigned)number;
    } else if (option == GIVEN_BITS) {
        status = parse_number("bits", value, 4096, &number, err);
        options->bits = (unsigned)number;
    } else if (option == GIVEN_MECHANISM) {
        status = parse_number("mechanism", value, 0xffffffffUL, &number, err);
        options->wrapping.mechanism = number;
    } else if (option == GIVEN_SCHEME) {
        status = parse_scheme(value, &options->wrapping.scheme, err);
    } else if (option == GIVEN_IN) {
        if (options->in_count == TOKEN_BLOCKS_MAX)
            return error_set(err, MIKEYD_INVALID_ARGUMENT, "more than %d --in", TOKEN_BLOCKS_MAX);
        options->in[options->in_count++] = value;
    }
    return status;
}

static const char *first_option(unsigned set)
{
    for (size_t i = 0; long_options[i].name != NULL; i++) {
        if ((set & (unsigned)long_options[i].val) != 0)
            return long_options[i].name;
    }
    return "";
}

static const struct command *command_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

int ctl_key(struct ctl *ctl, int argc, char **argv)
{
    if (argc < 2)
        return ctl_usage(synopsis, "key: no command given");
    if (strcmp(argv[1], "--help") == 0) {
        (void)printf("usage: %s\n", synopsis);
        return 0;
    }
    const struct command *command = command_by_name(argv[1]);
    if (command == NULL)
        return ctl_usage(synopsis, "key: unknown command \"%s\"", argv[1]);

    struct key_options options = {.config = ctl->config, .json = ctl->json};
    struct error err = {0};
    unsigned given = 0;
    int option;
    while ((option = getopt_long(argc - 1, argv + 1, "", long_options, NULL)) != -1) {
        if (option == '?')
            return ctl_usage(synopsis, "bad option");
        given |= (unsigned)option;
        if (take_option(&options, option, optarg, &err) != MIKEYD_OK)
            return ctl_usage(synopsis, "%s", err.text);
    }
    options.wrapping.key_label = options.with;
    const unsigned foreign = given & ~(command->required | command->allowed | GIVEN_ALWAYS);
    const unsigned missing = command->required & ~given;
    if ((given & GIVEN_HELP) != 0) {
        (void)printf("usage: %s\n", synopsis);
        return 0;
    }
    if (foreign != 0)
        return ctl_usage(synopsis, "key %s takes no --%s", command->name, first_option(foreign));
    if (missing != 0)
        return ctl_usage(synopsis, "key %s needs --%s", command->name, first_option(missing));
    if (optind < argc - 1)
        return ctl_usage(synopsis, "unexpected argument \"%s\"", argv[1 + optind]);
    return command->run(&options);
}
