/*
 * The matrix over a keyholder that serves: a round of requests of every kind through a real token,
 * in which the module has to be initialised anew, so that the recovery's own calls are struck, too.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/secret.h"
#include "keyholder/lab.h"
#include "matrix.h"
#include "pkcs11/token/internal.h"
#include "support/fault_control.h"

#define PARTS 2
#define BACK_MS 30000

/* In the middle of a round, so that calls of all kinds come before and after it. */
#define ROUND "C_SignInit 9 rv 0x190\n"

static struct lab lab;
static struct fault_control control;
static struct matrix matrix;
static struct door_answer answer;
static struct keys_name plain, pair;
static struct door_request request_seal, request_open, request_ticket, request_proof;
static struct door_request request_checkpoint, request_public, request_plain;
static uint8_t seal_mac[32], pair_mac[32], covered[2048], open_mac[32], ticket[DOOR_TICKET_KEY];
static uint8_t proof[2][DOOR_PROOF];
static char pem[512];
static long sessions_before;
static size_t heap_before;
static int64_t longest_ms;

/* ---- the requests of a round, and what is right */

static void host_message(const uint8_t *key, size_t len, uint8_t mac[32])
{
    struct lab_host host;
    lab_host_open(&host, key, len);
    (void)lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    lab_host_close(&host);
}

static bool seal_is_right(void)
{
    return answer.seal.mac_len == 32 && memcmp(answer.seal.mac, seal_mac, 32) == 0;
}

static bool pair_is_right(void)
{
    return answer.seal.mac_len == 32 && memcmp(answer.seal.mac, pair_mac, 32) == 0;
}

static bool open_is_right(void)
{
    return answer.open.plain_len == sizeof lab_key_data &&
           memcmp(answer.open.plain, lab_key_data, sizeof lab_key_data) == 0;
}

static bool ticket_is_right(void)
{
    return answer.bytes.len == sizeof ticket &&
           memcmp(answer.bytes.data, ticket, sizeof ticket) == 0;
}

/* An EPSK can be proven by tokens that derive, and is not there on others. */
static bool proof_is_right(void)
{
    return answer.proof.count == 2 && answer.proof.status[0] == MIKEYD_OK &&
           (answer.proof.status[1] == MIKEYD_OK) == lab_token_derives(&lab.fixture) &&
           memcmp(answer.proof.proof, proof, sizeof proof) == 0;
}

static bool public_is_right(void)
{
    return answer.public_key.pem_len == strlen(pem) &&
           memcmp(answer.public_key.pem, pem, strlen(pem)) == 0;
}

static const struct step {
    const char *name;
    const struct door_request *request;
    bool (*is_right)(void);
} steps[] = {
    {"seal", &request_seal, seal_is_right},
    {"health", &(const struct door_request){.op = DOOR_HEALTH}, NULL},
    {"seal by a pair key", &request_plain, pair_is_right},
    {"open", &request_open, open_is_right},
    {"ticket key", &request_ticket, ticket_is_right},
    {"proof", &request_proof, proof_is_right},
    {"checkpoint", &request_checkpoint, NULL},
    {"public key", &request_public, public_is_right},
    {"facts", &(const struct door_request){.op = DOOR_FACTS}, NULL},
    {"rescan", &(const struct door_request){.op = DOOR_RESCAN}, NULL},
    {"seal again", &request_seal, seal_is_right},
};
#define STEPS (sizeof steps / sizeof steps[0])

/* ---- the stage */

