/* Uses of pre-shared keys: what keyholders sign is held against what the writer records. */
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "audit/verify/verify.h"
#include "fixture.h"

#define PATIENCE_MS 30000
#define WORKERS 2
/* 16 for each worker. */
#define IN_WORK 32

static struct fixture fixture;
static struct audit_log *writer;
static struct audit_signer plain;
static struct audit_verdict verdict;
static struct error err;

/* Two keyholders: what they count, and which of them signs. */
static atomic_uint_fast64_t counts[2];
static atomic_uint signing;
static atomic_bool owing;
static const uint8_t names[2][16] = {{0xa1}, {0xb2}};

static enum mikeyd_status sign(void *context, struct checkpoint_claim *claim, uint8_t *signature,
                               size_t *len, struct error *error)
{
    const unsigned who = atomic_load(&signing);
    (void)context;
    memcpy(claim->holder, names[who], sizeof claim->holder);
    claim->uses = atomic_load(&counts[who]);
    atomic_store(&owing, false);
    return plain.sign(plain.context, claim, signature, len, error);
}

static bool owes(void *unused)
{
    (void)unused;
    return atomic_load(&owing);
}

static unsigned two(void *unused)
{
    (void)unused;
    return 2;
}

static void open_writer(void)
{
    const struct audit_options options = {.signer = &fixture.signer, .checkpoint_records = 1};
    writer = fixture_open(&fixture, &options);
}

static void append(struct audit_record record)
{
    cr_assert_eq(audit_append(writer, &record, NULL, &err), MIKEYD_OK, "%s", err.text);
}

static uint64_t checkpoints(void)
{
    struct audit_stats stats;
    audit_get_stats(writer, &stats);
    return stats.checkpoints;
}

static void wait_for_checkpoint(uint64_t before)
{
    for (int ms = 0; checkpoints() == before; ms++) {
        cr_assert_lt(ms, PATIENCE_MS, "no checkpoint");
        (void)usleep(1000);
    }
}

/* A record, and the checkpoint that follows it. */
static void step(struct audit_record record)
{
    const uint64_t before = checkpoints();
    append(record);
    wait_for_checkpoint(before);
}

static void record_uses(uint64_t uses)
{
    struct audit_record record = fixture_record();
    record.psk_uses = uses;
    step(record);
}

/* As they say who they are: each count begins anew. */
static void login(unsigned who)
{
    atomic_store(&signing, who);
    atomic_store(&counts[who], 0);
    step((struct audit_record){.event = AUDIT_LOGIN, .holder = names[who], .token = who + 1});
}

static void begin(void)
{
    fixture_make(&fixture);
    plain = fixture.signer;
    fixture.signer.sign = sign;
    fixture.signer.counts = true;
    fixture.signer.owes = owes;
    open_writer();
    step((struct audit_record){.event = AUDIT_START, .workers = WORKERS});
    login(0);
}

static void end(void)
{
    audit_close(writer);
    fixture_drop(&fixture);
}
TestSuite(audit_uses, .init = begin, .fini = end, .timeout = 120);

static void close_writer(void)
{
    audit_close(writer);
    writer = NULL;
}

/* The file as a writer leaves it that is killed now. */
static void kill_writer(void)
{
    size_t len;
    char *text = fixture_read(fixture.path, &len);
    close_writer();
    fixture_replace(fixture.path, text, len);
    free(text);
}

static enum mikeyd_status verify(bool strict)
{
    const char *const files[] = {fixture.path}, *const keys[] = {fixture.key_path};
    const struct audit_verify_options options = {.files = files,
                                                 .file_count = 1,
                                                 .public_keys = keys,
                                                 .public_key_count = 1,
                                                 .strict = strict};
    err = (struct error){0};
    return audit_verify(&options, &verdict, &err);
}

static void expect_good(void)
{
    cr_assert_eq(verify(false), MIKEYD_OK, "%s", err.text);
}

/* This failure and no other. */
static void expect_uses(const char *text)
{
    cr_assert_eq(verify(false), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.failures, 1, "%s", err.text);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_USES, "%s", err.text);
    cr_assert_not_null(strstr(err.text, text), "%s", err.text);
}

static void use(unsigned who, uint64_t uses)
{
    (void)atomic_fetch_add(&counts[who], uses);
}

/* ---- R and S */

