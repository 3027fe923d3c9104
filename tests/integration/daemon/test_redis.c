/* Two daemons of one fleet: the same keys, one Redis, with a password and over TCP, in the sandbox. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab.h"
#include "support/redis_server.h"

#define PASSWORD "correct-horse"

static struct lab lab, second;
static struct redis_server redis;

static void put(char out[LAB_PATH], const char *name)
{
    (void)snprintf(out, LAB_PATH, "%.100s/%s", lab.dir, name);
}

/* As sed does: every line of the file in which `old` stands has `new` there. */
static void edit(const char *from, const char *to, const char *script)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "sed -e '%s' %s >%s.new && mv %s.new %s", script, from,
                   to, to, to);
    cr_assert_eq(system(command), 0);
}

static void make_fleet(void)
{
    char password[LAB_PATH], script[512];
    lab_make(&lab, NULL);
    put(password, "password");
    lab_write_file(password, PASSWORD "\n");
    cr_assert_eq(chmod(password, 0600), 0);
    redis_server_start(&redis, lab.dir, "redis", true, NULL);
    (void)redis_server_say(&redis, "ACL SETUSER mikeyd on >%s ~mikeyd:* +@all -@dangerous +info",
                           PASSWORD);
    (void)snprintf(script, sizeof script,
                   "s#^replay:.*#replay: {redis: {servers: [\"%s\"], replicas: 0, user: mikeyd, "
                   "password_file: password}}#",
                   redis.address);
    edit(lab.config, lab.config, script);
    second = lab;
    second.daemon = 0;
    put(second.config, "second.yaml");
    put(second.audit, "second.jsonl");
    put(second.socket, "run/second");
    put(second.log, "log");
    (void)snprintf(second.address, sizeof second.address, "unix:%s", second.socket);
    edit(lab.config, second.config, "s#run/s,#run/second,#;s#audit.jsonl#second.jsonl#");
}

static void remove_fleet(void)
{
    if (redis.pid != 0)
        (void)kill(redis.pid, SIGCONT);
    if (second.daemon != 0)
        (void)lab_stop(&second, SIGTERM);
    redis_server_kill(&redis);
    lab_remove(&lab);
}

TestSuite(fleet, .init = make_fleet, .fini = remove_fleet, .timeout = 180);

static enum mikeyd_status respond_at(const struct lab *at, const mikeyd_exchange *offer,
                                     mikeyd_exchange **out)
{
    mikeyd_client *client = lab_client(at);
    struct mikeyd_answer answer = {.as = LAB_B};
    answer.message = mikeyd_exchange_message(offer, &answer.message_len);
    const enum mikeyd_status status = mikeyd_respond(client, &answer, out);
    mikeyd_client_close(client);
    return status;
}

static mikeyd_exchange *initiate_at(const struct lab *at)
{
    mikeyd_client *client = lab_client(at);
    mikeyd_exchange *offer = NULL;
    cr_assert_eq(lab_initiate(client, &offer), MIKEYD_OK, "%s", mikeyd_client_error(client));
    mikeyd_client_close(client);
    return offer;
}

static enum mikeyd_status confirm_at(const struct lab *at, const mikeyd_exchange *offer,
                                     const mikeyd_exchange *answer, mikeyd_exchange **out)
{
    size_t ticket_len, reply_len;
    const uint8_t *ticket = mikeyd_exchange_ticket(offer, &ticket_len);
    const uint8_t *reply = mikeyd_exchange_message(answer, &reply_len);
    mikeyd_client *client = lab_client(at);
    const enum mikeyd_status status =
        mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, out);
    mikeyd_client_close(client);
    return status;
}

Test(fleet, the_same_message_is_answered_by_one_of_two_daemons)
{
    mikeyd_exchange *answer = NULL, *none = NULL;
    lab_start(&lab);
    lab_start(&second);
    mikeyd_exchange *offer = initiate_at(&lab);
    cr_expect_eq(respond_at(&lab, offer, &answer), MIKEYD_OK);
    cr_expect_eq(respond_at(&second, offer, &none), MIKEYD_REPLAY);
    cr_expect_eq(respond_at(&lab, offer, &none), MIKEYD_REPLAY);
    mikeyd_exchange_free(answer);
    mikeyd_exchange_free(offer);
}

/* ---- the exchanges of a key */

static enum mikeyd_status try_initiate(const struct lab *at)
{
    mikeyd_client *client = lab_client(at);
    mikeyd_exchange *offer = NULL;
    const enum mikeyd_status status = lab_initiate(client, &offer);
    mikeyd_exchange_free(offer);
    mikeyd_client_close(client);
    return status;
}

