/* What a keyholder tells, signs and proves, and how it treats its connections. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/secret.h"

#include "lab.h"

static struct lab lab;
static struct door_answer answer;

static void stop(void)
{
    lab_close(&lab);
}
TestSuite(keyholder_door, .fini = stop, .timeout = 120);

static enum mikeyd_status seal_over(int door)
{
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    return lab_ask_over(&lab, door, &request, &answer);
}

/* ---- facts and keys */

Test(keyholder_door, facts_tell_the_token_and_how_the_process_lives)
{
    lab_open(&lab, LAB_ANY);
    struct door_facts facts = lab_facts(&lab);
    cr_assert_eq(facts.prf_derive, lab_token_derives(&lab.fixture));
    cr_assert_eq(facts.hkdf, lab_token_derives(&lab.fixture));
    cr_assert_eq(facts.sessions, lab.config.sessions);
    cr_assert_str_eq(facts.module, lab.config.module);
    cr_assert(facts.up);
    cr_assert_eq(facts.uses, 0);
    cr_assert_gt(facts.rss_kb, 1000);
    cr_assert_not(facts.recycle);
    cr_assert_eq(facts.requests, 0);
    cr_assert_eq(seal_over(lab.door), MIKEYD_OK, "%s", answer.text);
    const struct door_facts later = lab_facts(&lab);
    cr_assert_eq(later.uses, 1);
    cr_assert_eq(later.requests, 2);
    cr_assert_gt(later.hmacs, facts.hmacs);
    cr_assert_arr_eq(later.incarnation, facts.incarnation, 16);
}

Test(keyholder_door, a_process_that_grew_asks_for_a_successor)
{
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    lab.options.recycle_kb = 4096;
    lab_start(&lab);
    cr_assert_not(lab_facts(&lab).recycle);
    const size_t leak = (size_t)16 << 20;
    uint8_t *volatile leaked = malloc(leak);
    cr_assert_not_null(leaked);
    memset(leaked, 1, leak);
    cr_assert(lab_facts(&lab).recycle);
    free(leaked);
}

/* As opencryptoki does with 32 bytes for each HMAC. */
Test(keyholder_door, a_secure_heap_that_leaks_asks_for_a_successor_while_there_is_some_left)
{
    lab_open(&lab, LAB_ANY);
    cr_assert_not(lab_facts(&lab).recycle);
    while (secret_heap_left() > (size_t)200 * 1024)
        cr_assert_not_null(secret_alloc(4096));
    cr_assert(lab_facts(&lab).recycle);
    cr_assert_eq(seal_over(lab.door), MIKEYD_OK, "%s", answer.text);
}

static const struct keys_entry *entry_of(enum keys_kind kind, const char *name)
{
    const struct door_request request = {.op = DOOR_KEYS};
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    for (size_t i = 0; i < answer.keys.count; i++) {
        if (lab.entry[i].kind == kind && strcmp(lab.entry[i].name, name) == 0)
            return &lab.entry[i];
    }
    return NULL;
}

Test(keyholder_door, the_inventory_tells_each_key_and_no_value)
{
    lab_open(&lab, LAB_ANY);
    const struct keys_entry *entry = entry_of(KEYS_PSK, "long");
    cr_assert_not_null(entry);
    cr_assert_eq(entry->generation, 1);
    cr_assert_eq(entry->block_count, 3);
    cr_assert_eq(entry->bits, 640);
    cr_assert(entry->usable);
    cr_assert_not_null(entry_of(KEYS_TICKET, "tickets"));
    cr_assert_null(entry_of(KEYS_PSK, "tickets"));
}

