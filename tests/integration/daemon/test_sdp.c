/* Calls in SDP and RTSP through mikeyctl and a real daemon: offer, hold, re-keying, refusals. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

TestSuite(daemon_sdp, .init = make_lab, .fini = remove_lab, .timeout = 120);

#define BASE                                                                                       \
    "v=0\r\no=sbc 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n"              \
    "m=audio 49000 RTP/SAVP 98\r\na=rtpmap:98 AMR/8000\r\n"                                        \
    "m=video 52230 RTP/SAVP 31\r\n"

/* Runs mikeyctl with the arguments up to NULL: the object that it prints. */
static json_t *ctl(int expected, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    const int status = lab_ctl(&lab, (const char *const[]){first, NULL}, args);
    va_end(args);
    char *text = lab_output(&lab);
    cr_assert_eq(status, expected, "%s: %d: %s", first, status, text);
    free(text);
    /* Of a usage error there is more than the object. */
    return expected == 1 ? json_null() : lab_printed(&lab);
}

static const json_t *line_of(const json_t *description, size_t line)
{
    return json_array_get(json_object_get(description, "media"), line - 1);
}

/* What `mikeyctl sdp` says of that line. */
static void line_is(const char *before, const char *now, size_t line, const char *change,
                    const char *cs)
{
    json_t *description = before == NULL ? ctl(0, "sdp", "--json", now, NULL)
                                         : ctl(0, "sdp", "--json", "--before", before, now, NULL);
    const json_t *found = line_of(description, line);
    cr_assert_str_eq(lab_text(found, "change"), change);
    char *sessions = json_dumps(json_object_get(found, "cs"), JSON_COMPACT);
    cr_assert_str_eq(sessions, cs);
    free(sessions);
    json_decref(description);
}

/* The text with another in the place of its first `old`. */
static char *with(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    cr_assert_not_null(at, "%s", old);
    const size_t size = strlen(text) + strlen(new) + 1;
    char *out = malloc(size);
    cr_assert_not_null(out);
    (void)snprintf(out, size, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    return out;
}

static void same_keys(const json_t *one, const json_t *other, size_t count)
{
    cr_assert_eq(json_array_size(json_object_get(one, "keys")), count);
    cr_assert(json_equal(json_object_get(one, "keys"), json_object_get(other, "keys")));
}

/* ---- */

/* Two lines, one message, four crypto sessions; hold; re-keying by a re-INVITE. */
Test(daemon_sdp, a_call_is_offered_held_and_keyed_anew)
{
    json_t *offer = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                        "11111111", "--stream", "00000000", "--stream", "22222222", "--stream",
                        "00000000", "--into", BASE, NULL);
    const char *invite = lab_text(offer, "sdp");
    line_is(NULL, invite, 1, "renewed", "[1,2]");
    line_is(NULL, invite, 2, "renewed", "[3,4]");
    json_t *answer =
        ctl(0, "exchange", "respond", "--as", LAB_B, "--message", invite, "--into", BASE, NULL);
    json_t *confirmed = ctl(0, "exchange", "confirm", "--ticket", lab_text(offer, "ticket"),
                            "--reply", lab_text(answer, "sdp"), NULL);
    same_keys(answer, confirmed, 4);

    char *hold = with(invite, "t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
    line_is(invite, hold, 1, "unchanged", "[1,2]");
    char *one_line_off = with(hold, "m=video 52230", "m=video 0");
    line_is(invite, one_line_off, 2, "unchanged", "[3,4]");

    json_t *update = ctl(0, "exchange", "update", "--ticket", lab_text(confirmed, "ticket"),
                         "--into", hold, NULL);
    line_is(hold, lab_text(update, "sdp"), 1, "updated", "[1,2]");
    json_t *second =
        ctl(0, "exchange", "respond", "--as", LAB_B, "--ticket", lab_text(answer, "ticket"),
            "--message", lab_text(update, "sdp"), "--into", lab_text(answer, "sdp"), NULL);
    json_t *keyed = ctl(0, "exchange", "confirm", "--ticket", lab_text(update, "ticket"), "--reply",
                        lab_text(second, "sdp"), NULL);
    same_keys(second, keyed, 4);
    cr_assert_not(json_equal(json_object_get(second, "keys"), json_object_get(answer, "keys")));

    char *bare = with(lab_text(update, "sdp"), "a=key-mgmt:mikey ", "a=was:");
    line_is(hold, bare, 1, "refused", "[]");
    free(bare);
    free(hold);
    free(one_line_off);
    json_decref(offer);
    json_decref(answer);
    json_decref(confirmed);
    json_decref(update);
    json_decref(second);
    json_decref(keyed);
}

/* Whoever reads the list finds each line under its number, whatever a peer wrote into the others. */
Test(daemon_sdp, a_line_of_strange_bytes_keeps_its_place)
{
    json_t *description = ctl(0, "sdp", "--json",
                              "v=0\r\ns=-\r\nm=au\xff\x1b[2Jdio 9 RTP/SAVP 0\r\n"
                              "m=video 9 RTP/SAVP\x80 31\r\na=key-mgmt:mikey AQAFgQ==\r\n",
                              NULL);
    cr_assert_eq(json_array_size(json_object_get(description, "media")), 2);
    cr_assert_str_eq(lab_text(line_of(description, 1), "kind"), "au\\xff\\u{1b}[2Jdio");
    cr_assert_str_eq(lab_text(line_of(description, 2), "profile"), "RTP/SAVP\\x80");
    json_decref(description);
}

/* A message for each line, each with its own bundle. */
Test(daemon_sdp, each_line_may_have_a_message_of_its_own)
{
    json_t *audio = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                        "11111111", "--into", BASE, "--media", "1", NULL);
    json_t *both = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                       "22222222", "--into", lab_text(audio, "sdp"), "--media", "2", NULL);
    const char *invite = lab_text(both, "sdp");
    json_decref(ctl(2, "exchange", "respond", "--as", LAB_B, "--message", invite, "--sdp", NULL));
    json_t *first = ctl(0, "exchange", "respond", "--as", LAB_B, "--message", invite, "--media",
                        "1", "--into", BASE, NULL);
    json_t *second = ctl(0, "exchange", "respond", "--as", LAB_B, "--message", invite, "--media",
                         "2", "--into", lab_text(first, "sdp"), NULL);
    const char *reply = lab_text(second, "sdp");
    json_t *confirmed = ctl(0, "exchange", "confirm", "--ticket", lab_text(both, "ticket"),
                            "--reply", reply, "--media", "2", NULL);
    same_keys(second, confirmed, 1);
    json_decref(confirmed);
    confirmed = ctl(0, "exchange", "confirm", "--ticket", lab_text(audio, "ticket"), "--reply",
                    reply, "--media", "1", NULL);
    same_keys(first, confirmed, 1);
    json_decref(confirmed);
    json_decref(audio);
    json_decref(both);
    json_decref(first);
    json_decref(second);
}

