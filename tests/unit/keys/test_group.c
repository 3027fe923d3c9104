/* Keyholders join, differ, fail, come back, and are replaced. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "fixture.h"
#include "keys/group_internal.h"

TestSuite(group, .fini = end_group, .timeout = 30);

static void check_serves(size_t member, struct keys_port *port)
{
    cr_assert_eq(state_of(member), KEYS_MEMBER_CLOSED, "%s", status_of(member).why);
    cr_assert_eq(use(port, 1), MIKEYD_OK, "%s", err.text);
}

/* ---- joining */

Test(group, it_waits_for_its_members)
{
    make_group(2, 2000);
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK);
    cr_assert_eq(keys_group_wait(group, 2, 100, &err), MIKEYD_TOKEN_DOWN);
    cr_assert_str_eq(err.text, "no keyholder has come yet for token 2");
    (void)join(1);
    cr_assert_eq(keys_group_wait(group, 2, 5000, &err), MIKEYD_OK);
    cr_assert(keys_group_up(group));
    cr_assert_eq(take_events(KEYS_EVENT_UP), 2);
    cr_assert_str_eq(last_event.text, "token B serves with 2 keys");
}

Test(group, when_all_have_failed_the_reason_of_the_first_is_told_without_waiting)
{
    make_group(2, 2000);
    atomic_store(&peers[0].health_status, MIKEYD_TOKEN_DOWN);
    atomic_store(&peers[1].health_status, MIKEYD_TOKEN_DOWN);
    const int64_t begun = clock_monotonic_ms();
    (void)join(0);
    (void)join(1);
    cr_assert_eq(keys_group_wait(group, 1, 20000, &err), MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(err.text, "A says so"), "%s", err.text);
    cr_assert_lt(clock_monotonic_ms() - begun, 5000);
    cr_assert_not(keys_group_up(group));
}

Test(group, a_keyholder_lost_before_it_came_ends_the_wait)
{
    make_group(1, 2000);
    const int64_t begun = clock_monotonic_ms();
    keys_group_lose(group, 0, 0);
    cr_assert_eq(keys_group_wait(group, 1, 20000, &err), MIKEYD_TOKEN_DOWN);
    cr_assert_lt(clock_monotonic_ms() - begun, 5000);
}

Test(group, a_keyholder_that_hangs_while_it_joins_is_overrun)
{
    make_group(2, 200);
    atomic_store(&peers[0].hang_all, true);
    const uint64_t number = join(0);
    (void)join(1);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK); /* holds up nobody else */
    wait_for_state(0, KEYS_MEMBER_ABSENT);
    cr_assert_eq(take_events(KEYS_EVENT_OVERRUN), 1);
    cr_assert_eq(last_event.keyholder, number);
}

Test(group, facts_are_told)
{
    make_serving_group(1, 2000);
    cr_assert_str_eq(status_of(0).facts.label, "A");
    cr_assert(keys_group_can_derive(group));
    cr_assert_not(keys_group_can_import(group));
    cr_assert_str_eq(keys_member_state_name(KEYS_MEMBER_HALF_OPEN), "half-open");
}

/* ---- inventory */

static void add_many(struct peer *peer, unsigned count)
{
    char name[KEYS_NAME_MAX];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "key-%u", i);
        peer_add_key(peer, KEYS_PSK, name, (uint8_t)i);
    }
}

Test(group, an_inventory_of_several_pages_is_read_whole)
{
    make_group(1, 2000);
    add_many(&peers[0], 300);
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK, "%s", err.text);
    struct keys_inventory *inventory = keys_group_inventory(group);
    cr_assert_eq(keys_inventory_count(inventory), 300);
    for (unsigned i = 0; i < 300; i++) {
        char name[KEYS_NAME_MAX];
        (void)snprintf(name, sizeof name, "key-%u", i);
        const struct keys_entry *entry = keys_inventory_find(inventory, KEYS_PSK, name, 1);
        cr_assert_not_null(entry);
        cr_assert_str_eq(entry->name, name);
        cr_assert_null(keys_inventory_find(inventory, KEYS_EPSK, name, 1));
        cr_assert_null(keys_inventory_find(inventory, KEYS_PSK, name, 2));
    }
    cr_assert_eq(atomic_load(&peers[0].count[DOOR_KEYS]), 3);
    keys_inventory_unref(inventory);
}

