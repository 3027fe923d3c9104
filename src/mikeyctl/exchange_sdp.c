#include "mikeyctl/exchange_sdp.h"

#include <stdlib.h>
#include <string.h>

#include <mikeyd/sdp.h>

#include "mikeyctl/ctl.h"

/* ---- in */

/* The message that is meant, from a description that is read in memory of its own. */
static enum mikeyd_status choose(const char *text, size_t len, size_t media, struct mikey_sdp *sdp,
                                 struct exchange_message *out, struct error *err)
{
    size_t message = 0;
    enum mikeyd_status status = mikey_sdp_read(text, len, out->data, sdp, err);
    if (status == MIKEYD_OK)
        status = mikey_sdp_choose(sdp, media, &message, err);
    if (status != MIKEYD_OK)
        return status;
    out->len = sdp->message[message].len;
    out->level = sdp->message[message].level;
    memmove(out->data, sdp->message[message].data, out->len);
    memcpy(out->protocols, sdp->protocols, sizeof out->protocols);
    out->protocols_differ = sdp->protocols_differ;
    return MIKEYD_OK;
}

static enum mikeyd_status read_text(const char *text, size_t len, size_t media,
                                    struct exchange_message *out, struct error *err)
{
    struct mikey_sdp *sdp = malloc(sizeof *sdp);
    out->data = malloc(len);
    enum mikeyd_status status = sdp == NULL || out->data == NULL
                                    ? error_set(err, MIKEYD_INTERNAL, "out of memory")
                                    : choose(text, len, media, sdp, out, err);
    free(sdp);
    return status;
}

enum mikeyd_status exchange_message_read(const char *argument, size_t media,
                                         struct exchange_message *out, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = (struct exchange_message){0};
    enum mikeyd_status status = ctl_argument_text(argument, &text, &len, err);
    if (status != MIKEYD_OK)
        return status;
    if (ctl_is_hexadecimal(text, len))
        status = ctl_decode_hexadecimal(text, len, &out->data, &out->len, err);
    else
        status = read_text(text, len, media, out, err);
    free(text);
    return status;
}

void exchange_message_clear(struct exchange_message *message)
{
    free(message->data);
    message->data = NULL;
}

/* ---- out */

/* The library's sentence, for it alone knows what was wrong. */
static enum mikeyd_status of_library(enum mikeyd_status status, struct error *err)
{
    return status == MIKEYD_OK ? status : error_set(err, status, "%s", mikeyd_client_error(NULL));
}

static enum mikeyd_status read_into(const struct exchange_place *place, char **text, size_t *len,
                                    struct error *err)
{
    enum mikeyd_status status = ctl_argument_text(place->into, text, len, err);
    if (status != MIKEYD_OK)
        error_prefix(err, "--into");
    return status;
}

enum mikeyd_status exchange_place_protocols(const struct exchange_place *place, char **out,
                                            struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    if (place->into == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = read_into(place, &text, &len, err);
    if (status == MIKEYD_OK)
        status = of_library(mikeyd_sdp_offer_protocols(text, len, place->media, out), err);
    free(text);
    return status;
}

static enum mikeyd_status write_description(const struct exchange_place *place,
                                            const mikeyd_exchange *exchange, char **out,
                                            struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    enum mikeyd_status status = read_into(place, &text, &len, err);
    if (status == MIKEYD_OK)
        status = of_library(mikeyd_sdp_put(text, len, exchange, place->media, out), err);
    free(text);
    return status;
}

enum mikeyd_status exchange_place_write(const struct exchange_place *place, bool sdp,
                                        const mikeyd_exchange *exchange, char **description,
                                        char **header, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    *description = *header = NULL;
    const char *line = mikeyd_exchange_sdp(exchange);
    if (line == NULL)
        return MIKEYD_OK;
    if (place->into != NULL)
        status = write_description(place, exchange, description, err);
    else if (sdp && (*description = strdup(line)) == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK && place->uri != NULL)
        status = of_library(mikeyd_rtsp_header(exchange, place->uri, header), err);
    return status;
}
