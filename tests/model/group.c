/*
 * The group of keyholders (keys/), its breaker and failover, in every order of what can befall it:
 * the real code, with a clock that is set, and without threads. A member's thread is a function here
 * (maintain.c's step), called when a sequence says so. Keyholders are simulated at the other end of
 * real sockets, and what happens while one has a request is an action like others.
 *
 *   model-group [--depth 4]
 *
 * After each action:
 *   wrong key     members that serve hold one key, and an answer was made with it
 *   lost request  a request is answered while a member that is well served before and after it
 *   order         a member that serves has a keyholder; nothing is in flight
 * After each sequence all keyholders are replaced by ones that are well, and each member has to serve
 * again within seconds: none is lost.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/log.h"
#include "base/secret.h"
#include "guarded.h"
#include "mikey/wire.h"
/* Its step() is what a member's thread does between two waits. */
#include "keys/maintain.c" /* NOLINT */

#define MEMBERS 2
#define CALL_TIMEOUT_MS 1000
#define CONNECTIONS 16
#define DEPTH_MAX 8
#define RIGHT_KEY 7

/* ---- by --wrap: no threads, the clock of this file */

static int64_t now_ms = 1000000;
int64_t __wrap_clock_monotonic_ms(void);
int64_t __wrap_clock_monotonic_us(void);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_join(pthread_t thread, void **result);
enum mikeyd_status __real_door_receive(int fd, int timeout_ms, uint8_t *buffer, size_t cap,
                                       size_t *len, struct error *err);
enum mikeyd_status __wrap_door_receive(int fd, int timeout_ms, uint8_t *buffer, size_t cap,
                                       size_t *len, struct error *err);

int64_t __wrap_clock_monotonic_ms(void)
{
    return now_ms;
}

int64_t __wrap_clock_monotonic_us(void)
{
    return now_ms * 1000;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *argument)
{
    (void)thread;
    (void)attr;
    (void)run;
    (void)argument;
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    (void)thread;
    (void)result;
    return 0;
}

/* ---- keyholders */

enum mood { WELL, SICK, HANGS, MUDDLED };
struct sim {
    bool alive;
    enum mood mood;
    uint8_t key;
    int control;
    int fd[CONNECTIONS];
    size_t fds;
    uint64_t number;
};

static struct keys_group *group;
static struct keys_port *port;
static struct sim sims[MEMBERS];
static void (*in_flight)(size_t member); /* what happens when the next use has arrived */
static uint8_t answered_with;            /* the key of the latest answer to a use */
static unsigned long uses, sequences;

static void sim_end(struct sim *sim)
{
    for (size_t i = 0; i < sim->fds; i++)
        (void)close(sim->fd[i]);
    if (sim->alive)
        (void)close(sim->control);
    sim->fds = 0;
    sim->alive = false;
}

static void tag(uint8_t key, const void *data, size_t len, uint8_t out[32])
{
    uint8_t all[MIKEY_COVERED_MAX + 1] = {key};
    memcpy(all + 1, data, len);
    (void)SHA256(all, len + 1, out);
}

static void compute(const struct sim *sim, const struct door_request *request, uint8_t *room,
                    struct keys_entry *entry, struct door_answer *answer)
{
    *answer = (struct door_answer){.op = request->op, .id = request->id};
    if (request->op == DOOR_TAG) {
        tag(sim->key, request->tag.job.covered.data[0], request->tag.job.covered.len[0], room);
        answer->prf = "sign";
        answer->bytes.data = room;
        answer->bytes.len = sim->mood == MUDDLED ? 20 : 32;
    } else if (request->op == DOOR_FACTS) {
        (void)snprintf(answer->facts.label, sizeof answer->facts.label, "T");
        answer->facts.up = true;
        answer->facts.sessions = 4;
        answer->facts.key_count = 1;
    } else if (request->op == DOOR_KEYS) {
        *entry = (struct keys_entry){
            .kind = KEYS_PSK, .name = "core", .generation = 1, .block_count = 1, .usable = true};
        answer->keys.total = 1;
        answer->keys.count = 1;
        answer->keys.entry = entry;
    } else if (request->op == DOOR_PROOF_OF) {
        answer->proof.count = request->proof.count;
        for (size_t i = 0; i < request->proof.count; i++) {
            answer->proof.status[i] = MIKEYD_OK;
            tag(sim->key, request->proof.nonce, DOOR_NONCE, answer->proof.proof[i]);
        }
    }
    if (sim->mood == SICK)
        *answer = (struct door_answer){
            .op = request->op, .id = request->id, .status = MIKEYD_TOKEN_DOWN, .text = "sick"};
}

