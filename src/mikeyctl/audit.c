/* mikeyctl audit: verify a log, report on it, export the key that proves it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mikeyctl/audit_command.h"

static const char synopsis[] =
    "mikeyctl audit verify FILE... [--public-key FILE]... [--expect-seq N] [--anchor HASH] "
    "[--strict] [--json]\n"
    "       mikeyctl audit query FILE... [--pair A,B] [--day DAY] [--client NAME] "
    "[--event EVENT|released] [--policy FILE] [--keys FILE] [--public-key FILE]... [--json]\n"
    "       mikeyctl audit export FILE... --format cef|ocsf|syslog [--host NAME] "
    "[--public-key FILE]...\n"
    "       mikeyctl audit follow FILE --format cef|ocsf|syslog [--to "
    "stdout|udp:HOST:PORT|tcp:HOST:PORT|tls:HOST:PORT|unix:PATH] [--state FILE] [--host NAME] "
    "[--ca FILE] [--cert FILE] [--key FILE] [--once]\n"
    "       mikeyctl audit report FILE... --html OUT [--policy FILE] [--keys FILE] "
    "[--public-key FILE]...\n"
    "       mikeyctl audit export-key [--name NAME] [--generation N] [--out FILE]";

enum option_code {
    OPTION_PUBLIC_KEY = 1000,
    OPTION_EXPECT_SEQ,
    OPTION_ANCHOR,
    OPTION_STRICT,
    OPTION_HTML,
    OPTION_POLICY,
    OPTION_KEYS,
    OPTION_PAIR,
    OPTION_DAY,
    OPTION_CLIENT,
    OPTION_EVENT,
    OPTION_FORMAT,
    OPTION_HOST,
    OPTION_TO,
    OPTION_STATE,
    OPTION_CA,
    OPTION_CERTIFICATE,
    OPTION_KEY,
    OPTION_ONCE,
    OPTION_OUT,
    OPTION_NAME,
    OPTION_GENERATION,
    OPTION_JSON
};

static bool read_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || value > max)
        return false;
    *out = value;
    return true;
}

static bool is_hash(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Where an option that is just text belongs; NULL: it is another kind. */
static const char **text_of(struct audit_arguments *arguments, int code)
{
    switch (code) {
    case OPTION_HTML:
        return &arguments->html;
    case OPTION_POLICY:
        return &arguments->policy;
    case OPTION_KEYS:
        return &arguments->keys;
    case OPTION_PAIR:
        return &arguments->pair;
    case OPTION_DAY:
        return &arguments->day;
    case OPTION_CLIENT:
        return &arguments->client;
    case OPTION_EVENT:
        return &arguments->event;
    case OPTION_FORMAT:
        return &arguments->format;
    case OPTION_HOST:
        return &arguments->host;
    case OPTION_TO:
        return &arguments->to;
    case OPTION_STATE:
        return &arguments->state;
    case OPTION_CA:
        return &arguments->ca;
    case OPTION_CERTIFICATE:
        return &arguments->certificate;
    case OPTION_KEY:
        return &arguments->key;
    case OPTION_OUT:
        return &arguments->out;
    case OPTION_NAME:
        return &arguments->name;
    default:
        return NULL;
    }
}

static bool take_option(struct audit_arguments *arguments, int code, const char *value)
{
    uint64_t number = 0;
    const char **text = text_of(arguments, code);
    if (text != NULL) {
        *text = value;
        return true;
    }
    switch (code) {
    case OPTION_PUBLIC_KEY:
        if (arguments->public_key_count ==
            sizeof arguments->public_keys / sizeof arguments->public_keys[0])
            return false;
        arguments->public_keys[arguments->public_key_count++] = value;
        return true;
    case OPTION_EXPECT_SEQ:
        return read_number(value, INT64_MAX, &arguments->expect_sequence);
    case OPTION_ANCHOR:
        arguments->anchor = value;
        return is_hash(value);
    case OPTION_STRICT:
        arguments->strict = true;
        return true;
    case OPTION_GENERATION:
        if (!read_number(value, 1000000, &number))
            return false;
        arguments->generation = (unsigned)number;
        return number > 0;
    case OPTION_ONCE:
        arguments->once = true;
        return true;
    case OPTION_JSON:
        arguments->json = true;
        return true;
    default:
        return false;
    }
}

