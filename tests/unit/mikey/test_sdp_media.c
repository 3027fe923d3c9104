/* Whole descriptions: which message is whose, what a new one changes, attributes put into them. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mikey/sdp.h"
#include "support.h"

static struct error err;

struct description {
    struct mikey_sdp sdp;
    uint8_t bytes[8192];
};

static enum mikeyd_status read_text(const char *text, struct description *out)
{
    err = (struct error){0};
    cr_assert_leq(strlen(text), sizeof out->bytes);
    return mikey_sdp_read(text, strlen(text), out->bytes, &out->sdp, &err);
}

static void must_read(const char *text, struct description *out)
{
    cr_assert_eq(read_text(text, out), MIKEYD_OK, "%s", err.text);
}

/* "kind/port flags direction message:first_cs+cs_count" for each line. */
static void summary(const struct mikey_sdp *sdp, char *out, size_t cap)
{
    static const char *const directions[] = {"sendrecv", "sendonly", "recvonly", "inactive"};
    size_t at = (size_t)snprintf(out, cap, "%zu messages, %s%s", sdp->message_count, sdp->protocols,
                                 sdp->protocols_differ ? " (differ)" : "");
    for (size_t i = 0; i < sdp->media_count && at < cap; i++) {
        const struct mikey_sdp_media *m = &sdp->media[i];
        at += (size_t)snprintf(out + at, cap - at, "\n%.*s/%u%s%s %s ", (int)m->kind.len,
                               m->kind.at, m->port, m->disabled ? " disabled" : "",
                               m->secure ? " secure" : "", directions[m->direction]);
        at += m->message == MIKEY_SDP_NONE
                  ? (size_t)snprintf(out + at, cap - at, "-")
                  : (size_t)snprintf(out + at, cap - at, "level %zu: %u+%u",
                                     sdp->message[m->message].level, m->first_cs, m->cs_count);
    }
}

static const struct sample {
    const char *name, *summary;
} samples[] = {
    /* The printed message announces one crypto session; 7.1 would have four. */
    {"rfc4567-5.1-offer", "1 messages, mikey\n"
                          "audio/49000 secure sendrecv level 0: 1+1\n"
                          "video/52230 secure sendrecv level 0: 0+0"},
    {"rfc4567-5.2-audio-only", "1 messages, mikey\n"
                               "audio/49000 secure sendrecv level 1: 1+1\n"
                               "video/52230 sendrecv -"},
    {"rfc4567-4.1.4-three-protocols", "1 messages, mikey;keyp1;keyp2\n"
                                      "audio/39000 secure sendrecv level 0: 1+1\n"
                                      "video/42000 secure sendrecv level 0: 0+0"},
    {"rfc4567-5.4-describe", "2 messages, mikey\n"
                             "audio/0 disabled secure sendrecv level 1: 1+1\n"
                             "video/0 disabled secure sendrecv level 2: 1+1"},
    {"gstreamer-rtsp-server", "1 messages, mikey\n"
                              "video/0 disabled secure sendrecv level 1: 1+1"},
    {"onvif-camera-wrapped", "1 messages, mikey\n"
                             "video/0 disabled secure sendrecv level 0: 1+1\n"
                             "audio/0 disabled secure recvonly level 0: 0+0"},
    {"sbc-ipv6-hold", "2 messages, mikey\n"
                      "audio/16384 secure sendonly level 1: 1+1\n"
                      "video/0 disabled secure sendonly level 2: 1+1\n"
                      "image/16390 inactive -"},
    {"linphone-acap", "1 messages, mikey\n"
                      "audio/7078 sendrecv level 1: 1+1"},
    {"gateway-bundle", "1 messages, mikey\n"
                       "audio/9 secure recvonly level 0: 1+1\n"
                       "video/0 secure sendrecv level 0: 0+0\n"
                       "application/9 sendrecv -\n"
                       "audio/9 sendrecv -"},
    {"phone-2543-hold", "1 messages, mikey\n"
                        "audio/17000 secure sendonly level 0: 1+1"},
    {"both-levels", "2 messages, mikey\n"
                    "audio/30000 secure sendrecv level 1: 1+1\n"
                    "audio/30002 secure sendrecv level 0: 1+1\n"
                    "audio/30004 sendrecv -"},
    {"three-lines-six-sessions", "1 messages, mikey\n"
                                 "audio/0 disabled secure sendrecv level 0: 1+2\n"
                                 "audio/30002 secure sendrecv level 0: 3+2\n"
                                 "text/30004 secure sendrecv level 0: 5+2"},
};
#define SAMPLES (sizeof samples / sizeof samples[0])

