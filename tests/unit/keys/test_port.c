/* A request at one member after another: when it goes on, when it does not, and how long it takes. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "fixture.h"
#include "keys/port.h"
#include "mikey/wire.h"

TestSuite(port, .fini = end_group, .timeout = 30);

static const uint8_t rnd[16] = {1};
static const struct keys_name psk = {.kind = KEYS_PSK, .name = "legacy", .generation = 1};
static const struct mikey_derivation what = {.csb_id = 0x77,
                                             .rand = rnd,
                                             .rand_len = sizeof rnd,
                                             .encryption = MIKEY_ENCR_AES_CM_256,
                                             .mac = MIKEY_MAC_SHA256};

static struct mikey_key key_of(struct keys_port *port)
{
    return (struct mikey_key){.ops = &keys_port_ops, .port = port, .name = &psk};
}

/* ---- what is asked arrives, what is answered is handed out */

Test(port, a_message_is_sealed_and_opened)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    const struct mikey_key key = key_of(port);
    uint8_t head[50] = {7}, plain[20] = {3}, encrypted[20], mac[32], right[32];
    struct mikey_key_seal seal = {.what = what,
                                  .head = head,
                                  .head_len = sizeof head,
                                  .plain = plain,
                                  .plain_len = sizeof plain,
                                  .encrypted = encrypted,
                                  .mac = mac};
    cr_assert_eq(key.ops->seal(&key, &seal, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(encrypted[0], plain[0] ^ 0x5a);
    peer_tag(head, sizeof head, right);
    cr_assert_arr_eq(mac, right, 32);
    cr_assert_str_eq(keys_port_prf(port), "sign");

    uint8_t covered[70] = {0}, v[32], out[20];
    memcpy(covered + 50, encrypted, 20);
    const struct mikey_covered reply = {.data = {head}, .len = {10}, .parts = 1};
    struct mikey_key_open open = {.what = what,
                                  .covered = covered,
                                  .covered_len = sizeof covered,
                                  .encrypted_at = 50,
                                  .encrypted_len = 20,
                                  .mac = mac,
                                  .reply = &reply,
                                  .plain = out,
                                  .v = v};
    cr_assert_eq(key.ops->open(&key, &open, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(open.plain_len, 20);
    cr_assert_arr_eq(out, plain, 20);
    peer_tag(covered, sizeof covered, right);
    cr_assert_arr_eq(v, right, 32);
    keys_port_close(port);
}

Test(port, keys_and_checkpoints_come_back)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    const struct mikey_key key = key_of(port);
    uint8_t tgk[16], ticket[DOOR_TICKET_KEY], signature[64], incarnation[16];
    cr_assert_eq(key.ops->tgk(&key, &what, MIKEY_TGK_DERIVED, tgk, sizeof tgk, &err), MIKEYD_OK);
    cr_assert_eq(tgk[15], 0x77);
    cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 9, ticket, &err), MIKEYD_OK);
    cr_assert_eq(ticket[31], 9);
    const struct keys_checkpoint point = {
        .key_name = "audit", .generation = 1, .claim = {.covers = 5, .chain = {1, 2, 3}}};
    size_t len = sizeof signature;
    uint64_t uses;
    cr_assert_eq(keys_port_checkpoint(port, &point, signature, &len, &uses, incarnation, &err),
                 MIKEYD_OK);
    cr_assert_eq(len, 32);
    cr_assert_arr_eq(signature, point.claim.chain, 32);
    cr_assert_eq(uses, 42);
    cr_assert_eq(incarnation[0], 7);
    len = 16;
    cr_assert_eq(keys_port_checkpoint(port, &point, signature, &len, &uses, incarnation, &err),
                 MIKEYD_INVALID_ARGUMENT);
    keys_port_close(port);
}

Test(port, a_name_too_long_is_not_taken_for_a_shorter_one)
{
    char name[KEYS_NAME_MAX + 1] = {0};
    uint8_t ticket[DOOR_TICKET_KEY];
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    memset(name, 'n', KEYS_NAME_MAX);
    cr_assert_eq(keys_port_ticket_key(port, name, 1, 9, ticket, &err), MIKEYD_INVALID_ARGUMENT);
    cr_assert_eq(peer_uses(&peers[0]), 0);
    keys_port_close(port);
}

