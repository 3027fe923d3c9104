/*
 * mikeyd-keyholder: the process that loads a PKCS#11 module, reads a PIN and logs in. Started by
 * mikeyd, which holds the other end of descriptor 3; connections of the front come over descriptor 4.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/output.h"
#include "base/random.h"
#include "base/secret.h"
#include "config/config.h"
#include "keyholder/confinement.h"
#include "keyholder/keyholder.h"

#define MONITOR_FD 3
#define CONTROL_FD 4
#define CONNECTIONS_MAX 512
/* Descriptors besides connections: the module's, libraries'. */
#define DESCRIPTORS_MORE 128
/* What is left to answer when the monitor is gone. */
#define ORPHAN_SECONDS 10
/* How often the token is asked whether it is spent. */
#define LOOK_MS 100

/* First byte of the one message to the monitor. */
enum { SAYS_READY = 1, SAYS_FAILED = 2 };

static const char usage_text[] = "usage: mikeyd-keyholder --config FILE --token INDEX\n"
                                 "  --config FILE  mikeyd.yaml\n"
                                 "  --token INDEX  which entry of `tokens:`, from 0\n"
                                 "  --version, --help\n"
                                 "Holds one token for mikeyd, which starts it.\n";

struct arguments {
    const char *config;
    unsigned token;
    bool no_sandbox;
};

/* ---- the process */

static enum mikeyd_status check_descriptors(struct error *err)
{
    for (int fd = MONITOR_FD; fd <= CONTROL_FD; fd++) {
        int type = 0;
        socklen_t len = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "descriptor %d is no socket of mikeyd's: only mikeyd starts this", fd);
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return MIKEYD_OK;
}

static void limit_descriptors(void)
{
    struct rlimit limit;
    const rlim_t want = CONNECTIONS_MAX + DESCRIPTORS_MORE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum mikeyd_status prepare_process(struct error *err)
{
    /* Before the first secret and the first thread. */
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGHUP, SIGINT, SIGTERM};
    (void)umask(077);
    /* A terminal's signals reach every process of its group; the monitor decides what they mean. */
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    limit_descriptors();
    enum mikeyd_status status = secret_process_harden(err);
    (void)keyholder_rss_kb(); /* proc(5) is out of reach later */
    return status == MIKEYD_OK ? check_descriptors(err) : status;
}

/* ---- the monitor */

static void tell_monitor(enum mikeyd_status status, const char *text)
{
    uint8_t message[3 + sizeof(((struct error *)0)->text)];
    struct byte_writer w = writer_of(message, sizeof message);
    if (status == MIKEYD_OK) {
        writer_u8(&w, SAYS_READY);
    } else {
        writer_u8(&w, SAYS_FAILED);
        writer_u16(&w, (uint16_t)status);
        writer_bytes(&w, text, strlen(text));
    }
    (void)send(MONITOR_FD, message, w.len, MSG_NOSIGNAL);
}

/*
 * When the monitor is gone no connection is taken any more, and what is left to answer has its time:
 * a call that hangs in the module must not keep a token logged in that nobody watches over.
 */
static void *watch_monitor(void *token)
{
    struct pollfd monitor = {.fd = MONITOR_FD};
    int gone = 0;
    while (gone == 0 || (gone < 0 && errno == EINTR)) {
        gone = poll(&monitor, 1, LOOK_MS);
        if (token_spent(token)) {
            log_error("ending: the module begins anew in another process only");
            _exit(status_exit_code(MIKEYD_TOKEN_DOWN));
        }
    }
    (void)shutdown(CONTROL_FD, SHUT_RDWR);
    const struct timespec rest = {.tv_sec = ORPHAN_SECONDS};
    (void)nanosleep(&rest, NULL);
    log_warning("mikeyd is gone: ending");
    _exit(status_exit_code(MIKEYD_TOKEN_DOWN));
}

static enum mikeyd_status start_watching(struct token *token, struct error *err)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch_monitor, token) != 0)
        return error_set(err, MIKEYD_INTERNAL, "no thread to watch the monitor");
    (void)pthread_detach(thread);
    return MIKEYD_OK;
}

/* ---- the token */

