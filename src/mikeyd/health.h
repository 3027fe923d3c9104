/*
 * Would the next request succeed, and for how long? One check for each thing that a request needs,
 * and warnings of what will be wrong later. The token's part asks the token, which may take as long
 * as it likes: health_look() does without, health_ask_token() does it for all who ask at once.
 */
#ifndef MIKEYD_HEALTH_H
#define MIKEYD_HEALTH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct daemon;

enum health_part {
    HEALTH_TOKEN,
    HEALTH_KEYS,
    HEALTH_AUDIT,
    HEALTH_STORE,
    HEALTH_CLOCK,
    HEALTH_PARTS
};
const char *health_part_name(enum health_part part); /* "token" ... */

#define HEALTH_WARNINGS 32
#define HEALTH_TEXT 512

struct health {
    bool healthy;
    char wrong[HEALTH_PARTS][HEALTH_TEXT]; /* "": as it should be */
    char warning[HEALTH_WARNINGS][HEALTH_TEXT];
    size_t warning_count;
    int64_t good_until; /* Unix seconds of the first expiry of a key; 0: no key expires */
};

/* What the token answered last, for HEALTH_ASK_MS. */
#define HEALTH_ASK_MS 1000
struct health_answer {
    pthread_mutex_t mutex;
    bool asking;
    int64_t until_ms;
    enum mikeyd_status status;
    char text[HEALTH_TEXT];
};

/* All that can be told without waiting. Any thread. */
void health_look(struct daemon *daemon, struct health *out);
/* Adds what the token says of itself and its keys, which it is asked once a second at most. For
 * workers: may block as long as the token does. */
void health_ask_token(struct daemon *daemon, struct health *health);
/* Once a second: logs the warnings at start, after a reload and once a day. Main thread. */
void health_tell(struct daemon *daemon);

#endif
