/*
 * The door between front and keyholder, both directions: any bytes are refused as SYNTAX or read,
 * and what was read is written back as the same bytes. What is read points into the message.
 */
#include "fuzz.h"

#include <string.h>

#include "keys/door.h"

static uint8_t again[DOOR_MESSAGE_MAX];

static void same(const struct byte_writer *written, const uint8_t *data, size_t len)
{
    PROMISE(!written->failed && written->len == len && memcmp(written->data, data, len) == 0);
}

static void request(const uint8_t *data, size_t len)
{
    static struct door_request read;
    struct error err = {0};
    enum mikeyd_status status = door_read_request(data, len, &read, &err);
    PROMISE(status == MIKEYD_OK || status == MIKEYD_SYNTAX);
    if (status != MIKEYD_OK)
        return;
    struct byte_writer out = writer_of(again, sizeof again);
    PROMISE(door_write_request(&read, &out, &err) == MIKEYD_OK);
    same(&out, data, len);
}

static void answer(const uint8_t *data, size_t len, struct keys_entry *page)
{
    static struct door_answer read;
    struct error err = {0};
    enum mikeyd_status status = door_read_answer(data, len, page, &read, &err);
    PROMISE(status == MIKEYD_OK || status == MIKEYD_SYNTAX);
    if (status != MIKEYD_OK)
        return;
    PROMISE(page != NULL || read.status != MIKEYD_OK || read.op != DOOR_KEYS ||
            read.keys.count == 0);
    struct byte_writer out = writer_of(again, sizeof again);
    PROMISE(door_write_answer(&read, &out, &err) == MIKEYD_OK);
    same(&out, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct keys_entry page[DOOR_KEYS_PER_PAGE];
    request(data, len);
    answer(data, len, page);
    answer(data, len, NULL);
    return 0;
}