Test(fleet, exchanges_under_a_key_are_counted_for_all_daemons)
{
    const struct lab *const daemons[] = {&lab, &second};
    edit(lab.policy, lab.policy, "s#{name: [^}]*, kind: [a-z]*#&, max_exchanges: 5#");
    lab_start(&lab);
    lab_start(&second);
    for (int i = 0; i < 5; i++)
        cr_expect_eq(try_initiate(daemons[i % 2]), MIKEYD_OK, "%d", i);
    cr_expect_eq(try_initiate(&lab), MIKEYD_POLICY);
    cr_expect_eq(try_initiate(&second), MIKEYD_POLICY);
    cr_assert_eq(lab_stop(&second, SIGTERM), 0);
    lab_start(&second);
    cr_expect_eq(try_initiate(&second), MIKEYD_POLICY, "after a restart");
    cr_assert_eq(kill(redis.pid, SIGSTOP), 0);
    cr_expect_eq(try_initiate(&lab), MIKEYD_STORE_DOWN, "cannot be counted");
    cr_assert_eq(kill(redis.pid, SIGCONT), 0);
}

/* ---- what a message costs Redis */

static unsigned long calls_of(const char *command)
{
    char name[64];
    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(redis_server_say(&redis, "INFO commandstats"), name);
    return at == NULL ? 0 : strtoul(at + strlen(name), NULL, 10);
}

#define MESSAGES 300

/*
 * Besides the messages' own, each second: the watch's INFO and its two scripts, and the one that
 * sets timestamps aside. Every script asks INFO, too; what is more comes from the watch.
 */
Test(fleet, a_message_costs_redis_one_round_trip)
{
    edit(lab.policy, lab.policy, "s#{name: [^}]*, kind: [a-z]*#&, max_exchanges: 100000#");
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    const unsigned long scripts = calls_of("evalsha"), infos = calls_of("info");
    for (int i = 0; i < MESSAGES / 3; i++)
        lab_exchange(client); /* three messages */
    const unsigned long done = calls_of("evalsha") - scripts;
    const unsigned long seconds = calls_of("info") - infos - done;
    mikeyd_client_close(client);
    cr_log_info("%lu scripts for %d messages in about %lu seconds", done, MESSAGES, seconds);
    cr_expect_geq(done, MESSAGES);
    cr_expect_leq(done, MESSAGES + 4 * (seconds + 2));
}

Test(fleet, a_ticket_of_one_daemon_is_confirmed_at_another_once)
{
    mikeyd_exchange *answer = NULL, *confirmed = NULL, *none = NULL;
    const struct mikeyd_srtp_key *theirs, *ours;
    lab_start(&lab);
    lab_start(&second);
    mikeyd_exchange *offer = initiate_at(&lab);
    cr_assert_eq(respond_at(&lab, offer, &answer), MIKEYD_OK);
    cr_assert_eq(confirm_at(&second, offer, answer, &confirmed), MIKEYD_OK);
    cr_expect_eq(confirm_at(&lab, offer, answer, &none), MIKEYD_REPLAY);
    cr_expect_eq(confirm_at(&second, offer, answer, &none), MIKEYD_REPLAY);
    cr_assert_eq(mikeyd_exchange_keys(answer, &theirs), 1);
    cr_assert_eq(mikeyd_exchange_keys(confirmed, &ours), 1);
    cr_expect_arr_eq(theirs->key, ours->key, sizeof ours->key);
    mikeyd_exchange_free(answer);
    mikeyd_exchange_free(confirmed);
    mikeyd_exchange_free(offer);
}

/* What was answered by a daemon is no more answered when it is dead, nor by it when it is back. */
Test(fleet, the_other_daemon_knows_what_a_dead_one_answered)
{
    mikeyd_exchange *answer = NULL, *none = NULL;
    lab_start(&lab);
    lab_start(&second);
    mikeyd_exchange *offer = initiate_at(&lab);
    cr_assert_eq(respond_at(&lab, offer, &answer), MIKEYD_OK);
    (void)lab_stop(&lab, SIGKILL);
    cr_expect_eq(respond_at(&second, offer, &none), MIKEYD_REPLAY);
    lab_start(&lab);
    cr_expect_eq(respond_at(&lab, offer, &none), MIKEYD_REPLAY);
    mikeyd_exchange_free(answer);
    mikeyd_exchange_free(offer);
}

Test(fleet, a_daemon_with_the_same_keys_and_another_store_does_not_start)
{
    char out[LAB_PATH];
    if (lab.token.kind == TOKEN_FIXTURE_ISOLATED)
        cr_skip_test("write-protected: it takes no mark");
    lab_start(&lab);
    put(out, "out");
    edit(second.config, second.config, "s#^replay:.*#replay: {lmdb: other}#");
    const char *const argv[] = {MIKEYD_PROGRAM, "--config", second.config, NULL};
    cr_expect_eq(lab_run(&lab, argv), 3);
    cr_expect_eq(lab_count_in_file(out, "belongs to replay store"), 1);
}

