/* mikeyd-gate. See mikeyd-gate(8). */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/output.h"
#include "base/random.h"
#include "base/secret.h"
#include "gate/gate.h"
#include "gate/memory.h"
#include "gate/tls.h"
#include "tls/token_key.h"

/* Two lists of PSKs at a reload, and the file of one. */
#define SECRET_HEAP ((size_t)4 << 20)

static const char usage_text[] =
    "usage: mikeyd-gate --config FILE [--check] [--no-sandbox]\n"
    "  --config FILE  mikeyd.yaml, of which the gate reads `gate:` and `listen:`\n"
    "  --check        read configuration, certificates and keys; exit\n"
    "  --no-sandbox   do without seccomp, Landlock and the loss of capabilities\n"
    "  --version, --help\n";

static enum mikeyd_status prepare_process(struct error *err)
{
    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    enum mikeyd_status status = secret_process_harden(err);
    if (status == MIKEYD_OK)
        status = secret_heap_init(SECRET_HEAP, err);
    if (status == MIKEYD_OK)
        status = random_check(err);
    if (status == MIKEYD_OK)
        memory_protect();
    return status;
}

static enum mikeyd_status check(const struct config_gate *settings, struct error *err)
{
    SSL_CTX *tls = NULL;
    EVP_PKEY *token_key = NULL;
    enum mikeyd_status status = MIKEYD_OK;
    if (token_key_is_uri(settings->key))
        status = tls_open_token_key(settings, &token_key, err);
    if (status == MIKEYD_OK)
        status = tls_make(settings, token_key, &tls, err);
    SSL_CTX_free(tls);
    return status;
}

static int serve(const char *config_path, const struct gate_start *start, bool only_check)
{
    struct error err = {.text = ""};
    struct config *config = NULL;
    struct gate *gate = NULL;
    enum mikeyd_status status = prepare_process(&err);
    if (status == MIKEYD_OK)
        status = config_load(config_path, &config, &err);
    if (status == MIKEYD_OK && config->gate == NULL)
        status = error_set(&err, MIKEYD_INVALID_ARGUMENT, "%s: gate is missing", config_path);
    if (status == MIKEYD_OK && only_check) {
        status = check(config->gate, &err);
    } else if (status == MIKEYD_OK) {
        status = gate_open(config, start, &gate, &err);
        if (status == MIKEYD_OK)
            status = gate_run(gate, &err);
    }
    if (status != MIKEYD_OK)
        log_error("%s", err.text);
    gate_close(gate);
    config_free(config);
    return status == MIKEYD_SYNTAX ? 1 : status_exit_code(status);
}

static int run(int argc, char **argv)
{
    enum { OPTION_CONFIG = 1000, OPTION_CHECK, OPTION_NO_SANDBOX, OPTION_VERSION };
    static const struct option options[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"no-sandbox", no_argument, NULL, OPTION_NO_SANDBOX},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *config_path = NULL;
    struct gate_start start = {.sandbox = true};
    bool only_check = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_CONFIG:
            config_path = optarg;
            break;
        case OPTION_CHECK:
            only_check = true;
            break;
        case OPTION_NO_SANDBOX:
            start.sandbox = false;
            break;
        case OPTION_VERSION:
            (void)printf("mikeyd-gate %s\n", MIKEYD_VERSION);
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
    log_open("mikeyd-gate", LOG_LEVEL_INFO);
    return serve(config_path, &start, only_check);
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