Test(audit_uses, what_is_recorded_and_counted_alike_is_good)
{
    for (uint64_t i = 0; i < 20; i++) {
        use(0, i);
        record_uses(i);
    }
    close_writer();
    cr_assert_eq(verify(true), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(verdict.uses_recorded, 190);
    cr_assert_eq(verdict.uses_counted, 190);
    cr_assert_eq(verdict.keyholders, 1);
}

Test(audit_uses, a_writer_that_records_too_few_is_convicted_by_the_next_checkpoint)
{
    use(0, IN_WORK + 4);
    record_uses(3);
    record_uses(0);
    kill_writer();
    expect_uses("counts 36 uses");
    cr_assert_not_null(strstr(err.text, "tell of 3 (at most 32"), "%s", err.text);
}

Test(audit_uses, what_can_be_in_work_is_let_be)
{
    use(0, IN_WORK + 3);
    record_uses(3);
    record_uses(0);
    kill_writer();
    expect_good();
}

Test(audit_uses, no_writer_has_more_in_work_than_a_daemon_can_have)
{
    step((struct audit_record){.event = AUDIT_START, .workers = 1000000});
    use(0, 512 * 16 + 1);
    record_uses(0);
    record_uses(0);
    kill_writer();
    expect_uses("tell of 0 (at most 8192");
}

Test(audit_uses, what_was_in_work_at_a_checkpoint_is_recorded_by_the_next)
{
    use(0, 5000);
    record_uses(0);
    use(0, 5000);
    record_uses(5000);
    record_uses(5000);
    close_writer();
    expect_good();
}

Test(audit_uses, after_a_clean_stop_even_one_is_too_many)
{
    use(0, 8);
    record_uses(7);
    close_writer();
    expect_uses("counts 8 uses");
}

Test(audit_uses, a_request_that_was_left_behind_may_be_missing)
{
    use(0, 8);
    record_uses(7);
    step((struct audit_record){.event = AUDIT_STOP, .status = MIKEYD_TOKEN_DOWN});
    close_writer();
    expect_good();
}

Test(audit_uses, an_excess_is_told_once_and_again_as_it_grows)
{
    use(0, 100);
    for (int i = 0; i < 5; i++)
        record_uses(0);
    use(0, 1);
    record_uses(0);
    record_uses(0);
    kill_writer();
    cr_assert_eq(verify(false), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.failures, 2);
}

Test(audit_uses, counts_of_all_keyholders_are_added)
{
    login(1);
    use(0, 20), use(1, 20);
    record_uses(20);
    atomic_store(&signing, 0);
    record_uses(0);
    record_uses(0);
    expect_good();
    close_writer();
    cr_assert_eq(verify(false), MIKEYD_SYNTAX, "20 of 40 are recorded");
    cr_assert_eq(verdict.uses_counted, 40);
    cr_assert_eq(verdict.keyholders, 2);
}

/* ---- what a count may be */

Test(audit_uses, a_count_does_not_fall)
{
    use(0, 9);
    record_uses(9);
    atomic_store(&counts[0], 8);
    record_uses(0);
    atomic_store(&counts[0], 9);
    record_uses(0);
    kill_writer();
    expect_uses("signs 8 uses of keys, and has signed 9");
}

Test(audit_uses, a_keyholder_serves_one_writer)
{
    use(0, 9);
    record_uses(9);
    close_writer();
    open_writer();
    record_uses(0);
    kill_writer();
    expect_uses("has signed for another writer");
}

Test(audit_uses, a_keyholder_that_is_started_anew_counts_anew)
{
    use(0, 500);
    record_uses(500);
    login(1);
    use(1, 3);
    record_uses(3);
    close_writer();
    expect_good();
    cr_assert_eq(verdict.uses_counted, 503);
}

/* ---- writers that end */

Test(audit_uses, the_last_count_before_a_kill_is_not_judged)
{
    use(0, 3000); /* their records were in the queue */
    record_uses(0);
    kill_writer();
    open_writer();
    atomic_store(&signing, 1);
    step((struct audit_record){.event = AUDIT_START, .workers = WORKERS, .psk_uses = 1});
    kill_writer();
    expect_good();
}

Test(audit_uses, what_one_writer_recorded_pays_for_no_other)
{
    record_uses(100000); /* its keyholder died with it, and signed none of them */
    kill_writer();
    open_writer();
    login(1);
    use(1, 8);
    record_uses(7);
    close_writer();
    expect_uses("counts 8 uses");
}

Test(audit_uses, logs_of_writers_that_kept_no_accounts_are_good)
{
    kill_writer();
    fixture_replace(fixture.path, "", 0);
    open_writer();
    atomic_store(&signing, 1);
    use(1, 1000);
    record_uses(0);
    record_uses(0);
    close_writer();
    expect_good();
}

/* Else one that was broken into would only have to be started anew. */
Test(audit_uses, after_one_that_kept_accounts_a_writer_has_to)
{
    kill_writer();
    open_writer();
    atomic_store(&signing, 1);
    use(1, 1000);
    record_uses(0);
    record_uses(0);
    close_writer();
    expect_uses("counts 1000 uses");
}

/* From a rotated file on: what the counts were there is where they begin. */
Test(audit_uses, a_log_that_begins_late_counts_from_there)
{
    size_t len;
    use(0, 1000);
    record_uses(1000);
    use(0, 5);
    record_uses(5);
    close_writer();
    char *text = fixture_read(fixture.path, &len);
    /* The checkpoint that signed 1000. */
    const char *later = strstr(text, ",\"psk_uses\":5,");
    cr_assert_not_null(later);
    const char *line = memrchr(text, '\n', (size_t)(later - text));
    const char *rest = (const char *)memrchr(text, '\n', (size_t)(line - text)) + 1;
    fixture_replace(fixture.path, rest, len - (size_t)(rest - text));
    free(text);
    cr_assert_eq(verify(false), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.failures, 1, "%s", err.text);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_MISSING);
    cr_assert_eq(verdict.uses_recorded, 5);
    cr_assert_eq(verdict.uses_counted, 5);
}

