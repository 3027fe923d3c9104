/* New keys for a call that runs, by a real daemon: either end, every method, across its restarts. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"

TestSuite(rekey, .timeout = 120);

static struct lab lab;
static mikeyd_client *client;

/* What each end keeps of its last exchange. */
struct end {
    const char *name;
    mikeyd_exchange *has;
};

static void open_lab(void)
{
    char text[2048];
    lab_make(&lab, NULL);
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, mki_bytes: 4}\n"
                   "keys: [ {name: pbx, kind: psk, generation: 1} ]\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "pairs:\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: pbx}\n"
                   "  - {initiator: \"" LAB_B "\", responder: \"" LAB_A "\", key: pbx}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n",
                   (unsigned)getuid());
    lab_write_file(lab.policy, text);
    lab_start(&lab);
    client = lab_client(&lab);
}

static void close_lab(void)
{
    mikeyd_client_close(client);
    lab_remove(&lab);
}

static const struct mikeyd_srtp_key *key_of(const mikeyd_exchange *exchange)
{
    const struct mikeyd_srtp_key *keys;
    cr_assert_eq(mikeyd_exchange_keys(exchange, &keys), 1);
    return keys;
}

static void replace(mikeyd_exchange **has, mikeyd_exchange *by)
{
    mikeyd_exchange_free(*has);
    *has = by;
}

/* What was sent is answered and confirmed; then both ends have it. */
static void complete(mikeyd_exchange *sent, struct end *from, struct end *to)
{
    size_t len, ticket_len = 0;
    mikeyd_exchange *answered = NULL, *confirmed = NULL;
    struct mikeyd_answer answer = {.as = to->name};
    answer.message = mikeyd_exchange_message(sent, &answer.message_len);
    if (to->has != NULL) {
        answer.ticket = mikeyd_exchange_ticket(to->has, &answer.ticket_len);
    }
    cr_assert_eq(mikeyd_respond(client, &answer, &answered), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *reply = mikeyd_exchange_message(answered, &len);
    const uint8_t *ticket = mikeyd_exchange_ticket(sent, &ticket_len);
    cr_assert_eq(mikeyd_confirm(client, ticket, ticket_len, reply, len, &confirmed), MIKEYD_OK,
                 "%s", mikeyd_client_error(client));
    cr_assert_arr_eq(key_of(answered)->key, key_of(confirmed)->key, 32);
    cr_assert_arr_eq(key_of(answered)->mki, key_of(confirmed)->mki, 4);
    mikeyd_exchange_free(sent);
    replace(&to->has, answered);
    replace(&from->has, confirmed);
}

static void call(enum mikeyd_method method, struct end *a, struct end *b)
{
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    const struct mikeyd_offer offer = {.from = a->name,
                                       .to = b->name,
                                       .streams = &stream,
                                       .stream_count = 1,
                                       .method = method,
                                       .verify = true};
    mikeyd_exchange *sent = NULL;
    cr_assert_eq(mikeyd_initiate(client, &offer, &sent), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    complete(sent, a, b);
}

static void update(struct end *from, struct end *to)
{
    size_t len;
    mikeyd_exchange *sent = NULL;
    const struct mikeyd_srtp_key old = *key_of(from->has);
    const uint32_t csb = mikeyd_exchange_csb_id(from->has);
    const uint8_t *ticket = mikeyd_exchange_ticket(from->has, &len);
    cr_assert_eq(mikeyd_update(client, ticket, len, NULL, 0, true, false, &sent), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    cr_assert_str_eq(mikeyd_exchange_from(sent), from->name);
    complete(sent, from, to);
    cr_assert_eq(mikeyd_exchange_csb_id(from->has), csb);
    cr_assert_eq(key_of(from->has)->cs, old.cs);
    cr_assert_neq(memcmp(key_of(from->has)->key, old.key, 32), 0);
    cr_assert_eq(key_of(from->has)->mki_len, old.mki_len);
    cr_assert_neq(memcmp(key_of(from->has)->mki, old.mki, 4), 0);
}

Test(rekey, either_end_by_every_method_across_kills_of_the_daemon)
{
    static const enum mikeyd_method methods[] = {MIKEYD_PSK, MIKEYD_PSK_DHE, MIKEYD_DHHMAC};
    open_lab();
    for (size_t i = 0; i < 3; i++) {
        struct end a = {.name = LAB_A}, b = {.name = LAB_B};
        call(methods[i], &a, &b);
        update(&b, &a);
        if (i == 0) {
            lab_kill(&lab);
            lab_start(&lab);
        }
        update(&a, &b);
        update(&b, &a);
        mikeyd_exchange_free(a.has);
        mikeyd_exchange_free(b.has);
    }
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
    close_lab();
}

/* The ticket stays good: an update that was never answered is no end of the bundle. */
Test(rekey, an_update_without_an_answer_leaves_keys_and_ticket)
{
    open_lab();
    struct end a = {.name = LAB_A}, b = {.name = LAB_B};
    call(MIKEYD_PSK_DHE, &a, &b);
    mikeyd_exchange *lost = NULL;
    size_t len;
    const uint8_t *ticket = mikeyd_exchange_ticket(b.has, &len);
    cr_assert_eq(mikeyd_update(client, ticket, len, NULL, 0, true, false, &lost), MIKEYD_OK);
    mikeyd_exchange_free(lost);
    update(&a, &b);
    update(&b, &a);
    mikeyd_exchange_free(a.has);
    mikeyd_exchange_free(b.has);
    close_lab();
}
