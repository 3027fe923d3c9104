/* mikey_parse: any bytes; what it accepts lies inside them and keeps the limits. */
#include "fuzz.h"
#include "mutate.h"

#include "mikey/dh.h"
#include "mikey/message.h"

static void check_inside(const struct mikey_message *m, const uint8_t *at, size_t len)
{
    PROMISE(len == 0 || (at >= m->bytes && at + len <= m->bytes + m->len));
}

static void check_accepted(const struct mikey_message *m)
{
    struct error err = {0};
    enum srtp_suite suite;
    enum mikey_algorithms set;
    PROMISE(m->len <= MIKEY_MESSAGE_MAX);
    const bool values = m->type == MIKEY_TYPE_DHHMAC_INIT || m->type == MIKEY_TYPE_DHHMAC_RESP;
    PROMISE(m->has_kemac == (values || m->type == MIKEY_TYPE_PSK_INIT));
    PROMISE(!m->has_kemac || !m->has_v);
    PROMISE(!values || (m->encrypted_len == 0 && m->id_count != 0));
    /* RFC 4650 3.1: a message without a RAND may do without values: an update that keeps the TGK. */
    if (m->dh_count != 0 || (values && m->rand_len != 0))
        PROMISE(values && m->dh_count == (mikey_is_init(m) ? 1 : 2));
    for (size_t i = 0; i < m->dh_count; i++) {
        PROMISE(m->dh[i].len != 0 && m->dh[i].len <= MIKEY_DH_VALUE_MAX);
        check_inside(m, m->dh[i].value, m->dh[i].len);
        check_inside(m, m->dh[i].spi, m->dh[i].spi_len);
    }
    check_inside(m, m->rand, m->rand_len);
    check_inside(m, m->encrypted, m->encrypted_len);
    if (m->has_kemac || m->has_v)
        PROMISE(m->mac_at + m->mac_len == m->len); /* nothing follows the MAC */
    for (size_t i = 0; i < m->id_count; i++)
        check_inside(m, m->id[i].data, m->id[i].len);
    for (size_t i = 0; i < m->extension_count; i++)
        check_inside(m, m->extension[i].data, m->extension[i].len);
    for (size_t i = 0; i < m->cs_count; i++)
        (void)mikey_find_sp(m, m->cs[i].policy);
    for (size_t i = 0; i < m->sp_count; i++) {
        PROMISE(mikey_find_sp(m, m->sp[i].number) == &m->sp[i]);
        if (mikey_sp_suite(&m->sp[i], &suite, &err) == MIKEYD_OK)
            PROMISE(srtp_suite_info(suite) != NULL);
    }
    (void)mikey_message_algorithms(m, &set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct mikey_message m;
    struct error err = {0};
    uint8_t number = 255;
    enum mikeyd_status status = mikey_parse(data, len, &m, &number, &err);
    if (status == MIKEYD_OK) {
        check_accepted(&m);
    } else {
        PROMISE(status == MIKEYD_SYNTAX || status == MIKEYD_UNSUPPORTED);
        PROMISE(err.text[0] != '\0' && number <= 13);
    }
    return 0;
}

#ifndef MIKEYD_WITHOUT_MUTATOR /* tests/model has inputs of its own */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_mikey(data, size, max, &dice);
}
#endif
