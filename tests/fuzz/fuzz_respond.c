/*
 * The whole Responder path with a PSK known to the fuzzer's build: parse, authenticate, decrypt,
 * session keys, reply; and the Initiator's check of that reply. The MAC of the input is replaced by
 * the right one, so that mutations reach what lies behind it; the untouched input must not pass.
 * Messages that exchange values too. The mutator seals key data of its own, which is read behind the MAC.
 */
#include "fuzz.h"

#include <string.h>

#include "base/secret.h"
#include "mikey/exchange.h"
#include "reseal.h"

static struct mikey_psk psk;
static struct mikey_message_keys *keys;
static struct mikey_dh_pair pairs[2]; /* the responder's values */
static struct mikey_psk_port port;
static const struct mikey_key key = {.ops = &mikey_key_by_psk, .port = &port};

static void set_up(void)
{
    static const uint8_t bytes[32] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    struct error err = {0};
    if (keys != NULL)
        return;
    /* Before there is a secure heap: OpenSSL's random generators would be in it, where the leak
     * detector does not look. */
    PROMISE(mikey_dh_make(MIKEY_GROUP_X25519, &pairs[0], &err) == MIKEYD_OK);
    PROMISE(mikey_dh_make(MIKEY_GROUP_OAKLEY_5, &pairs[1], &err) == MIKEYD_OK);
    PROMISE(secret_heap_init(1 << 20, &err) == MIKEYD_OK);
    keys = secret_alloc(sizeof *keys);
    PROMISE(keys != NULL);
    PROMISE(mikey_host_psk(bytes, sizeof bytes, &psk, &err) == MIKEYD_OK);
    port = (struct mikey_psk_port){.psk = psk, .keys = keys};
}

static uint8_t psk_key[MIKEY_PSK_KEY_LEN];

static bool opens(const struct mikey_message *m, const uint8_t *rand, size_t rand_len)
{
    static struct mikey_plain plain;
    struct mikey_key_data data[MIKEY_KEY_DATA_MAX];
    size_t count = 0;
    struct error err = {0};
    return mikey_open_init(m, rand, rand_len, &key, NULL, &plain, data, &count, NULL, psk_key,
                           &err) == MIKEYD_OK;
}

/* Puts the right MAC under a well-formed message; false when its algorithms are not offered. */
static bool forge_mac(const struct mikey_message *m, uint8_t *bytes, const uint8_t *rand,
                      size_t rand_len)
{
    const struct mikey_derivation what = {.prf = (enum mikey_prf)m->prf,
                                          .csb_id = m->csb_id,
                                          .rand = rand,
                                          .rand_len = rand_len,
                                          .mac = m->mac_alg};
    struct error err = {0};
    if (psk.ops->derive(&psk, &what, keys, &err) != MIKEYD_OK)
        return false;
    enum mikeyd_status status =
        psk.ops->mac(&psk, keys, &m->bytes, &m->mac_at, 1, bytes + m->mac_at, &err);
    psk.ops->release(&psk, keys);
    return status == MIKEYD_OK;
}

static void session_keys(const struct mikey_message *m, const uint8_t *rand, size_t rand_len,
                         const struct mikey_key_data *data, size_t count)
{
    struct mikey_session_key session;
    struct error err = {0};
    for (size_t i = 0; i < count * m->cs_count && i < 64; i++) {
        size_t cs = i / count;
        const struct mikey_sp *sp = mikey_find_sp(m, m->cs[cs].policy);
        enum srtp_suite suite;
        if (sp != NULL && mikey_sp_suite(sp, &suite, &err) == MIKEYD_OK)
            (void)mikey_session_key((enum mikey_prf)m->prf, &data[i % count], (uint8_t)(cs + 1),
                                    m->csb_id, rand, rand_len, suite, &session, &err);
    }
}

/* Fills the open SSRCs with distinct values; a map without room for that is left alone. */
static void choose_ssrcs(const struct mikey_message *m, struct mikey_cs *cs)
{
    memcpy(cs, m->cs, sizeof *cs * m->cs_count);
    for (size_t i = 0; i < m->cs_count; i++) {
        if (cs[i].ssrc == 0)
            cs[i].ssrc = 0xF0000000u + (uint32_t)i;
    }
}

static void check_reply(const struct mikey_message *m, const uint8_t *bytes, size_t len,
                        const uint8_t *rand, size_t rand_len)
{
    static struct mikey_message r;
    static struct mikey_stream streams[MIKEY_CS_MAX];
    struct error err = {0};
    struct mikey_expected_reply expected = {.csb_id = m->csb_id,
                                            .t = m->t,
                                            .rand = rand,
                                            .rand_len = rand_len,
                                            .streams = streams,
                                            .stream_count = m->cs_count};
    PROMISE(mikey_parse(bytes, len, &r, NULL, &err) == MIKEYD_OK);
    PROMISE(r.type == mikey_message_method(m)->answer_type && r.dh_count == 2 * m->dh_count);
    if (m->map_type != MIKEY_MAP_SRTP || !mikey_message_algorithms(m, &expected.algorithms))
        return;
    if (mikey_idi(m) != NULL)
        expected.idi = *mikey_idi(m);
    if (mikey_idr(m) != NULL)
        expected.idr = *mikey_idr(m);
    for (size_t i = 0; i < m->cs_count; i++) {
        streams[i] = (struct mikey_stream){.ssrc = m->cs[i].ssrc, .roc = m->cs[i].roc};
        if (m->cs[i].policy != 0)
            return; /* an Initiator of ours would have numbered its policies otherwise */
    }
    expected.method = mikey_message_method(m);
    expected.dh = &m->dh[0];
    if (!expected.method->exchanges)
        PROMISE(mikey_verify_reply(&r, &expected, &key, &err) == MIKEYD_OK);
    else if (m->dh_count != 0 && mikey_idi(m) != NULL)
        PROMISE(mikey_verify_exchange(&r, &expected, &key, psk_key, &err) == MIKEYD_OK);
}