static void make_requests(void)
{
    uint8_t key[32];
    plain = lab_psk("plain");
    pair = lab_pair(MIKEY_ALGORITHMS_256, false);
    request_seal = lab_seal(&plain, MIKEY_ALGORITHMS_256);
    request_plain = lab_seal(&pair, MIKEY_ALGORITHMS_256);
    lab_pair_key(&pair, key);
    host_message(key, sizeof key, pair_mac);
    host_message(lab_plain, sizeof lab_plain, seal_mac);
    memcpy(open_mac, seal_mac, sizeof open_mac);
    request_open =
        (struct door_request){.op = DOOR_OPEN,
                              .name = plain,
                              .open = {.what = lab_derivation(MIKEY_ALGORITHMS_256, true),
                                       .t = LAB_T,
                                       .covered = covered,
                                       .covered_len = sizeof lab_head + sizeof lab_key_data + 1,
                                       .encrypted_at = sizeof lab_head,
                                       .encrypted_len = sizeof lab_key_data,
                                       .mac = open_mac}};
    request_ticket = (struct door_request){
        .op = DOOR_TICKET_KEY_OF_DAY, .ticket = {.name = "tickets", .generation = 1, .day = 20000}};
    request_proof = (struct door_request){
        .op = DOOR_PROOF_OF,
        .proof = {.nonce = {7},
                  .entry = {{.kind = KEYS_TICKET, .name = "tickets", .generation = 1},
                            {.kind = KEYS_EPSK, .name = "core", .generation = 1}},
                  .count = 2}};
    request_checkpoint = (struct door_request){
        .op = DOOR_CHECKPOINT,
        .audit = {.name = "log", .generation = 1, .claim = {.covers = 77, .chain = {0xab}}}};
    request_public = (struct door_request){
        .op = DOOR_PUBLIC_KEY, .audit = {.name = "log", .generation = 1, .nonce = {1, 2, 3}}};
}

