/* mikeyd/sdp.h: the engine's SDP text as objects that a program can keep. */
#include <mikeyd/sdp.h>

#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"
#include "mikey/sdp.h"

/* What was read, and the same as the public structures have it. */
struct mikeyd_sdp {
    struct mikey_sdp read;
    struct mikeyd_sdp_message messages[MIKEY_SDP_MESSAGES_MAX];
    struct mikeyd_sdp_media media[MIKEY_SDP_MEDIA_MAX];
    char *texts;     /* those of the arrays, each with its terminator */
    char *text;      /* the description */
    uint8_t bytes[]; /* the messages */
};

static enum mikeyd_status out_of_memory(struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "out of memory");
}

/* ---- reading */

static const char *keep_text(char **at, struct mikey_sdp_text text)
{
    char *kept = *at;
    if (text.len != 0)
        memcpy(kept, text.at, text.len);
    kept[text.len] = '\0';
    *at += text.len + 1;
    return kept;
}

static size_t texts_size(const struct mikey_sdp *read)
{
    size_t size = 0;
    for (size_t i = 0; i < read->message_count; i++)
        size += read->message[i].uri.len + 1;
    for (size_t i = 0; i < read->media_count; i++)
        size += read->media[i].kind.len + 1 + read->media[i].profile.len + 1;
    return size;
}

static void show(mikeyd_sdp *sdp)
{
    char *at = sdp->texts;
    for (size_t i = 0; i < sdp->read.message_count; i++) {
        const struct mikey_sdp_message *message = &sdp->read.message[i];
        sdp->messages[i] = (struct mikeyd_sdp_message){.data = message->data,
                                                       .len = message->len,
                                                       .level = message->level,
                                                       .uri = keep_text(&at, message->uri)};
    }
    for (size_t i = 0; i < sdp->read.media_count; i++) {
        const struct mikey_sdp_media *media = &sdp->read.media[i];
        sdp->media[i] =
            (struct mikeyd_sdp_media){.kind = keep_text(&at, media->kind),
                                      .profile = keep_text(&at, media->profile),
                                      .port = media->port,
                                      .direction = (enum mikeyd_sdp_direction)media->direction,
                                      .disabled = media->disabled,
                                      .secure = media->secure,
                                      .message = media->message,
                                      .first_cs = media->first_cs,
                                      .cs_count = media->cs_count};
    }
}

static enum mikeyd_status read_into(mikeyd_sdp *sdp, const char *text, size_t len,
                                    struct error *err)
{
    sdp->text = malloc(len + 1);
    if (sdp->text == NULL)
        return out_of_memory(err);
    memcpy(sdp->text, text, len);
    enum mikeyd_status status = mikey_sdp_read(sdp->text, len, sdp->bytes, &sdp->read, err);
    if (status != MIKEYD_OK)
        return status;
    sdp->texts = malloc(texts_size(&sdp->read) + 1);
    if (sdp->texts == NULL)
        return out_of_memory(err);
    show(sdp);
    return MIKEYD_OK;
}

enum mikeyd_status mikeyd_sdp_read(const char *text, size_t len, mikeyd_sdp **out)
{
    struct error err = {0};
    if (text == NULL || len == 0 || out == NULL)
        return client_report(
            &err, error_set(&err, MIKEYD_INVALID_ARGUMENT, "the text or the result is missing"));
    *out = NULL;
    mikeyd_sdp *sdp = calloc(1, sizeof *sdp + len);
    enum mikeyd_status status = sdp == NULL ? out_of_memory(&err) : read_into(sdp, text, len, &err);
    if (status == MIKEYD_OK)
        *out = sdp;
    else
        mikeyd_sdp_free(sdp);
    return client_report(&err, status);
}

void mikeyd_sdp_free(mikeyd_sdp *sdp)
{
    if (sdp == NULL)
        return;
    free(sdp->texts);
    free(sdp->text);
    free(sdp);
}

size_t mikeyd_sdp_messages(const mikeyd_sdp *sdp, const struct mikeyd_sdp_message **messages)
{
    if (messages != NULL)
        *messages = sdp->messages;
    return sdp->read.message_count;
}