Test(group, an_inventory_that_changes_between_pages_is_read_again)
{
    make_group(1, 2000);
    add_many(&peers[0], 300);
    atomic_store(&peers[0].inventory_moves, true);
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK, "%s", err.text);
    struct keys_inventory *inventory = keys_group_inventory(group);
    cr_assert_eq(keys_inventory_count(inventory), 300);
    cr_assert_eq(atomic_load(&peers[0].count[DOOR_KEYS]), 5); /* two, and all three again */
    keys_inventory_unref(inventory);
}

Test(group, there_is_no_inventory_before_somebody_has_joined)
{
    make_group(1, 2000);
    cr_assert_null(keys_group_inventory(group));
}

static uint64_t version(void)
{
    struct keys_inventory *inventory = keys_group_inventory(group);
    const uint64_t number = keys_inventory_version(inventory);
    keys_inventory_unref(inventory);
    return number;
}

/* ---- the same keys, or not used */

static void two_members(void)
{
    make_group(2, 2000);
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK, "%s", err.text);
    (void)take_events(0);
}

Test(group, a_member_with_another_key_is_named_and_not_used)
{
    two_members();
    peer_add_key(&peers[1], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[1], KEYS_EPSK, "core", 99);
    (void)join(1);
    wait_for_state(1, KEYS_MEMBER_DIFFERS);
    cr_assert_eq(take_events(KEYS_EVENT_DIFFERS), 1);
    cr_assert_eq(last_event.member, 1);
    cr_assert_str_eq(last_event.text, "token B has another key mikeyd/epsk/core/1 than token A");
    cr_assert_str_eq(status_of(1).why, last_event.text);
    struct keys_port *port = open_port();
    atomic_store(&group->member[1].latency_us, 0);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(use(port, i), MIKEYD_OK);
    cr_assert_eq(peer_uses(&peers[1]), 0);
    keys_port_close(port);
}

Test(group, a_member_that_lacks_a_key_is_named_and_not_used)
{
    two_members();
    peer_add_key(&peers[1], KEYS_EPSK, "core", 22);
    (void)join(1);
    wait_for_state(1, KEYS_MEMBER_DIFFERS);
    cr_assert_str_eq(status_of(1).why, "token B lacks mikeyd/psk/legacy/1, which the group holds");
}

Test(group, a_key_that_cannot_be_used_at_the_member_is_one_it_lacks)
{
    two_members();
    peer_add_key(&peers[1], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[1], KEYS_EPSK, "core", 22);
    peers[1].keys[1].entry.usable = false;
    (void)join(1);
    wait_for_state(1, KEYS_MEMBER_DIFFERS);
    cr_assert_not_null(strstr(status_of(1).why, "lacks mikeyd/epsk/core/1"));
}

Test(group, audit_keys_and_unusable_keys_may_differ)
{
    make_group(2, 2000);
    for (size_t i = 0; i < 2; i++) {
        peer_add_key(&peers[i], KEYS_PSK, "legacy", 11);
        peer_add_key(&peers[i], KEYS_PSK, "odd", (uint8_t)i);
        peers[i].keys[1].entry.usable = false;
        peer_add_key(&peers[i], KEYS_AUDIT, i == 0 ? "audit-a" : "audit-b", (uint8_t)i);
        (void)join(i);
    }
    cr_assert_eq(keys_group_wait(group, 2, 5000, &err), MIKEYD_OK, "%s", err.text);
}

Test(group, every_one_of_many_keys_is_compared)
{
    make_group(2, 2000);
    add_many(&peers[0], 200);
    add_many(&peers[1], 200);
    peers[1].keys[199].value++;
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK, "%s", err.text);
    (void)join(1);
    wait_for_state(1, KEYS_MEMBER_DIFFERS);
    cr_assert_not_null(strstr(status_of(1).why, "mikeyd/psk/key-199/1"));
}

Test(group, a_member_may_hold_more_than_the_group)
{
    two_members();
    peer_add_key(&peers[1], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[1], KEYS_EPSK, "core", 22);
    peer_add_key(&peers[1], KEYS_EPSK, "new", 33);
    (void)join(1);
    wait_for_state(1, KEYS_MEMBER_CLOSED);
    struct keys_inventory *inventory = keys_group_inventory(group);
    cr_assert_null(keys_inventory_find(inventory, KEYS_EPSK, "new", 1));
    keys_inventory_unref(inventory);
}