Test(port, nothing_of_a_request_stays_in_its_buffer)
{
    static const uint8_t nothing[DOOR_MESSAGE_MAX];
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    cr_assert_eq(use(port, 1), MIKEYD_OK);
    cr_assert_arr_eq(port->buffer, nothing, DOOR_MESSAGE_MAX);
    atomic_store(&peers[0].garbage, true);
    cr_assert_neq(use(port, 1), MIKEYD_OK);
    cr_assert_arr_eq(port->buffer, nothing, DOOR_MESSAGE_MAX);
    keys_port_close(port);
}

Test(port, a_failed_call_leaves_no_result)
{
    uint8_t mac[32], v[32], plain[20], tgk[32], ticket[DOOR_TICKET_KEY], covered[70] = {0}, tag[32];
    static const uint8_t nothing[32];
    make_serving_group(1, 2000);
    atomic_store(&peers[0].use_status, MIKEYD_AUTH_FAILED);
    struct keys_port *port = open_port();
    const struct mikey_key key = key_of(port);
    const struct mikey_covered reply = {.data = {covered}, .len = {10}, .parts = 1};
    struct mikey_key_open open = {.what = what,
                                  .covered = covered,
                                  .covered_len = sizeof covered,
                                  .encrypted_at = 50,
                                  .encrypted_len = 20,
                                  .mac = covered,
                                  .reply = &reply,
                                  .plain = plain,
                                  .plain_len = 20,
                                  .v = v};
    struct mikey_key_seal seal = {
        .what = what, .head = covered, .head_len = 10, .plain_len = 0, .mac = mac};
    memset(mac, 1, 32), memset(v, 1, 32), memset(plain, 1, 20), memset(tgk, 1, 32);
    memset(ticket, 1, sizeof ticket), memset(tag, 1, sizeof tag);
    struct mikey_key_tag of_reply = {.what = what, .covered = reply};
    of_reply.what.encryption = MIKEY_ENCR_NULL;
    cr_assert_eq(key.ops->open(&key, &open, &err), MIKEYD_AUTH_FAILED);
    cr_assert_eq(key.ops->seal(&key, &seal, &err), MIKEYD_AUTH_FAILED);
    cr_assert_eq(key.ops->tgk(&key, &what, MIKEY_TGK_DHE, tgk, 32, &err), MIKEYD_AUTH_FAILED);
    cr_assert_neq(keys_port_ticket_key(port, "tickets", 1, 9, ticket, &err), MIKEYD_OK);
    cr_assert_eq(key.ops->tag(&key, &of_reply, tag, &err), MIKEYD_AUTH_FAILED);
    cr_assert_arr_eq(tag, nothing, sizeof tag);
    cr_assert_eq(open.plain_len, 0);
    cr_assert_arr_eq(ticket, nothing, sizeof ticket);
    cr_assert_arr_eq(plain, nothing, 20);
    cr_assert_arr_eq(v, nothing, 32);
    cr_assert_arr_eq(mac, nothing, 32);
    cr_assert_arr_eq(tgk, nothing, 32);
    keys_port_close(port);
}

Test(port, uses_are_counted_also_where_the_answer_was_lost)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    cr_assert_eq(use(port, 1), MIKEYD_OK);
    cr_assert_eq(use(port, 2), MIKEYD_OK);
    cr_assert_eq(keys_port_take_uses(port), 2);
    cr_assert_eq(keys_port_take_uses(port), 0);
    atomic_store(&peers[0].drop, true);
    atomic_store(&peers[1].drop, true);
    cr_assert_eq(use(port, 3), MIKEYD_TOKEN_DOWN);
    cr_assert_eq(keys_port_take_uses(port), 2); /* one at each: either may have used the key */
    keys_port_close(port);
}

Test(port, a_use_that_failed_is_a_use)
{
    static const enum mikeyd_status failing[] = {MIKEYD_AUTH_FAILED, MIKEYD_POLICY,
                                                 MIKEYD_TOKEN_BUSY, MIKEYD_TOKEN_DOWN};
    uint8_t ticket[DOOR_TICKET_KEY];
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    for (size_t i = 0; i < 4; i++) {
        atomic_store(&peers[0].use_status, failing[i]);
        cr_assert_eq(use(port, 1), failing[i]);
        cr_assert_eq(keys_port_take_uses(port), 1, "%s", status_name(failing[i]));
    }
    atomic_store(&peers[0].use_status, 0);
    cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 9, ticket, &err), MIKEYD_OK);
    cr_assert_eq(keys_port_prepare(port, &psk, &err), MIKEYD_OK);
    cr_assert_eq(keys_port_take_uses(port), 0, "no pre-shared key was used for anybody");
    keys_port_close(port);
}

