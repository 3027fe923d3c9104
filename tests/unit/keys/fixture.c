#include "fixture.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "mikey/wire.h"

struct keys_group *group;
struct peer peers[KEYS_MEMBERS_MAX];
struct error err;
struct keys_event last_event;

static const char *const labels[KEYS_MEMBERS_MAX] = {"A", "B", "C", "D", "E", "F", "G", "H"};
static bool started[KEYS_MEMBERS_MAX];

void sleep_ms(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

void make_group_of_store(size_t members, unsigned call_timeout_ms, const char *store)
{
    struct keys_group_config config = {.members = members, .store = store};
    for (size_t i = 0; i < members; i++) {
        config.call_timeout_ms[i] = call_timeout_ms;
        config.sessions[i] = 8;
    }
    cr_assert_eq(keys_group_make(&config, &group, &err), MIKEYD_OK, "%s", err.text);
}

void make_group(size_t members, unsigned call_timeout_ms)
{
    make_group_of_store(members, call_timeout_ms, NULL);
}

uint64_t join_as(size_t member, size_t peer)
{
    const int control = peer_start(&peers[peer], labels[peer]);
    if (peers[peer].key_count == 0) {
        peer_add_key(&peers[peer], KEYS_PSK, "legacy", 11);
        peer_add_key(&peers[peer], KEYS_EPSK, "core", 22);
    }
    started[peer] = true;
    return keys_group_join(group, member, control);
}

uint64_t join(size_t index)
{
    return join_as(index, index);
}

void make_serving_group(size_t members, unsigned call_timeout_ms)
{
    make_group(members, call_timeout_ms);
    for (size_t i = 0; i < members; i++)
        (void)join(i);
    cr_assert_eq(keys_group_wait(group, members, 5000, &err), MIKEYD_OK, "%s", err.text);
    (void)take_events(0);
}

void end_group(void)
{
    keys_group_free(group);
    group = NULL;
    for (size_t i = 0; i < KEYS_MEMBERS_MAX; i++) {
        if (started[i])
            peer_stop(&peers[i]);
    }
}

struct keys_member_status status_of(size_t member)
{
    struct keys_member_status status;
    keys_group_member_status(group, member, &status);
    return status;
}

enum keys_member_state state_of(size_t member)
{
    return status_of(member).state;
}

void wait_for_state(size_t member, enum keys_member_state state)
{
    const int64_t until = clock_monotonic_ms() + 10000;
    while (state_of(member) != state && clock_monotonic_ms() < until)
        sleep_ms(2);
    cr_assert_eq(state_of(member), state, "member %zu is %s (%s), not %s", member,
                 keys_member_state_name(state_of(member)), status_of(member).why,
                 keys_member_state_name(state));
}

unsigned take_events(enum keys_event_kind kind)
{
    struct keys_event event;
    unsigned count = 0;
    while (keys_group_next_event(group, &event)) {
        if (kind != 0 && event.kind != kind)
            continue;
        count++;
        last_event = event;
    }
    return count;
}

struct keys_port *open_port(void)
{
    struct keys_port *port;
    cr_assert_eq(keys_port_open(group, &port, &err), MIKEYD_OK, "%s", err.text);
    return port;
}

enum mikeyd_status use(struct keys_port *port, uint32_t number)
{
    static const uint8_t rand[16] = {1};
    const struct keys_name name = {.kind = KEYS_PSK, .name = "legacy", .generation = 1};
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    uint8_t data[8] = {0}, tag[32], right[32];
    memcpy(data, &number, sizeof number);
    const struct mikey_key_tag job = {
        .what = {.rand = rand, .rand_len = sizeof rand, .mac = MIKEY_MAC_SHA256},
        .covered = {.data = {data, data + 3}, .len = {3, 5}, .parts = 2}};
    memset(tag, 0xee, sizeof tag);
    enum mikeyd_status status = key.ops->tag(&key, &job, tag, &err);
    peer_tag(data, sizeof data, right);
    if (status != MIKEYD_OK)
        memset(right, 0, sizeof right);
    cr_assert_arr_eq(tag, right, sizeof tag);
    return status;
}
