/* Exchanges asked of a running daemon: pipelined over several connections. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <mikeyd/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* UPDATE goes on from CONFIRM; it is not for `tgk: derived`. */
enum operation { INITIATE, RESPOND, CONFIRM, UPDATE, OPERATIONS };
extern const char *const operation_names[OPERATIONS];

struct options {
    const char *method; /* "psk", "psk-dhe", "dhhmac", "policy" or "all" */
    const char *config, *socket, *beside, *from, *to;
    unsigned connections, depth, count, rounds;
    double call_ms; /* 0: the floor is measured */
    bool json;
};

struct blob {
    uint8_t *data;
    size_t len;
};

struct call;

/* One daemon, and the exchanges on their way through the operations. */
struct load {
    enum mikeyd_method method;
    const struct options *options;
    mikeyd_client **client;
    unsigned *in_flight;
    struct call *calls;
    enum operation operation;
    unsigned done, failed;
    enum mikeyd_status first_failure;
};

/* False, and a line on stderr, when the daemon does not answer. */
bool load_open(struct load *load, const struct options *options, const char *socket);
void load_close(struct load *load);
/* Runs one operation over all calls; returns operations a second, 0 when something failed. */
double load_run(struct load *load, enum operation operation);
/* Forgets the exchanges: the next operation is INITIATE again. */
void load_forget(struct load *load);
/* Of the operation that ran last. */
void load_latency(const struct load *load, enum operation operation, double *p50, double *p99);
/* The first I_MESSAGE. */
const struct blob *load_message(const struct load *load);

int compare_doubles(const void *a, const void *b);

#endif
