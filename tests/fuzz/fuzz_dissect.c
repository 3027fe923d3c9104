/* mikey_dissect: any bytes give an object, and it never calls valid what the parser refuses. */
#include "fuzz.h"
#include "mutate.h"

#include "mikey/dissect.h"
#include "mikey/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct mikey_message m;
    json_t *dissection = mikey_dissect(data, len);
    PROMISE(dissection != NULL);
    bool valid = json_is_true(json_object_get(dissection, "valid"));
    if (len >= 2 && mikey_is_read(data[1]))
        PROMISE(valid == (mikey_parse(data, len, &m, NULL, NULL) == MIKEYD_OK));
    char *text = json_dumps(dissection, 0);
    PROMISE(text != NULL);
    free(text);
    json_decref(dissection);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_mikey(data, size, max, &dice);
}
