/*
 * The door between front and keyholder, both directions: any bytes are refused as SYNTAX or read,
 * and what was read is written back as the same bytes. What is read points into the message.
 */
#include "fuzz.h"

#include <string.h>

#include "keys/door.h"
#include "mutate.h"

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

/* ---- requests and answers that stay well formed: one field of what was read is another one */

static uint32_t number(struct dice *dice)
{
    static const uint32_t edges[] = {0, 1, 2, 16, 32, 255, 256, 65535, 999999999, UINT32_MAX};
    return edges[dice_roll(dice, sizeof edges / sizeof edges[0])];
}

static void change_derivation(struct mikey_derivation *what, struct dice *dice)
{
    what->prf = (enum mikey_prf)dice_roll(dice, 2);
    what->csb_id = number(dice);
    what->encryption = (uint8_t)dice_roll(dice, 4);
    what->mac = (uint8_t)(1 + dice_roll(dice, 2));
    if (dice_roll(dice, 2) == 0 && what->rand_len > 16)
        what->rand_len--;
}

static void change_name(struct keys_name *name, struct dice *dice)
{
    name->kind = dice_roll(dice, 2) == 0 ? KEYS_PSK : KEYS_EPSK;
    name->generation = 1 + number(dice) % 999999999;
    name->algorithms = (enum mikey_algorithms)dice_roll(dice, 2);
    name->how = dice_roll(dice, 8);
    if (name->initiator.len > 1)
        name->initiator.len--;
}

static void change_request(struct door_request *r, struct dice *dice)
{
    r->id = number(dice);
    switch (r->op) {
    case DOOR_SEAL:
        change_derivation(&r->seal.what, dice);
        r->seal.plain_len -= r->seal.plain_len != 0 && dice_roll(dice, 2) == 0;
        break;
    case DOOR_OPEN:
        change_derivation(&r->open.what, dice);
        r->open.encrypted_at = dice_roll(dice, (uint32_t)r->open.covered_len + 1);
        r->open.encrypted_len = dice_roll(dice, (uint32_t)r->open.covered_len + 1);
        if (dice_roll(dice, 2) == 0)
            r->open.reply = NULL;
        break;
    case DOOR_TAG:
    case DOOR_CHECK:
        r->tag.job.what.csb_id = number(dice);
        r->tag.job.covered.parts = 1 + dice_roll(dice, (uint32_t)r->tag.job.covered.parts);
        break;
    case DOOR_TGK:
        r->tgk.len = dice_roll(dice, 2) == 0 ? 16 : 32;
        r->tgk.purpose = (enum mikey_tgk_purpose)(1 + dice_roll(dice, 2));
        break;
    case DOOR_TICKET_KEY_OF_DAY:
        r->ticket.day = number(dice);
        break;
    case DOOR_KEYS:
        r->keys.first = number(dice);
        break;
    case DOOR_PROOF_OF:
        r->proof.count = 1 + dice_roll(dice, (uint32_t)r->proof.count);
        break;
    default:
        break;
    }
    if (r->op <= DOOR_TGK || r->op == DOOR_PREPARE)
        change_name(&r->name, dice);
}

static void change_answer(struct door_answer *a, struct dice *dice)
{
    a->id = number(dice);
    if (a->status == MIKEYD_OK && dice_roll(dice, 4) == 0) {
        a->status = MIKEYD_TOKEN_DOWN;
        (void)snprintf(a->text, sizeof a->text, "the token says no");
    } else if (a->status == MIKEYD_OK && a->op == DOOR_FACTS) {
        a->facts.sessions = number(dice);
        a->facts.uses = number(dice);
        a->facts.recycle = dice_roll(dice, 2) == 0;
    } else if (a->status == MIKEYD_OK && a->op == DOOR_KEYS && a->keys.count > 0) {
        a->keys.entry[0].bits = number(dice);
        a->keys.entry[0].usable = dice_roll(dice, 2) == 0;
        a->keys.count -= dice_roll(dice, 2);
    } else if (a->status == MIKEYD_OK && a->op == DOOR_PROOF_OF && a->proof.count > 0) {
        a->proof.status[0] = dice_roll(dice, 2) == 0 ? MIKEYD_OK : MIKEYD_TOKEN_DOWN;
    } else if (a->status != MIKEYD_OK) {
        a->text[dice_roll(dice, 20)] = (char)(' ' + dice_roll(dice, 95));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static struct door_request read;
    static struct door_answer told;
    static struct keys_entry page[DOOR_KEYS_PER_PAGE];
    struct dice dice = dice_of(seed);
    struct byte_writer out = writer_of(again, max < sizeof again ? max : sizeof again);
    enum mikeyd_status status = MIKEYD_SYNTAX;
    if (dice_roll(&dice, 3) == 0)
        return LLVMFuzzerMutate(data, size, max);
    if (door_read_request(data, size, &read, NULL) == MIKEYD_OK) {
        change_request(&read, &dice);
        status = door_write_request(&read, &out, NULL);
    } else if (door_read_answer(data, size, page, &told, NULL) == MIKEYD_OK) {
        change_answer(&told, &dice);
        status = door_write_answer(&told, &out, NULL);
    }
    if (status != MIKEYD_OK || out.failed)
        return LLVMFuzzerMutate(data, size, max);
    memcpy(data, out.data, out.len);
    return out.len;
}
