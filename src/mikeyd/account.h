/* What one client has of the daemon at this moment: connections, and requests between their receipt
 * and their reply. Main thread only. */
#ifndef MIKEYD_ACCOUNT_H
#define MIKEYD_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct account {
    struct account *next;
    uid_t uid;
    uint64_t client; /* behind the gate; 0: the user itself */
    size_t connections, jobs;
};

/* One more connection of this user, or of this client of its; NULL without memory. */
struct account *account_open(struct account **accounts, uid_t uid, uint64_t client);
/* One less. The account goes when nothing counts for it any more. */
void account_close(struct account **accounts, struct account *account);
void account_begin_job(struct account *account);
void account_end_job(struct account **accounts, struct account *account);

#endif
