/* A token that stops answering: SoftHSM in a process of its own behind p11-kit, which is halted. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

#define TIMEOUT_MS 500

static struct lab lab;
static pid_t server;

static const char *client_module(void)
{
    static const char *const places[] = {"/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
                                         "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    cr_skip_test("p11-kit-client.so is not here");
    return NULL;
}

static void start_server(const char *module)
{
    char path[LAB_PATH + 16], address[LAB_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/run/p11", lab.dir);
    (void)snprintf(address, sizeof address, "unix:path=%s", path);
    server = fork();
    cr_assert(server >= 0);
    if (server == 0) {
        /* With all it starts, one process group: halted as one. */
        (void)setpgid(0, 0);
        (void)execlp("p11-kit", "p11-kit", "server", "-f", "-n", path, "--provider", module,
                     "pkcs11:token=lab", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 200 && access(path, F_OK) != 0; i++)
        (void)usleep(20000);
    cr_assert_eq(setenv("P11_KIT_SERVER_ADDRESS", address, 1), 0);
}

/* The same configuration, with the module's path replaced by that of p11-kit's client. */
static void put_token_aside(void)
{
    char module[256];
    char *text = lab_read_file(lab.config);
    char *at = strstr(text, "module: ");
    cr_assert_not_null(at);
    cr_assert_eq(sscanf(at, "module: %255s", module), 1);
    FILE *file = fopen(lab.config, "w");
    cr_assert_not_null(file);
    cr_assert(fprintf(file, "%.*smodule: %s\n    call_timeout: %dms\n%s", (int)(at - text), text,
                      client_module(), TIMEOUT_MS, strchr(at, '\n') + 1) > 0);
    cr_assert_eq(fclose(file), 0);
    free(text);
    start_server(module);
}

static void make_lab(void)
{
    lab_make(&lab, NULL);
    put_token_aside();
    lab_start(&lab);
}

static void remove_lab(void)
{
    if (server > 0) {
        (void)kill(-server, SIGCONT);
        lab_remove(&lab);
        (void)kill(-server, SIGKILL);
        (void)waitpid(server, NULL, 0);
    }
}

TestSuite(token_hangs, .init = make_lab, .fini = remove_lab, .timeout = 60);

static int64_t ask(mikeyd_client *client, enum mikeyd_status *status)
{
    mikeyd_exchange *exchange = NULL;
    const int64_t begin = clock_monotonic_ms();
    *status = lab_initiate(client, &exchange);
    mikeyd_exchange_free(exchange);
    return clock_monotonic_ms() - begin;
}

Test(token_hangs, callers_hear_token_down_within_the_time_out_and_service_comes_back)
{
    enum mikeyd_status status;
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);

    cr_assert_eq(kill(-server, SIGSTOP), 0);
    int64_t took = ask(client, &status);
    cr_assert_eq(status, MIKEYD_TOKEN_DOWN, "%s", mikeyd_client_error(client));
    cr_assert_leq(took, TIMEOUT_MS + 100, "%ld ms", (long)took);
    /* The next ones do not wait for what is known to hang. */
    for (int i = 0; i < 10; i++) {
        took = ask(client, &status);
        cr_assert_eq(status, MIKEYD_TOKEN_DOWN);
        cr_assert_leq(took, TIMEOUT_MS / 2, "%ld ms", (long)took);
    }
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"token_down\""));

    cr_assert_eq(kill(-server, SIGCONT), 0);
    for (int i = 0; i < 100 && status != MIKEYD_OK; i++) {
        (void)usleep(50000);
        (void)ask(client, &status);
    }
    cr_assert_eq(status, MIKEYD_OK, "%s", mikeyd_client_error(client));
    lab_exchange(client);
    cr_assert(lab_file_gets(lab.audit, "\"event\":\"token_up\""));
    mikeyd_client_close(client);
}

Test(token_hangs, daemon_stops_although_the_token_hangs)
{
    enum mikeyd_status status;
    mikeyd_client *client = lab_client(&lab);
    cr_assert_eq(kill(-server, SIGSTOP), 0);
    (void)ask(client, &status);
    mikeyd_client_close(client);
    int ended = lab_stop(&lab, SIGTERM);
    cr_assert(WIFEXITED(ended));
    cr_assert_eq(lab_count_in_file(lab.audit, "\"event\":\"stop\""), 1);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}
