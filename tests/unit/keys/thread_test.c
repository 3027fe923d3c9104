/*
 * Under ThreadSanitizer: several ports at work while members die, hang, answer nonsense, come back
 * and are replaced, rescanned and asked for health. No request gets another's answer; with one
 * member well at all times none fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "mikey/wire.h"
#include "peer.h"

#define MEMBERS 3
#define PORTS 6
#define ROUNDS 12
/* Every keyholder that ever is, each used once. */
#define PEERS (MEMBERS + 2 * ROUNDS)

static struct peer peers[PEERS];
static struct keys_group *group;
static atomic_bool ending;
static atomic_uint answered, failed;

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "line %d: not %s\n", __LINE__, #condition);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void sleep_ms(unsigned ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static void use(struct keys_port *port, uint64_t number)
{
    static const uint8_t rand[16] = {1};
    const struct keys_name name = {.kind = KEYS_PSK, .name = "legacy", .generation = 1};
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    uint8_t data[8], tag[32], right[32];
    struct error err = {0};
    memcpy(data, &number, sizeof data);
    const struct mikey_key_tag job = {
        .what = {.rand = rand, .rand_len = sizeof rand, .mac = MIKEY_MAC_SHA256},
        .covered = {.data = {data}, .len = {8}, .parts = 1}};
    keys_port_deadline(port, clock_monotonic_ms() + 20000);
    if (key.ops->tag(&key, &job, tag, &err) != MIKEYD_OK) {
        (void)fprintf(stderr, "failed: %s\n", err.text);
        (void)atomic_fetch_add(&failed, 1);
        return;
    }
    peer_tag(data, sizeof data, right);
    MUST(memcmp(tag, right, sizeof tag) == 0);
    (void)atomic_fetch_add(&answered, 1);
}

static void *work(void *argument)
{
    const uint64_t first = (uint64_t)(uintptr_t)argument << 32;
    struct keys_port *port;
    MUST(keys_port_open(group, &port, NULL) == MIKEYD_OK);
    for (uint64_t i = 0; !atomic_load(&ending); i++)
        use(port, first + i);
    keys_port_close(port);
    return NULL;
}

static void *watch(void *argument)
{
    struct keys_event event;
    struct keys_member_status status;
    (void)argument;
    while (!atomic_load(&ending)) {
        while (keys_group_next_event(group, &event)) {
        }
        for (size_t i = 0; i < MEMBERS; i++)
            keys_group_member_status(group, i, &status);
        (void)keys_group_check_health(group, NULL);
        (void)keys_group_rescan(group, NULL);
        keys_inventory_unref(keys_group_inventory(group));
        sleep_ms(20);
    }
    return NULL;
}

static void join(size_t member, size_t peer)
{
    static const char *const labels[MEMBERS] = {"A", "B", "C"};
    peer_add_key(&peers[peer], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[peer], KEYS_EPSK, "core", 22);
    (void)keys_group_join(group, member, peer_start(&peers[peer], labels[member]));
}

static void wait_for(size_t member)
{
    struct keys_member_status status = {0};
    const int64_t until = clock_monotonic_ms() + 60000;
    while (status.state != KEYS_MEMBER_CLOSED && clock_monotonic_ms() < until) {
        sleep_ms(5);
        keys_group_member_status(group, member, &status);
    }
    MUST(status.state == KEYS_MEMBER_CLOSED);
}

/* One misfortune for the keyholder of a member; it serves again, or its successor does. */
static void misfortune(unsigned round, size_t member, size_t *holder, size_t *next)
{
    struct peer *peer = &peers[*holder];
    switch (round % 4) {
    case 0: /* dies */
        peer_kill(peer);
        sleep_ms(30);
        keys_group_lose(group, member, 0);
        break;
    case 1: /* hangs until it is killed */
        atomic_store(&peer->hang, true);
        sleep_ms(700);
        keys_group_lose(group, member, 0);
        peer_kill(peer);
        break;
    case 2: /* answers nonsense and recovers by itself */
        atomic_store(&peer->wrong_id, true);
        sleep_ms(100);
        atomic_store(&peer->wrong_id, false);
        wait_for(member);
        return;
    default: /* is replaced while it works */
        break;
    }
    *holder = (*next)++;
    join(member, *holder);
    wait_for(member);
}

int main(void)
{
    pthread_t workers[PORTS], watcher;
    size_t holders[MEMBERS], next = MEMBERS;
    struct keys_group_config config = {.members = MEMBERS};
    for (size_t i = 0; i < MEMBERS; i++)
        config.call_timeout_ms[i] = 2000;
    MUST(keys_group_make(&config, &group, NULL) == MIKEYD_OK);
    for (size_t i = 0; i < MEMBERS; i++) {
        join(i, i);
        holders[i] = i;
    }
    MUST(keys_group_wait(group, MEMBERS, 60000, NULL) == MIKEYD_OK);
    for (uintptr_t i = 0; i < PORTS; i++)
        MUST(pthread_create(&workers[i], NULL, work, (void *)(i + 1)) == 0);
    MUST(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        misfortune(round, round % 2, &holders[round % 2], &next);
    atomic_store(&ending, true);
    for (size_t i = 0; i < PORTS; i++)
        (void)pthread_join(workers[i], NULL);
    (void)pthread_join(watcher, NULL);
    keys_group_free(group);
    for (size_t i = 0; i < next; i++)
        peer_stop(&peers[i]);
    (void)printf("%u answered, %u failed\n", atomic_load(&answered), atomic_load(&failed));
    return atomic_load(&failed) == 0 && atomic_load(&answered) > 100 ? 0 : 1;
}
