/* mikeyctl against a running daemon: the JSON and the exit statuses that scripts rely on. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab_ctl.h"

static struct lab lab;

static void make_lab(void)
{
    lab_make(&lab, NULL);
    lab_start(&lab);
    lab_ctl_open(&lab);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(ctl, .init = make_lab, .fini = remove_lab, .timeout = 60);

/* Runs mikeyctl with the arguments up to NULL; its exit status. */
static int ctl(const char *first, ...)
{
    va_list args;
    va_start(args, first);
    const int status = first == NULL ? lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, NULL})
                                     : lab_ctl(&lab, (const char *const[]){first, NULL}, args);
    va_end(args);
    return status;
}

static json_t *initiate(void)
{
    cr_assert_eq(ctl("exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                     "11223344,AES_256_CM_HMAC_SHA1_80", "--stream", "00000000", "--sdp", NULL),
                 0);
    return lab_printed(&lab);
}

static void check_key(const json_t *key, int cs, const char *suite, size_t key_digits,
                      size_t salt_digits)
{
    cr_assert_eq(json_integer_value(json_object_get(key, "cs")), cs);
    cr_assert_str_eq(lab_text(key, "suite"), suite);
    cr_assert_eq(strlen(lab_text(key, "ssrc")), 8);
    cr_assert_eq(strlen(lab_text(key, "master_key")), key_digits);
    cr_assert_eq(strlen(lab_text(key, "master_salt")), salt_digits);
    cr_assert_str_eq(lab_text(key, "mki"), "");
    cr_assert_eq(json_integer_value(json_object_get(key, "roc")), 0);
}

/* Folded, without padding, inside a whole SDP; ROCs in and out; who calls, and the call's name. */
Test(ctl, messages_come_as_sdp_and_streams_with_their_roc)
{
    char sdp[8192], path[LAB_PATH + 16], at[LAB_PATH + 17];
    cr_assert_eq(ctl("exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                     "11223344,AES_256_CM_HMAC_SHA1_80,roc=5", "--stream", "00000000,roc=0",
                     "--reference", "a84b4c76e66710@pc33", "--sdp", NULL),
                 0);
    json_t *offer = lab_printed(&lab);
    (void)snprintf(path, sizeof path, "%s/offer.sdp", lab.dir);
    (void)snprintf(at, sizeof at, "@%s", path);
    const char *line = lab_text(offer, "sdp");
    (void)snprintf(sdp, sizeof sdp, "v=0\r\ns=-\r\n%.40s\r\n %.*s\r\nm=audio 9 RTP/SAVP 0\r\n",
                   line, (int)strcspn(line + 40, "="), line + 40);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(sdp, file), 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(ctl("decode", at, NULL), 0);
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--from", LAB_A, "--message", at,
                     "--stream", "aabbccdd,roc=6", "--sdp", NULL),
                 0);
    json_t *answer = lab_printed(&lab);
    cr_assert_eq(ctl("exchange", "confirm", "--ticket", lab_text(offer, "ticket"), "--reply",
                     lab_text(answer, "sdp"), NULL),
                 0);
    json_t *confirmed = lab_printed(&lab);
    const json_t *keys = json_object_get(confirmed, "keys");
    for (int i = 0; i < 2; i++)
        cr_assert_eq(json_integer_value(json_object_get(json_array_get(keys, (size_t)i), "roc")),
                     5 + i);
    cr_assert(json_equal(json_object_get(answer, "keys"), keys));
    json_decref(offer);
    json_decref(answer);
    json_decref(confirmed);
    cr_assert_eq(ctl("exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                     "11223344,roc=4294967296", NULL),
                 1);
    cr_assert_eq(ctl("exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                     "11223344,roc=", NULL),
                 1);
}

/* RFC 3830 5.1.2: what a refused peer is to get stands beside the error. */
Test(ctl, a_refusal_prints_the_error_message_for_the_peer)
{
    json_t *offer = initiate();
    char *forged = strdup(lab_text(offer, "message"));
    cr_assert_not_null(forged);
    forged[60] = forged[60] == 'A' ? 'B' : 'A'; /* in RAND */
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--message", forged, NULL), 2);
    json_t *refusal = lab_printed(&lab);
    cr_assert_str_eq(lab_text(json_object_get(refusal, "error"), "code"), "AUTH_FAILED");
    cr_assert_eq(ctl("decode", lab_text(refusal, "reply"), NULL), 0);
    cr_assert_eq(ctl("exchange", "confirm", "--ticket", lab_text(offer, "ticket"), "--reply",
                     lab_text(refusal, "reply"), NULL),
                 2);
    json_t *told = lab_printed(&lab);
    cr_assert_not_null(
        strstr(lab_text(json_object_get(told, "error"), "message"), "not proven to be its own"));
    json_decref(offer);
    json_decref(refusal);
    json_decref(told);
    free(forged);
}

Test(ctl, three_steps_give_both_ends_the_same_keys)
{
    json_t *offer = initiate();
    cr_assert(json_is_null(json_object_get(offer, "keys")));
    cr_assert_eq(strncmp(lab_text(offer, "sdp"), "a=key-mgmt:mikey ", 17), 0);
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--message", lab_text(offer, "message"),
                     "--stream", "aabbccdd", NULL),
                 0);
    json_t *answer = lab_printed(&lab);
    cr_assert_str_eq(lab_text(answer, "from"), LAB_A);
    cr_assert_str_eq(lab_text(answer, "to"), LAB_B);
    cr_assert_eq(strlen(lab_text(answer, "csb_id")), 8);
    cr_assert_eq(ctl("exchange", "confirm", "--ticket", lab_text(offer, "ticket"), "--reply",
                     lab_text(answer, "reply"), NULL),
                 0);
    json_t *confirmed = lab_printed(&lab);
    const json_t *keys = json_object_get(confirmed, "keys");
    cr_assert_eq(json_array_size(keys), 2);
    check_key(json_array_get(keys, 0), 1, "AES_256_CM_HMAC_SHA1_80", 64, 28);
    check_key(json_array_get(keys, 1), 2, "AEAD_AES_256_GCM", 64, 24);
    cr_assert_str_eq(lab_text(json_array_get(keys, 0), "ssrc"), "11223344");
    cr_assert_str_eq(lab_text(json_array_get(keys, 1), "ssrc"), "aabbccdd");
    cr_assert(json_equal(json_object_get(answer, "keys"), keys));
    json_decref(offer);
    json_decref(answer);
    json_decref(confirmed);
}