Test(port, a_retry_elsewhere_is_a_use_at_both)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    atomic_store(&peers[0].use_status, MIKEYD_TOKEN_BUSY);
    atomic_store(&group->member[0].latency_us, 1);
    atomic_store(&group->member[1].latency_us, 100000);
    cr_assert_eq(use(port, 1), MIKEYD_OK);
    cr_assert_eq(keys_port_take_uses(port), 2);
    keys_port_close(port);
}

/* ---- elsewhere, or not */

static void prefer_first(void)
{
    atomic_store(&group->member[0].latency_us, 1);
    atomic_store(&group->member[1].latency_us, 100000);
}

Test(port, what_another_member_could_do_is_repeated_there)
{
    static const enum mikeyd_status failing[] = {MIKEYD_TOKEN_DOWN, MIKEYD_TOKEN_BUSY,
                                                 MIKEYD_INTERNAL};
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    for (size_t i = 0; i < 3; i++) {
        atomic_store(&peers[0].use_status, failing[i]);
        prefer_first();
        const unsigned before = peer_uses(&peers[0]);
        cr_assert_eq(use(port, 1), MIKEYD_OK, "%s", status_name(failing[i]));
        cr_assert_eq(peer_uses(&peers[0]), before + 1);
    }
    cr_assert_eq(status_of(0).retried_elsewhere, 3);
    keys_port_close(port);
}

Test(port, a_verdict_on_the_message_is_not_repeated)
{
    static const enum mikeyd_status verdicts[] = {MIKEYD_AUTH_FAILED, MIKEYD_POLICY,
                                                  MIKEYD_UNSUPPORTED, MIKEYD_SYNTAX};
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    for (size_t i = 0; i < 4; i++) {
        atomic_store(&peers[0].use_status, verdicts[i]);
        prefer_first();
        cr_assert_eq(use(port, 1), verdicts[i]);
    }
    cr_assert_eq(peer_uses(&peers[1]), 0);
    cr_assert_eq(state_of(0), KEYS_MEMBER_CLOSED);
    keys_port_close(port);
}

Test(port, a_lost_connection_is_repeated_elsewhere_and_opens_the_breaker)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    prefer_first();
    cr_assert_eq(use(port, 1), MIKEYD_OK);
    peer_kill(&peers[0]);
    cr_assert_eq(use(port, 2), MIKEYD_OK);
    cr_assert_eq(take_events(KEYS_EVENT_DOWN), 1);
    cr_assert_eq(last_event.member, 0);
    cr_assert_neq(state_of(0), KEYS_MEMBER_CLOSED);
    keys_port_close(port);
}

Test(port, an_answer_to_something_else_ends_the_connection)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    atomic_bool *const faults[] = {&peers[0].wrong_id, &peers[0].garbage, &peers[0].wrong_length};
    for (size_t i = 0; i < 3; i++) {
        prefer_first();
        atomic_store(&group->member[0].failed_in_a_row, 0);
        atomic_store(faults[i], true);
        cr_assert_eq(use(port, 1), MIKEYD_OK, "fault %zu", i);
        cr_assert_null(port->connection[0].keyholder, "fault %zu", i);
        cr_assert_eq(status_of(0).failures, i + 1);
        atomic_store(faults[i], false);
        prefer_first();
        cr_assert_eq(use(port, 2), MIKEYD_OK);
        cr_assert_not_null(port->connection[0].keyholder);
    }
    keys_port_close(port);
}

Test(port, when_all_fail_the_answer_says_why)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    atomic_store(&peers[0].use_status, MIKEYD_TOKEN_BUSY);
    atomic_store(&peers[1].use_status, MIKEYD_TOKEN_DOWN);
    prefer_first();
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_BUSY); /* one of them is well */
    atomic_store(&peers[0].use_status, MIKEYD_TOKEN_DOWN);
    prefer_first();
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    cr_assert_str_eq(err.text, "B says so");
    keys_port_close(port);
}

