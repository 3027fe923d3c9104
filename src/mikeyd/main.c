/* mikeyd: monitor, and with --front the process that serves clients. See mikeyd(8). */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/output.h"
#include "base/secret.h"
#include "mikeyd/channel.h"
#include "mikeyd/check.h"
#include "mikeyd/daemon.h"
#include "mikeyd/monitor.h"

static const char usage_text[] =
    "usage: mikeyd --config FILE [--check] [--no-sandbox]\n"
    "  --config FILE  mikeyd.yaml\n"
    "  --check        validate configuration, policy, token and keys; print findings; exit\n"
    "  --no-sandbox   do without seccomp, Landlock and the loss of capabilities\n"
    "  --version, --help\n";

static enum mikeyd_status prepare_process(struct error *err)
{
    /* Before the first secret and the first thread. */
    (void)umask(027);
    (void)signal(SIGPIPE, SIG_IGN);
    /* A file over its size limit is a failed write, as a full disk is. */
    (void)signal(SIGXFSZ, SIG_IGN);
    /* Threads of libraries and modules never see a signal; the main loop opens its own mask. */
    sigset_t stopping;
    (void)sigemptyset(&stopping);
    (void)sigaddset(&stopping, SIGTERM);
    (void)sigaddset(&stopping, SIGINT);
    (void)sigaddset(&stopping, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &stopping, NULL);
    return secret_process_harden(err);
}

/* --front and --two-users are the monitor's words to its child, with descriptor 3 as the channel
 * between them. */
static int serve_front(const char *config_path, const struct daemon_start *start)
{
    struct error err = {.text = ""};
    struct config *config = NULL;
    struct daemon *daemon = NULL;
    enum mikeyd_status status = config_load(config_path, &config, &err);
    if (status != MIKEYD_OK) {
        log_error("%s", err.text);
        return 1;
    }
    status = daemon_open(config, start, &daemon, &err);
    if (status == MIKEYD_OK)
        status = daemon_run(daemon, &err);
    if (status != MIKEYD_OK)
        log_error("%s", err.text);
    daemon_close(daemon);
    config_free(config);
    return status_exit_code(status);
}

static int run(int argc, char **argv)
{
    enum {
        OPTION_CONFIG = 1000,
        OPTION_CHECK,
        OPTION_NO_SANDBOX,
        OPTION_FRONT,
        OPTION_TWO_USERS,
        OPTION_VERSION
    };
    static const struct option options[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"no-sandbox", no_argument, NULL, OPTION_NO_SANDBOX},
        {"front", no_argument, NULL, OPTION_FRONT},
        {"two-users", no_argument, NULL, OPTION_TWO_USERS},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *config_path = NULL;
    bool check = false, front = false;
    struct daemon_start start = {.sandbox = true, .channel = CHANNEL_FRONT_FD};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_CONFIG:
            config_path = optarg;
            break;
        case OPTION_CHECK:
            check = true;
            break;
        case OPTION_NO_SANDBOX:
            start.sandbox = false;
            break;
        case OPTION_FRONT:
            front = true;
            break;
        case OPTION_TWO_USERS:
            start.of_two_users = true;
            break;
        case OPTION_VERSION:
            (void)printf("mikeyd %s\n", MIKEYD_VERSION);
            return 0;
        case 'h':
            (void)fputs(usage_text, stdout);
            return 0;
        default:
            (void)fputs(usage_text, stderr);
            return 1;
        }
    }
    if (config_path == NULL || optind < argc) {
        (void)fputs(usage_text, stderr);
        return 1;
    }

    struct error err = {.text = ""};
    log_open("mikeyd", LOG_LEVEL_INFO);
    if (prepare_process(&err) != MIKEYD_OK) {
        log_error("%s", err.text);
        return status_exit_code(err.status);
    }
    if (!front)
        return monitor_run(config_path, check, start.sandbox);
    return check ? check_run(config_path, start.sandbox, CHANNEL_FRONT_FD)
                 : serve_front(config_path, &start);
}

int main(int argc, char **argv)
{
    struct error err = {.text = ""};
    output_hold_descriptors();
    output_make_visible();
    int result = run(argc, argv);
    if (output_finish(&err) == MIKEYD_OK)
        return result;
    log_error("%s", err.text);
    return result != 0 ? result : status_exit_code(err.status);
}