static void answer_one(struct sim *sim, size_t connection)
{
    static uint8_t message[DOOR_MESSAGE_MAX], room[64];
    static struct door_request request;
    static struct door_answer answer;
    static struct keys_entry entry;
    struct error err = {0};
    const ssize_t len = recv(sim->fd[connection], message, sizeof message, MSG_DONTWAIT);
    if (len <= 0)
        return;
    HOLDS(door_read_request(message, (size_t)len, &request, &err) == MIKEYD_OK);
    if (request.op == DOOR_TAG && in_flight != NULL) {
        void (*happens)(size_t) = in_flight;
        const int fd = sim->fd[connection];
        const struct sim asked = *sim;
        in_flight = NULL;
        happens((size_t)(sim - sims));
        /* Its successor has taken its place here: it answers all the same, if it lives. */
        if (sim->number != asked.number) {
            struct sim old = asked;
            compute(&old, &request, room, &entry, &answer);
            answered_with = old.key;
            struct byte_writer out = writer_of(message, sizeof message);
            HOLDS(door_write_answer(&answer, &out, &err) == MIKEYD_OK);
            (void)send(fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
            return;
        }
    }
    if (!sim->alive || sim->mood == HANGS)
        return;
    compute(sim, &request, room, &entry, &answer);
    if (request.op == DOOR_TAG)
        answered_with = sim->key;
    struct byte_writer out = writer_of(message, sizeof message);
    HOLDS(door_write_answer(&answer, &out, &err) == MIKEYD_OK);
    (void)send(sim->fd[connection], out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void pump(void)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        struct pollfd control = {.fd = sims[i].control, .events = POLLIN};
        struct error err = {0};
        while (sims[i].alive && sims[i].fds < CONNECTIONS && poll(&control, 1, 0) == 1 &&
               door_accept(sims[i].control, &sims[i].fd[sims[i].fds], &err) == MIKEYD_OK)
            sims[i].fds++;
        for (size_t c = 0; c < sims[i].fds; c++)
            answer_one(&sims[i], c);
    }
}

/* What has no answer by now has none before the time is over. */
enum mikeyd_status __wrap_door_receive(int fd, int timeout_ms, uint8_t *buffer, size_t cap,
                                       size_t *len, struct error *err)
{
    pump();
    enum mikeyd_status status = __real_door_receive(fd, 0, buffer, cap, len, err);
    if (status == MIKEYD_TOKEN_BUSY)
        now_ms += timeout_ms;
    return status;
}

/* ---- what can happen */

static void start_with(size_t i, uint8_t key)
{
    int pair[2];
    if (sims[i].alive) /* the monitor replaces it: the old one serves until the new one does */
        sim_end(&sims[i]);
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    sims[i] = (struct sim){.alive = true, .key = key, .control = pair[1]};
    sims[i].number = keys_group_join(group, i, pair[0]);
}

static void step_member(size_t i)
{
    keys_group_lock(group);
    for (int n = 0; n < 20 && step(&group->member[i]); n++)
        ;
    (void)pthread_mutex_unlock(&group->lock);
}

static void act_die(size_t i)
{
    sim_end(&sims[i]);
}

static void act_told(size_t i)
{
    if (!sims[i].alive)
        keys_group_lose(group, i, sims[i].number);
}

static void act_start(size_t i)
{
    start_with(i, RIGHT_KEY);
}

static void act_start_other(size_t i)
{
    start_with(i, RIGHT_KEY + 1);
}

static void act_hang(size_t i)
{
    sims[i].mood = HANGS;
}

static void act_sick(size_t i)
{
    sims[i].mood = SICK;
}

static void act_muddled(size_t i)
{
    sims[i].mood = MUDDLED;
}

static void act_heal(size_t i)
{
    sims[i].mood = WELL;
}

static void act_time(size_t i)
{
    (void)i;
    now_ms += 2000;
}

static bool is_well(size_t i)
{
    return sims[i].alive && sims[i].mood == WELL && keys_member_serves(&group->member[i]);
}

static void use(size_t unused)
{
    static uint8_t number;
    (void)unused;
    const uint8_t data[2] = {1, ++number};
    const struct keys_name name = {.kind = KEYS_PSK, .name = "core", .generation = 1};
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    static const uint8_t rand[16] = {1};
    const struct mikey_key_tag job = {
        .what = {.prf = MIKEY_PRF_1, .rand = rand, .rand_len = 16, .mac = MIKEY_MAC_SHA256},
        .covered = {.data = {data}, .len = {sizeof data}, .parts = 1}};
    uint8_t got[32], right[32];
    struct error err = {0};
    const bool undisturbed = in_flight == NULL;
    bool well[MEMBERS], one_well = false;
    for (size_t i = 0; i < MEMBERS; i++)
        well[i] = is_well(i);
    answered_with = 0;
    uses++;
    const enum mikeyd_status status = key.ops->tag(&key, &job, got, &err);
    in_flight = NULL;
    for (size_t i = 0; i < MEMBERS; i++)
        one_well = one_well || (well[i] && is_well(i));
    if (status == MIKEYD_OK) {
        tag(answered_with, data, sizeof data, right);
        HOLDS(memcmp(got, right, sizeof right) == 0);
        /* Not by one that differs, or that is not proven yet. */
        for (size_t i = 0; i < MEMBERS; i++)
            HOLDS(!undisturbed || !is_well(i) ||
                  group->member[i].keyholder->number != sims[i].number ||
                  sims[i].key == answered_with);
    }
    HOLDS(status == MIKEYD_OK || !one_well || !undisturbed);
}

/* While a keyholder has a request: it dies; it is replaced, by the right one or by another; another
 * member's thread has its turn. */
static void replace_asked(size_t i)
{
    act_start(i);
    step_member(i);
}

static void other_beside(size_t i)
{
    act_start_other((i + 1) % MEMBERS);
    step_member((i + 1) % MEMBERS);
}

static void step_beside(size_t i)
{
    step_member((i + 1) % MEMBERS);
}

static void use_dying(size_t i)
{
    in_flight = act_die;
    use(i);
}

static void use_replaced(size_t i)
{
    in_flight = replace_asked;
    use(i);
}

static void use_other_beside(size_t i)
{
    in_flight = other_beside;
    use(i);
}

static void use_step_beside(size_t i)
{
    in_flight = step_beside;
    use(i);
}

static const struct {
    const char *name;
    void (*act)(size_t member);
    size_t member;
} actions[] = {{"use", use, 0},
               {"use-dying", use_dying, 0},
               {"use-replaced", use_replaced, 0},
               {"use-other-beside", use_other_beside, 0},
               {"use-step-beside", use_step_beside, 0},
               {"die-0", act_die, 0},
               {"die-1", act_die, 1},
               {"told-0", act_told, 0},
               {"start-0", act_start, 0},
               {"start-1", act_start, 1},
               {"start-other-0", act_start_other, 0},
               {"hang-0", act_hang, 0},
               {"sick-0", act_sick, 0},
               {"muddled-0", act_muddled, 0},
               {"heal-0", act_heal, 0},
               {"time", act_time, 0},
               {"step-0", step_member, 0},
               {"step-1", step_member, 1}};
#define ACTIONS (sizeof actions / sizeof actions[0])

/* ---- every sequence */

static size_t sequence[DEPTH_MAX], length = 3;

static void explain(void)
{
    for (size_t i = 0; i < length; i++)
        (void)fprintf(stderr, "%s ", actions[sequence[i]].name);
    for (size_t i = 0; i < MEMBERS; i++)
        (void)fprintf(
            stderr, "\n%zu: %s, %s, key %u: %s", i,
            keys_member_state_name((enum keys_member_state)atomic_load(&group->member[i].state)),
            sims[i].alive ? "alive" : "dead", sims[i].key, group->member[i].why);
    (void)fprintf(stderr, "\n");
}

static void check(void)
{
    int key = -1;
    for (size_t i = 0; i < MEMBERS; i++) {
        struct keys_member *member = &group->member[i];
        HOLDS(atomic_load(&member->in_flight) == 0);
        if (!keys_member_serves(member))
            continue;
        HOLDS(member->keyholder != NULL);
        HOLDS(member->keyholder->number == atomic_load(&member->serving));
        /* One that has not joined yet stands behind the one that serves. */
        if (member->keyholder->number != sims[i].number)
            continue;
        HOLDS(key < 0 || key == sims[i].key);
        key = sims[i].key;
    }
}

static void all_come_back(void)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        sim_end(&sims[i]);
        keys_group_lose(group, i, 0);
    }
    for (size_t i = 0; i < MEMBERS; i++) {
        act_start(i);
        step_member(i);
    }
    for (size_t i = 0; i < MEMBERS; i++)
        HOLDS(is_well(i));
    use(0);
}