Test(group, keys_are_proven_against_whoever_serves_when_the_first_is_gone)
{
    make_group(3, 2000);
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK, "%s", err.text);
    (void)join(1);
    cr_assert_eq(keys_group_wait(group, 2, 5000, &err), MIKEYD_OK, "%s", err.text);
    peer_kill(&peers[0]);
    keys_group_lose(group, 0, 0);
    peer_add_key(&peers[2], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[2], KEYS_EPSK, "core", 23);
    (void)join(2);
    wait_for_state(2, KEYS_MEMBER_DIFFERS);
    cr_assert_str_eq(status_of(2).why, "token C has another key mikeyd/epsk/core/1 than token B");
}

Test(group, members_that_join_at_the_same_time_are_held_against_each_other)
{
    make_group(2, 2000);
    peer_add_key(&peers[0], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[1], KEYS_PSK, "legacy", 12);
    (void)join(0);
    (void)join(1);
    (void)keys_group_wait(group, 2, 5000, &err);
    const int differing =
        (state_of(0) == KEYS_MEMBER_DIFFERS) + (state_of(1) == KEYS_MEMBER_DIFFERS);
    const int serving = (state_of(0) == KEYS_MEMBER_CLOSED) + (state_of(1) == KEYS_MEMBER_CLOSED);
    cr_assert_eq(differing, 1);
    cr_assert_eq(serving, 1);
}

/* ---- rescan and health */

Test(group, a_rescan_finds_new_keys_at_every_member)
{
    make_serving_group(2, 2000);
    const uint64_t before = version();
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK);
    cr_assert_eq(version(), before); /* nothing new */
    peer_add_key(&peers[0], KEYS_EPSK, "new", 33);
    peer_add_key(&peers[1], KEYS_EPSK, "new", 33);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK);
    cr_assert_gt(version(), before);
    struct keys_inventory *inventory = keys_group_inventory(group);
    cr_assert_not_null(keys_inventory_find(inventory, KEYS_EPSK, "new", 1));
    keys_inventory_unref(inventory);
    cr_assert_eq(state_of(0), KEYS_MEMBER_CLOSED);
    cr_assert_eq(state_of(1), KEYS_MEMBER_CLOSED);
    cr_assert_eq(take_events(0), 0);
}

Test(group, a_rescan_finds_a_member_that_differs_now_and_one_that_does_no_more)
{
    make_serving_group(2, 2000);
    peer_add_key(&peers[0], KEYS_EPSK, "new", 33);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK);
    cr_assert_eq(state_of(1), KEYS_MEMBER_DIFFERS);
    cr_assert_eq(take_events(KEYS_EVENT_DIFFERS), 1);
    cr_assert_not_null(strstr(last_event.text, "token B lacks mikeyd/epsk/new/1"));
    peer_add_key(&peers[1], KEYS_EPSK, "new", 33);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK);
    cr_assert_eq(state_of(1), KEYS_MEMBER_CLOSED);
    cr_assert_eq(take_events(KEYS_EVENT_UP), 1);
}

Test(group, a_member_that_fails_a_rescan_is_lost_and_the_others_go_on)
{
    make_serving_group(2, 300);
    peer_kill(&peers[0]);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_neq(state_of(0), KEYS_MEMBER_CLOSED);
    cr_assert_eq(state_of(1), KEYS_MEMBER_CLOSED);
    peer_kill(&peers[1]);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_TOKEN_DOWN);
}

Test(group, health_is_asked_of_every_member_and_one_that_is_well_is_enough)
{
    make_serving_group(2, 2000);
    const unsigned before = atomic_load(&peers[1].count[DOOR_HEALTH]);
    atomic_store(&peers[0].health_status, MIKEYD_TOKEN_DOWN);
    cr_assert_eq(keys_group_check_health(group, &err), MIKEYD_OK);
    cr_assert_eq(atomic_load(&peers[1].count[DOOR_HEALTH]), before + 1);
    cr_assert_neq(state_of(0), KEYS_MEMBER_CLOSED);
    atomic_store(&peers[1].health_status, MIKEYD_TOKEN_DOWN);
    cr_assert_eq(keys_group_check_health(group, &err), MIKEYD_TOKEN_DOWN);
    cr_assert_str_eq(err.text, "B says so");
}

/* ---- coming back */

static void break_member(size_t member)
{
    struct keys_port *port = open_port();
    atomic_store(&peers[member].health_status, MIKEYD_TOKEN_DOWN);
    atomic_store(&peers[member].use_status, MIKEYD_TOKEN_DOWN);
    for (int i = 0; i < 3; i++)
        (void)use(port, 1);
    keys_port_close(port);
}

