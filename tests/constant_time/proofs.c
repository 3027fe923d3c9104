/* Two keyholders prove that they hold the same keys: the proofs are secret from the door on. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "keys/group_internal.h"
#include "secrets.h"
#include "unit/keys/peer.h"

#define MEMBERS 3

/* The linker puts this in the place of the product's (--wrap), which it calls. */
enum mikeyd_status __real_keys_inquiry_ask(struct keys_inquiry *inquiry, struct keys_member *self,
                                           struct door_request *request, struct door_answer *answer,
                                           struct error *err);
enum mikeyd_status __wrap_keys_inquiry_ask(struct keys_inquiry *inquiry, struct keys_member *self,
                                           struct door_request *request, struct door_answer *answer,
                                           struct error *err);

static struct keys_group *group;
static struct peer peers[MEMBERS];

enum mikeyd_status __wrap_keys_inquiry_ask(struct keys_inquiry *inquiry, struct keys_member *self,
                                           struct door_request *request, struct door_answer *answer,
                                           struct error *err)
{
    enum mikeyd_status status = __real_keys_inquiry_ask(inquiry, self, request, answer, err);
    if (status == MIKEYD_OK && request->op == DOOR_PROOF_OF)
        mark_secret(answer->proof.proof, sizeof answer->proof.proof);
    return status;
}

static void join(size_t member, const char *label, uint8_t value)
{
    peer_add_key(&peers[member], KEYS_PSK, "legacy", 11);
    peer_add_key(&peers[member], KEYS_EPSK, "core", value);
    (void)keys_group_join(group, member, peer_start(&peers[member], label));
}

static void wait_for(size_t member, enum keys_member_state state)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    const int64_t until = clock_monotonic_ms() + 60000;
    struct keys_member_status status;
    for (;;) {
        keys_group_member_status(group, member, &status);
        if (status.state == state)
            return;
        MUST(clock_monotonic_ms() < until);
        (void)nanosleep(&moment, NULL);
    }
}

void check_proofs(void)
{
    struct error err = {0};
    struct keys_group_config config = {.members = MEMBERS};
    for (size_t i = 0; i < MEMBERS; i++) {
        config.call_timeout_ms[i] = 20000;
        config.sessions[i] = 1;
    }
    MUST(keys_group_make(&config, &group, &err) == MIKEYD_OK);
    join(0, "A", 22);
    wait_for(0, KEYS_MEMBER_CLOSED);
    MUST(take_comparisons() == 0); /* there is nobody to be held against */
    join(1, "B", 22);
    wait_for(1, KEYS_MEMBER_CLOSED);
    MUST(take_comparisons() >= 2); /* of each key */
    join(2, "C", 99);
    wait_for(2, KEYS_MEMBER_DIFFERS);
    MUST(take_comparisons() >= 2);
    keys_group_free(group);
    for (size_t i = 0; i < MEMBERS; i++)
        peer_stop(&peers[i]);
}
