/*
 * Sealing and opening of tickets: the day's key is secret, and the keys in the ticket are. The tag
 * is compared inside OpenSSL. What an authentic ticket says besides its keys is no secret
 * (exchange/bundle.h), and its reader may go by it.
 */
#include <string.h>

#include "base/secret.h"
#include "exchange/ticket.h"
#include "policy/policy.h"
#include "secrets.h"
#include "unit/keys/peer.h"

#define NOW 1700000000
#define KEY_LEN 32
#define SALT_LEN 14

/* The linker puts these in the place of the product's (--wrap), which they call. */
enum mikeyd_status __real_keys_port_ticket_key(struct keys_port *port, const char *name,
                                               unsigned generation, uint32_t day, uint8_t *out,
                                               struct error *err);
enum mikeyd_status __wrap_keys_port_ticket_key(struct keys_port *port, const char *name,
                                               unsigned generation, uint32_t day, uint8_t *out,
                                               struct error *err);
bool __real_bundle_read(struct byte_reader *in, struct bundle *bundle, struct bundle_keys *keys);
bool __wrap_bundle_read(struct byte_reader *in, struct bundle *bundle, struct bundle_keys *keys);

static struct bundle bundle, back;
static struct bundle_keys *keys, *back_keys;
static struct ticket_scratch *scratch;
static uint8_t ticket[TICKET_MAX];
static size_t ticket_len;

enum mikeyd_status __wrap_keys_port_ticket_key(struct keys_port *port, const char *name,
                                               unsigned generation, uint32_t day, uint8_t *out,
                                               struct error *err)
{
    enum mikeyd_status status = __real_keys_port_ticket_key(port, name, generation, day, out, err);
    mark_secret(out, TICKET_KEY_LEN);
    return status;
}

/* Where a run of that byte stands, in the plain text of a ticket. */
static uint8_t *find_run(const uint8_t *data, size_t len, uint8_t byte, size_t run)
{
    uint8_t wanted[KEY_LEN];
    memset(wanted, byte, run);
    uint8_t *found = memmem(data, len, wanted, run);
    MUST(found != NULL);
    return found;
}

/* Of an authentic ticket: all but the key and its salt is public. */
bool __wrap_bundle_read(struct byte_reader *in, struct bundle *to, struct bundle_keys *to_keys)
{
    mark_public(in->data, in->len);
    uint8_t *key = find_run(in->data, in->len, 0x77, KEY_LEN);
    uint8_t *salt = find_run(in->data, in->len, 0x66, SALT_LEN);
    mark_secret(key, KEY_LEN);
    mark_secret(salt, SALT_LEN);
    return __real_bundle_read(in, to, to_keys);
}

static void fill(void)
{
    const struct identity a = {.type = IDENTITY_NAI, .len = 3, .data = (const uint8_t *)"a@b"};
    const struct identity b = {.type = IDENTITY_NAI, .len = 3, .data = (const uint8_t *)"c@d"};
    bundle.role = BUNDLE_RESPONDER;
    (void)strcpy(bundle.client, "sbc-a");
    (void)strcpy(bundle.key_name, "core");
    MUST(bundle_set_identity(&bundle.initiator, &a) && bundle_set_identity(&bundle.responder, &b));
    bundle.generation = 1;
    bundle.method = POLICY_METHOD_PSK;
    bundle.algorithms = MIKEY_ALGORITHMS_256;
    bundle.t = (struct mikey_timestamp){.raw_len = 8};
    bundle.rand_len = 16;
    bundle.stream_count = 1;
    keys->count = 1;
    struct bundle_key *key = &keys->key[0];
    key->type = MIKEY_KEY_TGK_SALT;
    key->key_len = KEY_LEN;
    key->salt_len = SALT_LEN;
    memset(key->key, 0x77, KEY_LEN);
    memset(key->salt, 0x66, SALT_LEN);
    mark_secret(key->key, KEY_LEN);
    mark_secret(key->salt, SALT_LEN);
}

static enum mikeyd_status open_ticket(struct ticket_cipher *cipher, struct ticket_keys *table)
{
    struct error err = {0};
    int64_t expires;
    enum mikeyd_status status =
        ticket_open(cipher, table, NOW, ticket, ticket_len, "sbc-a", BUNDLE_GOES_ON, &back,
                    back_keys, &expires, scratch, &err);
    MUST(take_comparisons() == 1);
    return status;
}

static void seal_and_open(struct ticket_cipher *cipher, struct ticket_keys *table)
{
    struct error err = {0};
    struct byte_writer out = writer_of(ticket, sizeof ticket);
    MUST(ticket_seal(cipher, table, NOW, NOW + 60, &bundle, keys, scratch, &out, &err) ==
         MIKEYD_OK);
    ticket_len = out.len;
    mark_public(ticket, ticket_len); /* it goes to the client */
    MUST(open_ticket(cipher, table) == MIKEYD_OK);
    mark_public(back_keys, sizeof *back_keys);
    MUST(back_keys->key[0].key_len == KEY_LEN && back_keys->key[0].key[KEY_LEN - 1] == 0x77);
    /* The salt, the first and last byte of the ciphertext, of the tag. */
    const size_t places[] = {TICKET_HEADER - 20, TICKET_HEADER, ticket_len - TICKET_TAG - 1,
                             ticket_len - TICKET_TAG, ticket_len - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        ticket[places[i]] ^= 1;
        MUST(open_ticket(cipher, table) == MIKEYD_TICKET_INVALID);
        ticket[places[i]] ^= 1;
    }
}

void check_tickets(void)
{
    static struct peer peer;
    struct error err = {0};
    struct keys_group *group;
    struct keys_port *port;
    struct ticket_keys *table;
    struct ticket_cipher *cipher;
    struct keys_group_config config = {.members = 1, .call_timeout_ms = {20000}, .sessions = {1}};
    keys = secret_alloc(sizeof *keys);
    back_keys = secret_alloc(sizeof *back_keys);
    scratch = secret_alloc(sizeof *scratch);
    MUST(keys != NULL && back_keys != NULL && scratch != NULL);
    fill();
    peer_add_key(&peer, KEYS_TICKET, "tickets", 1);
    MUST(keys_group_make(&config, &group, &err) == MIKEYD_OK);
    (void)keys_group_join(group, 0, peer_start(&peer, "A"));
    MUST(keys_group_wait(group, 1, 60000, &err) == MIKEYD_OK);
    MUST(keys_port_open(group, &port, &err) == MIKEYD_OK);
    MUST(ticket_keys_open(group, port, NOW, &table, &err) == MIKEYD_OK);
    MUST(ticket_cipher_make(&cipher, &err) == MIKEYD_OK);
    seal_and_open(cipher, table);
    ticket_cipher_free(cipher);
    ticket_keys_close(table);
    keys_port_close(port);
    keys_group_free(group);
    peer_stop(&peer);
    secret_release(keys, sizeof *keys);
    secret_release(back_keys, sizeof *back_keys);
    secret_release(scratch, sizeof *scratch);
}
