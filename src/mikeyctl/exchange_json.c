#include "mikeyctl/exchange_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"
#include "base/text.h"

static json_t *json_base64(const uint8_t *data, size_t len)
{
    if (data == NULL || len == 0)
        return json_null();
    char *text = malloc(base64_size(len));
    if (text == NULL)
        return NULL;
    base64_encode(data, len, text);
    json_t *value = json_string(text);
    free(text);
    return value;
}

/* Key material goes from the wiped exchange through a wiped stack buffer into wiped JSON memory. */
static json_t *json_hex(const uint8_t *data, size_t len)
{
    char text[2 * 255 + 1];
    hex_encode(data, len, text);
    json_t *value = json_string(text);
    secret_wipe(text, sizeof text);
    return value;
}

static json_t *json_ssrc(uint32_t ssrc)
{
    char text[9];
    (void)snprintf(text, sizeof text, "%08x", ssrc);
    return json_string(text);
}

/* null when there are no keys yet. */
static json_t *json_keys(const mikeyd_exchange *exchange)
{
    const struct mikeyd_srtp_key *keys = NULL;
    size_t count = mikeyd_exchange_keys(exchange, &keys);
    if (count == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct mikeyd_srtp_key *key = &keys[i];
        json_t *item =
            json_pack("{s:i, s:o, s:I, s:s, s:o, s:o, s:o}", "cs", (int)key->cs, "ssrc",
                      json_ssrc(key->ssrc), "roc", (json_int_t)key->roc, "suite", key->suite,
                      "master_key", json_hex(key->key, key->key_len), "master_salt",
                      json_hex(key->salt, key->salt_len), "mki", json_hex(key->mki, key->mki_len));
        if (item == NULL || json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *json_message_and_ticket(const char *name, const mikeyd_exchange *exchange)
{
    size_t message_len = 0, ticket_len = 0;
    const uint8_t *message = mikeyd_exchange_message(exchange, &message_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(exchange, &ticket_len);
    return json_pack("{s:o, s:o}", name, json_base64(message, message_len), "ticket",
                     json_base64(ticket, ticket_len));
}

int exchange_json_place(json_t *object, const char *name, const char *text)
{
    return text == NULL ? 0 : json_object_set_new(object, name, json_string(text));
}

json_t *exchange_json_offer(const mikeyd_exchange *exchange)
{
    json_t *object = json_message_and_ticket("message", exchange);
    if (object == NULL || json_object_set_new(object, "keys", json_keys(exchange)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *exchange_json_respond(const mikeyd_exchange *exchange)
{
    json_t *object = json_message_and_ticket("reply", exchange);
    if (object == NULL ||
        json_object_set_new(object, "from", json_string(mikeyd_exchange_from(exchange))) != 0 ||
        json_object_set_new(object, "to", json_string(mikeyd_exchange_to(exchange))) != 0 ||
        json_object_set_new(object, "csb_id", json_ssrc(mikeyd_exchange_csb_id(exchange))) != 0 ||
        json_object_set_new(object, "keys", json_keys(exchange)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *exchange_json_refusal(const struct error *err, const mikeyd_exchange *exchange)
{
    size_t len = 0;
    const uint8_t *message = mikeyd_exchange_message(exchange, &len);
    return json_pack("{s:{s:s, s:s}, s:o}", "error", "code", status_name(err->status), "message",
                     err->text, "reply", json_base64(message, len));
}

json_t *exchange_json_confirm(const mikeyd_exchange *exchange)
{
    size_t ticket_len = 0;
    const uint8_t *ticket = mikeyd_exchange_ticket(exchange, &ticket_len);
    return json_pack("{s:o, s:o}", "keys", json_keys(exchange), "ticket",
                     json_base64(ticket, ticket_len));
}

json_t *exchange_json_again(const struct error *err, const mikeyd_exchange *exchange)
{
    json_t *object = json_message_and_ticket("message", exchange);
    json_t *error = json_pack("{s:s, s:s}", "code", status_name(err->status), "message", err->text);
    if (object != NULL && json_object_set_new(object, "error", error) == 0)
        return object;
    json_decref(object);
    return NULL;
}