/* An update in SDP names the protocols that SDP offered, as the first message did. */
Test(ctl, update_in_sdp_is_answered_in_sdp)
{
    json_t *offer = initiate();
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--message", lab_text(offer, "sdp"),
                     "--sdp", NULL),
                 0);
    json_t *answer = lab_printed(&lab);
    cr_assert_eq(ctl("exchange", "confirm", "--ticket", lab_text(offer, "ticket"), "--reply",
                     lab_text(answer, "reply"), NULL),
                 0);
    json_t *confirmed = lab_printed(&lab);
    cr_assert_eq(ctl("exchange", "update", "--ticket", lab_text(confirmed, "ticket"), "--stream",
                     "55667788", "--sdp", NULL),
                 0);
    json_t *update = lab_printed(&lab);
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--message", lab_text(update, "sdp"),
                     "--ticket", lab_text(answer, "ticket"), "--sdp", NULL),
                 0);
    json_t *second = lab_printed(&lab);
    cr_assert_eq(json_array_size(json_object_get(second, "keys")), 3);
    json_decref(offer);
    json_decref(answer);
    json_decref(confirmed);
    json_decref(update);
    json_decref(second);
}

Test(ctl, keys_at_once_need_no_stream_to_be_named)
{
    cr_assert_eq(ctl("exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--no-verify", NULL),
                 0);
    json_t *offer = lab_printed(&lab);
    const json_t *keys = json_object_get(offer, "keys");
    cr_assert_eq(json_array_size(keys), 1);
    cr_assert_str_neq(lab_text(json_array_get(keys, 0), "ssrc"), "00000000");
    cr_assert_eq(
        ctl("exchange", "respond", "--as", LAB_B, "--message", lab_text(offer, "message"), NULL),
        0);
    json_t *answer = lab_printed(&lab);
    cr_assert(json_is_null(json_object_get(answer, "reply")));
    cr_assert(json_equal(json_object_get(answer, "keys"), keys));
    json_decref(offer);
    json_decref(answer);
}

