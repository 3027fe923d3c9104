#include "client/exchange.h"

#include <string.h>

#include "base/bytes.h"
#include "base/suite.h"
#include "client/private_memory.h"
#include "mikey/sdp.h"

/* One block: this, the keys, then message, ticket and the texts. */
struct mikeyd_exchange {
    size_t size;
    uint32_t csb_id;
    size_t message_len, ticket_len, key_count;
    uint8_t *message, *ticket;
    char *from, *to, *sdp;
    struct mikeyd_srtp_key keys[];
};

static bool exchange_key_is_sound(const Mikeyd__Key *key)
{
    enum srtp_suite suite;
    return key->cs <= UINT8_MAX && srtp_suite_by_name(key->suite, &suite) &&
           key->master_key.len == srtp_suite_info(suite)->key_len &&
           key->master_salt.len == srtp_suite_info(suite)->salt_len && key->mki.len <= UINT8_MAX;
}

static void exchange_fill_key(const Mikeyd__Key *from, struct mikeyd_srtp_key *to)
{
    enum srtp_suite suite;
    if (!srtp_suite_by_name(from->suite, &suite))
        return;
    to->cs = (uint8_t)from->cs;
    to->ssrc = from->ssrc;
    to->roc = from->roc;
    to->suite = srtp_suite_info(suite)->name;
    to->key_len = (uint8_t)from->master_key.len;
    to->salt_len = (uint8_t)from->master_salt.len;
    to->mki_len = (uint8_t)from->mki.len;
    memcpy(to->key, from->master_key.data, from->master_key.len);
    memcpy(to->salt, from->master_salt.data, from->master_salt.len);
    if (from->mki.len != 0)
        memcpy(to->mki, from->mki.data, from->mki.len);
}

static size_t exchange_sdp_size(size_t message_len)
{
    return message_len == 0 ? 0 : mikey_sdp_size(message_len);
}

enum mikeyd_status exchange_make(const Mikeyd__Exchange *answer, mikeyd_exchange **out,
                                 struct error *err)
{
    *out = NULL;
    for (size_t i = 0; i < answer->n_keys; i++) {
        if (!exchange_key_is_sound(answer->keys[i]))
            return error_set(err, MIKEYD_INTERNAL, "the daemon's answer holds an impossible key");
    }
    /* The frame bounds every part, so the sum cannot wrap. */
    size_t keys_size = answer->n_keys * sizeof(struct mikeyd_srtp_key);
    size_t from_size = strlen(answer->from) + 1, to_size = strlen(answer->to) + 1;
    size_t size = sizeof(struct mikeyd_exchange) + keys_size + answer->message.len +
                  answer->ticket.len + from_size + to_size + exchange_sdp_size(answer->message.len);
    mikeyd_exchange *exchange = private_alloc(size);
    if (exchange == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    exchange->size = size;
    exchange->csb_id = answer->csb_id;
    exchange->key_count = answer->n_keys;
    for (size_t i = 0; i < answer->n_keys; i++)
        exchange_fill_key(answer->keys[i], &exchange->keys[i]);

    struct byte_writer w = writer_of(&exchange->keys[answer->n_keys],
                                     size - sizeof(struct mikeyd_exchange) - keys_size);
    exchange->message_len = answer->message.len;
    exchange->message = writer_room(&w, answer->message.len);
    exchange->ticket_len = answer->ticket.len;
    exchange->ticket = writer_room(&w, answer->ticket.len);
    exchange->from = (char *)writer_room(&w, from_size);
    exchange->to = (char *)writer_room(&w, to_size);
    exchange->sdp = (char *)writer_room(&w, exchange_sdp_size(answer->message.len));
    if (w.failed) {
        mikeyd_exchange_free(exchange);
        return error_set(err, MIKEYD_INTERNAL, "the daemon's answer does not fit");
    }
    memcpy(exchange->from, answer->from, from_size);
    memcpy(exchange->to, answer->to, to_size);
    if (answer->ticket.len != 0)
        memcpy(exchange->ticket, answer->ticket.data, answer->ticket.len);
    if (answer->message.len != 0) {
        memcpy(exchange->message, answer->message.data, answer->message.len);
        mikey_sdp_format(exchange->message, exchange->message_len, exchange->sdp);
    }
    *out = exchange;
    return MIKEYD_OK;
}

const uint8_t *mikeyd_exchange_message(const mikeyd_exchange *exchange, size_t *len)
{
    if (len != NULL)
        *len = exchange->message_len;
    return exchange->message_len == 0 ? NULL : exchange->message;
}

const uint8_t *mikeyd_exchange_ticket(const mikeyd_exchange *exchange, size_t *len)
{
    if (len != NULL)
        *len = exchange->ticket_len;
    return exchange->ticket_len == 0 ? NULL : exchange->ticket;
}

size_t mikeyd_exchange_keys(const mikeyd_exchange *exchange, const struct mikeyd_srtp_key **keys)
{
    if (keys != NULL)
        *keys = exchange->keys;
    return exchange->key_count;
}

const char *mikeyd_exchange_from(const mikeyd_exchange *exchange)
{
    return exchange->from;
}

const char *mikeyd_exchange_to(const mikeyd_exchange *exchange)
{
    return exchange->to;
}

uint32_t mikeyd_exchange_csb_id(const mikeyd_exchange *exchange)
{
    return exchange->csb_id;
}

const char *mikeyd_exchange_sdp(const mikeyd_exchange *exchange)
{
    return exchange->message_len == 0 ? NULL : exchange->sdp;
}

void mikeyd_exchange_free(mikeyd_exchange *exchange)
{
    if (exchange != NULL)
        private_free(exchange, exchange->size);
}
