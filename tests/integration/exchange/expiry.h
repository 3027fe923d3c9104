/* How long the replay store keeps what a lab's service put there. */
#ifndef TESTS_EXCHANGE_EXPIRY_H
#define TESTS_EXCHANGE_EXPIRY_H

#include <stdio.h>

#include <criterion/criterion.h>

#include "lab.h"
#include "store/lmdb_env.h"

struct lab_expiries {
    int64_t latest; /* Unix seconds */
    size_t at;      /* number of entries that expire at one moment */
};

/* Ends the service and looks through its store. */
static inline struct lab_expiries lab_expiries(struct lab *lab, int64_t moment)
{
    char path[128];
    struct store_env env;
    struct lab_expiries found = {0};
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    struct error err = {0};
    lab_stop_service(lab);
    store_close(lab->store);
    (void)snprintf(path, sizeof path, "%s/replay", lab->dir);
    cr_assert_eq(store_env_open(&env, path), 0);
    cr_assert_eq(store_env_read(&env, &txn), 0);
    cr_assert_eq(mdb_cursor_open(txn, env.expiry, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) { /* in their order */
        struct byte_reader r = reader_of(key.mv_data, key.mv_size);
        found.latest = (int64_t)reader_u64(&r);
        found.at += found.latest == moment;
    }
    mdb_cursor_close(cursor);
    store_env_read_end(&env, txn);
    store_env_close(&env);
    cr_assert_eq(lmdb_store_open(path, 120, NULL, &lab->store, &err), MIKEYD_OK, "%s", err.text);
    return found;
}

/* When the last entry expires. */
static inline int64_t lab_latest_expiry(struct lab *lab)
{
    return lab_expiries(lab, 0).latest;
}

/* How many entries expire at that moment. */
static inline size_t lab_count_expiries(struct lab *lab, int64_t moment)
{
    return lab_expiries(lab, moment).at;
}

#endif
