#include "client/call.h"

#include <stdlib.h>

void call_join(struct call **waiters, struct call *call)
{
    call->waiter_next = *waiters;
    call->waiter_link = waiters;
    if (*waiters != NULL)
        (*waiters)->waiter_link = &call->waiter_next;
    *waiters = call;
}

void call_leave(struct call *call)
{
    *call->waiter_link = call->waiter_next;
    if (call->waiter_next != NULL)
        call->waiter_next->waiter_link = call->waiter_link;
}

void call_free(struct call *call)
{
    free(call->again);
    free(call);
}

static struct call **call_bucket(struct call_table *table, uint64_t id)
{
    /* IDs count up, so neighbours in flight fall into different buckets. */
    return &table->buckets[id % CALL_BUCKETS];
}

void call_table_add(struct call_table *table, struct call *call)
{
    struct call **bucket = call_bucket(table, call->id);
    call->next = *bucket;
    *bucket = call;
    table->count++;
}

struct call *call_table_take(struct call_table *table, uint64_t id)
{
    struct call **link = call_bucket(table, id);
    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    struct call *call = *link;
    if (call != NULL) {
        *link = call->next;
        call->next = NULL;
        table->count--;
    }
    return call;
}

struct call *call_table_take_any(struct call_table *table)
{
    for (size_t i = 0; table->count != 0 && i < CALL_BUCKETS; i++) {
        if (table->buckets[i] != NULL)
            return call_table_take(table, table->buckets[i]->id);
    }
    return NULL;
}