/* RFC 4567 4.1.4. */
Test(daemon_sdp, an_offer_with_a_protocol_peeled_off_is_refused)
{
    static const char keyp1[] = "a=key-mgmt:keyp1 727gkdOshsuiSDF9sdhsdKnD\r\n";
    char *base = with(BASE, "t=0 0\r\n", "t=0 0\r\na=key-mgmt:keyp1 727gkdOshsuiSDF9sdhsdKnD\r\n");
    json_t *offer = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                        "11111111", "--into", base, NULL);
    const char *invite = lab_text(offer, "sdp");
    json_t *description = ctl(0, "sdp", "--json", invite, NULL);
    cr_assert_str_eq(lab_text(description, "protocols"), "mikey;keyp1");
    cr_assert_not_null(strstr(invite, keyp1));
    char *peeled = with(invite, keyp1, "");
    json_t *refusal =
        ctl(3, "exchange", "respond", "--as", LAB_B, "--message", peeled, "--sdp", NULL);
    cr_assert_str_eq(lab_text(json_object_get(refusal, "error"), "code"), "POLICY");
    json_decref(refusal);
    json_decref(offer);
    /* Whole, it is answered; each message once, so this is another. */
    offer = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream", "11111111",
                "--into", base, NULL);
    json_decref(ctl(0, "exchange", "respond", "--as", LAB_B, "--message", lab_text(offer, "sdp"),
                    "--sdp", NULL));
    /* One list cannot protect levels that differ. */
    json_decref(ctl(3, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                    "11111111", "--into", base, "--media", "1", NULL));
    char *mixed =
        with(lab_text(offer, "sdp"), "RTP/SAVP 31\r\n", "RTP/SAVP 31\r\na=key-mgmt:keyp1 AA\r\n");
    json_decref(ctl(3, "exchange", "respond", "--as", LAB_B, "--message", mixed, "--sdp", NULL));
    free(mixed);
    /* Keys are renewed by the protocol that made them. */
    json_decref(
        ctl(3, "exchange", "update", "--ticket", lab_text(offer, "ticket"), "--into", base, NULL));
    json_decref(offer);
    json_decref(description);
    free(peeled);
    free(base);
}

