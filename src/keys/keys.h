/*
 * The port to the keys: a group of keyholders that hold the same keys, proven when they join. A
 * worker asks for one message's worth of work; the group chooses a member, repeats the request at
 * another one when the first fails (every request is a function of its arguments, see mikey/key.h),
 * and keeps a circuit breaker for each. No PKCS#11 here: members are file descriptors.
 *
 *   member  closed ----- a failure that is the member's ---> open
 *             ^                                               | after a pause with jitter
 *             +--- probe succeeds --- half-open <-------------+   (pause doubles when it fails)
 */
#ifndef KEYS_KEYS_H
#define KEYS_KEYS_H

#include "keys/door.h"

#define KEYS_MEMBERS_MAX 8

struct keys_group;
struct keys_port;

/* ---- the group */

struct keys_group_config {
    size_t members; /* 1 .. KEYS_MEMBERS_MAX, in the order of `tokens:` */
    unsigned call_timeout_ms[KEYS_MEMBERS_MAX];
    unsigned sessions[KEYS_MEMBERS_MAX]; /* requests a member serves at once: more get more time */
    /* The replay store that goes with the keys: a token that belongs to another is not used
     * (pkcs11/store_mark.h). NULL: none is claimed. */
    const char *store;
    /*
     * Some member overran its deadline, was lost, or joined: called from any thread, must not
     * block. The daemon's main thread asks keys_group_next_event() then. May be NULL.
     */
    void (*changed)(void *context);
    void *context;
};

enum mikeyd_status keys_group_make(const struct keys_group_config *config, struct keys_group **out,
                                   struct error *err);
/* Ends the group's own threads and closes all connections. No port may be in use. */
void keys_group_free(struct keys_group *group);

/*
 * A keyholder for that member is there: takes over its control socket. A member that already has
 * one gets the new one beside it and lets the old one finish (recycling). Does not block: the
 * group's own threads ask for facts and inventory, have the keys proven against the group's, and
 * close the breaker. Returns the keyholder's number, by which events and keys_group_lose() know it:
 * never 0, never the same again.
 */
uint64_t keys_group_join(struct keys_group *group, size_t member, int control);
/* That keyholder (0: every one of the member) is dead, or about to be killed: its connections are
 * cut and callers that wait for it go on at once. Nothing happens when it has been replaced. */
void keys_group_lose(struct keys_group *group, size_t member, uint64_t keyholder);
/* Blocks until `members` of them serve (or all that ever will): at start. TOKEN_DOWN with the
 * reason of the first that does not. */
enum mikeyd_status keys_group_wait(struct keys_group *group, size_t members, unsigned timeout_ms,
                                   struct error *err);

/* What happened to a member, for the log, the audit log and the monitor. */
enum keys_event_kind {
    KEYS_EVENT_UP = 1,
    KEYS_EVENT_DOWN,
    KEYS_EVENT_OVERRUN, /* a request overran the deadline: the keyholder is to be killed */
    KEYS_EVENT_DIFFERS, /* it joined with other keys than the group's, or belongs to another replay
                         * store, and is not used */
    KEYS_EVENT_UNMARKED /* its token takes no mark of whose it is: text says why */
};
struct keys_event {
    enum keys_event_kind kind;
    size_t member;
    uint64_t keyholder; /* as keys_group_join() numbered it */
    char text[240];
};
bool keys_group_next_event(struct keys_group *group, struct keys_event *out);

/* ---- the inventory: what policy is bound to */

/* "psk", "epsk" ... as in object labels. */
const char *keys_kind_name(enum keys_kind kind);

/* Immutable, reference counted. Entries in no order, found by kind, name and generation in O(1). */
struct keys_inventory;
/* Of the member that the others are held against; NULL while none has joined yet. */
struct keys_inventory *keys_group_inventory(struct keys_group *group);
void keys_inventory_unref(struct keys_inventory *inventory);
size_t keys_inventory_count(const struct keys_inventory *inventory);
const struct keys_entry *keys_inventory_at(const struct keys_inventory *inventory, size_t index);
const struct keys_entry *keys_inventory_find(const struct keys_inventory *inventory,
                                             enum keys_kind kind, const char *name,
                                             unsigned generation);
