/*
 * gst-end: keys of mikeyd straight into GStreamer's SRTP elements, srtpenc and srtpdec.
 *
 *   mikeyctl --json exchange confirm ... | gst-end send CS PORT FILE BYTES      A-law of FILE as SRTP to this host's PORT
 *   mikeyctl --json exchange respond ... | gst-end receive CS PORT FILE BYTES   media into FILE, until so many came
 *
 * The key of crypto session CS comes from standard input. It is set as a property of the element, so it stands in no
 * argument list (gst-launch-1.0 and ffmpeg want it there, where every user of the machine can read it) and in no file.
 */
#include <gst/gst.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_MAX (32 + 14)
#define JSON_MAX 65536
#define WAIT_S 20

struct end {
    guint8 key[KEY_MAX]; /* master key and salt, as srtpenc and srtpdec take them */
    gsize key_len;
    guint32 ssrc, roc;
    const char *cipher, *auth;
    gulong wanted, got; /* bytes of media */
    GMainLoop *loop;
    bool failed;
};

/* ---- the key */

static bool read_hex(json_t *key, const char *name, struct end *end)
{
    const char *text = json_string_value(json_object_get(key, name));
    size_t len = text != NULL ? strlen(text) / 2 : 0;
    if (len == 0 || end->key_len + len > KEY_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        end->key[end->key_len++] = (guint8)strtoul(digits, NULL, 16);
    }
    return true;
}

static bool set_suite(const char *suite, struct end *end)
{
    static const char *const known[][3] = {
        {"AES_CM_128_HMAC_SHA1_80", "aes-128-icm", "hmac-sha1-80"},
        {"AES_256_CM_HMAC_SHA1_80", "aes-256-icm", "hmac-sha1-80"},
        {"AEAD_AES_128_GCM", "aes-128-gcm", "null"}, /* the cipher has the tag */
        {"AEAD_AES_256_GCM", "aes-256-gcm", "null"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (suite != NULL && strcmp(known[i][0], suite) == 0) {
            end->cipher = known[i][1];
            end->auth = known[i][2];
            return true;
        }
    }
    return false;
}

static bool take_key(json_t *answer, long cs, struct end *end)
{
    size_t i;
    json_t *key;
    json_array_foreach(json_object_get(answer, "keys"), i, key)
    {
        if (json_integer_value(json_object_get(key, "cs")) != cs)
            continue;
        const char *ssrc = json_string_value(json_object_get(key, "ssrc"));
        end->ssrc = ssrc != NULL ? (guint32)strtoul(ssrc, NULL, 16) : 0;
        end->roc = (guint32)json_integer_value(json_object_get(key, "roc"));
        return set_suite(json_string_value(json_object_get(key, "suite")), end) &&
               read_hex(key, "master_key", end) && read_hex(key, "master_salt", end);
    }
    return false;
}

/* jansson's copies of the text go into memory that is wiped when it is freed. */
static void *wiping_malloc(size_t len)
{
    size_t *block = malloc(sizeof(size_t) * 2 + len);
    if (block == NULL)
        return NULL;
    block[0] = len;
    return block + 2;
}

static void wiping_free(void *memory)
{
    if (memory == NULL)
        return;
    size_t *block = (size_t *)memory - 2;
    explicit_bzero(memory, block[0]);
    free(block);
}

static bool read_key(long cs, struct end *end)
{
    static char text[JSON_MAX];
    size_t len = 0;
    ssize_t n;
    while (len < sizeof text && (n = read(STDIN_FILENO, text + len, sizeof text - len)) > 0)
        len += (size_t)n;
    json_set_alloc_funcs(wiping_malloc, wiping_free);
    json_t *answer = json_loadb(text, len, 0, NULL);
    const bool found = take_key(answer, cs, end);
    json_decref(answer);
    explicit_bzero(text, sizeof text);
    if (!found)
        fprintf(stderr, "gst-end: standard input has no key for crypto session %ld\n", cs);
    return found;
}

/* The element keeps a copy; ours is wiped by main(). */
static GstBuffer *key_buffer(const struct end *end)
{
    GstBuffer *buffer = gst_buffer_new_allocate(NULL, end->key_len, NULL);
    (void)gst_buffer_fill(buffer, 0, end->key, end->key_len);
    return buffer;
}

/* ---- pipelines */

static GstElement *make_pipeline(const char *text)
{
    GError *error = NULL;
    GstElement *pipeline = gst_parse_launch(text, &error);
    if (error != NULL) {
        fprintf(stderr, "gst-end: %s\n", error->message);
        g_error_free(error);
    }
    return pipeline;
}

static GstElement *make_sender(const struct end *end, const char *port, const char *file)
{
    gchar *text = g_strdup_printf(
        "filesrc location=%s ! rawaudioparse format=alaw sample-rate=8000 num-channels=1 ! "
        "rtppcmapay ssrc=%u max-ptime=20000000 ! srtpenc name=srtp ! "
        "udpsink host=127.0.0.1 port=%s",
        file, end->ssrc, port);
    GstElement *pipeline = make_pipeline(text);
    g_free(text);
    if (pipeline == NULL)
        return NULL;
    GstElement *srtp = gst_bin_get_by_name(GST_BIN(pipeline), "srtp");
    GstBuffer *key = key_buffer(end);
    g_object_set(srtp, "key", key, NULL);
    gst_util_set_object_arg(G_OBJECT(srtp), "rtp-cipher", end->cipher);
    gst_util_set_object_arg(G_OBJECT(srtp), "rtp-auth", end->auth);
    gst_util_set_object_arg(G_OBJECT(srtp), "rtcp-cipher", end->cipher);
    gst_util_set_object_arg(G_OBJECT(srtp), "rtcp-auth", end->auth);
    gst_buffer_unref(key);
    gst_object_unref(srtp);
    return pipeline;
}

/* srtpdec asks for the key of each SSRC; for another one than mikeyd named there is none. */
static GstCaps *give_key(GstElement *srtp, guint ssrc, gpointer user)
{
    (void)srtp;
    const struct end *end = user;
    if (ssrc != end->ssrc)
        return NULL;
    GstBuffer *key = key_buffer(end);
    GstCaps *caps = gst_caps_new_simple(
        "application/x-srtp", "srtp-key", GST_TYPE_BUFFER, key, "srtp-cipher", G_TYPE_STRING,
        end->cipher, "srtp-auth", G_TYPE_STRING, end->auth, "srtcp-cipher", G_TYPE_STRING,
        end->cipher, "srtcp-auth", G_TYPE_STRING, end->auth, "roc", G_TYPE_UINT, end->roc, NULL);
    gst_buffer_unref(key);
    return caps;
}

static GstPadProbeReturn count(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
    (void)pad;
    struct end *end = user;
    end->got += gst_buffer_get_size(GST_PAD_PROBE_INFO_BUFFER(info));
    return GST_PAD_PROBE_OK;
}

static gboolean look(gpointer user)
{
    static int looks;
    struct end *end = user;
    if (end->got >= end->wanted || ++looks > WAIT_S * 10)
        g_main_loop_quit(end->loop);
    return G_SOURCE_CONTINUE;
}

static GstElement *make_receiver(struct end *end, const char *port, const char *file)
{
    gchar *text = g_strdup_printf(
        "udpsrc address=127.0.0.1 port=%s caps=\"application/x-srtp,media=audio,clock-rate=8000,"
        "encoding-name=PCMA,payload=8\" ! srtpdec name=srtp ! rtppcmadepay name=media ! "
        "filesink location=%s sync=false buffer-mode=unbuffered",
        port, file);
    GstElement *pipeline = make_pipeline(text);
    g_free(text);
    if (pipeline == NULL)
        return NULL;
    GstElement *srtp = gst_bin_get_by_name(GST_BIN(pipeline), "srtp");
    GstElement *media = gst_bin_get_by_name(GST_BIN(pipeline), "media");
    GstPad *pad = gst_element_get_static_pad(media, "src");
    (void)g_signal_connect(srtp, "request-key", G_CALLBACK(give_key), end);
    (void)gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, count, end, NULL);
    (void)g_timeout_add(100, look, end);
    gst_object_unref(pad);
    gst_object_unref(media);
    gst_object_unref(srtp);
    return pipeline;
}

