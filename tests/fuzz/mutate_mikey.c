/* MIKEY messages taken apart into payloads, changed, and put together again (RFC 3830 6). */
#include <string.h>

#include "mikey/wire.h"
#include "mutate.h"

#define PARTS_MAX 40
#define BODY_MAX 1536
#define HEAD_MAX (MIKEY_HEADER_MIN + 9 * 255)

struct part {
    uint8_t type;
    size_t len;
    uint8_t body[BODY_MAX]; /* without its next payload */
};

static struct part parts[PARTS_MAX];
static size_t part_count;
static uint8_t head[HEAD_MAX];
static size_t head_len;

static size_t mac_len(uint8_t algorithm)
{
    return algorithm == MIKEY_MAC_SHA1 ? 20 : algorithm == MIKEY_MAC_SHA256 ? 32 : 0;
}

/* Where the length of a payload stands in its body, and of how many bytes it is; 0: it has none. */
static size_t length_field(uint8_t type, size_t *at)
{
    static const uint8_t places[][2] = {[MIKEY_PAYLOAD_KEMAC] = {1, 2},
                                        [MIKEY_PAYLOAD_ID] = {1, 2},
                                        [MIKEY_PAYLOAD_SP] = {2, 2},
                                        [MIKEY_PAYLOAD_RAND] = {0, 1},
                                        [MIKEY_PAYLOAD_EXTENSION] = {1, 2}};
    if (type >= sizeof places / sizeof places[0])
        return 0;
    *at = places[type][0];
    return places[type][1];
}

/* How long the body of a payload is that begins at r; 0 when it cannot be told. */
static size_t body_len(uint8_t type, struct byte_reader r)
{
    size_t at = 0, wide = length_field(type, &at), len = 0;
    const uint8_t *body = r.data + r.at;
    const size_t left = reader_left(&r);
    if (wide != 0) {
        (void)reader_bytes(&r, at);
        len = wide == 1 ? reader_u8(&r) : reader_u16(&r);
        len += at + wide;
        if (type == MIKEY_PAYLOAD_KEMAC && !r.failed && len < left)
            len += 1 + mac_len(body[len]);
    } else if (left == 0) {
        return 0;
    } else if (type == MIKEY_PAYLOAD_T) {
        len = body[0] >= MIKEY_TS_COUNTER ? 5 : 9;
    } else if (type == MIKEY_PAYLOAD_V) {
        len = 1 + mac_len(body[0]);
    } else if (type == MIKEY_PAYLOAD_ERR) {
        len = 3;
    } else if (type == MIKEY_PAYLOAD_DH) {
        len = 2 + mikey_dh_len(body[0]);
        if (len <= left && (body[len - 1] & 0x0F) == MIKEY_KV_SPI)
            len += len < left ? 1u + body[len] : 1;
    }
    return r.failed || len > left || len > BODY_MAX ? 0 : len;
}

static bool take_apart(const uint8_t *data, size_t size)
{
    struct byte_reader r = reader_of(data, size);
    if (size < MIKEY_HEADER_MIN)
        return false;
    head_len = MIKEY_HEADER_MIN + (data[9] == MIKEY_MAP_SRTP ? 9u * data[8] : 0);
    if (head_len > size)
        return false;
    memcpy(head, data, head_len);
    (void)reader_bytes(&r, head_len);
    uint8_t next = data[2];
    for (part_count = 0; next != MIKEY_PAYLOAD_LAST; part_count++) {
        struct part *part = &parts[part_count];
        if (part_count == PARTS_MAX - 2)
            return false;
        part->type = next;
        next = reader_u8(&r);
        part->len = r.failed ? 0 : body_len(part->type, r);
        if (part->len == 0)
            return false;
        memcpy(part->body, r.data + r.at, part->len);
        (void)reader_bytes(&r, part->len);
    }
    return true;
}

/* The MAC ends a message (RFC 3830 6.2, 6.9). */
static void mac_to_the_end(void)
{
    static struct part mac;
    for (size_t i = 0; i + 1 < part_count; i++) {
        if (parts[i].type != MIKEY_PAYLOAD_KEMAC && parts[i].type != MIKEY_PAYLOAD_V)
            continue;
        mac = parts[i];
        memmove(&parts[i], &parts[i + 1], (part_count - i - 1) * sizeof parts[0]);
        parts[part_count - 1] = mac;
        return;
    }
}

static size_t put_together(uint8_t *data, size_t size, size_t max)
{
    size_t all = head_len;
    for (size_t i = 0; i < part_count; i++)
        all += 1 + parts[i].len;
    if (all > max)
        return size;
    head[2] = part_count == 0 ? MIKEY_PAYLOAD_LAST : parts[0].type;
    memcpy(data, head, head_len);
    size_t at = head_len;
    for (size_t i = 0; i < part_count; i++) {
        data[at++] = i + 1 < part_count ? parts[i + 1].type : MIKEY_PAYLOAD_LAST;
        memcpy(data + at, parts[i].body, parts[i].len);
        at += parts[i].len;
    }
    return at;
}