Test(port, without_any_member_it_is_said_at_once_why)
{
    make_group(2, 2000);
    struct keys_port *port = open_port();
    const int64_t begun = clock_monotonic_ms();
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    cr_assert_str_eq(err.text, "no keyholder has come yet for token 1");
    cr_assert_lt(clock_monotonic_ms() - begun, 500);
    keys_port_close(port);
}

/* ---- the breaker */

Test(port, the_third_failed_answer_in_a_row_opens_the_breaker)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    for (int i = 0; i < 4; i++) { /* two, and one that is well: never three in a row */
        atomic_store(&peers[0].use_status, MIKEYD_TOKEN_DOWN);
        cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
        cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
        atomic_store(&peers[0].use_status, 0);
        cr_assert_eq(use(port, 1), MIKEYD_OK);
    }
    cr_assert_eq(state_of(0), KEYS_MEMBER_CLOSED);
    atomic_store(&peers[0].health_status, MIKEYD_TOKEN_DOWN);
    atomic_store(&peers[0].use_status, MIKEYD_TOKEN_DOWN);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    cr_assert_eq(state_of(0), KEYS_MEMBER_OPEN);
    cr_assert_eq(take_events(KEYS_EVENT_DOWN), 1);
    keys_port_close(port);
}

Test(port, a_busy_token_is_not_a_broken_one)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    atomic_store(&peers[0].use_status, MIKEYD_TOKEN_BUSY);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(use(port, 1), MIKEYD_TOKEN_BUSY);
    cr_assert_eq(state_of(0), KEYS_MEMBER_CLOSED);
    keys_port_close(port);
}

Test(port, a_missing_audit_key_says_nothing_of_the_token)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    const struct keys_checkpoint point = {.key_name = "audit", .generation = 1};
    uint8_t signature[64], incarnation[16];
    uint64_t uses;
    atomic_store(&peers[0].use_status, MIKEYD_TOKEN_DOWN);
    for (int i = 0; i < 5; i++) {
        size_t len = sizeof signature;
        cr_assert_eq(keys_port_checkpoint(port, &point, signature, &len, &uses, incarnation, &err),
                     MIKEYD_TOKEN_DOWN);
    }
    cr_assert_eq(state_of(0), KEYS_MEMBER_CLOSED);
    keys_port_close(port);
}

/* Every keyholder has to sign what it counts, also one that requests go past. */
Test(port, a_checkpoint_is_signed_by_the_member_that_is_named_while_it_serves)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    uint8_t signature[64], incarnation[16];
    uint64_t uses;
    for (size_t member = 0; member < 2; member++) {
        const struct keys_checkpoint point = {
            .key_name = "audit", .generation = 1, .member = member};
        const unsigned before = peer_uses(&peers[member]);
        for (unsigned i = 1; i <= 3; i++) {
            size_t len = sizeof signature;
            prefer_first();
            cr_assert_eq(
                keys_port_checkpoint(port, &point, signature, &len, &uses, incarnation, &err),
                MIKEYD_OK, "%s", err.text);
            cr_assert_eq(peer_uses(&peers[member]), before + i, "member %zu", member);
        }
    }
    peer_kill(&peers[1]);
    const struct keys_checkpoint point = {.key_name = "audit", .generation = 1, .member = 1};
    const unsigned before = peer_uses(&peers[0]);
    size_t len = sizeof signature;
    cr_assert_eq(keys_port_checkpoint(port, &point, signature, &len, &uses, incarnation, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(peer_uses(&peers[0]), before + 1);
    keys_port_close(port);
}

Test(port, a_pair_key_is_prepared_at_every_member)
{
    make_serving_group(3, 2000);
    struct keys_port *port = open_port();
    cr_assert_eq(keys_port_prepare(port, &psk, &err), MIKEYD_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(atomic_load(&peers[i].count[DOOR_PREPARE]), 1);
    keys_port_close(port);
}

/* ---- time */

Test(port, a_member_that_hangs_costs_a_share_of_the_time)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    const uint64_t hung = group->member[0].keyholder->number;
    prefer_first();
    atomic_store(&peers[0].hang, true);
    const int64_t begun = clock_monotonic_ms();
    keys_port_deadline(port, begun + 2000);
    cr_assert_eq(use(port, 1), MIKEYD_OK);
    const int64_t took = clock_monotonic_ms() - begun;
    cr_assert(took >= 490 && took < 1500, "%d ms", (int)took); /* a quarter of call_timeout */
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 1);
    cr_assert_eq(last_event.member, 0);
    cr_assert_eq(last_event.keyholder, hung);
    cr_assert_eq(state_of(0), KEYS_MEMBER_OPEN);
    keys_port_close(port);
}