static gboolean on_message(GstBus *bus, GstMessage *message, gpointer user)
{
    (void)bus;
    struct end *end = user;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        GError *error = NULL;
        gst_message_parse_error(message, &error, NULL);
        fprintf(stderr, "gst-end: %s\n", error->message);
        g_error_free(error);
        end->failed = true;
    }
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS || end->failed)
        g_main_loop_quit(end->loop);
    return G_SOURCE_CONTINUE;
}

static void run(struct end *end, GstElement *pipeline)
{
    GstBus *bus = gst_element_get_bus(pipeline);
    end->loop = g_main_loop_new(NULL, FALSE);
    (void)gst_bus_add_watch(bus, on_message, end);
    (void)gst_element_set_state(pipeline, GST_STATE_PLAYING);
    g_main_loop_run(end->loop);
    (void)gst_element_set_state(pipeline, GST_STATE_NULL);
    (void)gst_bus_remove_watch(bus);
    gst_object_unref(bus);
    g_main_loop_unref(end->loop);
    gst_object_unref(pipeline);
}

int main(int argc, char **argv)
{
    static struct end end;
    if (argc != 6 || (strcmp(argv[1], "send") != 0 && strcmp(argv[1], "receive") != 0)) {
        fprintf(
            stderr,
            "usage: gst-end send CS PORT FILE BYTES | receive CS PORT FILE BYTES < keys.json\n");
        return 1;
    }
    const bool receives = strcmp(argv[1], "receive") == 0;
    end.wanted = strtoul(argv[5], NULL, 10);
    gst_init(NULL, NULL);
    GstElement *pipeline = NULL;
    if (read_key(strtol(argv[2], NULL, 10), &end))
        pipeline =
            receives ? make_receiver(&end, argv[3], argv[4]) : make_sender(&end, argv[3], argv[4]);
    if (pipeline != NULL)
        run(&end, pipeline);
    explicit_bzero(end.key, sizeof end.key);
    return pipeline != NULL && !end.failed && (!receives || end.got == end.wanted) ? 0 : 1;
}