/* Changes whenever keys_group_inventory() may give another one. */
uint64_t keys_inventory_version(const struct keys_inventory *inventory);

/* Every member that serves looks at its token again; blocks; the inventory is new afterwards.
 * Members that fail are lost, not an error, while one is left. */
enum mikeyd_status keys_group_rescan(struct keys_group *group, struct error *err);

/* ---- state, for status, health and metrics */

enum keys_member_state {
    KEYS_MEMBER_ABSENT,
    KEYS_MEMBER_JOINING,
    KEYS_MEMBER_CLOSED,
    KEYS_MEMBER_OPEN,
    KEYS_MEMBER_HALF_OPEN,
    KEYS_MEMBER_DIFFERS
};
const char *keys_member_state_name(enum keys_member_state state);
struct keys_member_status {
    enum keys_member_state state;
    struct door_facts facts; /* of the last second, while it serves */
    uint64_t requests, failures, retried_elsewhere;
    unsigned latency_us; /* moving mean of successful requests */
    unsigned in_flight;
    char why[240]; /* it does not serve */
};
void keys_group_member_status(struct keys_group *group, size_t member,
                              struct keys_member_status *out);
/* Asks every member that serves, now: C_GetTokenInfo, presence of every key. OK when one serves
 * and nothing is wrong there. */
enum mikeyd_status keys_group_check_health(struct keys_group *group, struct error *err);
/* Does any member serve? */
bool keys_group_up(struct keys_group *group);
/* Can every member run the MIKEY PRF in the token; import in the token? */
bool keys_group_can_derive(struct keys_group *group);
bool keys_group_can_import(struct keys_group *group);

/* ---- a port: one thread's connections, one per member, made on first use */

enum mikeyd_status keys_port_open(struct keys_group *group, struct keys_port **out,
                                  struct error *err);
void keys_port_close(struct keys_port *port);
/*
 * Requests from here to the next call must be answered by then (monotonic ms); 0: within the
 * call_timeout of each member. While another member could serve, an attempt gets a share: a quarter
 * of call_timeout, at least 20 ms, or eight times the member's mean; the last one gets what is
 * left. A keyholder that takes longer than a share has overrun; one whose client had less time has
 * not.
 */
void keys_port_deadline(struct keys_port *port, int64_t deadline_ms);
/* "sign" or "derive": how the last request was computed. NULL before the first. */
const char *keys_port_prf(const struct keys_port *port);
/*
 * How often keyholders were asked to use a pre-shared key through this port since the last call of
 * this function, for the audit record: never less than what they count of it. A request whose answer
 * was a failure or was lost counts too, at each member that got it.
 */
unsigned keys_port_take_uses(struct keys_port *port);
/* How long this port waited for keyholders since the last call of this function, microseconds. */
int64_t keys_port_take_wait_us(struct keys_port *port);

/* The engine's calls (mikey/key.h): key.port is a struct keys_port, key.name a struct keys_name. */
extern const struct mikey_key_ops keys_port_ops;

struct keys_checkpoint {
    const char *key_name; /* of the audit key */
    unsigned generation;
    size_t member; /* who is to sign, while it serves; another one when it fails */
    struct checkpoint_claim claim;
};

/* Makes a pair key ready at every member that serves. */
enum mikeyd_status keys_port_prepare(struct keys_port *port, const struct keys_name *name,
                                     struct error *err);
/* The ticket key of a day: out has DOOR_TICKET_KEY bytes in the secure heap. */
enum mikeyd_status keys_port_ticket_key(struct keys_port *port, const char *name,
                                        unsigned generation, uint32_t day, uint8_t *out,
                                        struct error *err);
/*
 * Signs an audit checkpoint with the audit key of that name at one member: over number and hash of
 * the record, and over that keyholder's own count of uses, which no front can forge. *len: capacity
 * in, length out. uses, incarnation: what was signed with it.
 */
enum mikeyd_status keys_port_checkpoint(struct keys_port *port, const struct keys_checkpoint *what,
                                        uint8_t *signature, size_t *len, uint64_t *uses,
                                        uint8_t incarnation[16], struct error *err);

#endif
