/* The matrix over a token's opening, its first use and its closing. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/secret.h"
#include "keyholder/lab.h"
#include "matrix.h"
#include "pkcs11/token/internal.h"
#include "support/fault_control.h"

#define PARTS 2

static struct lab lab;
static struct fault_control control;
static struct matrix matrix;
static uint8_t right[HMAC_TAG_MAX];
static size_t heap_before;

static void begin(void)
{
    lab_make(&lab, lab_token_of_run(LAB_SIGNS));
    fault_control_make(&control, lab.fixture.dir, "matrix");
    fault_control_export(&control, lab.fixture.module);
    lab.config.module = FAULT_MODULE;
    lab.config.call_timeout_ms = 5000;
}

static void end(void)
{
    fault_control_plan(&control, FAULT_NOTHING);
    lab_close(&lab);
    fault_control_end(&control);
}
TestSuite(matrix_start, .init = begin, .fini = end, .timeout = 1200);

static enum mikeyd_status tag(struct token *token, uint8_t out[HMAC_TAG_MAX], struct error *err)
{
    static const uint8_t message[32] = {1, 2, 3};
    const struct token_key *key = NULL;
    struct token_session *session = NULL;
    enum mikeyd_status status = token_key_find(token, TOKEN_PSK, "plain", 1, &key, err);
    if (status == MIKEYD_OK)
        status = token_session_acquire(token, 1000, &session, err);
    if (status != MIKEYD_OK)
        return status;
    struct hmac_job job = {.key = &key->block[0],
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = out};
    status = token_hmac_batch(session, &job, 1, err);
    token_session_release(session);
    return status;
}

/* A keyholder's life without its door. */
static enum mikeyd_status live(struct error *err)
{
    struct token *token = NULL;
    struct keyholder *holder = NULL;
    uint8_t got[HMAC_TAG_MAX] = {0};
    enum mikeyd_status status = token_open(&lab.config, &token, err);
    if (status == MIKEYD_OK)
        status = keyholder_make(token, &lab.options, &holder, err);
    if (status == MIKEYD_OK)
        status = tag(token, got, err);
    if (status == MIKEYD_OK)
        cr_expect_arr_eq(got, right, 32, "a wrong HMAC");
    keyholder_free(holder);
    token_close(token);
    return status;
}

static bool is_right_error(const struct matrix_cell *cell, enum mikeyd_status status)
{
    if (status == MIKEYD_PIN_REFUSED)
        return cell->function == FAULT_C_Login && token_pin_is_refused(cell->rv);
    return status == MIKEYD_TOKEN_DOWN ||
           (status == MIKEYD_TOKEN_BUSY && cell->rv == CKR_SESSION_COUNT);
}

/* A slow machine lets fewer calls be made, or more: then the last one is another. *came: whether the
 * call was made that was to be struck. */
static enum mikeyd_status strike(struct matrix_cell *cell, bool *came, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    *came = false;
    for (int attempt = 0; attempt < 3 && !*came && cell->call != 0; attempt++) {
        char text[96];
        const unsigned long struck = atomic_load(&control.tally->struck);
        const unsigned long calls = atomic_load(&control.tally->calls[cell->function]);
        matrix_cell_rule(cell, text, sizeof text);
        fault_control_plan(&control, text);
        status = live(err);
        fault_control_plan(&control, FAULT_NOTHING);
        *came = atomic_load(&control.tally->struck) > struck;
        if (!*came)
            cell->call = atomic_load(&control.tally->calls[cell->function]) - calls;
    }
    return status;
}

static void run_cell(struct matrix *m, const struct matrix_cell *wanted)
{
    char name[96];
    struct error err = {0};
    struct matrix_cell cell = *wanted;
    bool came = false;
    const enum mikeyd_status status = strike(&cell, &came, &err);
    matrix_cell_name(&cell, name, sizeof name);
    cr_expect(status == MIKEYD_OK || is_right_error(&cell, status), "%s: %s: %s", name,
              status_name(status), err.text);
    cr_expect_eq(live(&err), MIKEYD_OK, "after %s: %s", name, err.text);
    cr_expect_eq(atomic_load(&control.tally->sessions), 0, "%s: %ld sessions", name,
                 atomic_load(&control.tally->sessions));
    cr_expect_eq(secret_heap_left(), heap_before, "%s: %zu of %zu", name, secret_heap_left(),
                 heap_before);
    m->untouched += !came;
    m->served += came && status == MIKEYD_OK;
    m->refused += came && status != MIKEYD_OK;
}

static void learn(void)
{
    struct token *token = NULL;
    struct error err = {0};
    cr_assert_eq(token_open(&lab.config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(tag(token, right, &err), MIKEYD_OK, "%s", err.text);
    token_close(token);
    matrix_measure_begin(&matrix, control.tally);
    cr_assert_eq(live(&err), MIKEYD_OK, "%s", err.text);
    matrix_measure_end(&matrix, control.tally);
    heap_before = secret_heap_left();
}

static void run_part(unsigned part)
{
    learn();
    const uint32_t rss_kb = keyholder_rss_kb();
    const int64_t begun = clock_monotonic_ms();
    matrix_run_cells(&matrix, part, PARTS, run_cell);
    const uint32_t grown_kb = keyholder_rss_kb() > rss_kb ? keyholder_rss_kb() - rss_kb : 0;
    matrix_report(&matrix, "start");
    printf("memory grew by %u kB, %lld ms in all\n", grown_kb,
           (long long)(clock_monotonic_ms() - begun));
    cr_expect_lt(grown_kb, MATRIX_GROWN_KB_MAX);
}

Test(matrix_start, opens_or_says_why_not_first_half)
{
    run_part(0);
}

Test(matrix_start, opens_or_says_why_not_second_half)
{
    run_part(1);
}