static char *sample_text(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "sdp/%s.sdp", name);
    return support_file(path);
}

Test(sdp_media, samples_of_many_senders_are_understood)
{
    static struct description d;
    for (size_t i = 0; i < SAMPLES; i++) {
        char *text = sample_text(samples[i].name), got[1024];
        must_read(text, &d);
        summary(&d.sdp, got, sizeof got);
        cr_expect_str_eq(got, samples[i].summary, "%s:\n%s", samples[i].name, got);
        free(text);
    }
}

/* With the other line ends, and without the last one, it is the same description. */
Test(sdp_media, line_ends_make_no_difference)
{
    static struct description d;
    for (size_t i = 0; i < SAMPLES; i++) {
        char *text = sample_text(samples[i].name), other[4096], got[1024];
        size_t len = 0;
        const bool crlf = strstr(text, "\r\n") != NULL;
        for (const char *c = text; *c != '\0'; c++) {
            if (*c == '\r')
                continue;
            if (*c == '\n' && !crlf)
                other[len++] = '\r';
            other[len++] = *c;
        }
        while (len > 0 && (other[len - 1] == '\n' || other[len - 1] == '\r'))
            len--;
        other[len] = '\0';
        must_read(other, &d);
        summary(&d.sdp, got, sizeof got);
        cr_expect_str_eq(got, samples[i].summary, "%s:\n%s", samples[i].name, got);
        free(text);
    }
}

/* ---- choosing */

#define LINE(kind, port) "m=" kind " " port " RTP/SAVP 0\r\n"
#define HEAD "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\n"
/* A data byte each; 8 zeros, then #CS. */
#define MESSAGE_A "AQAAAAAAAAAE"
#define MESSAGE_B "AQAAAAAAAQAE"
#define KEY(data) "a=key-mgmt:mikey " data "\r\n"

static enum mikeyd_status choose(const char *text, size_t media, size_t *level)
{
    static struct description d;
    size_t message = 0;
    must_read(text, &d);
    enum mikeyd_status status = mikey_sdp_choose(&d.sdp, media, &message, &err);
    *level = status == MIKEYD_OK ? d.sdp.message[message].level : 99;
    return status;
}

/* RFC 4567 3.1: what stands under the medium wins. */
Test(sdp_media, media_level_wins_for_its_stream)
{
    static const char both[] =
        HEAD KEY(MESSAGE_A) LINE("audio", "1") KEY(MESSAGE_B) LINE("video", "2");
    size_t level;
    cr_assert_eq(choose(both, 1, &level), MIKEYD_OK);
    cr_assert_eq(level, 1);
    cr_assert_eq(choose(both, 2, &level), MIKEYD_OK);
    cr_assert_eq(level, 0);
    cr_assert_eq(choose(both, 0, &level), MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(err.text, "several"), "%s", err.text);
    cr_assert_eq(choose(both, 3, &level), MIKEYD_SYNTAX);
    /* Nobody is left for the session's. */
    cr_assert_eq(choose(HEAD KEY(MESSAGE_A) LINE("audio", "1") KEY(MESSAGE_B), 0, &level),
                 MIKEYD_OK);
    cr_assert_eq(level, 1);
}

/* Whatever protocol it is: the session's MIKEY is not what was offered for this medium. */
Test(sdp_media, another_protocol_under_the_medium_leaves_it_without_mikey)
{
    size_t level;
    static const char other[] = HEAD KEY(MESSAGE_A) LINE("audio", "1") "a=key-mgmt:keyp1 AAAA\r\n";
    cr_assert_eq(choose(other, 1, &level), MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(err.text, "no MIKEY message"), "%s", err.text);
}

