/*
 * A sample of the fault matrix through a whole daemon: each function on the way of a request fails
 * once, in the middle of a call, with one return value of each class. The call's client hears OK or
 * that the token is down or busy, in time; then calls succeed again without help, both ends have one
 * key, no session of the module is lost, and the audit log is whole.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"
#include "support/fault_control.h"

#define CALL_TIMEOUT_MS 2000
/* What a busy machine may add. */
#define SLACK_MS 8000
#define BACK_MS 30000
/* Three of the pool, the keeper, the guest, the reader, and eight of the threads of a slow token. */
#define SESSIONS_MOST 14

/* Of each class one: what is wrong with the device, the session, the token, the login, the module,
 * its load, and a vendor's own. A recovery meets the first three. */
static const unsigned long values[] = {0x30, 0xb3, 0xe0, 0x101, 0x190, 0xb1, 0x80000001};
#define OF_A_RECOVERY 3
/* SoftHSM has no copies of keys that are not modifiable, and derives nothing. */
static const char *const functions[] = {"C_SignInit", "C_Sign", "C_CreateObject",
                                        "C_DestroyObject"};
/* Those of the health check, of a recovery and of a rescan: behind a failure that calls for them. */
static const char *const behind[] = {"C_OpenSession",     "C_GetSessionInfo",    "C_Login",
                                     "C_FindObjectsInit", "C_GetAttributeValue", "C_Initialize"};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct lab lab;
static struct fault_control control;
static mikeyd_client *client;
static unsigned met;

static void make_lab(void)
{
    char extra[1024];
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    fault_control_make(&control, lab.token.dir, "matrix");
    (void)snprintf(extra, sizeof extra,
                   "    call_timeout: %dms\n"
                   "    environment: {SOFTHSM2_CONF: \"%s/softhsm2.conf\", MIKEYD_FAULT_REAL: "
                   "\"%s\", MIKEYD_FAULT_PLAN: \"%s\", MIKEYD_FAULT_TALLY: \"%s\"}\n",
                   CALL_TIMEOUT_MS, lab.token.dir, lab.token.module, control.plan,
                   control.tally_file);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE, .token_extra = extra});
    lab_start(&lab);
    client = lab_client(&lab);
}

static void remove_lab(void)
{
    fault_control_plan(&control, FAULT_NOTHING);
    mikeyd_client_close(client);
    lab_remove(&lab);
    fault_control_end(&control);
}

TestSuite(daemon_matrix, .init = make_lab, .fini = remove_lab, .timeout = 300);

/* Initiate, respond, confirm, as far as they go. */
static enum mikeyd_status call(const char *cell)
{
    mikeyd_exchange *offer = NULL, *answer = NULL, *keyed = NULL;
    struct mikeyd_answer with = {.as = LAB_B};
    const int64_t begun = clock_monotonic_ms();
    size_t ticket_len = 0;
    enum mikeyd_status status = lab_initiate(client, &offer);
    if (status == MIKEYD_OK) {
        with.message = mikeyd_exchange_message(offer, &with.message_len);
        status = mikeyd_respond(client, &with, &answer);
    }
    if (status == MIKEYD_OK) {
        const uint8_t *ticket = mikeyd_exchange_ticket(offer, &ticket_len);
        size_t reply_len;
        const uint8_t *reply = mikeyd_exchange_message(answer, &reply_len);
        status = mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &keyed);
    }
    cr_expect(status == MIKEYD_OK || status == MIKEYD_TOKEN_DOWN || status == MIKEYD_TOKEN_BUSY,
              "%s: %s: %s", cell, mikeyd_status_name(status), mikeyd_client_error(client));
    cr_expect_lt(clock_monotonic_ms() - begun, 3 * (CALL_TIMEOUT_MS + SLACK_MS), "%s", cell);
    mikeyd_exchange_free(offer);
    mikeyd_exchange_free(answer);
    mikeyd_exchange_free(keyed);
    return status;
}

static void serve_again(const char *cell)
{
    const int64_t begun = clock_monotonic_ms();
    while (call(cell) != MIKEYD_OK) {
        cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS, "%s: not back", cell);
        (void)usleep(20000);
    }
    lab_exchange(client);
}

/* before: a failure that leads to that function, or "". */
static void strike(const char *before, const char *function, unsigned long value)
{
    char plan[160], cell[96];
    (void)snprintf(cell, sizeof cell, "%s, 0x%lx", function, value);
    (void)snprintf(plan, sizeof plan, "%s%s 1 rv 0x%lx\n", before, function, value);
    const unsigned long struck = atomic_load(&control.tally->struck);
    fault_control_plan(&control, plan);
    (void)call(cell);
    fault_control_plan(&control, FAULT_NOTHING);
    const unsigned long wanted = before[0] == '\0' ? 1 : 2;
    met += atomic_load(&control.tally->struck) - struck >= wanted ? 1 : 0;
    serve_again(cell);
}

static void end_well(unsigned cells)
{
    cr_assert_gt(met, cells / 2, "%u of %u failures were met", met, cells);
    /* Recoveries may end while others begin: what stands when all is quiet counts. */
    const int64_t begun = clock_monotonic_ms();
    while (atomic_load(&control.tally->sessions) > SESSIONS_MOST) {
        cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS, "%ld sessions are open",
                     atomic_load(&control.tally->sessions));
        (void)usleep(20000);
    }
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

Test(daemon_matrix, functions_of_a_request)
{
    for (size_t i = 0; i < COUNT(functions); i++) {
        for (size_t j = 0; j < COUNT(values); j++)
            strike("", functions[i], values[j]);
    }
    end_well(COUNT(functions) * COUNT(values));
}

Test(daemon_matrix, functions_of_a_recovery)
{
    for (size_t i = 0; i < COUNT(behind); i++) {
        for (size_t j = 0; j < OF_A_RECOVERY; j++)
            strike("C_SignInit 1 rv 0x190\n", behind[i], values[j]);
    }
    end_well(COUNT(behind) * OF_A_RECOVERY);
}
