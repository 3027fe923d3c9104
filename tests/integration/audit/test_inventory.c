/* key inventory: every key with its pair and its state, as JSON and as CSV. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab_ctl.h"

static struct lab lab;

static int shell(const char *command)
{
    return lab_run(&lab, (const char *const[]){"/bin/sh", "-c", command, NULL});
}

static void generate(const char *name, const char *generation)
{
    lab_key_must(&lab, (const char *const[]){"generate", "--kind", "psk", "--name", name,
                                             "--generation", generation, NULL});
}

/* pbx is at generation 2 of three; its dates are over; core is for one pair. */
static void enter(void)
{
    char text[2048];
    lab_make(&lab, NULL);
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, provisioning: "
                   "plaintext-allowed}\n"
                   "keys:\n"
                   "  - {name: pbx, kind: psk, generation: 2}\n"
                   "  - {name: old, kind: psk, generation: 1}\n"
                   "  - {name: core, kind: epsk, generation: 1}\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\", \"sip:c@lab.example\"]\n"
                   "pairs:\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: pbx}\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"sip:c@lab.example\", key: core}\n"
                   "  - {initiator: \"" LAB_B "\", responder: \"sip:c@lab.example\", key: old}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\"], may: [initiate]}\n",
                   (unsigned)getuid());
    lab_write_file(lab.policy, text);
    generate("pbx", "2");
    generate("pbx", "3");
    generate("stray", "1");
    generate("old", "1");
    lab_key_must(&lab,
                 (const char *const[]){"generate", "--kind", "epskx", "--name", "core", NULL});
    lab_key_must(&lab, (const char *const[]){"derive", "--name", "core", NULL});
    cr_assert_eq(setenv("POLICY", lab.policy, 1), 0);
    cr_assert_eq(shell("sed -i '/name: old/s/}/, not_after: 2021-06-01}/' $POLICY"), 0);
}

static void leave(void)
{
    lab_remove(&lab);
}

TestSuite(key_inventory, .init = enter, .fini = leave, .timeout = 120);

static const json_t *find(const json_t *inventory, const char *kind, const char *name,
                          json_int_t generation)
{
    size_t index;
    const json_t *key;
    json_array_foreach(json_object_get(inventory, "keys"), index, key)
    {
        if (strcmp(lab_text(key, "kind"), kind) == 0 &&
            strncmp(lab_text(key, "name"), name, strlen(name)) == 0 &&
            json_integer_value(json_object_get(key, "generation")) == generation)
            return key;
    }
    cr_assert_fail("no %s %s/%d", kind, name, (int)generation);
    return NULL;
}

Test(key_inventory, tells_state_and_pair_of_every_key)
{
    cr_assert_eq(lab_key(&lab, (const char *const[]){"inventory", "--json", NULL}), 0);
    json_t *inventory = lab_printed(&lab);
    cr_assert_eq(strlen(lab_text(inventory, "policy")), 64);
    cr_assert_str_eq(lab_text(find(inventory, "psk", "pbx", 1), "state"), "deactivated");
    cr_assert_str_eq(lab_text(find(inventory, "psk", "pbx", 2), "state"), "active");
    cr_assert_str_eq(lab_text(find(inventory, "psk", "pbx", 3), "state"), "pre-activation");
    cr_assert_str_eq(lab_text(find(inventory, "psk", "stray", 1), "state"), "unknown");
    cr_assert_str_eq(lab_text(find(inventory, "psk", "old", 1), "state"), "deactivated");
    cr_assert_str_eq(lab_text(find(inventory, "psk", "old", 1), "not_after"), "2021-05-31");
    cr_assert_str_eq(lab_text(find(inventory, "ticket", "lab", 1), "state"), "active");
    const json_t *pair = find(inventory, "pair", "core.", 1);
    cr_assert_str_eq(lab_text(pair, "state"), "active");
    cr_assert_str_eq(lab_text(pair, "initiator"), LAB_A);
    cr_assert_str_eq(lab_text(pair, "responder"), "sip:c@lab.example");
    cr_assert_eq(json_integer_value(json_object_get(pair, "bits")), 256);
    json_decref(inventory);
}

Test(key_inventory, csv_has_one_line_for_each_key_and_every_cell_in_its_column)
{
    cr_assert_eq(lab_key(&lab, (const char *const[]){"inventory", "--csv", NULL}), 0);
    char *text = lab_output(&lab);
    cr_assert_eq(strncmp(text, "token,kind,name,generation,bits,initiator,responder,", 52), 0);
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    cr_assert_eq(lines, 1 + 8, "%s", text);
    cr_assert_not_null(strstr(text, "\"psk\",\"pbx\",2,256,\"\",\"\",\"\",\"\",\"active\","), "%s",
                       text);
    free(text);
    cr_assert_eq(lab_key(&lab, (const char *const[]){"inventory", "--json", "--csv", NULL}), 1);
}

/* The ends of a pair key whose name is a hash, where the log has only its name. */
Test(key_inventory, names_the_pairs_of_ceremony_records)
{
    char name[128];
    cr_assert_eq(setenv("MIKEYCTL", MIKEYCTL_PROGRAM, 1), 0);
    cr_assert_eq(setenv("LOG", lab.audit, 1), 0);
    cr_assert_eq(lab_key(&lab, (const char *const[]){"inventory", "--json", NULL}), 0);
    json_t *inventory = lab_printed(&lab);
    (void)snprintf(name, sizeof name, "%s", lab_text(find(inventory, "pair", "core.", 1), "name"));
    json_decref(inventory);
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "pair", "--name", name,
                                             "--generation", "1", "--yes", NULL});
    cr_assert_eq(shell("$MIKEYCTL audit query $LOG --event key_destroy --policy $POLICY --pair "
                       "'sip:c@lab.example,*' --json"),
                 0);
    json_t *answer = lab_printed(&lab);
    const json_t *record = json_array_get(json_object_get(answer, "records"), 0);
    cr_assert_str_eq(lab_text(json_object_get(record, "pair"), "initiator"), LAB_A);
    json_decref(answer);
}

Test(key_inventory, derivation_tells_how_far_it_is_when_asked)
{
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "--progress", "--config",
                                                     lab.ceremony, "key", "derive", NULL}),
                 0);
    char *text = lab_output(&lab);
    cr_assert_not_null(strstr(text, "deriving pair keys: 1 of 1, "), "%s", text);
    free(text);
}