/* RFC 4567 4.2: the server initiates in SDP, the client answers in the header of SETUP. */
Test(daemon_sdp, an_rtsp_client_answers_in_a_header)
{
    json_t *offer = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                        "11111111", "--into", BASE, NULL);
    json_t *answer = ctl(0, "exchange", "respond", "--as", LAB_B, "--message",
                         lab_text(offer, "sdp"), "--rtsp", "rtsp://a.example/movie", NULL);
    const char *header = lab_text(answer, "rtsp");
    static const char start[] = "KeyMgmt: prot=mikey; uri=\"rtsp://a.example/movie\"; data=\"AQ";
    cr_assert_eq(strncmp(header, start, sizeof start - 1), 0, "%s", header);
    json_t *confirmed = ctl(0, "exchange", "confirm", "--ticket", lab_text(offer, "ticket"),
                            "--reply", header, NULL);
    same_keys(answer, confirmed, 1);
    json_decref(offer);
    json_decref(answer);
    json_decref(confirmed);
}

/* ---- errors */

/* Puts the suites into force, and waits until they are. */
static void set_suites(const char *suites)
{
    static const char line[] = "  suites: [";
    const size_t reloads = lab_count_in_file(lab.audit, "\"event\":\"reload\"");
    lab_write_policy(&lab, "");
    char *text = lab_read_file(lab.policy);
    char *at = strstr(text, line);
    cr_assert_not_null(at);
    char *old = strndup(at, strcspn(at, "\n")), new[128];
    (void)snprintf(new, sizeof new, "%s%s]", line, suites);
    char *changed = with(text, old, new);
    lab_write_file(lab.policy, changed);
    cr_assert_eq(kill(lab.daemon, SIGHUP), 0);
    for (int i = 0; lab_count_in_file(lab.audit, "\"event\":\"reload\"") == reloads; i++) {
        cr_assert_lt(i, 3000, "the policy is not reloaded");
        const struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
    }
    free(changed);
    free(old);
    free(text);
}

/* RFC 3830 5.1.1: refused with the suites that would do, offered again, answered. */
Test(daemon_sdp, a_refused_suite_is_offered_again_and_the_call_is_keyed)
{
    json_t *offer = ctl(0, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--stream",
                        "11111111", "--into", BASE, NULL);
    set_suites("AES_256_CM_HMAC_SHA1_80");
    json_t *refusal = ctl(3, "exchange", "respond", "--as", LAB_B, "--message",
                          lab_text(offer, "sdp"), "--into", BASE, NULL);
    set_suites("AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80");
    /* Only told, when nothing is to be offered again. */
    json_t *told = ctl(2, "exchange", "confirm", "--ticket", lab_text(offer, "ticket"), "--reply",
                       lab_text(refusal, "sdp"), NULL);
    cr_assert_null(json_object_get(told, "message"));
    json_decref(told);
    json_t *again = ctl(2, "exchange", "confirm", "--ticket", lab_text(offer, "ticket"), "--reply",
                        lab_text(refusal, "sdp"), "--from", LAB_A, "--to", LAB_B, "--stream",
                        "11111111", "--into", BASE, NULL);
    cr_assert_str_eq(lab_text(json_object_get(again, "error"), "code"), "UNSUPPORTED");
    json_t *answer = ctl(0, "exchange", "respond", "--as", LAB_B, "--message",
                         lab_text(again, "sdp"), "--into", BASE, NULL);
    json_t *confirmed = ctl(0, "exchange", "confirm", "--ticket", lab_text(again, "ticket"),
                            "--reply", lab_text(answer, "sdp"), NULL);
    same_keys(answer, confirmed, 1);
    cr_assert_str_eq(lab_text(json_array_get(json_object_get(confirmed, "keys"), 0), "suite"),
                     "AES_256_CM_HMAC_SHA1_80");
    json_decref(offer);
    json_decref(refusal);
    json_decref(again);
    json_decref(answer);
    json_decref(confirmed);
}

Test(daemon_sdp, options_that_make_no_sense_are_usage_errors)
{
    json_decref(ctl(1, "exchange", "confirm", "--ticket", "AQID", "--reply", "AQID", "--stream",
                    "11111111", NULL));
    json_decref(ctl(1, "exchange", "confirm", "--ticket", "AQID", "--reply", "AQID", "--from",
                    LAB_A, NULL));
    /* Said here, before the daemon is asked. */
    char *said = lab_output(&lab);
    cr_assert_not_null(strstr(said, "to offer again"), "%s", said);
    free(said);
    json_decref(
        ctl(1, "exchange", "respond", "--as", LAB_B, "--message", "AQID", "--media", "x", NULL));
    json_decref(ctl(1, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--into", BASE,
                    "--media", "3", NULL));
    json_decref(ctl(1, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--protocols",
                    "keyp1", "--sdp", NULL));
    json_decref(
        ctl(1, "exchange", "initiate", "--from", LAB_A, "--to", LAB_B, "--rtsp", "a b", NULL));
}
