/* The highest COUNTER timestamp of each sender (RFC 3830 6.6). */
#include "base/bytes.h"
#include "store/lmdb_internal.h"

struct counter_job {
    const uint8_t *digest;
    uint64_t value;
};

/* MDB_KEYEXIST: not greater than the highest one. */
static int counter_work(struct store_env *env, MDB_txn *txn, void *arg)
{
    const struct counter_job *job = arg;
    uint8_t name[STORE_DIGEST], bytes[8];
    struct byte_writer w = writer_of(name, sizeof name);
    writer_bytes(&w, job->digest, STORE_DIGEST);
    MDB_val key = {sizeof name, name}, value;
    int rc = mdb_get(txn, env->counters, &key, &value);
    if (rc == 0) {
        struct byte_reader r = reader_of(value.mv_data, value.mv_size);
        uint64_t highest = reader_u64(&r);
        if (!reader_done(&r))
            return MDB_CORRUPTED;
        if (job->value <= highest)
            return MDB_KEYEXIST;
    } else if (rc != MDB_NOTFOUND) {
        return rc;
    }
    w = writer_of(bytes, sizeof bytes);
    writer_u64(&w, job->value);
    value = (MDB_val){sizeof bytes, bytes};
    return mdb_put(txn, env->counters, &key, &value, 0);
}

enum mikeyd_status lmdb_advance_counter(struct replay_store *base,
                                        const uint8_t digest[STORE_DIGEST], uint64_t value,
                                        struct error *err)
{
    struct lmdb_store *store = lmdb_of(base);
    enum mikeyd_status status = store_check_gate(store, err);
    if (status != MIKEYD_OK)
        return status;
    if (store->counters_lost)
        return error_set(err, MIKEYD_STORE_DOWN,
                         "COUNTER is refused, its highest values were lost: give keys used with it "
                         "a new generation, then remove %s/%s and restart",
                         store->env.path, STORE_COUNTERS_LOST);
    struct counter_job job = {digest, value};
    int rc = store_write(store, counter_work, &job);
    if (rc == MDB_KEYEXIST) {
        atomic_fetch_add(&store->refused, 1);
        return error_set(err, MIKEYD_REPLAY, "the counter is not greater than the highest seen");
    }
    return rc == 0 ? MIKEYD_OK : store_fail(store, rc, err);
}