Test(port, a_slow_or_crowded_member_has_more_time)
{
    make_serving_group(2, 2000);
    atomic_store(&group->member[0].latency_us, 150000);
    cr_assert_eq(keys_breaker_share(&group->member[0]), 1200);
    atomic_store(&group->member[0].latency_us, 400000);
    cr_assert_eq(keys_breaker_share(&group->member[0]), 2000);
    atomic_store(&group->member[0].latency_us, 0);
    atomic_store(&group->member[0].in_flight, 7); /* of 8 sessions: none waits for another */
    cr_assert_eq(keys_breaker_share(&group->member[0]), 500);
    atomic_store(&group->member[0].in_flight, 17);
    cr_assert_eq(keys_breaker_share(&group->member[0]), 1500);
    atomic_store(&group->member[0].in_flight, 0);
    group->member[0].call_timeout_ms = 40;
    atomic_store(&group->member[0].latency_us, 0);
    cr_assert_eq(keys_breaker_share(&group->member[0]), 20);
}

Test(port, the_last_member_gets_all_that_is_left)
{
    make_serving_group(2, 1000);
    struct keys_port *port = open_port();
    prefer_first();
    atomic_store(&peers[0].hang, true);
    atomic_store(&peers[1].delay_us, 500000); /* longer than a share */
    keys_port_deadline(port, clock_monotonic_ms() + 1000);
    cr_assert_eq(use(port, 1), MIKEYD_OK);
    keys_port_close(port);
}

Test(port, with_one_member_the_deadline_ends_in_token_down)
{
    make_serving_group(1, 300);
    struct keys_port *port = open_port();
    atomic_store(&peers[0].hang, true);
    const int64_t begun = clock_monotonic_ms();
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    const int64_t took = clock_monotonic_ms() - begun;
    cr_assert(took >= 290 && took < 1200, "%d ms", (int)took);
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 1);
    cr_assert_not_null(strstr(err.text, "token A"));
    keys_port_close(port);
}

Test(port, a_client_in_a_hurry_kills_no_keyholder)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    atomic_store(&peers[0].delay_us, 300000);
    const unsigned health = atomic_load(&peers[0].count[DOOR_HEALTH]);
    keys_port_deadline(port, clock_monotonic_ms() + 50);
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    keys_port_deadline(port, clock_monotonic_ms() - 1);
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    sleep_ms(200);
    cr_assert_eq(take_events(0), 0);
    cr_assert_eq(state_of(0), KEYS_MEMBER_CLOSED);
    cr_assert_gt(atomic_load(&peers[0].count[DOOR_HEALTH]), health); /* but it is looked at */
    keys_port_deadline(port, 0);
    cr_assert_eq(use(port, 2), MIKEYD_OK); /* and no late answer is taken for another */
    keys_port_close(port);
}

struct caller {
    pthread_t thread;
    struct keys_port *port;
    enum mikeyd_status status;
    int64_t took_ms;
    unsigned done;
};

static void *call_once(void *argument)
{
    struct caller *caller = argument;
    const int64_t begun = clock_monotonic_ms();
    caller->status = use(caller->port, 5);
    caller->took_ms = clock_monotonic_ms() - begun;
    return NULL;
}

Test(port, who_waits_at_a_member_goes_on_when_another_finds_it_overrun)
{
    struct caller callers[4] = {0};
    make_serving_group(2, 2000);
    atomic_store(&peers[0].hang, true);
    for (int i = 0; i < 4; i++) {
        callers[i].port = open_port();
        prefer_first();
        /* 480 ms apart from the first: their own shares would end much later */
        (void)pthread_create(&callers[i].thread, NULL, call_once, &callers[i]);
        sleep_ms(i == 0 ? 400 : 5);
    }
    for (int i = 0; i < 4; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        cr_assert_eq(callers[i].status, MIKEYD_OK);
        if (i != 0)
            cr_assert_lt(callers[i].took_ms, 400, "%d ms", (int)callers[i].took_ms);
        keys_port_close(callers[i].port);
    }
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 1);
}

