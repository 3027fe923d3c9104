/*
 * Inside the group. Three things with their own life:
 *
 *   keyholder   one process: control socket, connections; ends when it is lost or replaced
 *   member      one of `tokens:`: its keyholder of now, breaker, figures; lasts as long as the group
 *   connection  one request at a time to one keyholder; owned by a port or by a member's own thread
 *
 * Locks: group->lock before keyholder->lock; neither is held over a request. The way of a request
 * takes none: it reads atomics, and locks only to make a connection or to tell of a failure.
 */
#ifndef KEYS_GROUP_INTERNAL_H
#define KEYS_GROUP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "keys/keys.h"

/* ---- keyholder */

struct keys_connection;

struct keys_keyholder {
    uint64_t number;
    size_t member;
    atomic_uint references;
    atomic_bool retired; /* replaced: serves what it is at, and nothing new */
    atomic_bool cut;     /* lost or overrun: serves nothing */
    pthread_mutex_t lock;
    int control;                         /* -1 when closed */
    struct keys_connection *connections; /* a list */
};

/* Takes over control. NULL: no memory, and control is closed. */
struct keys_keyholder *keys_keyholder_make(uint64_t number, size_t member, int control);
void keys_keyholder_ref(struct keys_keyholder *keyholder);
void keys_keyholder_unref(struct keys_keyholder *keyholder);
/* Shuts all its connections down: whoever waits there goes on at once. */
void keys_keyholder_cut(struct keys_keyholder *keyholder);
/* Lets it finish what it is at: idle connections end now, busy ones with their request. */
void keys_keyholder_retire(struct keys_keyholder *keyholder);

/* ---- connection */

struct keys_connection {
    int fd;                           /* -1: none */
    struct keys_keyholder *keyholder; /* a reference, while fd is open */
    atomic_bool busy;
    uint32_t id; /* of the last request */
    struct keys_connection *next, *previous;
};

/* How a request over a connection ended. */
enum keys_outcome {
    KEYS_ANSWERED,  /* with answer->status */
    KEYS_UNSENT,    /* the keyholder has been replaced: ask its successor */
    KEYS_LOST,      /* the other end is gone */
    KEYS_LATE,      /* no answer in time */
    KEYS_MALFORMED, /* the answer to something else, or none at all */
    KEYS_IMPOSSIBLE /* the request does not fit, or there is no descriptor left here */
};

/* *connection must be zeroed and stay where it is while open. Takes no reference of the caller's. */
enum keys_outcome keys_connection_open(struct keys_connection *connection,
                                       struct keys_keyholder *keyholder, struct error *err);
void keys_connection_close(struct keys_connection *connection);

/* What a request needs beside a connection. */
struct keys_ask {
    struct door_request *request;
    struct door_answer *answer;
    uint8_t *buffer; /* DOOR_MESSAGE_MAX bytes */
    size_t used;     /* out: how far the buffer was used at most, to be wiped */
    struct keys_entry *page;
    int timeout_ms;
};

/* One round trip. The connection is closed unless it is in step with its keyholder afterwards. */
enum keys_outcome keys_connection_ask(struct keys_connection *connection, struct keys_ask *ask,
                                      struct error *err);

/* ---- member */

/* What others have its thread do. */
enum keys_job {
    KEYS_JOB_LIST,   /* look at the token again, list its keys */
    KEYS_JOB_VERIFY, /* have them proven against the group's */
    KEYS_JOB_HEALTH,
    KEYS_JOB_FACTS, /* every second: for status and metrics, and a sign of life */
    KEYS_JOBS
};

struct keys_member {
    struct keys_group *group;
    size_t index;
    unsigned call_timeout_ms, sessions;

    /* Read and counted on the way of requests. */
    atomic_int state;             /* enum keys_member_state; written under group->lock */
    atomic_uint_fast64_t serving; /* number of `keyholder`; written under group->lock */
    atomic_uint in_flight, latency_us, failed_in_a_row;
    atomic_uint_fast64_t requests, failures, retried_elsewhere;
    atomic_bool suspect; /* was not given the time it should have: is it well? */

    /* group->lock */
    struct keys_keyholder *keyholder, *candidate;
    struct door_facts facts;
    char why[240];
    bool settled; /* its first keyholder has joined, or has not */
    unsigned pause_ms;
    int64_t probe_at_ms, closed_at_ms;
    unsigned wanted;                   /* KEYS_JOB_... not done yet */
    struct error job_error[KEYS_JOBS]; /* of the last one of each kind */

