/* The calls that fleet-load makes, and what it counts of them. */
#ifndef FLEET_LOAD_H
#define FLEET_LOAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <mikeyd/client.h>

#define SITES 2
#define WINDOWS 64
#define SAMPLES 64
#define CALLER "sip:sbc-a@carrier.example"
#define CALLED "sip:sbc-b@carrier.example"

/* What happened between two commands "window". */
struct window {
    unsigned calls, lost, offered_again, replays_refused, replays_accepted;
    int64_t silence_ms; /* the longest time in which no call of one direction was completed */
    int64_t slowest_ms; /* the longest call, with all that was tried again */
};

/* Of a call that was completed: to be refused from then on. */
struct sample {
    uint8_t *message, *ticket, *reply;
    size_t message_len, ticket_len, reply_len;
};

struct load {
    mikeyd_client *prefers[SITES]; /* this site's gate first, then the other's */
    mikeyd_client *alone[SITES];   /* this site's gate and no other */

    atomic_uint window; /* that calls begin in now */
    atomic_bool ended;

    pthread_mutex_t lock; /* of all that follows */
    struct window windows[WINDOWS];
    int64_t completed_ms[SITES]; /* the last call whose offer was made at that site */
    struct sample samples[SAMPLES];
    unsigned sample_count;
};

int64_t load_now_ms(void);
void load_pause_ms(long milliseconds);

/* One call: offer, answer, confirmation, all that is tried again, and its place in the window. */
void load_call(struct load *load, unsigned window, size_t site);
/* An offer and its answer at this site alone, tried once: the first status that is not OK. */
enum mikeyd_status load_ask(const struct load *load, size_t site);

/* Brings a message and a ticket that were accepted before to both sites. */
void load_replay(struct load *load, unsigned number);
/* So many offers to both sites at the same moment, and so many confirmations; prints what was accepted.
 * False when it was not each of them once. */
bool load_race(struct load *load, unsigned count);

#endif