Test(keyholder_door, a_rescan_finds_new_keys_and_misses_old_ones)
{
    const struct door_request rescan = {.op = DOOR_RESCAN};
    const struct keys_name name = lab_psk("fresh");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    lab_open(&lab, LAB_SIGNS);
    const struct door_facts before = lab_facts(&lab);
    lab_add_psk(&lab, "fresh", 1);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
    cr_assert_null(entry_of(KEYS_PSK, "fresh"));
    cr_assert_eq(lab_ask(&lab, &rescan, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_not_null(entry_of(KEYS_PSK, "fresh"));
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    const struct door_facts between = lab_facts(&lab);
    cr_assert_eq(between.key_count, before.key_count + 1);
    cr_assert_neq(between.inventory, before.inventory);
    cr_assert_eq(lab_ask(&lab, &rescan, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(lab_facts(&lab).inventory, between.inventory, "nothing has changed");
    cr_assert(token_fixture_destroy(&lab.fixture, "mikeyd/psk/fresh/1"));
    cr_assert_eq(lab_ask(&lab, &rescan, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_null(entry_of(KEYS_PSK, "fresh"));
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
}

Test(keyholder_door, a_rescan_makes_pair_keys_anew)
{
    const struct door_request rescan = {.op = DOOR_RESCAN};
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    lab_open(&lab, LAB_ANY);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(lab_ask(&lab, &rescan, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    const struct door_facts facts = lab_facts(&lab);
    cr_assert_eq(facts.pair_misses, 2);
    cr_assert_eq(facts.pair_entries, 1, "the old one is gone from the token, too");
}

Test(keyholder_door, many_keys_are_told_in_pages)
{
    uint8_t value[32] = {7};
    lab_make(&lab, lab_token_of_run(LAB_SIGNS));
    struct token_fixture_batch *batch = token_fixture_batch_open(&lab.fixture);
    cr_assert_not_null(batch);
    for (unsigned i = 0; i < 140; i++) {
        char label[64];
        value[1] = (uint8_t)i;
        value[2] = (uint8_t)(i >> 8);
        (void)snprintf(label, sizeof label, "mikeyd/psk/many%u/1", i);
        cr_assert(token_fixture_batch_key(
            batch, &(struct token_fixture_key){.label = label, .value = value, .len = 32}));
    }
    token_fixture_batch_close(batch);
    lab_start(&lab);
    struct door_request request = {.op = DOOR_KEYS};
    uint32_t seen = 0, total = 1;
    while (request.keys.first < total) {
        cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
        for (size_t i = 0; i < answer.keys.count; i++)
            seen += strncmp(lab.entry[i].name, "many", 4) == 0;
        total = answer.keys.total;
        request.keys.first += (uint32_t)answer.keys.count;
    }
    cr_assert_eq(seen, 140);
    request.keys.first = total + 1;
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_INVALID_ARGUMENT);
}

Test(keyholder_door, health_is_asked_of_the_token)
{
    const struct door_request request = {.op = DOOR_HEALTH};
    lab_open(&lab, LAB_SIGNS);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert(token_fixture_destroy(&lab.fixture, "mikeyd/psk/plain/1"));
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(answer.text, "mikeyd/psk/plain/1"), "%s", answer.text);
}

/* ---- connections */

static bool is_closed(int door)
{
    uint8_t byte;
    struct error err = {0};
    size_t len = 0;
    return door_receive(door, LAB_WAIT_MS, &byte, 1, &len, &err) == MIKEYD_TOKEN_DOWN;
}

/* Whoever is told that something is there, and finds nothing, must not be held by it. */
Test(keyholder_door, receiving_without_time_does_not_wait, .timeout = 20)
{
    uint8_t byte = 7;
    struct error err = {0};
    size_t len = 1;
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(door_receive(ends[0], 0, &byte, 1, &len, &err), MIKEYD_TOKEN_BUSY);
    cr_assert_eq(len, 0);
    cr_assert_eq(send(ends[1], &byte, 1, MSG_NOSIGNAL), 1);
    cr_assert_eq(door_receive(ends[0], 0, &byte, 1, &len, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(len, 1);
    (void)close(ends[1]);
    cr_assert_eq(door_receive(ends[0], 0, &byte, 1, &len, &err), MIKEYD_TOKEN_DOWN);
    (void)close(ends[0]);
}

static void send_bytes(int door, const void *data, size_t len)
{
    cr_assert_eq(send(door, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void assert_syntax_and_closed(int door, uint32_t id)
{
    struct error err = {0};
    cr_assert_eq(door_receive(door, LAB_WAIT_MS, lab.in, sizeof lab.in, &lab.in_len, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(door_read_answer(lab.in, lab.in_len, lab.entry, &answer, &err), MIKEYD_OK);
    cr_assert_eq(answer.status, MIKEYD_SYNTAX);
    cr_assert_eq(answer.id, id);
    cr_assert(is_closed(door));
    (void)close(door);
}

Test(keyholder_door, garbage_is_syntax_and_ends_its_own_connection_alone)
{
    static const uint8_t wrong_op[] = {DOOR_VERSION, 99, 0, 0, 0, 0, 0, 42};
    static const uint8_t left_over[] = {DOOR_VERSION, DOOR_FACTS, 0, 0, 0, 0, 0, 43, 0};
    static const uint8_t short_one[] = {DOOR_VERSION, DOOR_SEAL, 0, 0, 0, 0, 0, 44, 1};
    static const uint8_t other_version[] = {DOOR_VERSION + 1, DOOR_FACTS, 0, 0, 0, 0, 0, 45};
    static uint8_t too_long[DOOR_MESSAGE_MAX + 1] = {DOOR_VERSION, DOOR_SEAL, 0, 0, 0, 0, 0, 46};
    lab_open(&lab, LAB_ANY);
    int door = lab_connect(&lab);
    send_bytes(door, wrong_op, sizeof wrong_op);
    assert_syntax_and_closed(door, 42);
    door = lab_connect(&lab);
    send_bytes(door, left_over, sizeof left_over);
    assert_syntax_and_closed(door, 43);
    door = lab_connect(&lab);
    send_bytes(door, short_one, sizeof short_one);
    assert_syntax_and_closed(door, 44);
    door = lab_connect(&lab);
    send_bytes(door, other_version, sizeof other_version);
    assert_syntax_and_closed(door, 45);
    door = lab_connect(&lab);
    send_bytes(door, too_long, sizeof too_long);
    assert_syntax_and_closed(door, 46);
    door = lab_connect(&lab);
    send_bytes(door, "x", 1);
    assert_syntax_and_closed(door, 0);
    cr_assert_eq(seal_over(lab.door), MIKEYD_OK, "the others go on: %s", answer.text);
    cr_assert_eq(lab_facts(&lab).uses, 1);
}

#define CROWD 40

static void *ask_often(void *door)
{
    static _Thread_local struct lab mine;
    struct door_answer got;
    const struct keys_name name = lab_psk("plain");
    const struct door_request request = lab_seal(&name, MIKEY_ALGORITHMS_256);
    size_t served = 0;
    for (int i = 0; i < 5; i++)
        served += lab_ask_over(&mine, *(int *)door, &request, &got) == MIKEYD_OK;
    return (void *)served;
}

Test(keyholder_door, more_connections_than_sessions_are_served)
{
    pthread_t thread[CROWD];
    int door[CROWD];
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    lab.options.wait_ms = LAB_WAIT_MS;
    lab_start(&lab);
    cr_assert_lt(lab.config.sessions, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        door[i] = lab_connect(&lab);
        cr_assert_eq(pthread_create(&thread[i], NULL, ask_often, &door[i]), 0);
    }
    for (size_t i = 0; i < CROWD; i++) {
        void *served = NULL;
        cr_assert_eq(pthread_join(thread[i], &served), 0);
        cr_assert_eq((size_t)served, 5);
        (void)close(door[i]);
    }
    cr_assert_eq(lab_facts(&lab).uses, CROWD * 5);
    cr_assert_eq(lab_facts(&lab).sessions_used, 0);
}

Test(keyholder_door, connections_have_a_bound)
{
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    lab.options.connections = 2;
    lab_start(&lab);
    int second = lab_connect(&lab), third = lab_connect(&lab);
    cr_assert(is_closed(third));
    (void)close(third);
    cr_assert_eq(seal_over(second), MIKEYD_OK, "%s", answer.text);
    (void)close(second);
    /* When the keyholder has seen that, there is room again. */
    bool served = false;
    for (int i = 0; i < 100 && !served; i++) {
        third = lab_connect(&lab);
        const struct door_request request = {.op = DOOR_FACTS};
        uint8_t memory[64];
        struct byte_writer out = writer_of(memory, sizeof memory);
        size_t len = 0;
        cr_assert_eq(door_write_request(&request, &out, NULL), MIKEYD_OK);
        served = door_send(third, &out, NULL) == MIKEYD_OK &&
                 door_receive(third, LAB_WAIT_MS, lab.in, sizeof lab.in, &len, NULL) == MIKEYD_OK;
        (void)close(third);
        (void)usleep(10000);
    }
    cr_assert(served);
}

static void *stop_serving(void *unused)
{
    (void)unused;
    (void)pthread_join(lab.thread, NULL);
    return NULL;
}

Test(keyholder_door, it_ends_when_the_control_socket_and_all_connections_have)
{
    pthread_t waiting;
    void *result;
    lab_open(&lab, LAB_ANY);
    (void)close(lab.control);
    cr_assert_eq(pthread_create(&waiting, NULL, stop_serving, NULL), 0);
    (void)usleep(300000);
    cr_assert_eq(seal_over(lab.door), MIKEYD_OK, "a connection that is open is served on: %s",
                 answer.text);
    cr_assert_neq(pthread_tryjoin_np(waiting, &result), 0);
    (void)close(lab.door);
    cr_assert_eq(pthread_join(waiting, NULL), 0);
    keyholder_free(lab.holder);
    token_close(lab.token);
    lab.holder = NULL;
}