/* ---- changes */

static void change_head(struct dice *dice)
{
    static const uint8_t types[] = {0, 1, 6, 7, 8};
    const size_t sessions = (head_len - MIKEY_HEADER_MIN) / 9;
    switch (dice_roll(dice, 6)) {
    case 0:
        head[1] = types[dice_roll(dice, sizeof types)];
        break;
    case 1: /* V, PRF func */
        head[3] = (uint8_t)(dice_roll(dice, 2) << 7 | dice_roll(dice, 3));
        break;
    case 2:
        if (sessions > 0 && head[9] == MIKEY_MAP_SRTP) {
            head_len -= 9;
            head[8]--;
        }
        break;
    case 3:
        if (sessions > 0 && sessions < 255 && head[9] == MIKEY_MAP_SRTP) {
            memcpy(head + head_len, head + MIKEY_HEADER_MIN, 9);
            head_len += 9;
            head[8]++;
        }
        break;
    case 4:
        head[9] = (uint8_t)dice_roll(dice, 3);
        if (head[9] != MIKEY_MAP_SRTP)
            head_len = MIKEY_HEADER_MIN;
        else
            head[8] = (uint8_t)sessions;
        break;
    default:
        if (sessions > 0)
            (void)LLVMFuzzerMutate(head + MIKEY_HEADER_MIN, head_len - MIKEY_HEADER_MIN,
                                   head_len - MIKEY_HEADER_MIN);
    }
}

/* Of the parts after the length: mutated, and the length says so. */
static void change_body(struct part *part)
{
    size_t at = 0;
    const size_t wide = length_field(part->type, &at), begin = wide == 0 ? 0 : at + wide;
    size_t end = part->len;
    if (wide == 0 || part->type == MIKEY_PAYLOAD_KEMAC) {
        (void)LLVMFuzzerMutate(part->body, part->len, part->len);
        return;
    }
    const size_t most = wide == 1 ? 255 : BODY_MAX - begin;
    end = begin + LLVMFuzzerMutate(part->body + begin, end - begin, most);
    part->len = end;
    if (wide == 2)
        part->body[at] = (uint8_t)((end - begin) >> 8);
    part->body[at + wide - 1] = (uint8_t)(end - begin);
}

static void insert(size_t at, uint8_t type, struct dice *dice)
{
    static const uint8_t types[] = {MIKEY_PAYLOAD_T,  MIKEY_PAYLOAD_ID,       MIKEY_PAYLOAD_SP,
                                    MIKEY_PAYLOAD_DH, MIKEY_PAYLOAD_ERR,      MIKEY_PAYLOAD_RAND,
                                    MIKEY_PAYLOAD_V,  MIKEY_PAYLOAD_EXTENSION};
    static const uint8_t groups[] = {MIKEY_GROUP_X25519, MIKEY_GROUP_OAKLEY_5};
    struct part *part = &parts[at];
    memmove(part + 1, part, (part_count - at) * sizeof *part);
    part_count++;
    memset(part, 0, sizeof *part);
    part->type = type != 0 ? type : types[dice_roll(dice, sizeof types)];
    size_t where = 0;
    const size_t wide = length_field(part->type, &where);
    part->body[0] =
        part->type == MIKEY_PAYLOAD_DH ? groups[dice_roll(dice, 2)] : (uint8_t)dice_roll(dice, 3);
    if (wide != 0) {
        const size_t len = 16 + dice_roll(dice, 16);
        part->body[where + wide - 1] = (uint8_t)len;
        part->len = where + wide + len;
        return;
    }
    part->len = BODY_MAX;
    part->len = body_len(part->type, reader_of(part->body, BODY_MAX));
}

static void change(struct dice *dice)
{
    const size_t count = part_count;
    if (count == 0) {
        insert(0, 0, dice);
        return;
    }
    const size_t one = dice_roll(dice, (uint32_t)count), two = dice_roll(dice, (uint32_t)count);
    static struct part kept;
    switch (dice_roll(dice, 8)) {
    case 0:
    case 1:
        change_head(dice);
        break;
    case 2:
        memmove(&parts[one], &parts[one + 1], (count - one - 1) * sizeof parts[0]);
        part_count--;
        break;
    case 3:
        kept = parts[one];
        insert(two, kept.type, dice);
        parts[two] = kept;
        break;
    case 4:
        kept = parts[one];
        parts[one] = parts[two];
        parts[two] = kept;
        break;
    case 5:
        insert(one, 0, dice);
        break;
    default:
        change_body(&parts[one]);
    }
}

size_t mutate_mikey(uint8_t *data, size_t size, size_t max, struct dice *dice)
{
    if (dice_roll(dice, 8) == 0 || !take_apart(data, size))
        return LLVMFuzzerMutate(data, size, max);
    for (uint32_t changes = 1 + dice_roll(dice, 2); changes > 0; changes--)
        change(dice);
    mac_to_the_end();
    return put_together(data, size, max);
}