size_t mikeyd_sdp_media_lines(const mikeyd_sdp *sdp, const struct mikeyd_sdp_media **lines)
{
    if (lines != NULL)
        *lines = sdp->media;
    return sdp->read.media_count;
}

const char *mikeyd_sdp_protocols(const mikeyd_sdp *sdp)
{
    return sdp->read.protocols_differ ? NULL : sdp->read.protocols;
}

enum mikeyd_sdp_change mikeyd_sdp_compare(const mikeyd_sdp *before, const mikeyd_sdp *now,
                                          size_t media)
{
    return (enum mikeyd_sdp_change)mikey_sdp_compare(before == NULL ? NULL : &before->read,
                                                     &now->read, media);
}

/* ---- writing */

static enum mikeyd_status put(const char *sdp, size_t len, const char *line, size_t media,
                              char **out, struct error *err)
{
    char *text = malloc(mikey_sdp_put_size(len, strlen(line)));
    if (text == NULL)
        return out_of_memory(err);
    enum mikeyd_status status = mikey_sdp_put(sdp, len, line, media, text, err);
    if (status == MIKEYD_OK)
        *out = text;
    else
        free(text);
    return status;
}

static enum mikeyd_status no_message(struct error *err)
{
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "the exchange has no message to send");
}

enum mikeyd_status mikeyd_sdp_put(const char *sdp, size_t len, const mikeyd_exchange *exchange,
                                  size_t media, char **out)
{
    struct error err = {0};
    if (sdp == NULL || exchange == NULL || out == NULL)
        return client_report(&err, error_set(&err, MIKEYD_INVALID_ARGUMENT,
                                             "the description, exchange or result is missing"));
    *out = NULL;
    const char *line = mikeyd_exchange_sdp(exchange);
    return client_report(&err,
                         line == NULL ? no_message(&err) : put(sdp, len, line, media, out, &err));
}

static enum mikeyd_status protocols_of(const char *text, char **out, struct error *err)
{
    mikeyd_sdp *read = NULL;
    enum mikeyd_status status = mikeyd_sdp_read(text, strlen(text), &read);
    if (status != MIKEYD_OK)
        return error_set(err, status, "%s", mikeyd_client_error(NULL));
    const char *protocols = mikeyd_sdp_protocols(read);
    if (protocols == NULL)
        status = error_set(err, MIKEYD_POLICY,
                           "the levels would offer different key management protocols, which no "
                           "list protects (RFC 4567 4.1.4)");
    else if ((*out = strdup(protocols)) == NULL)
        status = out_of_memory(err);
    mikeyd_sdp_free(read);
    return status;
}

enum mikeyd_status mikeyd_sdp_offer_protocols(const char *sdp, size_t len, size_t media, char **out)
{
    static const char anything[] = "a=key-mgmt:mikey AQAA";
    struct error err = {0};
    if (sdp == NULL || out == NULL)
        return client_report(&err, error_set(&err, MIKEYD_INVALID_ARGUMENT,
                                             "the description or the result is missing"));
    *out = NULL;
    char *text = NULL;
    enum mikeyd_status status = put(sdp, len, anything, media, &text, &err);
    if (status == MIKEYD_OK)
        status = protocols_of(text, out, &err);
    free(text);
    return client_report(&err, status);
}

enum mikeyd_status mikeyd_rtsp_header(const mikeyd_exchange *exchange, const char *uri, char **out)
{
    struct error err = {0};
    if (exchange == NULL || out == NULL)
        return client_report(&err, error_set(&err, MIKEYD_INVALID_ARGUMENT,
                                             "the exchange or the result is missing"));
    *out = NULL;
    size_t len;
    const uint8_t *message = mikeyd_exchange_message(exchange, &len);
    if (message == NULL)
        return client_report(&err, no_message(&err));
    char *text = malloc(mikey_rtsp_size(len, uri));
    enum mikeyd_status status =
        text == NULL ? out_of_memory(&err) : mikey_rtsp_format(message, len, uri, text, &err);
    if (status == MIKEYD_OK)
        *out = text;
    else
        free(text);
    return client_report(&err, status);
}
