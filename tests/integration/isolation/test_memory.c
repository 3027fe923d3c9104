/*
 * Where keys stand while the daemon computes with them, seen from outside: its memory is searched
 * while a C_Sign that has its key (after C_SignInit) is held up. With the software token inside the
 * process the search finds the keys (the control: it would find a leak); with the token behind
 * p11-kit in a process of another user it finds none.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "importer/importer.h"
#include "lab.h"
#include "support/memory_scan.h"

#define NODE_C "sip:c@lab.example"
#define PSK_HEX "d1c7a9e03b5f4862917e2dd40c68b35af1e2d3c4b5a69788796a5b4c3d2e1f08"
#define EPSK_HEX "8e4b17f2c6d05a39b1e87c64d2f3095ae7c1b8a49d60f5324c7b91e80ad6f35c"
#define PATTERNS 13

struct scene {
    struct lab lab;
    char plan[LAB_PATH + 8];
    uint8_t psk[32], epsk[32], epskx[32], pair[32];
    uint8_t pads[8][64];
    struct memory_pattern patterns[PATTERNS];
};

static void pause_ms(long milliseconds)
{
    const struct timespec pause = {.tv_sec = milliseconds / 1000,
                                   .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void write_policy(struct scene *scene)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults:\n"
                   "  suites: [AEAD_AES_256_GCM]\n"
                   "  algorithms: mikey-256\n"
                   "  provisioning: plaintext-allowed\n"
                   "keys:\n"
                   "  - {name: direct, kind: psk, generation: 1}\n"
                   "  - {name: core, kind: epsk, generation: 1}\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" NODE_C "\"]\n"
                   "pairs:\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: core}\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" NODE_C "\", key: direct}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\"], may: [initiate]}\n",
                   (unsigned)getuid());
    lab_write_file(scene->lab.policy, text);
}

static void add_key_patterns(struct scene *scene, size_t index, const char *name,
                             const uint8_t key[32])
{
    memory_hmac_pads(key, 32, scene->pads[2 * index], scene->pads[2 * index + 1]);
    /* Half a pad is enough to tell, and is there also where only a part was kept. */
    scene->patterns[3 * index] = (struct memory_pattern){.name = name, .bytes = key, .len = 32};
    scene->patterns[3 * index + 1] = (struct memory_pattern){
        .name = "inner HMAC pad", .bytes = scene->pads[2 * index], .len = 32};
    scene->patterns[3 * index + 2] = (struct memory_pattern){
        .name = "outer HMAC pad", .bytes = scene->pads[2 * index + 1], .len = 32};
}

static void know_keys(struct scene *scene)
{
    struct identity a, b;
    uint8_t store[IDENTITY_MAX];
    struct importer_pair pair;
    size_t len;
    cr_assert_eq(hex_decode(PSK_HEX, 64, scene->psk, 32, &len, NULL), MIKEYD_OK);
    cr_assert_eq(hex_decode(EPSK_HEX, 64, scene->epsk, 32, &len, NULL), MIKEYD_OK);
    cr_assert_eq(identity_parse(LAB_A, store, &a, NULL), MIKEYD_OK);
    cr_assert_eq(identity_parse(LAB_B, store, &b, NULL), MIKEYD_OK);
    cr_assert_eq(importer_pair("core", 1, &a, &b, MIKEY_ALGORITHMS_256, &pair, NULL), MIKEYD_OK);
    cr_assert_eq(importer_extract(IMPORTER_SHA256, scene->epsk, 32, scene->epskx, NULL), MIKEYD_OK);
    cr_assert_eq(importer_expand(IMPORTER_SHA256, scene->epskx, pair.info, pair.info_len,
                                 scene->pair, 32, NULL),
                 MIKEYD_OK);
    add_key_patterns(scene, 0, "PSK", scene->psk);
    add_key_patterns(scene, 1, "EPSK", scene->epsk);
    add_key_patterns(scene, 2, "extracted EPSK", scene->epskx);
    add_key_patterns(scene, 3, "pair key", scene->pair);
    scene->patterns[12] = (struct memory_pattern){.name = "PIN",
                                                  .bytes = (const uint8_t *)TOKEN_FIXTURE_PIN,
                                                  .len = sizeof TOKEN_FIXTURE_PIN - 1};
}

