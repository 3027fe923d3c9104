/* mikey_sdp_*: any text; what is accepted can be written and read again, at each of its levels. */
#include "fuzz.h"

#include <string.h>

#include "mikey/message.h"
#include "mikey/sdp.h"
#include "mutate.h"

static void round_trip(const uint8_t *message, size_t len)
{
    static uint8_t again[4096];
    size_t again_len = 0;
    struct error err = {0};
    char *line = malloc(mikey_sdp_size(len));
    PROMISE(line != NULL);
    mikey_sdp_format(message, len, line);
    PROMISE(strlen(line) < mikey_sdp_size(len));
    PROMISE(mikey_sdp_parse(line, strlen(line), again, sizeof again, &again_len, &err) ==
            MIKEYD_OK);
    PROMISE(again_len == len && memcmp(again, message, len) == 0);
    free(line);
    char *header = malloc(mikey_rtsp_size(len, "rtsp://x/y"));
    PROMISE(header != NULL);
    PROMISE(mikey_rtsp_format(message, len, "rtsp://x/y", header, &err) == MIKEYD_OK);
    PROMISE(mikey_sdp_parse(header, strlen(header), again, sizeof again, &again_len, &err) ==
            MIKEYD_OK);
    PROMISE(again_len == len && memcmp(again, message, len) == 0);
    free(header);
}

/* A line that was put is the level's message; a level that there is none of is refused. */
static void put(const char *text, size_t len, const struct mikey_sdp *sdp, size_t media)
{
    static const char line[] = "a=key-mgmt:mikey AQID";
    struct error err = {0};
    const size_t size = mikey_sdp_put_size(len, sizeof line - 1);
    char *out = malloc(size);
    uint8_t *bytes = malloc(size);
    struct mikey_sdp *again = malloc(sizeof *again);
    PROMISE(out != NULL && bytes != NULL && again != NULL);
    if (mikey_sdp_put(text, len, line, media, out, &err) == MIKEYD_OK) {
        PROMISE(media <= sdp->media_count && memchr(out, '\0', size) != NULL);
        /* The text may hold a NUL of its own. */
        size_t found = 0;
        if (memchr(text, '\0', len) == NULL &&
            mikey_sdp_read(out, strlen(out), bytes, again, &err) == MIKEYD_OK) {
            while (found < again->message_count && again->message[found].level != media)
                found++;
            PROMISE(found < again->message_count);
            PROMISE(again->message[found].len == 3);
            PROMISE(again->media_count == sdp->media_count);
        }
    } else {
        PROMISE(media > sdp->media_count || err.status == MIKEYD_INVALID_ARGUMENT);
    }
    free(out);
    free(bytes);
    free(again);
}

static void check(const char *text, size_t len, const uint8_t *bytes, const struct mikey_sdp *sdp)
{
    struct error err = {0};
    PROMISE(sdp->media_count <= MIKEY_SDP_MEDIA_MAX);
    PROMISE(sdp->message_count <= MIKEY_SDP_MESSAGES_MAX);
    PROMISE(memchr(sdp->protocols, '\0', sizeof sdp->protocols) != NULL);
    for (size_t i = 0; i < sdp->message_count; i++) {
        const struct mikey_sdp_message *message = &sdp->message[i];
        PROMISE(message->data >= bytes && message->data + message->len <= bytes + len);
        PROMISE(message->level <= sdp->media_count);
    }
    for (size_t media = 0; media <= sdp->media_count + 1; media++) {
        size_t chosen = 0;
        if (mikey_sdp_choose(sdp, media, &chosen, &err) == MIKEYD_OK)
            PROMISE(chosen < sdp->message_count);
        const enum mikey_sdp_change same = mikey_sdp_compare(sdp, sdp, media);
        PROMISE(same == MIKEY_SDP_UNCHANGED || same == MIKEY_SDP_UNKEYED);
        PROMISE(mikey_sdp_compare(NULL, sdp, media) != MIKEY_SDP_UNCHANGED);
        put(text, len, sdp, media);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t message[4096];
    static struct mikey_sdp sdp;
    size_t message_len = 0;
    struct error err = {0};
    const char *text = (const char *)data;
    uint8_t *bytes = malloc(len + 1); /* of its own, so that no byte too many goes unseen */
    PROMISE(bytes != NULL);
    enum mikeyd_status status = mikey_sdp_read(text, len, bytes, &sdp, &err);
    PROMISE(status == MIKEYD_OK || status == MIKEYD_SYNTAX);
    if (status == MIKEYD_OK)
        check(text, len, bytes, &sdp);
    free(bytes);
    if (mikey_sdp_parse(text, len, message, sizeof message, &message_len, &err) == MIKEYD_OK)
        round_trip(message, message_len);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_lines(data, size, max, &dice);
}