/* What a healthy token says, once: the rounds are held against it. */
static void learn(void)
{
    cr_assert_eq(lab_ask(&lab, &request_ticket, &answer), MIKEYD_OK, "%s", answer.text);
    memcpy(ticket, answer.bytes.data, sizeof ticket);
    cr_assert_eq(lab_ask(&lab, &request_proof, &answer), MIKEYD_OK, "%s", answer.text);
    memcpy(proof, answer.proof.proof, sizeof proof);
    cr_assert_eq(lab_ask(&lab, &request_public, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_lt(answer.public_key.pem_len, sizeof pem);
    memcpy(pem, answer.public_key.pem, answer.public_key.pem_len);
}

static void begin(void)
{
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    lab_add_audit_key(&lab);
    fault_control_make(&control, lab.fixture.dir, "matrix");
    fault_control_export(&control, lab.fixture.module);
    lab.config.module = FAULT_MODULE;
    lab.config.call_timeout_ms = 5000;
    make_requests();
    lab_start(&lab);
    learn();
}

static void end(void)
{
    fault_control_plan(&control, FAULT_NOTHING);
    lab_close(&lab);
    fault_control_end(&control);
}
TestSuite(matrix, .init = begin, .fini = end, .timeout = 1200);

/* ---- one cell */

/* The token's trouble is the token's: never a verdict on a message, a policy, a request. */
static bool is_right_error(const struct matrix_cell *cell, enum mikeyd_status status)
{
    return status == MIKEYD_TOKEN_DOWN ||
           (status == MIKEYD_TOKEN_BUSY && cell->rv == CKR_SESSION_COUNT);
}

/* One request: right, or refused as it should be. True when it was served. */
static bool ask(const struct step *step, const struct matrix_cell *cell)
{
    char name[96];
    const int64_t begun = clock_monotonic_ms();
    const enum mikeyd_status status = lab_ask(&lab, step->request, &answer);
    const int64_t took = clock_monotonic_ms() - begun;
    longest_ms = took > longest_ms ? took : longest_ms;
    matrix_cell_name(cell, name, sizeof name);
    if (status == MIKEYD_OK) {
        cr_expect(step->is_right == NULL || step->is_right(), "%s: a wrong %s", name, step->name);
        return true;
    }
    cr_expect(is_right_error(cell, status), "%s: %s is %s: %s", name, step->name,
              status_name(status), answer.text);
    cr_expect_neq(answer.text[0], '\0', "%s: %s without a word", name, step->name);
    return false;
}

/* As an operator would: a PIN file that was written anew, and a SIGHUP. */
static void heal(const char *name)
{
    const int64_t until = clock_monotonic_ms() + BACK_MS;
    fault_control_plan(&control, FAULT_NOTHING);
    (void)utime(lab.fixture.pin_file, NULL);
    bool well = false;
    while (!well) {
        cr_assert_lt(clock_monotonic_ms(), until, "%s: not back: %s", name, answer.text);
        well = lab_ask(&lab, &(const struct door_request){.op = DOOR_RESCAN}, &answer) == MIKEYD_OK;
        well = well && lab_ask(&lab, &request_plain, &answer) == MIKEYD_OK && pair_is_right();
        if (!well)
            (void)usleep(20000);
    }
}

static void run_cell(struct matrix *m, const struct matrix_cell *cell)
{
    char text[128] = ROUND, name[96];
    matrix_cell_rule(cell, text + strlen(text), sizeof text - strlen(text));
    matrix_cell_name(cell, name, sizeof name);
    const unsigned long struck = atomic_load(&control.tally->struck);
    fault_control_plan(&control, text);
    bool served = true;
    for (size_t i = 0; i < STEPS; i++)
        served = ask(&steps[i], cell) && served;
    const bool came = atomic_load(&control.tally->struck) >= struck + 2;
    heal(name);
    cr_expect_leq(atomic_load(&control.tally->sessions), sessions_before, "%s: %ld sessions", name,
                  atomic_load(&control.tally->sessions));
    cr_expect_eq(secret_heap_left(), heap_before, "%s: %zu of %zu", name, secret_heap_left(),
                 heap_before);
    m->untouched += !came;
    m->served += came && served;
    m->refused += came && !served;
}

static void measure(void)
{
    fault_control_plan(&control, ROUND);
    matrix_measure_begin(&matrix, control.tally);
    for (size_t i = 0; i < STEPS; i++) {
        cr_assert_eq(lab_ask(&lab, steps[i].request, &answer), MIKEYD_OK, "%s: %s", steps[i].name,
                     answer.text);
        cr_assert(steps[i].is_right == NULL || steps[i].is_right(), "%s", steps[i].name);
    }
    matrix_measure_end(&matrix, control.tally);
}

/* A token that derives is struck where it does what others do not: they have had the rest. */
static void keep_what_derives(void)
{
    for (size_t f = 0; f < FAULT_FUNCTION_COUNT; f++) {
        if (f != FAULT_C_DeriveKey && f != FAULT_C_EncryptInit && f != FAULT_C_Encrypt)
            matrix.calls[f] = 0;
    }
}

static void run_part(unsigned part)
{
    measure(); /* the first time is like no other: what is made once is made */
    heal("measuring");
    measure();
    heal("measuring");
    if (lab_token_derives(&lab.fixture))
        keep_what_derives();
    sessions_before = atomic_load(&control.tally->sessions);
    heap_before = secret_heap_left();
    const uint32_t rss_kb = keyholder_rss_kb();
    const int64_t begun = clock_monotonic_ms();
    matrix_run_cells(&matrix, part, PARTS, run_cell);
    const uint32_t grown_kb = keyholder_rss_kb() > rss_kb ? keyholder_rss_kb() - rss_kb : 0;
    matrix_report(&matrix, "service");
    printf("longest answer %lld ms, memory grew by %u kB, %lld ms in all\n", (long long)longest_ms,
           grown_kb, (long long)(clock_monotonic_ms() - begun));
    cr_expect_lt(grown_kb, MATRIX_GROWN_KB_MAX);
    cr_expect_lt(longest_ms, 5000);
}

Test(matrix, service_or_the_right_error_of_every_return_value_first_half)
{
    run_part(0);
}

Test(matrix, service_or_the_right_error_of_every_return_value_second_half)
{
    run_part(1);
}
