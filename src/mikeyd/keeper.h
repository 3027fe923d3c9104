/* One token's keyholder process as the monitor sees it: start, readiness, death, and when to start
 * the next. A keeper has at most two: the one that serves and a successor that is getting ready. */
#ifndef MIKEYD_KEEPER_H
#define MIKEYD_KEEPER_H

#include <stdint.h>
#include <sys/types.h>

#include "mikeyd/channel.h"
#include "mikeyd/child.h"

struct keyholder_process {
    pid_t pid;         /* 0: none */
    uint64_t instance; /* of its keeper, from 1 */
    int report;        /* the monitor's end of its descriptor 3 */
    int control;       /* the front's end of its descriptor 4, until it is sent there; -1 then */
    bool ready;
    bool failure_told; /* it said why it ends */
    int64_t started_ms;
};

struct keeper {
    uint32_t member;
    const char *program, *config;
    bool sandbox;
    struct child_user user;
    unsigned start_ms; /* it has to be ready in so many */
    struct keyholder_process serving, successor;
    uint64_t instances;
    int64_t restart_at_ms; /* monotonic; 0: not waiting */
    unsigned failures;     /* in a row */
    bool pin_refused;      /* no start before somebody asks for it: the next may lock the PIN */
    int channel;           /* to the front */
};

void keeper_make(struct keeper *keeper, uint32_t member);
/* Starts what is due, kills what is too late in getting ready. */
void keeper_tend(struct keeper *keeper, int64_t now_ms);
/* Monotonic ms at which keeper_tend() has something to do; INT64_MAX: nothing is planned. */
int64_t keeper_next(const struct keeper *keeper);
/* A process of it says something, or has nothing more to say. */
void keeper_listen(struct keeper *keeper, int64_t now_ms);
/* True when the pid was one of it. */
bool keeper_reap(struct keeper *keeper, pid_t pid, int wait_status, int64_t now_ms);
/* The front wants that one killed; nothing happens when it is gone. */
void keeper_kill(struct keeper *keeper, uint64_t instance);
/* The front wants a successor for that one. */
void keeper_recycle(struct keeper *keeper, uint64_t instance, int64_t now_ms);
/* An operator asks: one attempt with the PIN that may have been mended. */
void keeper_retry(struct keeper *keeper, int64_t now_ms);
/* Lets its processes end; true once none is left. */
void keeper_let_go(struct keeper *keeper);
bool keeper_is_empty(const struct keeper *keeper);
void keeper_kill_all(struct keeper *keeper);

#endif
