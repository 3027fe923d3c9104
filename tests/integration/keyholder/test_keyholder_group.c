/* Front and keyholder together on a real token: two keyholders of it are a group that a port asks. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit/audit.h"
#include "audit/verify/verify.h"
#include "base/clock.h"
#include "keys/keys.h"
#include "lab.h"
#include "mikeyd/audit_signer.h"

#define MEMBERS 2

static struct lab lab;
static struct keyholder *holders[MEMBERS];
static pthread_t threads[MEMBERS];
static int served[MEMBERS];
static struct keys_group *group;
static struct keys_port *port;
static struct error err;

static void *serve(void *argument)
{
    const size_t i = (size_t)(uintptr_t)argument;
    keyholder_serve(holders[i], served[i]);
    (void)close(served[i]);
    return NULL;
}

static void start(void)
{
    const struct keys_group_config config = {.members = MEMBERS, .call_timeout_ms = {4000, 4000}};
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    lab_add_audit_key(&lab);
    lab_start(&lab);
    cr_assert_eq(keys_group_make(&config, &group, &err), MIKEYD_OK, "%s", err.text);
    for (size_t i = 0; i < MEMBERS; i++) {
        int control[2];
        cr_assert_eq(keyholder_make(lab.token, &lab.options, &holders[i], &err), MIKEYD_OK, "%s",
                     err.text);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
        served[i] = control[1];
        cr_assert_eq(pthread_create(&threads[i], NULL, serve, (void *)(uintptr_t)i), 0);
        (void)keys_group_join(group, i, control[0]);
    }
    cr_assert_eq(keys_group_wait(group, MEMBERS, 20000, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(keys_port_open(group, &port, &err), MIKEYD_OK, "%s", err.text);
}

static void stop(void)
{
    keys_port_close(port);
    keys_group_free(group);
    for (size_t i = 0; i < MEMBERS; i++) {
        (void)pthread_join(threads[i], NULL);
        keyholder_free(holders[i]);
    }
    lab_close(&lab);
}
TestSuite(keyholder_group, .init = start, .fini = stop, .timeout = 120);

static uint64_t uses_counted(void)
{
    uint64_t uses = 0;
    cr_assert_eq(keys_group_check_health(group, &err), MIKEYD_OK, "%s", err.text);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct keys_member_status status;
        keys_group_member_status(group, i, &status);
        uses += status.facts.uses;
    }
    return uses;
}

Test(keyholder_group, its_inventory_is_the_tokens)
{
    struct keys_inventory *inventory = keys_group_inventory(group);
    const struct keys_entry *entry = keys_inventory_find(inventory, KEYS_PSK, "long", 1);
    cr_assert_not_null(entry);
    cr_assert(entry->usable);
    cr_assert_eq(entry->block_count, 3);
    cr_assert_not_null(keys_inventory_find(inventory, KEYS_TICKET, "tickets", 1));
    keys_inventory_unref(inventory);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK, "%s", err.text);
}

Test(keyholder_group, what_is_sealed_through_it_is_the_hosts_and_opens_again)
{
    struct lab_host host;
    uint8_t covered[2048], mac[32], encrypted[sizeof lab_key_data], sealed_mac[32], plain[64];
    const struct keys_name name = lab_psk("plain");
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    const size_t len = lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    struct mikey_key_seal seal = lab_seal(&name, MIKEY_ALGORITHMS_256).seal;
    seal.encrypted = encrypted;
    seal.mac = sealed_mac;
    cr_assert_eq(key.ops->seal(&key, &seal, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_arr_eq(encrypted, covered + sizeof lab_head, sizeof lab_key_data);
    cr_assert_arr_eq(sealed_mac, mac, 32);

    struct mikey_key_open open = {.what = seal.what,
                                  .t = LAB_T,
                                  .covered = covered,
                                  .covered_len = len,
                                  .encrypted_at = sizeof lab_head,
                                  .encrypted_len = sizeof lab_key_data,
                                  .mac = mac,
                                  .plain = plain};
    cr_assert_eq(key.ops->open(&key, &open, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(open.plain_len, sizeof lab_key_data);
    cr_assert_arr_eq(plain, lab_key_data, sizeof lab_key_data);
    cr_assert_eq(keys_port_take_uses(port), uses_counted());

    mac[0] ^= 1; /* forged: refused, and a use of the key all the same, to both */
    cr_assert_eq(key.ops->open(&key, &open, &err), MIKEYD_AUTH_FAILED);
    cr_assert_eq(keys_port_take_uses(port), 1);
    cr_assert_eq(uses_counted(), 3);
    lab_host_close(&host);
}