Test(fleet, a_configuration_that_would_lose_entries_is_refused)
{
    static const struct {
        const char *replay, *said;
    } cases[] = {
        {"{redis: {servers: [\"10.0.0.1:1\", \"10.0.0.2:1\"], replicas: 0}}", "0 beside several"},
        {"{redis: {servers: [\"10.0.0.1:1\"]}, lmdb: x}", "lmdb or redis, not both"},
        {"{redis: {servers: [\"redis.example:1\"]}}", "is no IP-ADDRESS:PORT"},
        {"{redis: {servers: [\"10.0.0.1:1\"], password: x}}", "password"},
        {"{redis: {servers: [\"10.0.0.1:1\"], tls: {}}}", "ca is missing"},
        {"{redis: {servers: [\"10.0.0.1:1\"], sentinel: {service: x}}}", "servers is missing"},
    };
    char out[LAB_PATH], script[256];
    put(out, "out");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(script, sizeof script, "s#^replay:.*#replay: %s#", cases[i].replay);
        edit(second.config, second.config, script);
        const char *const argv[] = {MIKEYD_PROGRAM, "--config", second.config, "--check", NULL};
        cr_expect_neq(lab_run(&lab, argv), 0, "%s", cases[i].replay);
        cr_expect_geq(lab_count_in_file(out, cases[i].said), 1, "%s", cases[i].replay);
    }
}

static bool health_says(const struct lab *at, const char *text)
{
    mikeyd_client *client = lab_client(at);
    char *json = NULL;
    cr_assert_eq(mikeyd_client_status(client, true, &json), MIKEYD_OK);
    const bool says = strstr(json, text) != NULL;
    free(json);
    mikeyd_client_close(client);
    return says;
}

static void wait_for_health(const struct lab *at, const char *text)
{
    for (int i = 0; i < 1500; i++) {
        if (health_says(at, text))
            return;
        (void)usleep(20000);
    }
    cr_assert_fail("the status does not say \"%s\"", text);
}

Test(fleet, an_emptied_redis_closes_all_daemons_and_is_named)
{
    mikeyd_exchange *none = NULL, *answer = NULL;
    lab_start(&lab);
    lab_start(&second);
    cr_expect(health_says(&lab, "\"kind\":\"redis\""));
    mikeyd_exchange *offer = initiate_at(&lab), *answered = initiate_at(&lab);
    cr_assert_eq(respond_at(&lab, answered, &answer), MIKEYD_OK);
    (void)redis_server_say(&redis, "FLUSHALL");
    wait_for_health(&lab, "the database is empty");
    wait_for_health(&second, "the database is empty");
    cr_expect_eq(respond_at(&lab, answered, &none), MIKEYD_STORE_DOWN);
    cr_expect_eq(respond_at(&second, answered, &none), MIKEYD_STORE_DOWN);
    cr_expect_eq(respond_at(&second, offer, &none), MIKEYD_STORE_DOWN);
    cr_expect(lab_file_gets(lab.log, "track was lost (the database is empty)"));
    mikeyd_exchange_free(offer);
    mikeyd_exchange_free(answered);
    mikeyd_exchange_free(answer);
}

/* The audit log's last mark says so, though nobody was there to see it. */
Test(fleet, a_redis_that_was_emptied_meanwhile_is_found_at_the_start)
{
    mikeyd_exchange *none = NULL, *answer = NULL;
    lab_start(&lab);
    mikeyd_exchange *offer = initiate_at(&lab);
    cr_assert_eq(respond_at(&lab, offer, &answer), MIKEYD_OK);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    (void)redis_server_say(&redis, "FLUSHALL");
    if (lab.token.kind != TOKEN_FIXTURE_ISOLATED) {
        cr_expect_eq(lab_start_refused(&lab), 3, "the store's identity is gone, too");
        lab_key_must(&lab, (const char *const[]){"release-store", NULL});
    }
    lab_start(&lab);
    cr_expect_eq(respond_at(&lab, offer, &none), MIKEYD_STORE_DOWN);
    cr_expect(lab_file_gets(lab.log, "track was lost"));
    mikeyd_exchange_free(offer);
    mikeyd_exchange_free(answer);
}

Test(fleet, a_hung_redis_gives_store_down_in_time_and_comes_back)
{
    mikeyd_exchange *none = NULL, *answer = NULL;
    lab_start(&lab);
    mikeyd_exchange *first = initiate_at(&lab), *other = initiate_at(&lab);
    cr_assert_eq(kill(redis.pid, SIGSTOP), 0);
    cr_expect_eq(respond_at(&lab, first, &none), MIKEYD_STORE_DOWN);
    wait_for_health(&lab, "no answer in time");
    cr_expect_eq(respond_at(&lab, first, &none), MIKEYD_STORE_DOWN);
    cr_assert_eq(kill(redis.pid, SIGCONT), 0);
    cr_expect(lab_file_gets(lab.log, "Redis serves again"));
    cr_expect_eq(respond_at(&lab, other, &answer), MIKEYD_OK);
    mikeyd_exchange_free(first);
    mikeyd_exchange_free(other);
    mikeyd_exchange_free(answer);
}