/* As above, but nobody is replaced: who lives and has the right key is well again, and has to serve. */
static void all_heal(void)
{
    bool other = false;
    for (size_t i = 0; i < MEMBERS; i++) {
        sims[i].mood = WELL;
        other = other || sims[i].key != RIGHT_KEY;
    }
    for (int round = 0; round < 3; round++) {
        act_time(0);
        for (size_t i = 0; i < MEMBERS; i++)
            step_member(i);
        check();
    }
    for (size_t i = 0; i < MEMBERS && !other; i++)
        HOLDS(!sims[i].alive || group->member[i].keyholder == NULL || is_well(i));
}

static void run_sequence(void)
{
    const struct keys_group_config config = {.members = MEMBERS,
                                             .call_timeout_ms = {CALL_TIMEOUT_MS, CALL_TIMEOUT_MS},
                                             .sessions = {4, 4}};
    struct error err = {0};
    memset(sims, 0, sizeof sims);
    HOLDS(keys_group_make(&config, &group, &err) == MIKEYD_OK);
    HOLDS(keys_port_open(group, &port, &err) == MIKEYD_OK);
    for (size_t i = 0; i < MEMBERS; i++) {
        act_start(i);
        step_member(i);
        HOLDS(is_well(i));
    }
    for (size_t i = 0; i < length; i++) {
        actions[sequence[i]].act(actions[sequence[i]].member);
        check();
    }
    all_heal();
    all_come_back();
    keys_port_close(port);
    for (size_t i = 0; i < MEMBERS; i++)
        sim_end(&sims[i]);
    keys_group_free(group);
    sequences++;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc > 2 && strcmp(argv[1], "--depth") == 0)
        length = strtoul(argv[2], NULL, 10);
    length = length > DEPTH_MAX ? DEPTH_MAX : length;
    model_explain = explain;
    log_open("model", LOG_LEVEL_ERROR - 1);
    HOLDS(secret_heap_init(1 << 20, &err) == MIKEYD_OK);
    for (bool more = true; more;) {
        run_sequence();
        size_t at = length;
        while (at > 0 && ++sequence[at - 1] == ACTIONS)
            sequence[--at] = 0;
        more = at > 0;
    }
    (void)printf("%lu sequences of %zu; %lu requests\n", sequences, length, uses);
    return 0;
}
