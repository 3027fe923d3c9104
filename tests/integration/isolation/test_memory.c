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
    pid_t token_server;
};

static void pause_ms(long milliseconds)
{
    const struct timespec pause = {.tv_sec = milliseconds / 1000,
                                   .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void must_run(struct scene *scene, const char *const argv[])
{
    int status = lab_run(&scene->lab, argv);
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", scene->lab.dir);
    char *output = lab_read_file(path);
    cr_assert_eq(status, 0, "%s %s: exit status %d: %s", argv[0], argv[3], status, output);
    free(output);
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

static void write_config(struct scene *scene, const char *module)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "tokens:\n"
                   "  - module: %s\n"
                   "    uri: \"pkcs11:token=lab\"\n"
                   "    pin_file: pin\n"
                   "    sessions: 1\n"
                   "    call_timeout: 60s\n"
                   "policy: policy.yaml\n"
                   "listen: [ {unix: run/s} ]\n"
                   "replay: {lmdb: replay}\n"
                   "audit: {file: audit.jsonl}\n",
                   module);
    lab_write_file(scene->lab.config, text);
}

static void import_key(struct scene *scene, const char *kind, const char *name, const char *hex)
{
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/hex", scene->lab.dir);
    lab_write_file(path, hex);
    cr_assert_eq(chmod(path, 0600), 0);
    must_run(scene, (const char *const[]){MIKEYCTL_PROGRAM, "--config", scene->lab.config, "key",
                                          "import", "--kind", kind, "--name", name, "--hex-file",
                                          path, "--insecure-plaintext", NULL});
    cr_assert_eq(unlink(path), 0);
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
    scene->patterns[12] = (struct memory_pattern){
        .name = "PIN", .bytes = (const uint8_t *)"417-lab-PIN-902", .len = 15};
}

/* A token whose PIN is long enough to be searched for, with keys whose bytes the test knows. */
static void scene_make(struct scene *scene)
{
    memset(scene, 0, sizeof *scene);
    lab_make(&scene->lab, NULL);
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", scene->lab.dir);
    must_run(scene,
             (const char *const[]){"softhsm2-util", "--init-token", "--token", "lab", "--label",
                                   "lab", "--so-pin", "654321", "--pin", "417-lab-PIN-902", NULL});
    lab_write_file(scene->lab.pin, "417-lab-PIN-902\n");
    write_policy(scene);
    must_run(scene, (const char *const[]){MIKEYCTL_PROGRAM, "--config", scene->lab.config, "key",
                                          "generate", "--kind", "ticket", "--name", "lab", NULL});
    import_key(scene, "psk", "direct", PSK_HEX);
    import_key(scene, "epsk", "core", EPSK_HEX);
    must_run(scene, (const char *const[]){MIKEYCTL_PROGRAM, "--config", scene->lab.config, "key",
                                          "derive", "--name", "core", NULL});
    know_keys(scene);
    (void)snprintf(scene->plan, sizeof scene->plan, "%s/plan", scene->lab.dir);
    lab_write_file(scene->plan, "# calls pass\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", scene->plan, 1), 0);
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

/* Holds the first C_Sign of an exchange with `to` and searches the daemon meanwhile; adds to
 * hits[]. */
static void search_during(struct scene *scene, const char *to, size_t hits[PATTERNS])
{
    struct offer_thread thread = {.client = lab_client(&scene->lab), .to = to};
    pthread_t id;
    char where[256];
    lab_write_file(scene->plan, "C_Sign 1+ hang\n");
    cr_assert_eq(pthread_create(&id, NULL, offer, &thread), 0);
    pause_ms(500); /* to the first C_Sign, which waits for the plan to change */
    size_t seen = memory_scan(scene->lab.daemon, scene->patterns, PATTERNS, where);
    lab_write_file(scene->plan, "# calls pass again\n");
    cr_assert_eq(pthread_join(id, NULL), 0);
    cr_assert_eq(thread.status, MIKEYD_OK, "%s", mikeyd_client_error(thread.client));
    cr_assert_gt(seen, (size_t)1 << 20, "only %zu bytes of the daemon could be read", seen);
    for (size_t i = 0; i < PATTERNS; i++)
        hits[i] += scene->patterns[i].hits;
    mikeyd_client_close(thread.client);
}

static void start_token_server(struct scene *scene, const char *module)
{
    char path[LAB_PATH + 16], address[LAB_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/token", scene->lab.dir);
    must_run(scene, (const char *const[]){"chown", "-R", "nobody:nogroup", path, NULL});
    (void)snprintf(path, sizeof path, "%s/serve", scene->lab.dir);
    must_run(scene, (const char *const[]){"install", "-d", "-o", "nobody", path, NULL});
    (void)snprintf(path, sizeof path, "%s/serve/socket", scene->lab.dir);
    scene->token_server = fork();
    cr_assert_geq(scene->token_server, 0);
    if (scene->token_server == 0) {
        (void)execlp("setpriv", "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
                     "p11-kit", "server", "-f", "-n", path, "-u", "root", "--provider", module,
                     "pkcs11:token=lab?write-protected=yes", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 250 && access(path, F_OK) != 0; i++)
        pause_ms(20);
    cr_assert_eq(chmod(path, 0666), 0);
    (void)snprintf(address, sizeof address, "unix:path=%s", path);
    cr_assert_eq(setenv("P11_KIT_SERVER_ADDRESS", address, 1), 0);
}

static bool needs_root(void)
{
    if (getuid() == 0)
        return true;
    fprintf(stderr, "skipped: needs root, to read another process and to be another user\n");
    return false;
}

Test(memory, the_search_finds_keys_of_a_token_inside_the_process, .timeout = 60)
{
    struct scene scene;
    if (!needs_root())
        return;
    size_t hits[PATTERNS] = {0};
    scene_make(&scene);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", SOFTHSM_MODULE, 1), 0);
    write_config(&scene, FAULT_MODULE);
    lab_start(&scene.lab);
    search_during(&scene, NODE_C, hits);
    search_during(&scene, LAB_B, hits);
    cr_expect_gt(hits[0], 0, "the PSK in use was not found: the search proves nothing");
    cr_expect_gt(hits[9], 0, "the pair key in use was not found: the search proves nothing");
    lab_remove(&scene.lab);
}

Test(memory, isolated_token_leaves_no_key_and_no_pin_in_the_daemon, .timeout = 60)
{
    struct scene scene;
    if (!needs_root())
        return;
    size_t hits[PATTERNS] = {0};
    scene_make(&scene);
    start_token_server(&scene, SOFTHSM_MODULE);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", P11_KIT_CLIENT, 1), 0);
    write_config(&scene, FAULT_MODULE);
    lab_start(&scene.lab);
    search_during(&scene, NODE_C, hits);
    search_during(&scene, LAB_B, hits);
    for (size_t i = 0; i < PATTERNS; i++)
        cr_expect_eq(hits[i], 0, "%s (pattern %zu) stands %zu times in the daemon's memory",
                     scene.patterns[i].name, i, hits[i]);
    lab_remove(&scene.lab);
    (void)kill(scene.token_server, SIGTERM);
    (void)waitpid(scene.token_server, NULL, 0);
}