Test(group, a_member_that_is_well_again_serves_within_two_seconds)
{
    make_serving_group(1, 2000);
    break_member(0);
    sleep_ms(3500); /* long enough for the longest pause */
    cr_assert_neq(state_of(0), KEYS_MEMBER_CLOSED);
    const unsigned uses = peer_uses(&peers[0]);
    atomic_store(&peers[0].health_status, 0);
    atomic_store(&peers[0].use_status, 0);
    const int64_t healed = clock_monotonic_ms();
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    cr_assert_lt(clock_monotonic_ms() - healed, 2200);
    cr_assert_eq(peer_uses(&peers[0]), uses); /* probes are not clients' requests */
    cr_assert_eq(take_events(KEYS_EVENT_UP), 1);
}

Test(group, probes_become_rarer)
{
    make_serving_group(1, 2000);
    break_member(0);
    const unsigned before = atomic_load(&peers[0].count[DOOR_HEALTH]);
    sleep_ms(4000);
    /* after 0.2, 0.6, 1.4, 3.0 s, each a quarter more or less */
    const unsigned probes = atomic_load(&peers[0].count[DOOR_HEALTH]) - before;
    cr_assert(probes >= 2 && probes <= 5, "%u", probes);
}

/* The least and the most of many pauses. */
static void measure_pauses(unsigned pause_ms, int64_t *least, int64_t *most)
{
    struct keys_member *member = &group->member[0];
    *least = INT64_MAX;
    *most = 0;
    for (int i = 0; i < 100; i++) {
        const int64_t now = clock_monotonic_ms();
        if (pause_ms != 0)
            member->pause_ms = pause_ms;
        keys_breaker_pause(member);
        const int64_t pause = member->probe_at_ms - now;
        *least = pause < *least ? pause : *least;
        *most = pause > *most ? pause : *most;
    }
}

Test(group, pauses_have_jitter_and_an_end)
{
    int64_t least, most;
    make_group(1, 2000);
    measure_pauses(1000, &least, &most);
    cr_assert(least >= 750 && most <= 1260 && most - least > 200, "%d .. %d", (int)least,
              (int)most);
    for (int i = 0; i < 10; i++)
        keys_breaker_pause(&group->member[0]);
    measure_pauses(0, &least, &most); /* as long as they get */
    cr_assert(least >= 1200 && least < 1600 && most <= 1810, "%d .. %d", (int)least, (int)most);
}

Test(group, keys_are_proven_again_when_they_changed_while_the_breaker_was_open)
{
    make_serving_group(2, 2000);
    atomic_store(&group->member[0].latency_us, 100000);
    atomic_store(&group->member[1].latency_us, 1);
    break_member(1);
    cr_assert_eq(state_of(1), KEYS_MEMBER_OPEN);
    (void)pthread_mutex_lock(&peers[1].lock);
    peers[1].keys[1].value++;
    (void)pthread_mutex_unlock(&peers[1].lock);
    (void)atomic_fetch_add(&peers[1].inventory, 1);
    atomic_store(&peers[1].health_status, 0);
    wait_for_state(1, KEYS_MEMBER_DIFFERS);
}

/* ---- another keyholder */

Test(group, a_keyholder_that_restarts_with_the_same_keys_changes_no_inventory)
{
    make_serving_group(1, 2000);
    const uint64_t before = version();
    struct keys_port *port = open_port();
    check_serves(0, port);
    peer_kill(&peers[0]);
    keys_group_lose(group, 0, 0);
    cr_assert_eq(use(port, 1), MIKEYD_TOKEN_DOWN);
    (void)join_as(0, 1);
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    check_serves(0, port);
    cr_assert_eq(version(), before);
    keys_port_close(port);
}

static void *slow_use(void *port)
{
    static enum mikeyd_status status;
    status = use(port, 9);
    return &status;
}