/* A token with keys whose bytes the test knows, and the daemon on it, whose calls can be held. */
static void scene_make(struct scene *scene, enum token_fixture_kind kind)
{
    memset(scene, 0, sizeof *scene);
    lab_make_on(&scene->lab, kind, NULL);
    write_policy(scene);
    lab_key_import(&scene->lab, "psk", "direct", PSK_HEX);
    lab_key_import(&scene->lab, "epsk", "core", EPSK_HEX);
    lab_key_must(&scene->lab, (const char *const[]){"derive", "--name", "core", NULL});
    know_keys(scene);
    (void)snprintf(scene->plan, sizeof scene->plan, "%s/plan", scene->lab.dir);
    lab_write_file(scene->plan, "# calls pass\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", scene->plan, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", token_fixture_module(&scene->lab.token), 1), 0);
    lab_write_config(&scene->lab, &(struct lab_config){.module = FAULT_MODULE,
                                                       .sessions = 1,
                                                       .token_extra = "    call_timeout: 60s\n"});
    lab_start(&scene->lab);
}

struct offer_thread {
    mikeyd_client *client;
    const char *to;
    enum mikeyd_status status;
};

static void *offer(void *argument)
{
    struct offer_thread *offer = argument;
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    const struct mikeyd_offer wish = {
        .from = LAB_A, .to = offer->to, .streams = &stream, .stream_count = 1, .verify = true};
    mikeyd_exchange *exchange = NULL;
    offer->status = mikeyd_initiate(offer->client, &wish, &exchange);
    mikeyd_exchange_free(exchange);
    return NULL;
}

/* Holds the first C_Sign of an exchange with `to` and searches that process meanwhile; adds to
 * hits[]. */
static void search_during(struct scene *scene, pid_t process, const char *to, size_t hits[PATTERNS])
{
    struct offer_thread thread = {.client = lab_client(&scene->lab), .to = to};
    pthread_t id;
    char where[256];
    lab_write_file(scene->plan, "C_Sign 1+ hang\n");
    cr_assert_eq(pthread_create(&id, NULL, offer, &thread), 0);
    pause_ms(500); /* to the first C_Sign, which waits for the plan to change */
    size_t seen = memory_scan(process, scene->patterns, PATTERNS, where);
    lab_write_file(scene->plan, "# calls pass again\n");
    cr_assert_eq(pthread_join(id, NULL), 0);
    cr_assert_eq(thread.status, MIKEYD_OK, "%s", mikeyd_client_error(thread.client));
    cr_assert_gt(seen, (size_t)1 << 20, "only %zu bytes of the process could be read", seen);
    for (size_t i = 0; i < PATTERNS; i++)
        hits[i] += scene->patterns[i].hits;
    mikeyd_client_close(thread.client);
}

/* Reading another process needs root; a sanitizer's shadow memory is too large to be searched. */
static bool can_search(void)
{
#ifdef MIKEYD_SANITIZED
    fprintf(stderr, "skipped: a sanitized daemon maps terabytes\n");
    return false;
#else
    if (getuid() == 0)
        return true;
    fprintf(stderr, "skipped: needs root, to read another process and to be another user\n");
    return false;
#endif
}

static void expect_nothing(const struct scene *scene, const size_t hits[PATTERNS],
                           const char *where)
{
    for (size_t i = 0; i < PATTERNS; i++)
        cr_expect_eq(hits[i], 0, "%s (pattern %zu) stands %zu times in the memory of the %s",
                     scene->patterns[i].name, i, hits[i], where);
}

/* The module computes in the keyholder: its keys are there, and nowhere else. */
Test(memory, front_of_a_token_in_software_has_no_key_and_no_pin, .timeout = 60)
{
    struct scene scene;
    if (!can_search())
        return;
    size_t front[PATTERNS] = {0}, keyholder[PATTERNS] = {0};
    scene_make(&scene, TOKEN_FIXTURE_SOFTHSM);
    const pid_t holder = lab_keyholder(&scene.lab, 0);
    search_during(&scene, holder, NODE_C, keyholder);
    search_during(&scene, holder, LAB_B, keyholder);
    cr_expect_gt(keyholder[0], 0, "the PSK in use was not found: the search proves nothing");
    cr_expect_gt(keyholder[9], 0, "the pair key in use was not found: the search proves nothing");
    search_during(&scene, lab_front(&scene.lab), NODE_C, front);
    search_during(&scene, lab_front(&scene.lab), LAB_B, front);
    expect_nothing(&scene, front, "front");
    memset(front, 0, sizeof front);
    search_during(&scene, scene.lab.daemon, LAB_B, front);
    expect_nothing(&scene, front, "monitor");
    lab_remove(&scene.lab);
}

Test(memory, isolated_token_leaves_no_key_and_no_pin_in_keyholder_and_front, .timeout = 60)
{
    struct scene scene;
    if (!can_search())
        return;
    size_t hits[PATTERNS] = {0};
    scene_make(&scene, TOKEN_FIXTURE_ISOLATED);
    search_during(&scene, lab_keyholder(&scene.lab, 0), NODE_C, hits);
    search_during(&scene, lab_keyholder(&scene.lab, 0), LAB_B, hits);
    expect_nothing(&scene, hits, "keyholder");
    search_during(&scene, lab_front(&scene.lab), LAB_B, hits);
    expect_nothing(&scene, hits, "front");
    lab_remove(&scene.lab);
}
