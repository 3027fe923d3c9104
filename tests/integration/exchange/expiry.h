/* How long the replay store keeps what a lab's service put there. */
#ifndef TESTS_EXCHANGE_EXPIRY_H
#define TESTS_EXCHANGE_EXPIRY_H

#include <stdio.h>

#include <criterion/criterion.h>

#include "lab.h"
#include "store/store_env.h"

/* Ends the service and tells when the last entry of its store expires, Unix seconds. */
static inline int64_t lab_latest_expiry(struct lab *lab)
{
    char path[128];
    struct store_env env;
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
    cr_assert_eq(mdb_cursor_get(cursor, &key, &value, MDB_LAST), 0);
    struct byte_reader r = reader_of(key.mv_data, key.mv_size);
    int64_t expires = (int64_t)reader_u64(&r);
    mdb_cursor_close(cursor);
    store_env_read_end(&env, txn);
    store_env_close(&env);
    cr_assert_eq(store_open(path, 120, NULL, &lab->store, &err), MIKEYD_OK, "%s", err.text);
    return expires;
}

#endif
