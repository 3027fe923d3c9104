#include "mikeyd/account.h"

#include <stdlib.h>

struct account *account_open(struct account **accounts, uid_t uid, uint64_t client)
{
    struct account *account = *accounts;
    while (account != NULL && (account->uid != uid || account->client != client))
        account = account->next;
    if (account == NULL) {
        account = calloc(1, sizeof *account);
        if (account == NULL)
            return NULL;
        account->uid = uid;
        account->client = client;
        account->next = *accounts;
        *accounts = account;
    }
    account->connections++;
    return account;
}

static void free_if_unused(struct account **accounts, struct account *account)
{
    if (account->connections != 0 || account->jobs != 0)
        return;
    while (*accounts != account)
        accounts = &(*accounts)->next;
    *accounts = account->next;
    free(account);
}

void account_close(struct account **accounts, struct account *account)
{
    account->connections--;
    free_if_unused(accounts, account);
}

void account_begin_job(struct account *account)
{
    account->jobs++;
}

void account_end_job(struct account **accounts, struct account *account)
{
    account->jobs--;
    free_if_unused(accounts, account);
}
