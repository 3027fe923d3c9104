/* What a reload changes, for its record. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/policy/support.h"

/* The difference as text, without the hashes. free() it. */
static char *difference(const char *old_text, const char *new_text)
{
    struct policy *old = loaded(old_text), *new = loaded(new_text);
    json_t *json = policy_difference(old, new);
    cr_assert_not_null(json);
    json_t *hashes = json_object_get(json, "sha256");
    cr_assert_str_eq(json_string_value(json_object_get(hashes, "old")), policy_sha256(old));
    cr_assert_str_eq(json_string_value(json_object_get(hashes, "new")), policy_sha256(new));
    json_object_del(json, "sha256");
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    policy_unref(old);
    policy_unref(new);
    return text;
}

static void differ(const char *old_text, const char *new_text, const char *expected)
{
    char *text = difference(old_text, new_text);
    cr_assert_str_eq(text, expected);
    free(text);
}

#define GOOD HEAD KEYS NODES PAIRS CLIENTS

Test(policy_difference, equal_policies_have_none)
{
    differ(GOOD, GOOD, "{}");
    differ(GOOD, "# a comment\n" GOOD, "{}");
}

Test(policy_difference, defaults_and_limits_by_field)
{
    differ(HEAD "defaults: {prf: any, mac: token}\n",
           HEAD "defaults: {prf: derive, tgk: derived}\n",
           "{\"defaults\":{\"added\":[\"tgk\"],\"removed\":[\"mac\"],\"changed\":[\"prf\"]}}");
    differ(HEAD, HEAD "limits: {nodes_per_client: 3}\n",
           "{\"limits\":{\"added\":[\"nodes_per_client\"]}}");
}

Test(policy_difference, keys_and_clients_by_name)
{
    differ(HEAD "keys: [{name: a, kind: psk}, {name: b, kind: epsk}]\n",
           HEAD "keys: [{name: b, kind: epsk, generation: 2}, {name: c, kind: psk}]\n",
           "{\"keys\":{\"added\":[\"c\"],\"removed\":[\"a\"],\"changed\":[\"b\"]}}");
    differ(HEAD "clients: [{name: c, uid: 1, acts_as: [], may: []}]\n",
           HEAD "clients: [{name: c, uid: 2, acts_as: [], may: []}]\n",
           "{\"clients\":{\"changed\":[\"c\"]}}");
}

Test(policy_difference, nodes_pairs_meshes_and_relaxations)
{
    differ(HEAD NODES, HEAD "nodes: [\"" A "\", \"" C "\"]\n",
           "{\"nodes\":{\"added\":[\"" C "\"],\"removed\":[\"" B "\"]}}");
    differ(HEAD KEYS NODES, HEAD KEYS NODES PAIRS, "{\"pairs\":{\"added\":[\"" A " -> " B "\"]}}");
    differ(HEAD KEYS NODES "mesh: [{nodes: [\"" A "\", \"" B "\"], key: k}]\n",
           HEAD KEYS NODES "mesh: [{nodes: [\"" A "\"], key: k}, {nodes: [\"" B "\"], key: k}]\n",
           "{\"mesh\":{\"added\":[\"k #2\"],\"changed\":[\"k #1\"]}}");
    differ(HEAD NODES "interop: [{peer: \"" A "\"}]\n", HEAD NODES,
           "{\"interop\":{\"removed\":[\"" A "\"]}}");
}

Test(policy_difference, long_lists_are_whole)
{
    char text[4000] = HEAD "nodes: [";
    for (int i = 0; i < 50; i++)
        (void)snprintf(text + strlen(text), 40, "\"sip:%d@x\", ", i);
    strcat(text, "]\n");
    char *found = difference(HEAD, text);
    cr_assert_not_null(strstr(found, "\"sip:31@x\",\"sip:32@x\""));
    cr_assert_not_null(strstr(found, "\"sip:49@x\"]"));
    free(found);
}