/* NULL: no sandbox. */
static enum mikeyd_status hold_token(const struct config *config, const struct token_config *wanted,
                                     const struct confinement *confinement, struct error *err)
{
    /* Well under the share of call_timeout that one member of a group gets (keys/breaker.c): the
     * front hears "busy" in time to ask another one. */
    struct keyholder_options options = {.connections = CONNECTIONS_MAX,
                                        .pair_cache = config->pair_cache,
                                        .wait_ms = wanted->call_timeout_ms / 8};
    struct token *token = NULL;
    struct keyholder *holder = NULL;
    enum mikeyd_status status = secret_heap_init(keyholder_heap(wanted, &options.heap_least), err);
    if (status == MIKEYD_OK) /* before the module, which may change what OpenSSL does */
        status = random_check(err);
    if (status == MIKEYD_OK)
        status = token_open(wanted, &token, err);
    if (status == MIKEYD_OK)
        status = keyholder_make(token, &options, &holder, err);
    if (status == MIKEYD_OK)
        status = start_watching(token, err);
    if (status == MIKEYD_OK && confinement != NULL)
        status = sandbox_enter(&confinement->profile, err);
    if (status == MIKEYD_OK) {
        tell_monitor(MIKEYD_OK, NULL);
        keyholder_serve(holder, CONTROL_FD);
    }
    keyholder_free(holder);
    token_close(token);
    return status;
}

static enum mikeyd_status hold_confined(const struct config *config,
                                        const struct arguments *arguments, struct error *err)
{
    const struct token_config *wanted = &config->tokens[arguments->token];
    if (arguments->no_sandbox) {
        log_warning("no sandbox: --no-sandbox is given");
        return hold_token(config, wanted, NULL, err);
    }
    struct confinement confinement;
    enum mikeyd_status status = confinement_begin(config, wanted, &confinement, err);
    if (status == MIKEYD_OK)
        status = hold_token(config, wanted, &confinement, err);
    confinement_clear(&confinement);
    return status;
}

static enum mikeyd_status run(const struct arguments *arguments, struct error *err)
{
    struct config *config = NULL;
    enum mikeyd_status status = config_load(arguments->config, &config, err);
    if (status != MIKEYD_OK)
        return status;
    if (arguments->token >= config->token_count)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT, "%s: tokens: there is no entry %u",
                           arguments->config, arguments->token);
    if (status == MIKEYD_OK)
        status = hold_confined(config, arguments, err);
    config_free(config);
    return status;
}

/* ---- the command line */

static bool read_index(const char *text, unsigned *out)
{
    char *end = NULL;
    const unsigned long index = strtoul(text, &end, 10);
    *out = (unsigned)index;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && index < 1000;
}

/* -1: go on; else the exit status. */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
    enum { OPTION_CONFIG = 1000, OPTION_TOKEN, OPTION_NO_SANDBOX, OPTION_VERSION };
    static const struct option options[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"token", required_argument, NULL, OPTION_TOKEN},
        {"no-sandbox", no_argument, NULL, OPTION_NO_SANDBOX},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool has_token = false, wrong = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_CONFIG:
            out->config = optarg;
            break;
        case OPTION_TOKEN:
            has_token = read_index(optarg, &out->token);
            break;
        case OPTION_NO_SANDBOX:
            out->no_sandbox = true;
            break;
        case OPTION_VERSION:
            (void)printf("mikeyd-keyholder %s\n", MIKEYD_VERSION);
            return 0;
        case 'h':
            (void)fputs(usage_text, stdout);
            return 0;
        default:
            wrong = true;
        }
    }
    if (!wrong && has_token && out->config != NULL && optind == argc)
        return -1;
    (void)fputs(usage_text, stderr);
    return 1;
}

int main(int argc, char **argv)
{
    static char program[40];
    struct arguments arguments = {0};
    struct error err = {.text = ""};
    output_hold_descriptors();
    const int done = read_arguments(argc, argv, &arguments);
    if (done >= 0)
        return done;
    (void)snprintf(program, sizeof program, "mikeyd-keyholder[%u]", arguments.token);
    log_open(program, LOG_LEVEL_INFO);
    enum mikeyd_status status = prepare_process(&err);
    if (status == MIKEYD_OK)
        status = run(&arguments, &err);
    if (status == MIKEYD_OK)
        return 0;
    log_error("%s", err.text);
    tell_monitor(status, err.text);
    return status_exit_code(status);
}