static void check_failure(int exit_status, int expected, const char *code)
{
    cr_assert_eq(exit_status, expected, "exit status %d", exit_status);
    json_t *object = lab_printed(&lab);
    const json_t *error = json_object_get(object, "error");
    cr_assert_str_eq(lab_text(error, "code"), code);
    cr_assert_gt(strlen(lab_text(error, "message")), 0);
    cr_assert_null(json_object_get(object, "keys"));
    json_decref(object);
}

Test(ctl, refusals_by_protocol_exit_with_2)
{
    json_t *offer = initiate();
    const char *message = lab_text(offer, "message");
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--message", message, NULL), 0);
    check_failure(ctl("exchange", "respond", "--as", LAB_B, "--message", message, NULL), 2,
                  "REPLAY");
    check_failure(ctl("exchange", "respond", "--as", LAB_B, "--message", "AQAFgQ==", NULL), 2,
                  "SYNTAX");
    check_failure(ctl("exchange", "respond", "--as", LAB_B, "--message", "not base64", NULL), 2,
                  "SYNTAX");
    check_failure(ctl("exchange", "confirm", "--ticket", "AAAA", "--reply", message, NULL), 2,
                  "TICKET_INVALID");
    json_decref(offer);
}

Test(ctl, refusals_by_policy_exit_with_3)
{
    check_failure(
        ctl("exchange", "initiate", "--from", LAB_A, "--to", "sip:nobody@lab.example", NULL), 3,
        "UNKNOWN_PEER");
    check_failure(ctl("exchange", "initiate", "--from", LAB_B, "--to", LAB_A, NULL), 3,
                  "UNKNOWN_PEER");
}

Test(ctl, daemon_that_is_not_there_exits_with_5)
{
    check_failure(ctl("--socket", "/nonexistent/s", "exchange", "initiate", "--from", LAB_A, "--to",
                      LAB_B, NULL),
                  5, "UNREACHABLE");
    check_failure(ctl("--socket", "/nonexistent/s", "--json", "status", NULL), 5, "UNREACHABLE");
}

Test(ctl, misuse_exits_with_1)
{
    cr_assert_eq(ctl("exchange", "initiate", "--from", LAB_A, NULL), 1);
    char *text = lab_output(&lab);
    cr_assert_not_null(strstr(text, "{\"error\":{\"code\":\"INVALID_ARGUMENT\""), "%s", text);
    free(text);
    cr_assert_eq(
        ctl("exchange", "confirm", "--from", LAB_A, "--ticket", "AA==", "--reply", "AA==", NULL),
        1);
    cr_assert_eq(
        ctl("exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream", "1234", NULL), 1);
    cr_assert_eq(ctl("no-such-command", NULL), 1);
    cr_assert_eq(ctl("--connect", "tls://sbc.example:1", "status", NULL), 1);
    cr_assert_eq(ctl(NULL), 1);
}

Test(ctl, messages_from_files_in_hexadecimal_and_from_sdp)
{
    char path[LAB_PATH + 16], argument[LAB_PATH + 32];
    json_t *offer = initiate();
    (void)snprintf(path, sizeof path, "%s/offer", lab.dir);
    (void)snprintf(argument, sizeof argument, "@%s", path);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fprintf(file, "%s\n", lab_text(offer, "sdp")) > 0);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(ctl("decode", argument, NULL), 0);
    cr_assert_eq(ctl("exchange", "respond", "--as", LAB_B, "--message", argument, "--sdp", NULL),
                 0);
    json_decref(offer);
    /* A whole header and nothing else, in hexadecimal: told, with the exit status of a syntax
     * error. */
    cr_assert_eq(ctl("--json", "decode", "01000581aabbccdd0000", NULL), 2);
    json_t *dissection = lab_printed(&lab);
    cr_assert(json_is_false(json_object_get(dissection, "valid")));
    json_decref(dissection);
}