/* All of the answer but its MAC, as the method has it. */
static bool draft(const struct mikey_message *m, const struct mikey_cs *cs, struct byte_writer *w,
                  struct mikey_covered *covered)
{
    static const uint8_t caller[] = "caller@example";
    const struct mikey_reply_rules rules = {0};
    struct error err = {0};
    if (!mikey_message_method(m)->exchanges)
        return mikey_draft_reply(m, cs, &rules, w, covered, &err) == MIKEYD_OK;
    const struct mikey_dh_pair *pair = &pairs[m->dh[0].group == MIKEY_GROUP_OAKLEY_5 ? 1 : 0];
    const struct mikey_dh own = {.group = pair->group,
                                 .value = pair->value,
                                 .len = mikey_dh_len(pair->group),
                                 .spi = m->dh[0].spi,
                                 .spi_len = m->dh[0].spi_len};
    const struct identity carrier = {.type = 0, .len = sizeof caller - 1, .data = caller};
    const struct identity *idi = mikey_idi(m);
    return mikey_draft_exchange(m, cs, m->dh_count == 0 ? NULL : &own, idi == NULL ? &carrier : idi,
                                w, covered, &err) == MIKEYD_OK;
}

/* The value of the peer, whatever it is: a TGK or a refusal. */
static void agree(const struct mikey_message *m, const uint8_t *rand, size_t rand_len)
{
    uint8_t shared[MIKEY_DH_VALUE_MAX], tgk[MIKEY_TGK_MAX];
    struct error err = {0};
    const struct mikey_dh_pair *pair = &pairs[m->dh[0].group == MIKEY_GROUP_OAKLEY_5 ? 1 : 0];
    struct mikey_agreed agreed = {.group = pair->group,
                                  .shared = shared,
                                  .psk_key = psk_key,
                                  .value_i = m->dh[0].value,
                                  .value_r = pair->value,
                                  .len = m->dh[0].len,
                                  .rand = rand,
                                  .rand_len = rand_len};
    size_t len = 0;
    if (m->dh_count == 0 || !mikey_message_algorithms(m, &agreed.algorithms) ||
        mikey_dh_agree(pair, m->dh[0].value, m->dh[0].len, shared, &err) != MIKEYD_OK)
        return;
    PROMISE(mikey_message_method(m)->combine(&agreed, tgk, &len, &err) == MIKEYD_OK && len >= 32);
}

static void respond(const struct mikey_message *m, const uint8_t *rand, size_t rand_len)
{
    static uint8_t reply[MIKEY_MESSAGE_MAX];
    static struct mikey_plain plain;
    static struct mikey_cs cs[MIKEY_CS_MAX];
    struct mikey_key_data data[MIKEY_KEY_DATA_MAX];
    size_t count = 0;
    struct error err = {0};
    struct mikey_covered covered;
    uint8_t v[HMAC_TAG_MAX];
    struct byte_writer w = writer_of(reply, sizeof reply);
    choose_ssrcs(m, cs);
    const bool drafted = draft(m, cs, &w, &covered);
    if (mikey_open_init(m, rand, rand_len, &key, drafted ? &covered : NULL, &plain, data, &count, v,
                        psk_key, &err) != MIKEYD_OK)
        return;
    session_keys(m, rand, rand_len, data, count);
    agree(m, rand, rand_len);
    if (drafted) {
        writer_bytes(&w, v, m->mac_len);
        check_reply(m, reply, w.len, rand, rand_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct mikey_message m;
    struct error err = {0};
    set_up();
    if (mikey_parse(data, len, &m, NULL, &err) != MIKEYD_OK || !mikey_is_init(&m))
        return 0;
    const uint8_t *rand = mikey_is_update(&m) ? reseal_earlier_rand : m.rand;
    size_t rand_len = mikey_is_update(&m) ? sizeof reseal_earlier_rand : m.rand_len;
    uint8_t *copy = malloc(len);
    PROMISE(copy != NULL);
    memcpy(copy, data, len);
    if (forge_mac(&m, copy, rand, rand_len)) {
        if (memcmp(copy, data, len) != 0)
            PROMISE(!opens(&m, rand, rand_len));
        ptrdiff_t at = m.rand == NULL ? 0 : m.rand - data;
        PROMISE(mikey_parse(copy, len, &m, NULL, &err) == MIKEYD_OK);
        respond(&m, m.rand == NULL ? reseal_earlier_rand : copy + at, rand_len);
    }
    free(copy);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    set_up();
    return reseal_mutate(data, size, max, &key, &dice);
}
