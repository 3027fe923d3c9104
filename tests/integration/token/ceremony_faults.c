/*
 * The key ceremony on a token of which every function fails once, at its first and its second
 * call: mikeyctl either does what it was asked, or says what failed, and what it leaves behind is
 * whole or named.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "support/fault_control.h"

#define CALLS 2
#define CKR "rv 0x30"
#define LACKS "its blocks are not" /* what `key check` says of such a key */

static struct lab lab;
static struct fault_control control;
static unsigned struck; /* attempts that met the failure */

static void run(const char *command)
{
    cr_assert_eq(system(command), 0, "%s", command);
}

static void make_lab(void)
{
    char command[512], policy[1024];
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    fault_control_make(&control, lab.token.dir, "ceremony");
    fault_control_export(&control, lab.token.module);
    (void)snprintf(command, sizeof command, "sed -i 's|module: .*|module: %s|' '%s'", FAULT_MODULE,
                   lab.ceremony);
    run(command);
    (void)snprintf(policy, sizeof policy,
                   "policy: 1\n"
                   "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256}\n"
                   "keys: [{name: core, kind: epsk, generation: 1}]\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "mesh: [{nodes: [\"" LAB_A "\", \"" LAB_B "\"], key: core}]\n"
                   "clients: [{name: lab, uid: 0, acts_as: [\"" LAB_A "\"], may: [initiate]}]\n");
    lab_write_file(lab.policy, policy);
}

static void remove_lab(void)
{
    lab_remove(&lab);
    fault_control_end(&control);
}

TestSuite(ceremony_faults, .init = make_lab, .fini = remove_lab, .timeout = 240);

/* What mikeyctl printed; free() it. */
static char *output(void)
{
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    return lab_read_file(path);
}

static size_t listed(const char *name)
{
    size_t count = 0;
    cr_assert_eq(lab_key(&lab, (const char *const[]){"list", NULL}), 0);
    char *list = output();
    for (const char *at = list; (at = strstr(at, name)) != NULL; at++)
        count++;
    free(list);
    return count;
}

/* No key of that name lacks one of its objects. */
static bool is_whole(const char *name)
{
    bool whole = true;
    char *rest = NULL;
    (void)lab_key(&lab, (const char *const[]){"check", NULL});
    char *report = output();
    for (char *line = strtok_r(report, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest))
        whole = whole && (strstr(line, name) == NULL || strstr(line, LACKS) == NULL);
    free(report);
    return whole;
}

struct step {
    const char *const *arguments;
    void (*prepare)(void); /* without failures; or NULL */
    /* said: what mikeyctl printed. */
    void (*judge)(const char *where, int status, const char *said);
};

/* True when the failure was met. */
static bool fail_at(const struct step *step, enum fault_function function, unsigned call)
{
    char plan[64], where[96];
    (void)snprintf(plan, sizeof plan, "%s %u " CKR "\n", fault_function_name(function), call);
    (void)snprintf(where, sizeof where, "%s, call %u", fault_function_name(function), call);
    if (step->prepare != NULL)
        step->prepare();
    const unsigned long before = atomic_load(&control.tally->struck);
    fault_control_plan(&control, plan);
    const int status = lab_key(&lab, step->arguments);
    const bool met = atomic_load(&control.tally->struck) != before;
    fault_control_plan(&control, FAULT_NOTHING);
    char *said = output();
    cr_expect(status == 0 || strlen(said) > 0, "%s: exit status %d without a word", where, status);
    cr_expect(met || status == 0, "%s: %s", where, said);
    if (status != 0)
        cr_expect(strstr(said, "CKR_") != NULL || strstr(said, "module") != NULL,
                  "%s: what failed is not told: %s", where, said);
    step->judge(where, status, said);
    free(said);
    return met;
}

static void fail_each(const struct step *step)
{
    for (int function = 0; function < FAULT_FUNCTION_COUNT; function++) {
        unsigned call = 1;
        while (call <= CALLS && fail_at(step, (enum fault_function)function, call)) {
            struck++;
            call++;
        }
    }
    cr_assert_gt(struck, 20, "the failures were not met");
}

/* ---- a key of two objects */

static void destroy_half(void)
{
    if (listed("half") != 0)
        lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "half",
                                                 "--generation", "1", "--yes", NULL});
    cr_assert_eq(listed("half"), 0);
}

static void judge_generate(const char *where, int status, const char *said)
{
    const bool there = listed("half") != 0;
    cr_expect_eq(status == 0, there, "%s: exit status %d, key %s: %s", where, status,
                 there ? "made" : "not made", said);
    cr_expect(is_whole("half"), "%s: half a key: %s", where, said);
    destroy_half();
}

Test(ceremony_faults, a_generated_key_is_there_or_it_is_not)
{
    const char *const arguments[] = {"generate", "--kind", "psk", "--name",
                                     "half",     "--bits", "512", NULL};
    fail_each(&(struct step){.arguments = arguments, .judge = judge_generate});
}

static void make_half(void)
{
    if (listed("half") == 0)
        lab_key_must(&lab, (const char *const[]){"generate", "--kind", "psk", "--name", "half",
                                                 "--bits", "512", NULL});
}

static void judge_destroy(const char *where, int status, const char *said)
{
    const bool there = listed("half") != 0;
    cr_expect(status != 0 || !there, "%s: said to be destroyed: %s", where, said);
    /* What is left is destroyed by the same command. */
    destroy_half();
}

Test(ceremony_faults, a_destroyed_key_is_gone_or_the_command_fails)
{
    const char *const arguments[] = {"destroy",      "--kind", "psk",   "--name", "half",
                                     "--generation", "1",      "--yes", NULL};
    fail_each(&(struct step){.arguments = arguments, .prepare = make_half, .judge = judge_destroy});
}

/* ---- pair keys */

static void remove_pairs(void)
{
    char name[64];
    if (listed("epskx") == 0)
        lab_key_must(&lab,
                     (const char *const[]){"generate", "--kind", "epskx", "--name", "core", NULL});
    while (listed("core.") != 0) {
        char *list = output();
        const char *at = strstr(list, "core.");
        (void)snprintf(name, sizeof name, "%.*s", (int)strspn(at, "core.0123456789abdf"), at);
        free(list);
        lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "pair", "--name", name,
                                                 "--generation", "1", "--yes", NULL});
    }
}

static const char *const derive[] = {"derive", "--name", "core", NULL};

static void judge_derive(const char *where, int status, const char *said)
{
    const size_t pairs = listed("core.");
    cr_expect(status != 0 || pairs == 2, "%s: %zu pair keys: %s", where, pairs, said);
    cr_expect(is_whole("core."), "%s: half a key: %s", where, said);
    /* The same command makes what is missing. */
    cr_assert_eq(lab_key(&lab, derive), 0, "%s", where);
    cr_assert_eq(listed("core."), 2, "%s", where);
}

Test(ceremony_faults, pair_keys_are_derived_or_the_same_command_derives_the_rest)
{
    fail_each(&(struct step){.arguments = derive, .prepare = remove_pairs, .judge = judge_derive});
}