Test(sdp_media, a_line_out_of_use_does_not_make_a_question)
{
    size_t level;
    cr_assert_eq(
        choose(HEAD LINE("audio", "0") KEY(MESSAGE_A) LINE("audio", "2") KEY(MESSAGE_B), 0, &level),
        MIKEYD_OK);
    cr_assert_eq(level, 2);
    cr_assert_eq(choose(HEAD LINE("audio", "0") KEY(MESSAGE_A) LINE("audio", "2")
                            KEY(MESSAGE_B) "a=inactive\r\n",
                        1, &level),
                 MIKEYD_OK);
    cr_assert_eq(level, 1);
}

Test(sdp_media, what_is_no_description_is_refused)
{
    static struct description d;
    static const char *const bad[] = {
        HEAD KEY(MESSAGE_A) KEY(MESSAGE_B) LINE("audio", "1"),
        HEAD "m=audio\r\n",
        HEAD "m=audio x RTP/SAVP 0\r\n",
        HEAD "m=audio 65536 RTP/SAVP 0\r\n",
        HEAD "m=audio 99999999999999999999 RTP/SAVP 0\r\n",
        HEAD "m=audio 1\r\n",
        HEAD "a=key-mgmt:mikey;keyp1 AAAA\r\n",
        HEAD "a=key-mgmt:k_p AAAA\r\n",
        HEAD "a=key-mgmt:mikey AAA!\r\n",
        "KeyMgmt: prot=a;data=\"AAAA\", prot=;data=\"AAAA\"",
        "KeyMgmt: prot=mikey;uri=\"x\";data=\"AAAA\", prot=mikey;uri=\"x\";data=\"AAAB\"",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(read_text(bad[i], &d), MIKEYD_SYNTAX, "%s", bad[i]);
    char many[8192] = HEAD;
    for (size_t i = 0; i <= MIKEY_SDP_MEDIA_MAX; i++)
        (void)strcat(many, LINE("audio", "1"));
    cr_assert_eq(read_text(many, &d), MIKEYD_SYNTAX);
    many[0] = '\0';
    for (size_t i = 0; i < 40; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "a=key-mgmt:keyp%zu AAAA\r\n", i);
        (void)strcat(many, line);
    }
    cr_assert_eq(read_text(many, &d), MIKEYD_SYNTAX);
    cr_assert_not_null(strstr(err.text, "too many"), "%s", err.text);
}

/* ---- protocols */

static void offers(const char *text, const char *protocols, bool differ)
{
    static struct description d;
    must_read(text, &d);
    cr_expect_str_eq(d.sdp.protocols, protocols, "%s", text);
    cr_expect_eq(d.sdp.protocols_differ, differ, "%s", text);
}

/*
 * RFC 4567 4.1.4. Each level's list is the one that is signed; were they joined, "keyp1;mikey"
 * could be shared out over two lines, and nobody would see that each has lost one.
 */
Test(sdp_media, the_list_of_protocols_is_that_of_every_level)
{
    static const char k1[] = "a=key-mgmt:keyp1 AAAA\r\n";
    char text[1024];
    offers(HEAD LINE("audio", "1"), "", false);
    offers(HEAD KEY(MESSAGE_A) LINE("audio", "1") KEY(MESSAGE_B), "mikey", false);
    (void)snprintf(text, sizeof text, HEAD "%s%s%s%s%s%s", LINE("audio", "1"), k1, KEY(MESSAGE_A),
                   LINE("audio", "2"), k1, KEY(MESSAGE_B));
    offers(text, "keyp1;mikey", false);
    (void)snprintf(text, sizeof text, HEAD "%s%s%s%s", LINE("audio", "1"), k1, LINE("audio", "2"),
                   KEY(MESSAGE_B));
    offers(text, "keyp1", true);
    (void)snprintf(text, sizeof text, HEAD "%s%s%s%s%s%s", LINE("audio", "1"), k1, KEY(MESSAGE_A),
                   LINE("audio", "2"), KEY(MESSAGE_B), k1);
    offers(text, "keyp1;mikey", true);
    offers("a=key-mgmt:mikey AAAA", "mikey", false);
    offers("AAAA", "mikey", false);
    offers("KeyMgmt: prot=keyp1; data=\"AAAA\", prot=mikey; data=\"AAAA\"", "keyp1;mikey", false);
}

