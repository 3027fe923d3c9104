/*
 * How often a key with a bound was used. The count itself is in the database, which a crash of the
 * machine may cost; so before uses are counted some are set aside in a small database of their own,
 * each commit of which is on the disk. After a loss what was set aside counts as used.
 */
#include <string.h>

#include "base/bytes.h"
#include "store/lmdb_internal.h"

#define ASIDE_MAP ((size_t)1 << 30) /* of addresses: some 20 million keys */
/* So many at a time: a flush each would be dear, and a loss costs as many. */
#define ASIDE_PART 256
#define ASIDE_LEAST 16
#define ASIDE_MOST 4096

struct uses {
    uint64_t made, aside;
};

static int read_uses(MDB_txn *txn, MDB_dbi table, MDB_val *key, struct uses *out)
{
    MDB_val value;
    int rc = mdb_get(txn, table, key, &value);
    if (rc != 0)
        return rc;
    struct byte_reader r = reader_of(value.mv_data, value.mv_size);
    out->made = reader_u64(&r);
    out->aside = reader_u64(&r);
    return reader_done(&r) ? 0 : MDB_CORRUPTED;
}

static int write_uses(MDB_txn *txn, MDB_dbi table, MDB_val *key, struct uses uses)
{
    uint8_t bytes[16];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    writer_u64(&w, uses.made);
    writer_u64(&w, uses.aside);
    MDB_val value = {sizeof bytes, bytes};
    return mdb_put(txn, table, key, &value, 0);
}

/* ---- what is set aside; under env.writer, by one process */

int store_uses_open(struct lmdb_store *store)
{
    char path[4096];
    MDB_txn *txn;
    struct byte_writer w = writer_of((uint8_t *)path, sizeof path);
    writer_bytes(&w, store->env.path, strlen(store->env.path));
    writer_bytes(&w, "/uses.mdb", sizeof "/uses.mdb");
    int rc = w.failed ? MDB_BAD_VALSIZE : mdb_env_create(&store->aside);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_mapsize(store->aside, ASIDE_MAP);
    if (rc == 0)
        rc = mdb_env_open(store->aside, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(store->aside, NULL, 0, &txn);
    if (rc == 0) {
        rc = mdb_dbi_open(txn, NULL, 0, &store->aside_table);
        const int ended = rc == 0 ? mdb_txn_commit(txn) : (mdb_txn_abort(txn), 0);
        rc = rc == 0 ? ended : rc;
    }
    if (rc != 0)
        store_uses_close(store);
    return rc;
}

void store_uses_close(struct lmdb_store *store)
{
    if (store->aside != NULL)
        mdb_env_close(store->aside);
    store->aside = NULL;
}

static int find_aside(struct lmdb_store *store, MDB_val *key, struct uses *out)
{
    MDB_txn *txn;
    struct uses found = {0, 0};
    int rc = mdb_txn_begin(store->aside, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = read_uses(txn, store->aside_table, key, &found);
    mdb_txn_abort(txn);
    /* Nobody knows how many of those were made. */
    *out = (struct uses){found.aside, found.aside};
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int set_aside(struct lmdb_store *store, MDB_val *key, uint64_t most, struct uses *uses)
{
    MDB_txn *txn;
    uint64_t part = most / ASIDE_PART;
    part = part < ASIDE_LEAST ? ASIDE_LEAST : part > ASIDE_MOST ? ASIDE_MOST : part;
    uses->aside = part < most - uses->made ? uses->made + part : most;
    int rc = mdb_txn_begin(store->aside, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = write_uses(txn, store->aside_table, key, *uses);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* ---- counting */

int store_count_use(struct lmdb_store *store, MDB_txn *txn, const struct store_use *use,
                    bool *used_up)
{
    uint8_t name[STORE_DIGEST];
    struct byte_writer w = writer_of(name, sizeof name);
    writer_bytes(&w, use->digest, STORE_DIGEST);
    MDB_val key = {sizeof name, name};
    struct uses uses = {0, 0};
    int rc = read_uses(txn, store->env.uses, &key, &uses);
    if (rc == MDB_NOTFOUND)
        rc = find_aside(store, &key, &uses);
    if (rc != 0)
        return rc;
    *used_up = uses.made >= use->most;
    if (*used_up)
        return MDB_KEYEXIST;
    if (uses.made >= uses.aside)
        rc = set_aside(store, &key, use->most, &uses);
    uses.made++;
    return rc == 0 ? write_uses(txn, store->env.uses, &key, uses) : rc;
}