static bool parse(struct audit_arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {
        {"public-key", required_argument, NULL, OPTION_PUBLIC_KEY},
        {"expect-seq", required_argument, NULL, OPTION_EXPECT_SEQ},
        {"anchor", required_argument, NULL, OPTION_ANCHOR},
        {"strict", no_argument, NULL, OPTION_STRICT},
        {"html", required_argument, NULL, OPTION_HTML},
        {"policy", required_argument, NULL, OPTION_POLICY},
        {"keys", required_argument, NULL, OPTION_KEYS},
        {"pair", required_argument, NULL, OPTION_PAIR},
        {"day", required_argument, NULL, OPTION_DAY},
        {"client", required_argument, NULL, OPTION_CLIENT},
        {"event", required_argument, NULL, OPTION_EVENT},
        {"format", required_argument, NULL, OPTION_FORMAT},
        {"host", required_argument, NULL, OPTION_HOST},
        {"to", required_argument, NULL, OPTION_TO},
        {"state", required_argument, NULL, OPTION_STATE},
        {"ca", required_argument, NULL, OPTION_CA},
        {"cert", required_argument, NULL, OPTION_CERTIFICATE},
        {"key", required_argument, NULL, OPTION_KEY},
        {"once", no_argument, NULL, OPTION_ONCE},
        {"out", required_argument, NULL, OPTION_OUT},
        {"name", required_argument, NULL, OPTION_NAME},
        {"generation", required_argument, NULL, OPTION_GENERATION},
        {"json", no_argument, NULL, OPTION_JSON},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (!take_option(arguments, option, optarg))
            return false;
    }
    if (argc - optind > AUDIT_ARGUMENTS_MAX)
        return false;
    for (int i = optind; i < argc; i++)
        arguments->files[arguments->file_count++] = argv[i];
    return true;
}

bool audit_is_day(const char *text)
{
    static const char form[] = "dddd-dd-dd";
    const size_t len = strlen(text);
    if (len != sizeof form - 1 && len != strlen("dddd-dd"))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false;
    }
    return true;
}

enum mikeyd_status audit_names_read(struct pair_names *names,
                                    const struct audit_arguments *arguments, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    if (arguments->policy != NULL)
        status = pair_names_add_policy_file(names, arguments->policy, err);
    if (status == MIKEYD_OK && arguments->keys != NULL)
        status = pair_names_add_listing_file(names, arguments->keys, err);
    return status;
}

int ctl_audit(struct ctl *ctl, int argc, char **argv)
{
    struct audit_arguments arguments = {.json = ctl->json};
    if (!parse(&arguments, argc, argv) || arguments.file_count == 0)
        return ctl_usage(synopsis, "expected verify, query, export, follow, report or export-key");
    /* The first word is the subcommand. */
    const char *what = arguments.files[0];
    arguments.file_count--;
    memmove(arguments.files, arguments.files + 1, arguments.file_count * sizeof what);
    if (strcmp(what, "export-key") == 0 && arguments.file_count == 0)
        return audit_command_export_key(ctl, &arguments);
    if (arguments.file_count == 0)
        return ctl_usage(synopsis, "%s: which file?", what);
    if (strcmp(what, "verify") == 0)
        return audit_command_verify(&arguments);
    if (strcmp(what, "query") == 0)
        return audit_command_query(&arguments);
    if (strcmp(what, "export") == 0)
        return audit_command_export(&arguments);
    if (strcmp(what, "follow") == 0)
        return audit_command_follow(&arguments);
    if (strcmp(what, "report") == 0 && arguments.html != NULL)
        return audit_command_report(&arguments);
    return ctl_usage(synopsis, "unknown or incomplete command: %s", what);
}

enum mikeyd_status audit_write_whole(const char *path, bool (*write)(void *context, FILE *stream),
                                     void *context, struct error *err)
{
    char *temporary = NULL;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    int fd = mkostemp(temporary, O_CLOEXEC);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
    bool done = stream != NULL && write(context, stream) && fflush(stream) == 0 &&
                fchmod(fd, 0644) == 0 && fsync(fd) == 0;
    int reason = errno;
    if (stream != NULL)
        done = fclose(stream) == 0 && done;
    else if (fd >= 0)
        (void)close(fd);
    if (done && rename(temporary, path) != 0) {
        reason = errno;
        done = false;
    }
    if (!done && fd >= 0)
        (void)unlink(temporary);
    free(temporary);
    return done ? MIKEYD_OK
                : error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: %s", path, strerror(reason));
}
