/* Finished jobs on their way back to the main thread: a list, and a descriptor that becomes
 * readable. */
#ifndef MIKEYD_MAILBOX_H
#define MIKEYD_MAILBOX_H

#include <pthread.h>

#include "mikeyd/job.h"

struct mailbox {
    pthread_mutex_t mutex;
    struct job_list ready;
    bool woken; /* the descriptor has been written since the last collection */
    int fd;     /* eventfd, polled by the main loop */
};

enum mikeyd_status mailbox_open(struct mailbox *mailbox, struct error *err);
void mailbox_close(struct mailbox *mailbox);
/* Hands over all of list. One write wakes the main loop for everything posted until it collects. */
void mailbox_post(struct mailbox *mailbox, struct job_list *list);
void mailbox_post_one(struct mailbox *mailbox, struct job *job);
/* Wakes the main loop with nothing to collect. */
void mailbox_wake(struct mailbox *mailbox);
/* Takes everything posted so far. */
void mailbox_collect(struct mailbox *mailbox, struct job_list *out);

#endif