Test(group, a_successor_takes_over_and_the_old_one_finishes_what_it_is_at)
{
    make_serving_group(1, 4000);
    struct keys_port *busy = open_port(), *idle = open_port();
    pthread_t thread;
    void *result;
    check_serves(0, idle);
    atomic_store(&peers[0].delay_us, 2500000);
    (void)pthread_create(&thread, NULL, slow_use, busy);
    sleep_ms(100);
    (void)join_as(0, 1);
    const int64_t until = clock_monotonic_ms() + 2000;
    while ((!atomic_load(&peers[0].control_ended) || atomic_load(&peers[0].connections) != 1) &&
           clock_monotonic_ms() < until)
        sleep_ms(2);
    cr_assert(atomic_load(&peers[0].control_ended));
    cr_assert_eq(atomic_load(&peers[0].connections), 1); /* the busy one: idle ones have ended */
    check_serves(0, idle);
    cr_assert_eq(peer_uses(&peers[1]), 1);
    (void)pthread_join(thread, &result);
    cr_assert_eq(*(enum mikeyd_status *)result, MIKEYD_OK);
    for (int i = 0; i < 1000 && atomic_load(&peers[0].connections) != 0; i++)
        sleep_ms(2);
    cr_assert_eq(atomic_load(&peers[0].connections), 0);
    check_serves(0, busy);
    cr_assert_eq(peer_uses(&peers[1]), 2);
    cr_assert_eq(take_events(KEYS_EVENT_DOWN), 0);
    keys_port_close(busy);
    keys_port_close(idle);
}

Test(group, a_request_at_a_predecessor_that_dies_goes_to_its_successor)
{
    make_serving_group(1, 4000);
    struct keys_port *busy = open_port();
    pthread_t thread;
    void *result;
    atomic_store(&peers[0].hang, true);
    (void)pthread_create(&thread, NULL, slow_use, busy);
    sleep_ms(100);
    (void)join_as(0, 1);
    const int64_t until = clock_monotonic_ms() + 5000;
    while (!atomic_load(&peers[0].control_ended) && clock_monotonic_ms() < until)
        sleep_ms(2);
    peer_kill(&peers[0]);
    (void)pthread_join(thread, &result);
    cr_assert_eq(*(enum mikeyd_status *)result, MIKEYD_OK, "%s", err.text);
    cr_assert_eq(peer_uses(&peers[1]), 1);
    cr_assert_eq(take_events(KEYS_EVENT_DOWN), 0);
    keys_port_close(busy);
}

Test(group, nothing_new_is_sent_to_a_keyholder_that_has_been_replaced)
{
    struct peer *peer = &peers[0];
    make_group(1, 2000);
    (void)join(0); /* so that the peer is stopped at the end */
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    struct keys_connection connection = {0}, late = {0};
    struct keys_keyholder *keyholder = group->member[0].keyholder;
    uint8_t buffer[DOOR_MESSAGE_MAX];
    struct door_request request = {.op = DOOR_PREPARE};
    struct door_answer answer;
    struct keys_ask ask = {
        .request = &request, .answer = &answer, .buffer = buffer, .timeout_ms = 1000};
    cr_assert_eq(keys_connection_open(&connection, keyholder, &err), KEYS_ANSWERED);
    keys_keyholder_retire(keyholder);
    cr_assert_eq(keys_connection_ask(&connection, &ask, &err), KEYS_UNSENT);
    cr_assert_null(connection.keyholder);
    cr_assert_eq(keys_connection_open(&late, keyholder, &err), KEYS_UNSENT);
    cr_assert_eq(atomic_load(&peer->count[DOOR_PREPARE]), 0);
}

Test(group, a_successor_with_other_keys_takes_nothing_over)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    peer_add_key(&peers[1], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[1], KEYS_EPSK, "core", 23);
    const uint64_t successor = join_as(0, 1);
    const int64_t until = clock_monotonic_ms() + 5000;
    while (take_events(KEYS_EVENT_DIFFERS) == 0 && clock_monotonic_ms() < until)
        sleep_ms(2);
    cr_assert_eq(last_event.keyholder, successor);
    check_serves(0, port);
    cr_assert_eq(peer_uses(&peers[0]), 1);
    cr_assert_eq(peer_uses(&peers[1]), 0);
    keys_port_close(port);
}

Test(group, the_loss_of_a_predecessor_is_not_its_successors)
{
    make_group(1, 2000);
    const uint64_t old = join(0);
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    struct keys_port *port = open_port();
    (void)join_as(0, 1);
    const int64_t until = clock_monotonic_ms() + 5000;
    while (!atomic_load(&peers[0].control_ended) && clock_monotonic_ms() < until)
        sleep_ms(2);
    (void)take_events(0);
    peer_kill(&peers[0]);
    keys_group_lose(group, 0, old);
    check_serves(0, port);
    cr_assert_eq(take_events(0), 0);
    keys_port_close(port);
}

Test(group, a_successor_that_dies_at_once_takes_nothing_with_it)
{
    make_serving_group(1, 2000);
    struct keys_port *port = open_port();
    atomic_store(&peers[1].hang_all, true);
    const uint64_t successor = join_as(0, 1);
    sleep_ms(50);
    peer_kill(&peers[1]);
    keys_group_lose(group, 0, successor);
    check_serves(0, port);
    cr_assert_eq(peer_uses(&peers[0]), 1);
    keys_port_close(port);
}

