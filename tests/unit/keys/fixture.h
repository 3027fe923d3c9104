/* A group whose keyholders are scripted (peer.h), for the tests of group and port. */
#ifndef TESTS_UNIT_KEYS_FIXTURE_H
#define TESTS_UNIT_KEYS_FIXTURE_H

#include "peer.h"

extern struct keys_group *group;
extern struct peer peers[KEYS_MEMBERS_MAX]; /* "A" of member 0, "B" of member 1 ... */
extern struct error err;

/* A group with that many members, none of which has a keyholder. */
void make_group(size_t members, unsigned call_timeout_ms);
void make_group_of_store(size_t members, unsigned call_timeout_ms, const char *store);
/* peers[index] starts, with a psk and an epsk like the others when it has no keys yet, and joins. */
uint64_t join(size_t index);
uint64_t join_as(size_t member, size_t peer);
/* make_group(), join() of all, and they serve. */
void make_serving_group(size_t members, unsigned call_timeout_ms);
void end_group(void);

void wait_for_state(size_t member, enum keys_member_state state);
enum keys_member_state state_of(size_t member);
struct keys_member_status status_of(size_t member);
void sleep_ms(unsigned ms);
/* Events since the last call of this kind (0: of any), and the text and keyholder of the last. */
unsigned take_events(enum keys_event_kind kind);
extern struct keys_event last_event;

struct keys_port *open_port(void);
/* One TAG over a number: its status; on OK the answer has been held against the right one. */
enum mikeyd_status use(struct keys_port *port, uint32_t number);

#endif
