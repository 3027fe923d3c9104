#include "mikeyd_loop.h"

#include <stdio.h>

#define DEADLINE_MS 5000 /* a caller who hears nothing for longer hangs up */

/* A submission may have made output: the loop has to wait for POLLOUT as well. */
static void want_events(struct mikeyd_loop *loop)
{
    const short events = mikeyd_client_events(loop->client);
    if (events != loop->events)
        (void)su_root_eventmask(loop->root, loop->registration, mikeyd_client_fd(loop->client),
                                events);
    loop->events = events;
}

static int ready(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg)
{
    (void)magic, (void)wait;
    struct mikeyd_loop *loop = (struct mikeyd_loop *)arg;
    /* MIKEYD_UNREACHABLE: the callbacks have run and their calls have been refused. The next request connects anew. */
    (void)mikeyd_client_dispatch(loop->client);
    want_events(loop);
    return 0;
}

/* Runs each time before the loop sleeps, so no submission has to think of it. */
static void before_sleep(su_prepoll_magic_t *magic, su_root_t *root)
{
    (void)root;
    want_events((struct mikeyd_loop *)magic);
}

bool mikeyd_loop_open(struct mikeyd_loop *loop, su_root_t *root, const char *address)
{
    su_wait_t wait[1];
    *loop = (struct mikeyd_loop){.root = root, .events = SU_WAIT_IN};
    if (mikeyd_client_open(address, &loop->client) != MIKEYD_OK) {
        fprintf(stderr, "demo-sbc: %s\n", mikeyd_client_error(NULL));
        return false;
    }
    mikeyd_client_set_deadline(loop->client, DEADLINE_MS);
    if (su_wait_create(wait, mikeyd_client_fd(loop->client), SU_WAIT_IN) != 0 ||
        (loop->registration = su_root_register(root, wait, ready, (su_wakeup_arg_t *)loop, 0)) <=
            0 ||
        su_root_add_prepoll(root, before_sleep, (su_prepoll_magic_t *)loop) != 0) {
        fprintf(stderr, "demo-sbc: the event loop does not take the connection to mikeyd\n");
        return false;
    }
    return true;
}

void mikeyd_loop_close(struct mikeyd_loop *loop)
{
    if (loop->registration > 0) {
        (void)su_root_remove_prepoll(loop->root);
        (void)su_root_deregister(loop->root, loop->registration);
    }
    mikeyd_client_close(loop->client);
}
