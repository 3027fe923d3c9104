/* Pair keys are ready before the first request that needs them, at the start and after a reload. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lab.h"

static struct lab lab;
static mikeyd_client *client;

/* skew: something that a reload can change. */
static void write_policy(unsigned skew)
{
    char text[1024];
    (void)snprintf(
        text, sizeof text,
        "policy: 1\n"
        "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, clock_skew: %us}\n"
        "keys:\n"
        "  - {name: core, kind: epsk, generation: 1}\n"
        "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
        "pairs:\n"
        "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: core}\n"
        "  - {initiator: \"" LAB_B "\", responder: \"" LAB_A "\", key: core}\n"
        "clients:\n"
        "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
        "\"], may: [initiate, respond]}\n",
        skew, (unsigned)getuid());
    lab_write_file(lab.policy, text);
}

static void make_lab(void)
{
    lab_make(&lab, NULL);
    write_policy(60);
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "epsk", "--name", "core", NULL});
    if (!lab_token_derives(&lab.token))
        lab_key_must(&lab, (const char *const[]){"derive", "--name", "core", NULL});
    lab_start(&lab);
    client = lab_client(&lab);
}

static void remove_lab(void)
{
    mikeyd_client_close(client);
    lab_remove(&lab);
}

TestSuite(prewarm, .init = make_lab, .fini = remove_lab, .timeout = 60);

struct counts {
    long long entries, hits, misses, derives;
};

static struct counts count(void)
{
    char *text = NULL;
    cr_assert_eq(mikeyd_client_status(client, false, &text), MIKEYD_OK);
    json_t *status = json_loads(text, 0, NULL);
    free(text);
    const json_t *cache = json_object_get(json_object_get(status, "exchanges"), "pair_cache");
    const json_t *token = json_object_get(status, "token");
    cr_assert_not_null(json_object_get(cache, "misses"));
    const struct counts counts = {json_integer_value(json_object_get(cache, "entries")),
                                  json_integer_value(json_object_get(cache, "hits")),
                                  json_integer_value(json_object_get(cache, "misses")),
                                  json_integer_value(json_object_get(token, "derives"))};
    json_decref(status);
    return counts;
}

/* Until so many pair keys have been fetched or derived in all. */
static struct counts wait_for_misses(long long misses)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct counts counts = count();
    for (int i = 0; i < 3000 && counts.misses < misses; i++) {
        (void)nanosleep(&pause, NULL);
        counts = count();
    }
    cr_assert_eq(counts.misses, misses);
    return counts;
}

/* A token that derives makes two message keys at each end and one for confirm; one more would be
 * the pair's. */
static void expect_call_without_derivation(const struct counts *before)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    const long long derives = lab_token_derives(&lab.token) ? 5 : 0;
    lab_exchange(client);
    /* The report's facts are as old as the keyholder's last: looked at until they have moved, and then once more. */
    struct counts after = count();
    for (int i = 0; i < 300 && after.hits - before->hits < 3; i++) {
        (void)nanosleep(&pause, NULL);
        after = count();
    }
    cr_expect_eq(after.misses, before->misses, "a pair key was not ready");
    cr_expect_eq(after.derives - before->derives, derives);
}

Test(prewarm, first_call_after_the_start_finds_its_pair_key)
{
    const struct counts before = wait_for_misses(2);
    cr_expect_eq(before.entries, 2);
    expect_call_without_derivation(&before);
}

Test(prewarm, first_call_after_a_reload_finds_its_pair_key)
{
    (void)wait_for_misses(2);
    write_policy(61);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    const struct counts before = wait_for_misses(4);
    expect_call_without_derivation(&before);
}