    /* Its own thread's. */
    pthread_t thread;
    bool has_thread;
    uint8_t *buffer;
    struct keys_entry *page;
    struct keys_inventory *listing; /* what it holds, as last told; given away under group->lock */
    uint64_t listed_inventory;      /* facts.inventory of the listing ... */
    uint64_t claimed_keyholder;     /* whose token is known to belong to the group's store */
    uint64_t listed_keyholder;      /* ... and who told it; 0: nobody */
    uint64_t proven_version;        /* of the group's inventory that the listing was held against */
    uint64_t requests_seen;
};

/* ---- group */

#define KEYS_EVENTS_MAX 128

struct keys_group {
    struct keys_member member[KEYS_MEMBERS_MAX];
    size_t members;
    void (*changed)(void *context);
    void *context;
    char store[DOOR_STORE + 1]; /* "": none is claimed */

    pthread_mutex_t lock;
    pthread_cond_t wake; /* anything below, or in a member, has changed */
    bool ending;
    uint64_t last_number;
    struct keys_inventory *inventory;
    uint64_t last_version;
    struct keys_event events[KEYS_EVENTS_MAX];
    size_t first_event, event_count;
    bool untold;            /* an event was put in since `changed` was called */
    pthread_mutex_t rescan; /* one at a time */
};

void keys_group_lock(struct keys_group *group);
/* Wakes whoever waits for a change, and calls `changed` when there is an event, after unlocking. */
void keys_group_unlock(struct keys_group *group);
/* TOKEN_DOWN, and why the first member that does not serve does not; group->lock. */
enum mikeyd_status keys_group_first_reason(struct keys_group *group, struct error *err);
bool keys_member_serves(const struct keys_member *member);

/* ---- breaker.c: these lock */

/* The member for the next request: not one of `tried` (bits). NULL when none is left. */
struct keys_member *keys_breaker_choose(struct keys_group *group, unsigned tried);
/* How long one attempt may take while others could serve, milliseconds. */
unsigned keys_breaker_share(const struct keys_member *member);
void keys_breaker_success(struct keys_member *member, int64_t took_us);
/* An answer that the token or the keyholder failed: the third in a row opens the breaker. */
void keys_breaker_failed_answer(struct keys_member *member, struct keys_keyholder *keyholder,
                                const char *why);
void keys_breaker_lost(struct keys_member *member, struct keys_keyholder *keyholder,
                       const char *why);
void keys_breaker_overrun(struct keys_member *member, struct keys_keyholder *keyholder,
                          unsigned waited_ms);

/* Under group->lock. */
void keys_breaker_open(struct keys_member *member, const char *why);
void keys_breaker_pause(struct keys_member *member);
/* Puts a keyholder aside; the caller cuts or retires what it gets, and drops the reference. */
struct keys_keyholder *keys_member_take_keyholder(struct keys_member *member);
void keys_group_event(struct keys_group *group, enum keys_event_kind kind, size_t member,
                      uint64_t keyholder, const char *text);
/* How people know it: the token's label, its number when nothing is known of the token. */
void keys_member_title(const struct keys_member *member, char *out, size_t cap);

/* ---- maintain.c: a member's own thread */

void *keys_maintain(void *member);

/* A request of that thread to a keyholder: its own member's, or the one its keys are held against. */
struct keys_inquiry {
    struct keys_member *whom;
    struct keys_connection connection;
};
enum mikeyd_status keys_inquiry_open(struct keys_inquiry *inquiry, struct keys_member *whom,
                                     struct keys_keyholder *keyholder, struct error *err);
/* What goes wrong is told to the breaker of that member; a failed answer is the status returned. */
enum mikeyd_status keys_inquiry_ask(struct keys_inquiry *inquiry, struct keys_member *self,
                                    struct door_request *request, struct door_answer *answer,
                                    struct error *err);
/* The group's inventory is this member's listing from now on; group->lock. */
void keys_group_adopt(struct keys_member *member);

/* ---- prove.c */

/* Reads the inventory of self's keyholder into self->listing. */
enum mikeyd_status keys_prove_list(struct keys_member *self, struct keys_inquiry *own,
                                   struct error *err);
/*
 * Holds self->listing against the group's inventory: POLICY when it has another key or lacks one,
 * named in err. Any other status but OK: they could not be compared.
 */
enum mikeyd_status keys_prove_against(struct keys_member *self, struct keys_inquiry *own,
                                      const struct keys_inventory *inventory, struct error *err);

#endif
