/*
 * What crosses the module boundary, seen by OpenSC's pkcs11-spy: only functions of an allow-list,
 * no object made in the token, no CKA_VALUE read, no byte of a known key. The control runs an
 * import in clear under the same spy, which the same judgement must condemn.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "lab.h"

#define PSK_HEX "d1c7a9e03b5f4862917e2dd40c68b35af1e2d3c4b5a69788796a5b4c3d2e1f08"

/* Everything the daemon may call, each with its reason. */
static const char *const allowed[] = {
    "C_GetFunctionList",   "C_Initialize",
    "C_GetInfo",           "C_Finalize", /* the module itself */
    "C_GetSlotList",       "C_GetSlotInfo",
    "C_GetTokenInfo",                            /* the token its URI names, health */
    "C_GetMechanismList",  "C_GetMechanismInfo", /* what it can do */
    "C_OpenSession",       "C_CloseSession",
    "C_GetSessionInfo",    "C_Login", /* the session pool */
    "C_FindObjectsInit",   "C_FindObjects",
    "C_FindObjectsFinal",                     /* keys, once at start */
    "C_GetAttributeValue",                    /* their attributes */
    "C_CopyObject",                           /* hot keys as session objects */
    "C_CreateObject",      "C_DestroyObject", /* session objects: known answers, message MAC */
    "C_SignInit",          "C_Sign",          /* HMAC, audit signature */
    "C_DeriveKey",         "C_EncryptInit",
    "C_Encrypt",           "C_GenerateRandom", /* derivation in the token */
};

enum verdict {
    CLEAN = 0,
    FORBIDDEN_FUNCTION = 1,
    TOKEN_OBJECT_MADE = 2,
    VALUE_READ = 4,
    KEY_BYTES = 8,
};

static bool is_allowed(const char *function)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (strcmp(allowed[i], function) == 0)
            return true;
    }
    return false;
}

/* The bytes of one dump line ("    00000010  0B 0C ...  text"), appended; 0 when the line is none.
 */
static size_t dump_bytes(const char *line, uint8_t *out)
{
    unsigned offset;
    int at = 0;
    size_t count = 0;
    if (sscanf(line, " %8x  %n", &offset, &at) != 1 || at != 14)
        return 0;
    for (; count < 16; count++) {
        unsigned byte;
        if (sscanf(line + at + 3 * (int)count, "%2X ", &byte) != 1 ||
            line[at + 3 * (int)count] == ' ')
            break;
        out[count] = (uint8_t)byte;
    }
    return count;
}

/* Reads a spy log call by call. *calls: how many there were; what: the first thing condemned. */
static unsigned judge(const char *path, const uint8_t key[32], size_t *calls, char what[160])
{
    FILE *log = fopen(path, "r");
    cr_assert_not_null(log, "no spy log at %s", path);
    char line[512], function[64] = "";
    uint8_t dump[4096 + 16];
    size_t dumped = 0;
    unsigned verdict = CLEAN;
    what[0] = '\0';
    *calls = 0;
    while (fgets(line, sizeof line, log) != NULL) {
        unsigned number, found = CLEAN;
        char name[64];
        size_t more = dumped <= 4096 ? dump_bytes(line, dump + dumped) : 0;
        if (more > 0) {
            dumped += more;
            if (dumped >= 32 && memmem(dump, dumped, key, 32) != NULL)
                found = KEY_BYTES;
        } else {
            dumped = 0;
        }
        if (sscanf(line, "%u: %63s", &number, name) == 2 && strncmp(name, "C_", 2) == 0) {
            (void)snprintf(function, sizeof function, "%s", name);
            (*calls)++;
            if (!is_allowed(function))
                found = FORBIDDEN_FUNCTION;
        } else if (strcmp(function, "C_CreateObject") == 0 ||
                   strcmp(function, "C_CopyObject") == 0 || strcmp(function, "C_DeriveKey") == 0) {
            if (strstr(line, "CKA_TOKEN") != NULL && strstr(line, "False") == NULL)
                found = TOKEN_OBJECT_MADE;
        } else if (strcmp(function, "C_GetAttributeValue") == 0 &&
                   strstr(line, "CKA_VALUE ") != NULL) {
            /* Asking for its length, with no room for the value, is how the daemon tells that a key
             * is readable. */
            char pointer[32], len[32];
            if (sscanf(strstr(line, "CKA_VALUE "), "CKA_VALUE %31s / %31s", pointer, len) != 2 ||
                strspn(pointer, "0") != strlen(pointer))
                found = VALUE_READ;
        }
        if (found != CLEAN && verdict == CLEAN)
            (void)snprintf(what, 160, "%s: %.80s", function, line);
        verdict |= found;
    }
    (void)fclose(log);
    return verdict;
}

