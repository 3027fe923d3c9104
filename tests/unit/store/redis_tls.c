/* TLS to Redis: whose certificate is believed, and ours. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/fixture.h"

static char address[32], ca[128], other_ca[128], certificate[128], key[128];
static const char *tls_servers[1];
static struct redis_tls_files files;

/* Two authorities; the server's certificate for 127.0.0.1 and redis.example, and the daemon's. */
static void make_certificates(void)
{
    static const char script[] =
        "cd %s && exec >openssl.log 2>&1 && set -e\n"
        "for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-nodes "
        "-days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem; done\n"
        "for who in server daemon; do openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
        "-nodes "
        "-subj /CN=$who -keyout $who.key -out $who.csr\n"
        "printf 'subjectAltName=IP:127.0.0.1,DNS:redis.example' >$who.ext\n"
        "openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
        "-extfile $who.ext -out $who.pem; done\n";
    char command[2048];
    (void)snprintf(command, sizeof command, script, store_path);
    cr_assert_eq(system(command), 0, "openssl");
}

static void put(char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", store_path, name);
}

static void open_port(void)
{
    for (int i = 0; i < 10; i++) {
        const unsigned port = redis_free_port();
        redisContext *context = redisConnectUnix(redis.socket);
        redisReply *reply = redisCommand(context, "CONFIG SET tls-port %u", port);
        const bool done = reply != NULL && reply->type != REDIS_REPLY_ERROR;
        if (reply != NULL)
            freeReplyObject(reply);
        redisFree(context);
        (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
        if (done)
            return;
    }
    cr_assert_fail("no port");
}

static void start_with_tls(void)
{
    static char server_certificate[128], server_key[128];
    store_fixture_start();
    make_certificates();
    put(ca, "ca.pem");
    put(other_ca, "other.pem");
    put(certificate, "daemon.pem");
    put(key, "daemon.key");
    put(server_certificate, "server.pem");
    put(server_key, "server.key");
    redis_server_start(&redis, store_path, "redis", false,
                       (const char *const[]){"--tls-cert-file", server_certificate,
                                             "--tls-key-file", server_key, "--tls-ca-cert-file", ca,
                                             "--tls-auth-clients", "yes", NULL});
    open_port();
    tls_servers[0] = address;
    redis_options.servers = tls_servers;
    redis_options.tls = &files;
    files = (struct redis_tls_files){.ca = ca, .certificate = certificate, .key = key};
}

TestSuite(redis_tls, .init = start_with_tls, .fini = store_fixture_stop, .timeout = 120);

static void expect_refused(enum mikeyd_status status, const char *why)
{
    struct replay_store *store = NULL;
    struct error err = {.text = ""};
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, &err), status, "%s", why);
    cr_expect_not_null(strstr(err.text, why), "%s", err.text);
    cr_expect_eq(redis_server_count(&redis, "EXISTS mikeyd:meta"), 0, "something was sent");
}

Test(redis_tls, serves_by_address_and_by_name)
{
    struct replay_store *store = open_store();
    struct error err = {.text = ""};
    cr_expect_eq(insert_number(store, 1, 60, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_REPLAY);
    store_close(store);
    files.server_name = "redis.example";
    store = open_store();
    cr_expect_eq(insert_number(store, 1, 60, NULL), MIKEYD_REPLAY);
    store_close(store);
}

Test(redis_tls, a_certificate_of_another_authority_is_refused)
{
    files.ca = other_ca;
    expect_refused(MIKEYD_STORE_DOWN, "the server's certificate");
}

Test(redis_tls, a_certificate_of_another_server_is_refused)
{
    files.server_name = "elsewhere.example";
    expect_refused(MIKEYD_STORE_DOWN, "ostname mismatch");
}

Test(redis_tls, a_server_that_asks_for_a_certificate_gets_one_or_none)
{
    files.certificate = files.key = NULL;
    struct replay_store *store = NULL;
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, NULL), MIKEYD_STORE_DOWN);
    cr_expect_eq(redis_server_count(&redis, "EXISTS mikeyd:meta"), 0);
}

Test(redis_tls, a_key_that_others_can_read_is_refused)
{
    static const mode_t wide[] = {0640, 0604, 0666, 0620};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        char why[160];
        cr_assert_eq(chmod(key, wide[i]), 0);
        (void)snprintf(why, sizeof why, "private key %s has mode %04o", key, (unsigned)wide[i]);
        expect_refused(MIKEYD_INVALID_ARGUMENT, why);
    }
    cr_assert_eq(chmod(key, 0400), 0);
    store_close(open_store());
}

Test(redis_tls, files_that_do_not_fit_are_named)
{
    static char foreign_key[128];
    files.key = ca;
    cr_assert_eq(chmod(ca, 0600), 0); /* else its mode is the fault that is told */
    expect_refused(MIKEYD_INVALID_ARGUMENT, "ca.pem");
    put(foreign_key, "other.key");
    files.key = foreign_key;
    expect_refused(MIKEYD_INVALID_ARGUMENT, "other.key");
    files.key = key;
    files.ca = "/nonexistent/ca";
    expect_refused(MIKEYD_INVALID_ARGUMENT, "/nonexistent/ca");
}

Test(redis_tls, a_server_without_tls_is_refused)
{
    tls_servers[0] = redis.socket; /* plain */
    files.server_name = "redis.example";
    redis_options.timeout_ms = 500;
    struct replay_store *store = NULL;
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, NULL), MIKEYD_STORE_DOWN);
    cr_expect_eq(redis_server_count(&redis, "EXISTS mikeyd:meta"), 0);
}
