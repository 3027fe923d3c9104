/* mikeyctl policy check with a real token: what the rules say of the objects that are there. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/token_fixture.h"

static struct token_fixture token;
static char config[128], policy[128];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static void add_key(struct token_fixture_key key)
{
    static const uint8_t value[32] = {1, 2, 3, 4, 5, 6, 7, 8};
    key.value = value;
    key.len = sizeof value;
    cr_assert(token_fixture_key(&token, &key), "%s", key.label);
}

/* The configuration and the policy beside the token that is there. */
static void write_files(void)
{
    char text[1600];
    (void)snprintf(config, sizeof config, "%s/mikeyd.yaml", token.dir);
    (void)snprintf(policy, sizeof policy, "%s/policy.yaml", token.dir);
    (void)snprintf(text, sizeof text,
                   "tokens:\n"
                   "  - {module: \"%s\", uri: \"%s\", pin_file: \"%s\", sessions: 2, "
                   "init_args: \"%s\"}\n"
                   "policy: policy.yaml\n"
                   "listen: [{unix: %s/s}]\n"
                   "replay: {lmdb: %s/replay}\n"
                   "audit: {file: %s/audit.jsonl}\n",
                   token.module, token.uri, token.pin_file, token.init_args, token.dir, token.dir,
                   token.dir);
    write_file(config, text);
    write_file(policy, "policy: 1\n"
                       "keys:\n"
                       "  - {name: pbx, kind: psk, generation: 2, not_after: 2099-01-01}\n"
                       "  - {name: core, kind: epsk, not_after: 2099-01-01}\n");
}

static void set_up(void)
{
    cr_assert(token_fixture_softhsm(&token, "policy-check"));
    write_files();
}

static void tear_down(void)
{
    token_fixture_remove(&token);
}

/* Runs "policy check --token --json"; its exit status and the parsed output. */
static int check(json_t **out)
{
    char command[600];
    (void)snprintf(command, sizeof command, "%s --config %s --json policy check %s --token",
                   MIKEYCTL_PROGRAM, config, policy);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    *out = json_loadf(f, JSON_REJECT_DUPLICATES, NULL);
    int status = pclose(f);
    cr_assert_not_null(*out, "no JSON from %s", command);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The text of the only finding of that rule, or NULL when there is none. */
static const char *text_of(const json_t *result, const char *rule)
{
    const char *text = NULL;
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(result, "findings"), i, finding)
    {
        if (strcmp(json_string_value(json_object_get(finding, "rule")), rule) != 0)
            continue;
        cr_assert_null(text, "%s speaks twice: %s", rule, text);
        text = json_string_value(json_object_get(finding, "text"));
    }
    return text;
}

TestSuite(policy_check, .init = set_up, .fini = tear_down, .timeout = 60);

Test(policy_check, a_token_that_fits_gives_no_errors)
{
    add_key((struct token_fixture_key){.label = "mikeyd/psk/pbx/2"});
    add_key((struct token_fixture_key){.label = "mikeyd/epskx/core/1~256"});
    json_t *result;
    cr_assert_eq(check(&result), 0);
    cr_assert_null(text_of(result, "TOKEN-MISSING"));
    cr_assert_null(text_of(result, "TOKEN-STRAY"));
    cr_assert_null(text_of(result, "TOKEN-ATTRIBUTES-FATAL"));
    cr_assert_null(text_of(result, "RFC9257-6-1-TOKEN"));
    json_decref(result);
}

Test(policy_check, missing_objects_and_strays_are_named)
{
    add_key((struct token_fixture_key){.label = "mikeyd/psk/pbx/1"});
    add_key((struct token_fixture_key){.label = "mikeyd/epskx/core/1~256"});
    json_t *result;
    cr_assert_eq(check(&result), 3);
    cr_assert_str_eq(text_of(result, "TOKEN-MISSING"), "no object mikeyd/psk/pbx/2 in the token");
    cr_assert_str_eq(text_of(result, "TOKEN-STRAY"),
                     "object mikeyd/psk/pbx/1 is of no generation in use");
    json_decref(result);
}

Test(policy_check, a_key_that_can_be_read_is_an_error)
{
    add_key((struct token_fixture_key){
        .label = "mikeyd/psk/pbx/2", .extractable = true, .not_sensitive = true});
    add_key((struct token_fixture_key){.label = "mikeyd/epskx/core/1~256"});
    json_t *result;
    cr_assert_eq(check(&result), 3);
    const char *text = text_of(result, "TOKEN-ATTRIBUTES-FATAL");
    cr_assert_not_null(text);
    cr_assert_eq(strncmp(text, "object mikeyd/psk/pbx/2: ", 25), 0, "%s", text);
    json_decref(result);
}

Test(policy_check, a_short_key_is_an_error)
{
    static const uint8_t psk[16] = {9, 8, 7};
    cr_assert(token_fixture_psk(&token, "pbx", psk, sizeof psk)); /* generation 1 */
    add_key((struct token_fixture_key){.label = "mikeyd/epskx/core/1~256"});
    write_file(policy, "policy: 1\n"
                       "keys:\n"
                       "  - {name: pbx, kind: psk, not_after: 2099-01-01}\n"
                       "  - {name: core, kind: epsk, not_after: 2099-01-01}\n");
    json_t *result;
    cr_assert_eq(check(&result), 3);
    cr_assert_str_eq(text_of(result, "RFC9257-6-1-TOKEN"),
                     "object mikeyd/psk/pbx/1 has 128 bits, min_psk_bits is 256");
    json_decref(result);
}

Test(policy_check, a_token_that_is_not_there_is_a_failure)
{
    cr_assert_eq(remove(token.pin_file), 0);
    json_t *result;
    cr_assert_neq(check(&result), 0);
    cr_assert_not_null(json_object_get(result, "error"));
    json_decref(result);
}

TestSuite(policy_check_nss, .fini = tear_down, .timeout = 60);

/* SoftHSM cannot read the dates of private objects again. */
Test(policy_check_nss, an_object_that_ends_before_the_policy_is_told)
{
    cr_assert(token_fixture_nss(&token));
    write_files();
    add_key((struct token_fixture_key){.label = "mikeyd/psk/pbx/2", .end_date = "20980101"});
    add_key((struct token_fixture_key){.label = "mikeyd/epsk/core/1"});
    json_t *result;
    cr_assert_eq(check(&result), 0);
    cr_assert_str_eq(text_of(result, "TOKEN-DATES"),
                     "object mikeyd/psk/pbx/2 ends on 2098-01-01, the policy lets it live longer");
    json_decref(result);
}
