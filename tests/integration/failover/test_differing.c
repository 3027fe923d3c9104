/*
 * Two tokens of which one has another key under a name that both have: it is not used, and the
 * operator is told which key it is, in the log, in the record and in the status.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"

#define FOUND_MS 30000
#define KEY "mikeyd/psk/pbx/1"

static const char of_the_group[] =
    "3a31b1d5c1a54a4cb3a36ec1a45c1a7d1f0f6c9de3b6cd8f9c1d2d8f3a2b4c5d";
static const char of_another[] = "c5d4b2a3f8d2d1c9f8dc6b3ed9c6f0f1d7a1c54a1ce63a3bc4a45a1c5d1b313a";

static struct lab lab;
static char original[LAB_PATH + 32], copy[LAB_PATH + 32];

static void replace_key(const char *hex)
{
    lab_key_must(&lab, (const char *const[]){"destroy", "--kind", "psk", "--name", "pbx",
                                             "--generation", "1", "--yes", NULL});
    lab_key_import(&lab, "psk", "pbx", hex);
}

/* By mikeyctl, on the second token. */
static void replace_key_of_copy(const char *hex)
{
    cr_assert_eq(setenv("SOFTHSM2_CONF", copy, 1), 0);
    replace_key(hex);
    cr_assert_eq(setenv("SOFTHSM2_CONF", original, 1), 0);
}

static void make_lab(void)
{
    char command[640], extra[1024];
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    (void)snprintf(command, sizeof command,
                   "sed -i 's/^defaults:/&\\n  provisioning: plaintext-allowed/' '%s'", lab.policy);
    cr_assert_eq(system(command), 0, "%s", command);
    replace_key(of_the_group);
    (void)snprintf(original, sizeof original, "%s/softhsm2.conf", lab.token.dir);
    (void)snprintf(copy, sizeof copy, "%s/copy/softhsm2.conf", lab.token.dir);
    (void)snprintf(command, sizeof command,
                   "mkdir '%1$s/copy' && cp -a '%1$s/tokens' '%1$s/copy/' && "
                   "sed 's|%1$s|%1$s/copy|' '%1$s/softhsm2.conf' > '%1$s/copy/softhsm2.conf'",
                   lab.token.dir);
    cr_assert_eq(system(command), 0, "%s", command);
    (void)snprintf(extra, sizeof extra,
                   "    environment: {SOFTHSM2_CONF: \"%s\"}\n"
                   "  - module: %s\n    uri: \"%s\"\n    pin_file: %s\n    sessions: 3\n"
                   "    environment: {SOFTHSM2_CONF: \"%s\"}\n",
                   original, lab.token.module, lab.token.uri, lab.token.pin_file, copy);
    lab_write_config(&lab, &(struct lab_config){.token_extra = extra});
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(differing, .init = make_lab, .fini = remove_lab, .timeout = 120);

/* Both tokens' states, and why, as "closed: , differs: token ..."; free() it. Whichever serves first
 * is what the other one is held against. */
static char *states_of_tokens(mikeyd_client *client)
{
    char *text = NULL, *said = NULL;
    cr_assert_eq(mikeyd_client_status(client, false, &text), MIKEYD_OK);
    json_t *status = json_loads(text, 0, NULL);
    const json_t *token[2], *tokens = json_object_get(status, "tokens");
    for (size_t i = 0; i < 2; i++)
        cr_assert_not_null(token[i] = json_array_get(tokens, i), "%s", text);
    cr_assert_gt(asprintf(&said, "%s: %s, %s: %s",
                          json_string_value(json_object_get(token[0], "state")),
                          json_string_value(json_object_get(token[0], "why")),
                          json_string_value(json_object_get(token[1], "state")),
                          json_string_value(json_object_get(token[1], "why"))),
                 0);
    json_decref(status);
    free(text);
    return said;
}

static bool one_differs(const char *said)
{
    const char *differs = strstr(said, "differs: ");
    return differs != NULL && strstr(said, "closed: ") != NULL && strstr(differs, KEY) != NULL;
}

static bool both_serve(const char *said)
{
    return strcmp(said, "closed: , closed: ") == 0;
}

static void wait_until(mikeyd_client *client, bool (*is)(const char *), const char *what)
{
    const int64_t begun = clock_monotonic_ms();
    for (;;) {
        char *said = states_of_tokens(client);
        const bool there = is(said);
        cr_assert(there || clock_monotonic_ms() - begun < FOUND_MS, "not %s, but %s", what, said);
        free(said);
        if (there)
            return;
        (void)usleep(20000);
    }
}

static void expect_named(mikeyd_client *client)
{
    wait_until(client, one_differs, "one that differs in " KEY);
    cr_assert(lab_file_gets(lab.log, "has another key " KEY));
    cr_assert(lab_file_gets(lab.audit, "has another key " KEY));
    for (int i = 0; i < 10; i++)
        lab_exchange(client); /* which needs one key at both ends */
}

Test(differing, key_is_named_and_its_token_serves_when_it_is_mended)
{
    replace_key_of_copy(of_another);
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    expect_named(client);

    replace_key_of_copy(of_the_group);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    wait_until(client, both_serve, "both serving");
    for (int i = 0; i < 10; i++)
        lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* Two daemons with one token each have nothing to compare: of a message sealed with another key the
 * other one says so. */
Test(differing, key_of_another_daemon_opens_nothing)
{
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    wait_until(client, both_serve, "both serving");
    mikeyd_exchange *offer = NULL, *answer = NULL;
    cr_assert_eq(lab_initiate(client, &offer), MIKEYD_OK);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);

    replace_key(of_another);
    replace_key_of_copy(of_another);
    lab_start(&lab);
    client = lab_client(&lab);
    struct mikeyd_answer with = {.as = LAB_B};
    with.message = mikeyd_exchange_message(offer, &with.message_len);
    cr_assert_eq(mikeyd_respond(client, &with, &answer), MIKEYD_AUTH_FAILED, "%s",
                 mikeyd_client_error(client));
    cr_assert_null(answer);
    mikeyd_exchange_free(offer);
    mikeyd_client_close(client);
}
