/*
 * The keys of a token for a test of the front's side: a keyholder served in a thread of this
 * process, and a group with it as the one member.
 */
#ifndef TESTS_SUPPORT_KEY_SERVICE_H
#define TESTS_SUPPORT_KEY_SERVICE_H

#include <pthread.h>

#include "keyholder/keyholder.h"
#include "keys/keys.h"

struct key_service {
    struct keyholder *holder;
    struct keys_group *group;
    pthread_t thread;
    int served; /* the keyholder's end of the control connection */
};

/* The token stays the caller's. options: or NULL. */
enum mikeyd_status key_service_start(struct key_service *service, struct token *token,
                                     const struct keyholder_options *options, unsigned timeout_ms,
                                     struct error *err);
/* Nothing to do for one that is all zero. */
void key_service_stop(struct key_service *service);

#endif