Test(sdp_media, a_list_of_protocols_names_mikey_once)
{
    char longest[200];
    cr_expect(mikey_sdp_protocols_are_valid("mikey"));
    cr_expect(mikey_sdp_protocols_are_valid("keyp1;mikey;MIKEY"));
    static const char *const bad[] = {"",         "MIKEY",  "keyp1",       "mikey;",     ";mikey",
                                      "a;;mikey", "mikey ", "mikey;mikey", "mikey,keyp1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(mikey_sdp_protocols_are_valid(bad[i]), "%s", bad[i]);
    memset(longest, 'k', sizeof longest);
    memcpy(longest, "mikey;", 6);
    longest[MIKEY_SDP_PROTOCOLS_MAX - 1] = '\0';
    cr_expect(mikey_sdp_protocols_are_valid(longest));
    longest[MIKEY_SDP_PROTOCOLS_MAX - 1] = 'k';
    longest[MIKEY_SDP_PROTOCOLS_MAX] = '\0';
    cr_expect_not(mikey_sdp_protocols_are_valid(longest));
}

/* ---- hold and re-INVITE */

static enum mikey_sdp_change change(const char *before, const char *now, size_t media)
{
    static struct description first, second;
    if (before != NULL)
        must_read(before, &first);
    must_read(now, &second);
    return mikey_sdp_compare(before == NULL ? NULL : &first.sdp, &second.sdp, media);
}

Test(sdp_media, an_unchanged_message_is_no_new_key_whatever_else_changes)
{
    static const char talk[] = HEAD KEY(MESSAGE_A) LINE("audio", "1") LINE("video", "2");
    cr_expect_eq(change(talk, talk, 1), MIKEY_SDP_UNCHANGED);
    static const char hold[] = "v=0\no=- 1 2 IN IP4 h\ns=-\nc=IN IP4 0.0.0.0\n"
                               "a=key-mgmt:mikey " MESSAGE_A "\na=inactive\n"
                               "m=audio 5 RTP/SAVP 0\nm=video 0 RTP/SAVP 0\n";
    cr_expect_eq(change(talk, hold, 1), MIKEY_SDP_UNCHANGED);
    cr_expect_eq(change(talk, hold, 2), MIKEY_SDP_UNCHANGED);
    cr_expect_eq(change(NULL, talk, 1), MIKEY_SDP_RENEWED);
    cr_expect_eq(change(talk, HEAD KEY(MESSAGE_B) LINE("audio", "1") LINE("video", "2"), 2),
                 MIKEY_SDP_RENEWED);
}

Test(sdp_media, a_line_never_loses_its_key_or_gets_that_of_another)
{
    static const char one[] = HEAD LINE("audio", "1") KEY(MESSAGE_A);
    static const char none[] = HEAD LINE("audio", "1");
    cr_expect_eq(change(one, none, 1), MIKEY_SDP_REFUSED);
    cr_expect_eq(change(one, HEAD "m=audio 1 RTP/AVP 0\r\n", 1), MIKEY_SDP_REFUSED);
    cr_expect_eq(change(one, HEAD LINE("audio", "0"), 1), MIKEY_SDP_UNKEYED);
    cr_expect_eq(change(none, none, 1), MIKEY_SDP_UNKEYED);
    /* A second line under the message of the first. */
    cr_expect_eq(
        change(one, HEAD LINE("audio", "1") KEY(MESSAGE_A) LINE("audio", "2") KEY(MESSAGE_A), 2),
        MIKEY_SDP_REFUSED);
    cr_expect_eq(change(HEAD KEY("AQAAAAAAAAAC") LINE("audio", "1"),
                        HEAD KEY("AQAAAAAAAAAC") LINE("audio", "1") LINE("audio", "2"), 1),
                 MIKEY_SDP_REFUSED);
    cr_expect_eq(change(HEAD KEY(MESSAGE_A) LINE("audio", "1"),
                        HEAD KEY(MESSAGE_A) LINE("audio", "1") LINE("audio", "2"), 2),
                 MIKEY_SDP_REFUSED);
    cr_expect_eq(change(one, one, 2), MIKEY_SDP_UNKEYED);
}

/* A sealed message with or without RAND, as a description of one line. */
static void seal_line(struct call *call, bool update, size_t streams, char *text, size_t cap)
{
    char line[2048];
    call->init.update = update;
    call->init.stream_count = streams;
    cr_assert_eq(call_seal(call), MIKEYD_OK);
    cr_assert_leq(mikey_sdp_size(call->message_len), sizeof line);
    mikey_sdp_format(call->message, call->message_len, line);
    (void)snprintf(text, cap, HEAD "%s%s\r\n", LINE("audio", "1"), line);
}

Test(sdp_media, a_new_message_of_the_bundle_is_an_update_and_of_another_is_not,
     .init = support_init)
{
    struct call call;
    char first[4096], update[4096], shorter[4096], other[4096];
    call_make(&call, MIKEY_ALGORITHMS_256);
    seal_line(&call, false, 2, first, sizeof first);
    call.init.t++;
    seal_line(&call, true, 2, update, sizeof update);
    seal_line(&call, true, 1, shorter, sizeof shorter);
    call.init.csb_id++;
    seal_line(&call, true, 2, other, sizeof other);
    cr_expect_eq(change(first, update, 1), MIKEY_SDP_UPDATED);
    cr_expect_eq(change(update, first, 1), MIKEY_SDP_RENEWED);
    cr_expect_eq(change(first, other, 1), MIKEY_SDP_RENEWED);
    cr_expect_eq(change(first, shorter, 1), MIKEY_SDP_REFUSED);
    call_free(&call);
}

/* ---- writing */

static char *put(const char *text, const char *line, size_t media)
{
    char *out = malloc(mikey_sdp_put_size(strlen(text), strlen(line)));
    cr_assert_not_null(out);
    err = (struct error){0};
    if (mikey_sdp_put(text, strlen(text), line, media, out, &err) == MIKEYD_OK)
        return out;
    free(out);
    return NULL;
}

static void puts_into(const char *text, size_t media, const char *expected)
{
    char *out = put(text, "a=LINE", media);
    cr_assert_not_null(out, "%s: %s", text, err.text);
    cr_expect_str_eq(out, expected, "%s at %zu: %s", text, media, out);
    free(out);
}

Test(sdp_media, the_attribute_goes_to_its_level_and_nothing_else_changes)
{
    puts_into("v=0\r\nm=audio 1 x\r\na=b\r\n", 0, "v=0\r\na=LINE\r\nm=audio 1 x\r\na=b\r\n");
    puts_into("v=0\nm=audio 1 x\na=b\nm=video 2 x\n", 1,
              "v=0\nm=audio 1 x\na=b\na=LINE\nm=video 2 x\n");
    puts_into("v=0\nm=audio 1 x\nm=video 2 x", 2, "v=0\nm=audio 1 x\nm=video 2 x\na=LINE\n");
    puts_into("v=0", 0, "v=0\r\na=LINE\r\n");
    puts_into("v=0\r\nm=audio 1 x\r\n\r\n", 1, "v=0\r\nm=audio 1 x\r\na=LINE\r\n\r\n");
    /* In the place of the old one, folded or not, also of a second one. */
    puts_into("v=0\na=key-mgmt:mikey AA\nAA\na=x\na=key-mgmt:mikey AAAA\nm=audio 1 x\n", 0,
              "v=0\na=LINE\na=x\nm=audio 1 x\n");
    puts_into("v=0\na=key-mgmt:mikey AAAA\nm=audio 1 x\na=KEY-MGMT: mikey AAAA", 1,
              "v=0\na=key-mgmt:mikey AAAA\nm=audio 1 x\na=LINE\n");
    /* MIKEY first; other protocols stay. */
    puts_into("v=0\na=x\na=key-mgmt:keyp1 ??\na=y\n", 0,
              "v=0\na=x\na=LINE\na=key-mgmt:keyp1 ??\na=y\n");
    puts_into("v=0\na=key-mgmt:keyp1 ??\na=key-mgmt:mikey AAAA\na=key-mgmt:keyp2 ??", 0,
              "v=0\na=key-mgmt:keyp1 ??\na=LINE\na=key-mgmt:keyp2 ??");
    puts_into("v=0\na=acap:3 key-mgmt:mikey AAAA\n", 0, "v=0\na=acap:3 LINE\n");
    cr_expect_null(put("v=0\nm=audio 1 x\n", "a=LINE", 2));
    cr_expect_null(put("no description", "a=LINE", 0));
    cr_expect_null(put("", "a=LINE", 0));
}

Test(sdp_media, what_is_put_is_read_at_every_level_of_every_sample)
{
    static struct description d;
    const struct bytes message = support_counting(1, 99);
    char line[256];
    mikey_sdp_format(message.data, message.len, line);
    for (size_t i = 0; i < SAMPLES; i++) {
        char *text = sample_text(samples[i].name);
        must_read(text, &d);
        for (size_t media = 0; media <= d.sdp.media_count; media++) {
            char *once = put(text, line, media);
            cr_assert_not_null(once, "%s", err.text);
            char *twice = put(once, line, media);
            cr_assert_str_eq(once, twice);
            must_read(once, &d);
            size_t at = 0;
            while (at < d.sdp.message_count && d.sdp.message[at].level != media)
                at++;
            cr_assert_lt(at, d.sdp.message_count, "%s at %zu: %s", samples[i].name, media, once);
            support_equal(d.sdp.message[at].data, d.sdp.message[at].len, message.data, message.len,
                          samples[i].name);
            free(once);
            free(twice);
        }
        free(text);
    }
}

/* ---- RTSP */

Test(sdp_media, a_header_is_written_and_read)
{
    static struct description d;
    const struct bytes message = support_counting(1, 99);
    static const char uri[] = "rtsp://movie.example.com/action;a=b,c";
    char header[512];
    for (int with = 0; with < 2; with++) {
        cr_assert_leq(mikey_rtsp_size(message.len, with ? uri : NULL), sizeof header);
        cr_assert_eq(mikey_rtsp_format(message.data, message.len, with ? uri : NULL, header, &err),
                     MIKEYD_OK);
        cr_assert_eq(strlen(header) + 1, mikey_rtsp_size(message.len, with ? uri : NULL));
        must_read(header, &d);
        cr_assert_eq(d.sdp.message_count, 1);
        cr_assert_eq(d.sdp.message[0].uri.len, with ? strlen(uri) : 0);
        if (with)
            cr_assert_arr_eq(d.sdp.message[0].uri.at, uri, strlen(uri));
        support_equal(d.sdp.message[0].data, d.sdp.message[0].len, message.data, message.len, uri);
    }
    static const char *const bad[] = {
        "rtsp://x\r\nEvil: 1", "a\"; data=\"b", "a\"b", "a b", "a\x7f", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(mikey_rtsp_format(message.data, 3, bad[i], header, &err),
                     MIKEYD_INVALID_ARGUMENT, "%s", bad[i]);
}

/* RFC 4567 4.2: one for each context. */
Test(sdp_media, a_header_has_a_message_for_each_uri)
{
    static struct description d;
    must_read("KeyMgmt: prot=mikey; uri=\"rtsp://x/audio\"; data=\"AQIDBA==\",\r\n"
              " prot=mikey; data=\"AQIDBQ==\"; uri=\"rtsp://x/video\"\r\n",
              &d);
    cr_assert_eq(d.sdp.message_count, 2);
    cr_assert_eq(d.sdp.message[1].data[3], 5);
    cr_assert_arr_eq(d.sdp.message[1].uri.at, "rtsp://x/video", 14);
    cr_assert_str_eq(d.sdp.protocols, "mikey", "named twice, offered once");
    size_t message;
    cr_assert_eq(mikey_sdp_choose(&d.sdp, 0, &message, &err), MIKEYD_SYNTAX);
}