struct scene {
    struct lab lab;
    char spy_log[LAB_PATH + 8];
    uint8_t psk[32];
};

/* One session: the spy's lines of several threads would mix. */
static void spy_on(struct lab *lab)
{
    lab_write_config(lab, &(struct lab_config){.module = SPY_MODULE, .sessions = 1});
}

/* Under a sanitizer: the spy itself forgets a few bytes, which are not ours to fix. */
static void suppress_leaks_of_the_spy(const struct lab *lab)
{
    char path[LAB_PATH + 16], options[LAB_PATH + 64];
    (void)snprintf(path, sizeof path, "%s/suppressions", lab->dir);
    lab_write_file(path, "leak:pkcs11-spy.so\n");
    (void)snprintf(options, sizeof options, "suppressions=%s:print_suppressions=0", path);
    cr_assert_eq(setenv("LSAN_OPTIONS", options, 1), 0);
}

static void scene_make(struct scene *scene)
{
    size_t len;
    lab_make(&scene->lab, NULL);
    cr_assert_eq(hex_decode(PSK_HEX, 64, scene->psk, 32, &len, NULL), MIKEYD_OK);
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, provisioning: "
                   "plaintext-allowed}\n"
                   "keys: [ {name: known, kind: psk, generation: 1} ]\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "pairs: [ {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: known} ]\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n",
                   (unsigned)getuid());
    lab_write_file(scene->lab.policy, text);
    /* Where the keyholder may write. */
    (void)snprintf(scene->spy_log, sizeof scene->spy_log, "%s/spy", scene->lab.token.dir);
    /* The spy itself leaks at exit, which is not what is looked for here. */
    cr_assert_eq(setenv("ASAN_OPTIONS", "detect_leaks=0", 1), 0);
    suppress_leaks_of_the_spy(&scene->lab);
    cr_assert_eq(setenv("PKCS11SPY", scene->lab.token.module, 1), 0);
    cr_assert_eq(setenv("PKCS11SPY_OUTPUT", scene->spy_log, 1), 0);
}

Test(crossing, the_daemon_calls_only_what_it_must_and_no_key_crosses, .timeout = 60)
{
    struct scene scene;
    size_t calls;
    char what[160];
    scene_make(&scene);
    lab_key_import(&scene.lab, "psk", "known", PSK_HEX);
    /* The first daemon on a token makes the mark of its replay store, and nothing after that. */
    lab_start(&scene.lab);
    cr_assert_eq(lab_stop(&scene.lab, SIGTERM), 0);
    spy_on(&scene.lab);
    lab_start(&scene.lab);
    mikeyd_client *client = lab_client(&scene.lab);
    for (int i = 0; i < 3; i++)
        lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&scene.lab, SIGTERM), 0);
    unsigned verdict = judge(scene.spy_log, scene.psk, &calls, what);
    cr_expect_eq(verdict, CLEAN, "%s", what);
    /* Three exchanges of three messages: 14 HMACs and 4 message MACs each. */
    cr_expect_gt(calls, 3 * 2 * (14 + 4), "the spy saw only %zu calls", calls);
    lab_remove(&scene.lab);
}

Test(crossing, an_import_in_clear_is_seen_for_what_it_is, .timeout = 60)
{
    struct scene scene;
    size_t calls;
    char what[160];
    scene_make(&scene);
    spy_on(&scene.lab);
    (void)strcpy(scene.lab.ceremony, scene.lab.config);
    lab_key_import(&scene.lab, "psk", "known", PSK_HEX);
    unsigned verdict = judge(scene.spy_log, scene.psk, &calls, what);
    cr_expect(verdict & TOKEN_OBJECT_MADE,
              "the control made no token object: the judgement proves nothing");
    cr_expect(verdict & KEY_BYTES, "the control's key was not seen: the judgement proves nothing");
    lab_remove(&scene.lab);
}