Test(port, an_overrun_is_told_once_for_each_keyholder)
{
    make_serving_group(2, 2000);
    struct keys_keyholder *keyholder = group->member[0].keyholder;
    keys_keyholder_ref(keyholder);
    keys_breaker_overrun(&group->member[0], keyholder, 500);
    keys_breaker_overrun(&group->member[0], keyholder, 500);
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 1);
    keys_keyholder_unref(keyholder);
    keyholder = group->member[1].keyholder;
    keys_keyholder_ref(keyholder);
    keys_group_lose(group, 1, 0); /* killed already: nobody is to kill it again */
    keys_breaker_overrun(&group->member[1], keyholder, 500);
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 0);
    keys_keyholder_unref(keyholder);
}

Test(port, who_waits_at_a_lost_member_goes_on_at_once)
{
    struct caller caller = {0};
    make_serving_group(2, 4000);
    atomic_store(&peers[0].hang, true);
    caller.port = open_port();
    prefer_first();
    (void)pthread_create(&caller.thread, NULL, call_once, &caller);
    sleep_ms(50);
    keys_group_lose(group, 0, 0);
    (void)pthread_join(caller.thread, NULL);
    cr_assert_eq(caller.status, MIKEYD_OK);
    cr_assert_lt(caller.took_ms, 800);
    cr_assert_eq(state_of(0), KEYS_MEMBER_ABSENT);
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 0);
    keys_port_close(caller.port);
}

/* ---- load */

static void *call_often(void *argument)
{
    struct caller *caller = argument;
    const int64_t until = clock_monotonic_ms() + 700;
    while (clock_monotonic_ms() < until) {
        cr_assert_eq(use(caller->port, 5), MIKEYD_OK);
        caller->done++;
    }
    return NULL;
}

Test(port, load_goes_where_it_is_served_sooner)
{
    struct caller callers[6] = {0};
    make_serving_group(2, 2000);
    atomic_store(&peers[0].delay_us, 4000);
    atomic_store(&peers[1].delay_us, 20000);
    for (int i = 0; i < 6; i++) {
        callers[i].port = open_port();
        (void)pthread_create(&callers[i].thread, NULL, call_often, &callers[i]);
    }
    for (int i = 0; i < 6; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        keys_port_close(callers[i].port);
    }
    const unsigned fast = peer_uses(&peers[0]), slow = peer_uses(&peers[1]);
    cr_assert_gt(fast, 2 * slow, "%u at the fast one, %u at the slow one", fast, slow);
    cr_assert_gt(slow, 3); /* but not none */
}

Test(port, the_member_likely_to_be_done_first_is_chosen)
{
    static const struct {
        unsigned in_flight[2], latency_us[2];
        size_t chosen;
    } cases[] = {
        {{0, 0}, {1000, 900}, 1}, {{2, 0}, {1000, 2900}, 1}, {{2, 0}, {1000, 3100}, 0},
        {{0, 5}, {1000, 100}, 1}, {{0, 9}, {1000, 110}, 0},  {{3, 3}, {500, 600}, 0},
    };
    make_serving_group(2, 2000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t m = 0; m < 2; m++) {
            atomic_store(&group->member[m].in_flight, cases[i].in_flight[m]);
            atomic_store(&group->member[m].latency_us, cases[i].latency_us[m]);
        }
        cr_assert_eq(keys_breaker_choose(group, 0)->index, cases[i].chosen, "case %zu", i);
        const unsigned other = 1u - (unsigned)cases[i].chosen;
        cr_assert_eq(keys_breaker_choose(group, 1u << cases[i].chosen)->index, other);
        cr_assert_null(keys_breaker_choose(group, 3));
    }
}

Test(port, a_latency_of_long_ago_is_forgotten)
{
    make_serving_group(2, 2000);
    struct keys_port *port = open_port();
    atomic_store(&group->member[0].latency_us, 1000);
    atomic_store(&group->member[1].latency_us, 1000000);
    sleep_ms(2600);
    cr_assert_lt(status_of(1).latency_us, 900000);
    keys_port_close(port);
}