Test(keyholder_group, each_member_answers_the_same)
{
    uint8_t first[DOOR_TICKET_KEY], again[DOOR_TICKET_KEY];
    cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 20782, first, &err), MIKEYD_OK, "%s",
                 err.text);
    for (size_t i = 0; i < MEMBERS; i++) {
        keys_group_lose(group, i, 0);
        if (i + 1 == MEMBERS)
            break;
        cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 20782, again, &err), MIKEYD_OK, "%s",
                     err.text);
        cr_assert_arr_eq(again, first, sizeof first);
    }
    cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 20782, again, &err), MIKEYD_TOKEN_DOWN);
}

Test(keyholder_group, a_pair_key_is_prepared)
{
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    cr_assert_eq(keys_port_prepare(port, &name, &err), MIKEYD_OK, "%s", err.text);
}

/* ---- a front that keeps a log, and uses keys */

static struct audit_log *audit;
static struct checkpoint_signer *signer;
static char log_path[128], lock_path[160];

/* A log that is signed as the daemon's is. */
static void open_log(unsigned seconds)
{
    static struct token_config tokens[MEMBERS];
    static struct config config = {.tokens = tokens,
                                   .token_count = MEMBERS,
                                   .audit_key_name = "log",
                                   .audit_key_generation = 1};
    struct audit_signer interface;
    for (size_t i = 0; i < MEMBERS; i++)
        tokens[i].call_timeout_ms = 4000;
    (void)snprintf(log_path, sizeof log_path, "%s/audit.jsonl", lab.fixture.dir);
    (void)snprintf(lock_path, sizeof lock_path, "%s.lock", log_path);
    cr_assert_eq(audit_signer_make(&config, &signer, &interface, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(audit_signer_attach(signer, group, &err), MIKEYD_OK, "%s", err.text);
    const struct audit_options options = {
        .path = log_path, .signer = &interface, .checkpoint_seconds = seconds};
    cr_assert_eq(audit_open(&options, &audit, &err), MIKEYD_OK, "%s", err.text);
}

static void close_log(void)
{
    audit_close(audit);
    audit_signer_free(signer);
}

static void remove_log(void)
{
    cr_assert_eq(unlink(log_path), 0);
    cr_assert_eq(unlink(lock_path), 0);
}

static void use_key(void)
{
    uint8_t encrypted[sizeof lab_key_data], mac[32];
    const struct keys_name name = lab_psk("plain");
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    struct mikey_key_seal seal = lab_seal(&name, MIKEY_ALGORITHMS_256).seal;
    seal.encrypted = encrypted;
    seal.mac = mac;
    cr_assert_eq(key.ops->seal(&key, &seal, &err), MIKEYD_OK, "%s", err.text);
}

static void guess_v(void)
{
    static const uint8_t wrong[32] = {1};
    const struct keys_name name = lab_psk("plain");
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    const struct mikey_key_tag job = {.what = lab_derivation(MIKEY_ALGORITHMS_256, false),
                                      .covered = {.data = {lab_head}, .len = {20}, .parts = 1}};
    cr_assert_eq(key.ops->check(&key, &job, wrong, &err), MIKEYD_AUTH_FAILED, "%s", err.text);
}

static void record_uses(void)
{
    const struct audit_record record = {.event = AUDIT_INITIATE,
                                        .psk_uses = keys_port_take_uses(port)};
    cr_assert_gt(record.psk_uses, 0);
    cr_assert_eq(audit_append(audit, &record, NULL, &err), MIKEYD_OK, "%s", err.text);
}

static void write_public_key(const char *path)
{
    struct door_answer answer;
    const struct door_request request = {.op = DOOR_PUBLIC_KEY,
                                         .audit = {.name = "log", .generation = 1}};
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(answer.public_key.pem, 1, answer.public_key.pem_len, file),
                 answer.public_key.pem_len);
    cr_assert_eq(fclose(file), 0);
}

/* What an auditor says of a log whose front did this between its start and its clean stop. */
static enum mikeyd_status verdict_on(void (*front)(void), struct audit_verdict *verdict)
{
    char key_path[128];
    open_log(0);
    front();
    close_log();
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", lab.fixture.dir);
    write_public_key(key_path);
    const char *const files[] = {log_path}, *const keys[] = {key_path};
    const struct audit_verify_options what = {.files = files,
                                              .file_count = 1,
                                              .public_keys = keys,
                                              .public_key_count = 1,
                                              .strict = true};
    enum mikeyd_status status = audit_verify(&what, verdict, &err);
    cr_assert_eq(unlink(key_path), 0);
    remove_log();
    return status;
}

static void honest_front(void)
{
    for (int i = 0; i < 40; i++) {
        use_key();
        if (i % 4 == 0)
            guess_v();
        record_uses();
    }
}

static void front_that_hides_one_use(void)
{
    honest_front();
    use_key();
}

static void front_that_hides_one_guess(void)
{
    honest_front();
    guess_v();
}

Test(keyholder_group, a_front_that_records_each_use_has_a_log_that_balances)
{
    static struct audit_verdict verdict;
    cr_assert_eq(verdict_on(honest_front, &verdict), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(verdict.uses_recorded, 50);
    cr_assert_eq(verdict.uses_counted, 50);
    cr_assert_eq(verdict.keyholders, MEMBERS, "each has signed");
}

static void assert_convicted(void (*front)(void))
{
    static struct audit_verdict verdict;
    cr_assert_eq(verdict_on(front, &verdict), MIKEYD_SYNTAX);
    cr_assert_eq(verdict.failures, 1, "%s", err.text);
    cr_assert_eq(verdict.problems[0].kind, AUDIT_USES, "%s", err.text);
    cr_assert_eq(verdict.uses_counted, verdict.uses_recorded + 1);
}

Test(keyholder_group, a_front_that_hides_a_use_is_convicted_by_its_own_log)
{
    assert_convicted(front_that_hides_one_use);
}

Test(keyholder_group, a_front_that_hides_a_guess_is_convicted_by_its_own_log)
{
    assert_convicted(front_that_hides_one_guess);
}

/* ---- who signs, and when */

static uint64_t signed_uses(void)
{
    static struct audit_verdict verdict;
    const char *const files[] = {log_path};
    const struct audit_verify_options what = {.files = files, .file_count = 1};
    (void)audit_verify(&what, &verdict, NULL);
    return verdict.uses_counted;
}

static void wait_for_signed(uint64_t uses)
{
    const int64_t until_ms = clock_monotonic_ms() + 30000;
    while (signed_uses() != uses) {
        cr_assert_lt(clock_monotonic_ms(), until_ms, "%llu uses are signed, not %llu",
                     (unsigned long long)signed_uses(), (unsigned long long)uses);
        (void)usleep(20000);
    }
}

Test(keyholder_group, a_use_that_nobody_recorded_is_signed_all_the_same)
{
    struct audit_stats before, after;
    open_log(1);
    use_key();
    record_uses();
    wait_for_signed(1);
    for (int i = 0; i < 7; i++)
        use_key();
    wait_for_signed(8);
    /* And that is all: a log in which nothing happens does not grow. */
    audit_get_stats(audit, &before);
    (void)sleep(3);
    audit_get_stats(audit, &after);
    cr_assert_leq(after.checkpoints, before.checkpoints + 1, "facts are told every second");
    close_log();
    remove_log();
}