/* ---- events */

static atomic_uint told;

static void tell(void *context)
{
    cr_assert_eq(context, &told);
    (void)atomic_fetch_add(&told, 1);
    (void)keys_group_up(group); /* may ask the group: no lock is held */
}

Test(group, a_change_is_told_and_its_event_is_there)
{
    const struct keys_group_config config = {
        .members = 1, .call_timeout_ms = {2000}, .changed = tell, .context = &told};
    cr_assert_eq(keys_group_make(&config, &group, &err), MIKEYD_OK);
    (void)join(0);
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    sleep_ms(20);
    cr_assert_eq(atomic_load(&told), 1);
    cr_assert_eq(take_events(KEYS_EVENT_UP), 1);
    keys_group_lose(group, 0, 0);
    cr_assert_eq(atomic_load(&told), 2);
    cr_assert_eq(take_events(KEYS_EVENT_DOWN), 1);
}

Test(group, events_that_nobody_takes_fill_no_memory)
{
    make_group(1, 2000);
    keys_group_lock(group);
    for (unsigned i = 0; i < 3 * KEYS_EVENTS_MAX; i++)
        keys_group_event(group, KEYS_EVENT_UP, 0, i, "again");
    keys_group_unlock(group);
    cr_assert_eq(take_events(0), KEYS_EVENTS_MAX);
    cr_assert_eq(last_event.keyholder, 3 * KEYS_EVENTS_MAX - 1); /* the latest are kept */
}

/* ---- one replay store */

static const char store[] = "0123456789abcdef0123456789abcdef";
static const char other_store[] = "fedcba9876543210fedcba9876543210";

Test(group, a_token_of_another_replay_store_is_named_and_not_used)
{
    make_group_of_store(2, 2000, store);
    peers[0].store = store;
    peers[1].store = other_store;
    (void)join(0);
    (void)join(1);
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    wait_for_state(1, KEYS_MEMBER_DIFFERS);
    cr_assert_eq(take_events(KEYS_EVENT_DIFFERS), 1);
    cr_assert_eq(last_event.member, 1);
    cr_assert_str_eq(last_event.text, "B says so");
    cr_assert_str_eq(status_of(1).why, last_event.text);
    struct keys_port *port = open_port();
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(use(port, i), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(peer_uses(&peers[1]), 0);
    keys_port_close(port);
}

Test(group, a_group_whose_only_token_is_of_another_replay_store_does_not_begin)
{
    make_group_of_store(1, 2000, store);
    peers[0].store = other_store;
    (void)join(0);
    cr_assert_neq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK);
    cr_assert_not_null(strstr(err.text, "A says so"), "%s", err.text);
    cr_assert_not(keys_group_up(group));
}

Test(group, a_token_that_takes_no_mark_serves_and_is_told_once)
{
    make_group_of_store(1, 2000, store);
    (void)join(0);
    cr_assert_eq(keys_group_wait(group, 1, 5000, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(take_events(KEYS_EVENT_UNMARKED), 1);
    cr_assert_str_eq(last_event.text, "token A is write-protected");
    break_member(0);
    atomic_store(&peers[0].health_status, 0);
    wait_for_state(0, KEYS_MEMBER_CLOSED); /* looked at again: the same keyholder, the same token */
    cr_assert_eq(atomic_load(&peers[0].count[DOOR_CLAIM]), 1);
}

Test(group, a_successor_claims_its_token_too)
{
    make_group_of_store(1, 2000, store);
    peers[0].store = store;
    peers[1].store = other_store;
    (void)join(0);
    wait_for_state(0, KEYS_MEMBER_CLOSED);
    (void)take_events(0);
    struct keys_port *port = open_port();
    const uint64_t successor = join_as(0, 1);
    const int64_t until = clock_monotonic_ms() + 5000;
    while (take_events(KEYS_EVENT_DIFFERS) == 0 && clock_monotonic_ms() < until)
        sleep_ms(2);
    cr_assert_eq(last_event.keyholder, successor);
    check_serves(0, port);
    cr_assert_eq(peer_uses(&peers[1]), 0);
    keys_port_close(port);
}

Test(group, no_store_no_claim)
{
    make_serving_group(1, 2000);
    cr_assert_eq(atomic_load(&peers[0].count[DOOR_CLAIM]), 0);
}
