/*
 * What "on disk before release" costs: threads append a release each, wait until it is durable, and
 * go on; once with fdatasync and once without. Prints records a second, how many share one
 * fdatasync, and the time of one append alone.
 *
 * audit-bench [FOLDER] [SECONDS]
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/clock.h"

/* Requests in flight together: a worker goes on with the next one while the committer writes. */
#define THREADS_MAX 64

struct bench {
    struct audit_log *log;
    unsigned in_flight; /* of each thread */
    atomic_bool stop;
    atomic_uint_fast64_t done;
    atomic_uint_fast64_t append_us;
    atomic_uint_fast64_t waits, wait_us;
};

static struct audit_record sample(void)
{
    static const char from[] = "sip:sbc-a.core@carrier.example";
    static const char to[] = "sip:sbc-b.core@carrier.example";
    return (struct audit_record){
        .event = AUDIT_RESPOND,
        .client = "sbc-b",
        .from = {IDENTITY_URI, sizeof from - 1, (const uint8_t *)from},
        .to = {IDENTITY_URI, sizeof to - 1, (const uint8_t *)to},
        .has_csb_id = true,
        .csb_id = 0x11223344,
        .key = "core/1",
        .method = "psk",
        .algorithms = "mikey-256",
        .suites = "AEAD_AES_256_GCM",
        .prf = "sign",
        .keys = 1,
        .policy_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
}

static void *work(void *context)
{
    struct bench *bench = context;
    const struct audit_record record = sample();
    uint64_t done = 0, append_us = 0, waits = 0, wait_us = 0;
    while (!atomic_load(&bench->stop)) {
        uint64_t sequence = 0;
        int64_t begin = clock_monotonic_us();
        for (unsigned i = 0; i < bench->in_flight; i++) {
            if (audit_append(bench->log, &record, &sequence, NULL) != MIKEYD_OK)
                return NULL;
        }
        int64_t appended = clock_monotonic_us();
        if (audit_wait(bench->log, sequence, NULL) != MIKEYD_OK)
            return NULL;
        append_us += (uint64_t)(appended - begin);
        wait_us += (uint64_t)(clock_monotonic_us() - appended);
        waits++;
        done += bench->in_flight;
    }
    atomic_fetch_add(&bench->done, done);
    atomic_fetch_add(&bench->append_us, append_us);
    atomic_fetch_add(&bench->waits, waits);
    atomic_fetch_add(&bench->wait_us, wait_us);
    return NULL;
}

static int run(const char *folder, unsigned seconds, bool sync, unsigned threads,
               unsigned in_flight)
{
    char path[4096];
    struct error err = {0};
    struct bench bench = {.in_flight = in_flight};
    (void)snprintf(path, sizeof path, "%s/audit-bench.%d.jsonl", folder, (int)getpid());
    const struct audit_options options = {.path = path, .insecure_no_sync = !sync};
    if (audit_open(&options, &bench.log, &err) != MIKEYD_OK) {
        (void)fprintf(stderr, "audit-bench: %s\n", err.text);
        return 1;
    }
    pthread_t list[THREADS_MAX];
    int64_t begin = clock_monotonic_us();
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&list[i], NULL, work, &bench) != 0)
            abort();
    }
    (void)sleep(seconds);
    atomic_store(&bench.stop, true);
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(list[i], NULL);
    double elapsed = (double)(clock_monotonic_us() - begin) / 1e6;
    struct audit_stats stats;
    audit_get_stats(bench.log, &stats);
    audit_close(bench.log);
    (void)unlink(path);
    if (bench.done == 0) {
        (void)fprintf(stderr, "audit-bench: nothing was written\n");
        return 1;
    }
    (void)printf("%-9s %7u %9u %12.0f %12.1f %11.2f %11.2f\n", sync ? "fdatasync" : "none", threads,
                 in_flight, (double)bench.done / elapsed,
                 (double)stats.records / (double)stats.commits,
                 (double)bench.append_us / (double)bench.done,
                 (double)bench.wait_us / (double)bench.waits / 1000);
    (void)fflush(stdout);
    return 0;
}

/* Formatting and queueing alone, one thread, nobody waiting. */
static int run_append(const char *folder)
{
    enum { RECORDS = 20000 };
    char path[4096];
    struct error err = {0};
    struct audit_log *log = NULL;
    (void)snprintf(path, sizeof path, "%s/audit-bench.%d.jsonl", folder, (int)getpid());
    const struct audit_options options = {.path = path, .insecure_no_sync = true};
    if (audit_open(&options, &log, &err) != MIKEYD_OK) {
        (void)fprintf(stderr, "audit-bench: %s\n", err.text);
        return 1;
    }
    const struct audit_record record = sample();
    uint64_t sequence = 0;
    int64_t begin = clock_monotonic_us();
    for (int i = 0; i < RECORDS; i++) {
        if (audit_append(log, &record, &sequence, NULL) != MIKEYD_OK)
            return 1;
    }
    int64_t end = clock_monotonic_us();
    audit_close(log);
    (void)unlink(path);
    (void)printf("one append: %.2f us (formatting and queueing, committer busy beside it)\n",
                 (double)(end - begin) / RECORDS);
    return 0;
}

int main(int argc, char **argv)
{
    static const unsigned shapes[][2] = {{1, 1}, {8, 1}, {32, 1}, {4, 32}, {4, 256}};
    const char *folder = argc > 1 ? argv[1] : ".";
    unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
    if (seconds == 0 || argc > 3) {
        (void)fprintf(stderr, "usage: audit-bench [FOLDER] [SECONDS]\n");
        return 1;
    }
    if (run_append(folder) != 0)
        return 1;
    (void)printf("%-9s %7s %9s %12s %12s %11s %11s\n", "sync", "threads", "in flight", "records/s",
                 "per commit", "append us", "wait ms");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (run(folder, seconds, true, shapes[i][0], shapes[i][1]) != 0 ||
            run(folder, seconds, false, shapes[i][0], shapes[i][1]) != 0)
            return 1;
    }
    return 0;
}
