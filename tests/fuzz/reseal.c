#include "reseal.h"

#include <string.h>

#include "mikey/wire.h"

const uint8_t reseal_earlier_rand[16] = {9};

#define PLAIN_MAX 600

static uint8_t plain[MIKEY_PLAIN_MAX];
static size_t plain_len;

static struct mikey_derivation derivation_of(const struct mikey_message *m)
{
    const bool update = mikey_is_update(m);
    return (struct mikey_derivation){.prf = (enum mikey_prf)m->prf,
                                     .csb_id = m->csb_id,
                                     .rand = update ? reseal_earlier_rand : m->rand,
                                     .rand_len = update ? sizeof reseal_earlier_rand : m->rand_len,
                                     .encryption =
                                         m->encrypted_len == 0 ? MIKEY_ENCR_NULL : m->encryption,
                                     .mac = m->mac_alg};
}

static void remember_plain(const uint8_t *data, size_t size, const struct mikey_key *key)
{
    static struct mikey_message m;
    struct error err = {0};
    plain_len = 0;
    if (mikey_parse(data, size, &m, NULL, &err) != MIKEYD_OK || !mikey_is_init(&m) ||
        m.encrypted_len == 0 || m.encrypted_len > sizeof plain)
        return;
    struct mikey_key_open job = {.what = derivation_of(&m),
                                 .t = m.t.value,
                                 .covered = data,
                                 .covered_len = m.mac_at,
                                 .encrypted_at = (size_t)(m.encrypted - data),
                                 .encrypted_len = m.encrypted_len,
                                 .mac = data + m.mac_at,
                                 .plain = plain};
    if (key->ops->open(key, &job, &err) == MIKEYD_OK)
        plain_len = job.plain_len;
}

/* One sub-payload of RFC 3830 6.13, with all that its type and validity ask for. */
static void write_key(struct byte_writer *w, uint8_t next, struct dice *dice)
{
    static const uint8_t bytes[64] = {0xA5};
    const uint8_t type = (uint8_t)dice_roll(dice, 4), kv = (uint8_t)dice_roll(dice, 3);
    const uint16_t key_len = (uint16_t)(16 << dice_roll(dice, 2));
    writer_u8(w, next);
    writer_u8(w, (uint8_t)(type << 4 | kv));
    writer_u16(w, key_len);
    writer_bytes(w, bytes, key_len);
    if (type == MIKEY_KEY_TGK_SALT || type == MIKEY_KEY_TEK_SALT) {
        writer_u16(w, 14);
        writer_bytes(w, bytes, 14);
    }
    for (int ends = kv == MIKEY_KV_INTERVAL ? 2 : kv == MIKEY_KV_SPI ? 1 : 0; ends > 0; ends--) {
        writer_u8(w, 4);
        writer_u32(w, dice_roll(dice, 1u << 31));
    }
}

static void choose_plain(struct dice *dice)
{
    struct byte_writer w = writer_of(plain, PLAIN_MAX);
    switch (dice_roll(dice, 4)) {
    case 0:
        for (uint32_t more = dice_roll(dice, 3) + 1; more > 0; more--)
            write_key(&w, more == 1 ? MIKEY_PAYLOAD_LAST : MIKEY_PAYLOAD_KEY_DATA, dice);
        plain_len = w.len;
        break;
    case 1:
        plain_len =
            LLVMFuzzerMutate(plain, plain_len < PLAIN_MAX ? plain_len : PLAIN_MAX, PLAIN_MAX);
        break;
    default: /* as it was */
        break;
    }
}

/* The message with `plain` sealed into its KEMAC; unchanged when it cannot be. */
static size_t seal(uint8_t *data, size_t size, size_t max, const struct mikey_key *key,
                   struct dice *dice)
{
    static struct mikey_message m;
    static uint8_t head[MIKEY_COVERED_MAX];
    struct error err = {0};
    if (mikey_parse(data, size, &m, NULL, &err) != MIKEYD_OK || !mikey_is_init(&m) || !m.has_kemac)
        return size;
    choose_plain(dice);
    struct mikey_key_seal job = {.what = derivation_of(&m), .t = m.t.value, .plain = plain};
    job.head_len = m.mac_at - m.encrypted_len - 1;
    job.plain_len = m.encryption == MIKEY_ENCR_NULL ? 0 : plain_len;
    job.what.encryption = job.plain_len == 0 ? MIKEY_ENCR_NULL : m.encryption;
    const size_t whole = job.head_len + job.plain_len + 1 + m.mac_len;
    if (job.head_len > sizeof head || whole > max || m.mac_len == 0)
        return size;
    /* RAND and the head are views of what is about to be overwritten. */
    uint8_t rand[MIKEY_RAND_MAX];
    memcpy(rand, job.what.rand, job.what.rand_len);
    job.what.rand = rand;
    memcpy(head, data, job.head_len);
    head[job.head_len - 2] = (uint8_t)(job.plain_len >> 8);
    head[job.head_len - 1] = (uint8_t)job.plain_len;
    job.head = head;
    job.encrypted = data + job.head_len;
    job.mac = data + whole - m.mac_len;
    memcpy(data, head, job.head_len);
    data[whole - m.mac_len - 1] = m.mac_alg;
    (void)key->ops->seal(key, &job, &err);
    return whole;
}

size_t reseal_mutate(uint8_t *data, size_t size, size_t max, const struct mikey_key *key,
                     struct dice *dice)
{
    remember_plain(data, size, key);
    return seal(data, mutate_mikey(data, size, max, dice), max, key, dice);
}
