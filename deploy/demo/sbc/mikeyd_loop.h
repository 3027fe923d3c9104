/* mikeyd's client in Sofia-SIP's event loop: one connection serves all calls, and none waits for another. */
#ifndef SBC_MIKEYD_LOOP_H
#define SBC_MIKEYD_LOOP_H

#include <mikeyd/client.h>
#include <sofia-sip/su_wait.h>

struct mikeyd_loop {
    su_root_t *root;
    mikeyd_client *client;
    int registration;
    short events; /* that the loop waits for */
};

/* Says why not, and returns false. */
bool mikeyd_loop_open(struct mikeyd_loop *loop, su_root_t *root, const char *address);
void mikeyd_loop_close(struct mikeyd_loop *loop);

#endif