static const json_t *first_token(const json_t *report)
{
    return json_array_get(json_object_get(report, "tokens"), 0);
}

/* How the module is used, whatever it was called when the operator wrote the configuration. */
Test(ctl, status_tells_the_profile_in_force)
{
    cr_assert_eq(ctl("status", "--json", NULL), 0);
    json_t *report = lab_printed(&lab);
    const char *name = lab.token.kind == TOKEN_FIXTURE_NSS            ? "nss"
                       : lab.token.kind == TOKEN_FIXTURE_OPENCRYPTOKI ? "opencryptoki"
                                                                      : "softhsm";
    cr_expect_str_eq(lab_text(first_token(report), "profile"), name);
    cr_expect_eq(json_array_size(json_object_get(first_token(report), "switches")), 0);
    json_decref(report);

    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    lab_write_config(&lab, &(struct lab_config){.token_extra = "    profile: generic\n"
                                                               "    switches: [no_copies]\n"});
    lab_start(&lab);
    cr_assert_eq(ctl("status", "--json", NULL), 0);
    report = lab_printed(&lab);
    cr_expect_str_eq(lab_text(first_token(report), "profile"), "generic");
    const json_t *switches = json_object_get(first_token(report), "switches");
    cr_assert_eq(json_array_size(switches), 1);
    cr_expect_str_eq(json_string_value(json_array_get(switches, 0)), "no_copies");
    cr_expect(json_is_false(json_object_get(first_token(report), "session_copies")));
    json_decref(report);
    cr_assert_eq(ctl("status", NULL), 0);
    char *page = lab_output(&lab);
    cr_expect_not_null(strstr(page, ", profile generic and no_copies\n"), "%s", page);
    free(page);
}

Test(ctl, status_tells_health_and_policy)
{
    cr_assert_eq(ctl("status", "--json", NULL), 0);
    json_t *report = lab_printed(&lab);
    cr_assert(json_is_true(json_object_get(report, "healthy")));
    cr_assert_str_eq(lab_text(json_object_get(report, "checks"), "token"), "OK");
    cr_assert_eq(strlen(lab_text(json_object_get(report, "policy"), "sha256")), 64);
    cr_assert_str_eq(lab_text(report, "prf"), lab_token_derives(&lab.token) ? "derive" : "sign");
    cr_assert_eq(json_array_size(json_object_get(json_object_get(report, "keys"), "named")), 2);
    json_decref(report);
    cr_assert_eq(ctl("status", NULL), 0);
    char *text = lab_output(&lab);
    cr_assert_eq(strncmp(text, "healthy ", 8), 0, "%s", text);
    cr_assert_not_null(strstr(text, lab_token_derives(&lab.token)
                                        ? "\ntoken        NSS Certificate DB, up: "
                                        : "\ntoken        lab, up: "),
                       "%s", text);
    cr_assert_not_null(strstr(text, "all usable\n"), "%s", text);
    free(text);
}

/* The PIN, and the keys that were handed out: nowhere but in the answer. */
Test(ctl, logs_and_audit_hold_no_secret)
{
    json_t *offer = initiate();
    cr_assert_eq(
        ctl("exchange", "respond", "--as", LAB_B, "--message", lab_text(offer, "message"), NULL),
        0);
    json_t *answer = lab_printed(&lab);
    const json_t *key = json_array_get(json_object_get(answer, "keys"), 0);
    const char *const secrets[] = {lab.token.pin, lab_text(key, "master_key"),
                                   lab_text(key, "master_salt"), lab_text(answer, "ticket"),
                                   lab_text(offer, "ticket")};
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        cr_assert_eq(lab_count_in_file(lab.log, secrets[i]), 0);
        cr_assert_eq(lab_count_in_file(lab.audit, secrets[i]), 0);
    }
    json_decref(offer);
    json_decref(answer);
}
