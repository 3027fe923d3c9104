/* mikey_sdp_parse: any text; what it accepts can be written and read again. */
#include "fuzz.h"

#include <string.h>

#include "mikey/message.h"
#include "mikey/sdp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t message[4096], again[4096];
    size_t message_len = 0, again_len = 0;
    struct error err = {0};
    enum mikeyd_status status =
        mikey_sdp_parse((const char *)data, len, message, sizeof message, &message_len, &err);
    if (status != MIKEYD_OK) {
        PROMISE(status == MIKEYD_SYNTAX);
        return 0;
    }
    char *line = malloc(mikey_sdp_size(message_len));
    PROMISE(line != NULL);
    mikey_sdp_format(message, message_len, line);
    PROMISE(strlen(line) < mikey_sdp_size(message_len));
    PROMISE(mikey_sdp_parse(line, strlen(line), again, sizeof again, &again_len, &err) ==
            MIKEYD_OK);
    PROMISE(again_len == message_len && memcmp(again, message, message_len) == 0);
    free(line);
    return 0;
}