/* ---- records that stand for others */

Test(audit_uses, what_is_held_back_is_recorded_before_the_count_is_signed)
{
    struct audit_record refusal = fixture_record();
    refusal.event = AUDIT_REFUSED;
    refusal.status = MIKEYD_AUTH_FAILED;
    refusal.psk_uses = 2;
    for (int i = 0; i < 500; i++) {
        use(0, 2);
        audit_refusal(writer, &refusal);
    }
    record_uses(0);
    record_uses(0);
    kill_writer();
    expect_good();
    cr_assert_eq(verdict.uses_recorded, 1000);
}

/* Until no record fits any more, and while others are being written; how many it took. */
static unsigned fill_the_disk(rlim_t room)
{
    size_t size;
    struct rlimit limit;
    struct audit_record record = fixture_record();
    record.psk_uses = 3;
    free(fixture_read(fixture.path, &size));
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size + room;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    unsigned appended = 0;
    while (audit_healthy(writer)) {
        cr_assert_lt(appended, 1000000);
        appended += audit_append(writer, &record, NULL, NULL) == MIKEYD_OK;
    }
    use(0, 3 * appended);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int ms = 0; !audit_healthy(writer); ms++) {
        cr_assert_lt(ms, PATIENCE_MS);
        (void)usleep(1000);
    }
    return appended;
}

/* Each loss is told once: the second record says nothing of the first loss. */
Test(audit_uses, what_a_full_disk_refused_is_in_the_record_that_tells_of_it)
{
    const unsigned appended = fill_the_disk(1000) + fill_the_disk(0);
    record_uses(0);
    close_writer();
    expect_good();
    cr_assert_eq(verdict.uses_recorded, 3 * appended);
    cr_assert_eq(verdict.uses_counted, 3 * appended);
    cr_assert_gt(verdict.lost, 0);
}

/* ---- who signs */

Test(audit_uses, a_count_is_signed_also_when_nothing_is_recorded)
{
    audit_close(writer);
    const struct audit_options options = {.signer = &fixture.signer, .checkpoint_seconds = 1};
    writer = fixture_open(&fixture, &options);
    login(1);
    const uint64_t before = checkpoints();
    use(1, IN_WORK + 1);
    atomic_store(&owing, true);
    wait_for_checkpoint(before);
    atomic_store(&owing, true);
    wait_for_checkpoint(before + 1);
    kill_writer();
    cr_assert_eq(verify(false), MIKEYD_OK, "the workers of this writer are not told");
    cr_assert_eq(verdict.uses_counted, IN_WORK + 1);
    cr_assert_eq(verdict.uses_recorded, 0);
}

Test(audit_uses, each_signs_as_the_log_is_closed)
{
    close_writer();
    expect_good();
    const uint64_t others = verdict.checkpoints;
    fixture.signer.signers = two;
    open_writer();
    login(1);
    const uint64_t before = checkpoints();
    close_writer();
    expect_good();
    cr_assert_eq(verdict.checkpoints, others + before + 2);
}

Test(audit_uses, a_keyholder_that_serves_and_never_signs_is_named)
{
    login(0);
    step((struct audit_record){.event = AUDIT_LOGIN, .holder = names[1], .token = 2});
    for (int i = 0; i < 70; i++)
        record_uses(0);
    kill_writer();
    cr_assert_eq(verify(true), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_USES, "%s", err.text);
    cr_assert_not_null(strstr(err.text, "keyholder b2000000000000000000000000000000 of token 2"));
}

Test(audit_uses, a_keyholder_that_is_down_or_replaced_is_not_waited_for)
{
    static const uint8_t third[16] = {0xc3};
    step((struct audit_record){.event = AUDIT_LOGIN, .holder = names[1], .token = 2});
    step((struct audit_record){.event = AUDIT_LOGIN, .holder = third, .token = 2});
    step((struct audit_record){.event = AUDIT_TOKEN_DOWN, .holder = third, .token = 2});
    for (int i = 0; i < 70; i++)
        record_uses(0);
    close_writer();
    cr_assert_eq(verify(true), MIKEYD_OK, "%s", err.text);
}
