/*
 * A daemon whose only token fails: callers hear TOKEN_DOWN in time and get no key, and when the token
 * is well again the daemon serves by itself, as soon as its records say.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab.h"
#include "support/fault_control.h"

#define CALL_TIMEOUT_MS 2000
/* What a busy machine may add. */
#define SLACK_MS 8000
#define BACK_MS 30000
/* From the health of the token to the record token_up; in most rounds, for the machine may be busy. */
#define PROMISED_MS 2000
#define ROUNDS 3

static struct lab lab;
static struct fault_control control;

static void make_lab(void)
{
    char extra[1024];
    lab_make_on(&lab, TOKEN_FIXTURE_SOFTHSM, NULL);
    fault_control_make(&control, lab.token.dir, "only");
    (void)snprintf(extra, sizeof extra,
                   "    call_timeout: %dms\n"
                   "    environment: {SOFTHSM2_CONF: \"%s/softhsm2.conf\", MIKEYD_FAULT_REAL: "
                   "\"%s\", MIKEYD_FAULT_PLAN: \"%s\", MIKEYD_FAULT_TALLY: \"%s\"}\n",
                   CALL_TIMEOUT_MS, lab.token.dir, lab.token.module, control.plan,
                   control.tally_file);
    lab_write_config(&lab, &(struct lab_config){.module = FAULT_MODULE, .token_extra = extra});
    lab_start(&lab);
}

static void remove_lab(void)
{
    fault_control_plan(&control, FAULT_NOTHING);
    lab_remove(&lab);
    fault_control_end(&control);
}

TestSuite(one_token, .init = make_lab, .fini = remove_lab, .timeout = 180);

/* One request, which must be over in time, whatever becomes of it. */
static enum mikeyd_status ask(mikeyd_client *client)
{
    mikeyd_exchange *exchange = NULL;
    const int64_t begun = clock_monotonic_ms();
    const enum mikeyd_status status = lab_initiate(client, &exchange);
    cr_assert_lt(clock_monotonic_ms() - begun, CALL_TIMEOUT_MS + SLACK_MS);
    cr_assert_eq(status == MIKEYD_OK, exchange != NULL);
    mikeyd_exchange_free(exchange);
    return status;
}

static void ask_until(mikeyd_client *client, enum mikeyd_status wanted)
{
    const int64_t begun = clock_monotonic_ms();
    enum mikeyd_status status;
    while ((status = ask(client)) != wanted) {
        cr_assert(status == MIKEYD_OK || status == MIKEYD_TOKEN_DOWN, "%s: %s",
                  mikeyd_status_name(status), mikeyd_client_error(client));
        cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS, "not %s", mikeyd_status_name(wanted));
        (void)usleep(20000);
    }
}

/* Its time, as the record has it. */
static void last_record(const char *event, char time[CLOCK_TEXT])
{
    char *log = lab_read_file(lab.audit), *rest = NULL;
    time[0] = '\0';
    for (char *line = strtok_r(log, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        json_t *record = json_loads(line, 0, NULL);
        const char *name = json_string_value(json_object_get(record, "event"));
        const char *at = json_string_value(json_object_get(record, "time"));
        if (name != NULL && at != NULL && strcmp(name, event) == 0)
            (void)snprintf(time, CLOCK_TEXT, "%s", at);
        json_decref(record);
    }
    free(log);
}

struct failure {
    void (*begin)(void);
    void (*end)(void);
};

static size_t records(const char *event)
{
    char text[64];
    (void)snprintf(text, sizeof text, "\"event\":\"%s\"", event);
    return lab_count_in_file(lab.audit, text);
}

/* True when the daemon's record says that it was up again in time. */
static bool fail_once(mikeyd_client *client, const struct failure *failure)
{
    const size_t before = records("token_up");
    failure->begin();
    ask_until(client, MIKEYD_TOKEN_DOWN);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(ask(client), MIKEYD_TOKEN_DOWN);
    failure->end();
    char promised[CLOCK_TEXT], up[CLOCK_TEXT];
    clock_format_utc(clock_unix_ms() + PROMISED_MS, promised);
    ask_until(client, MIKEYD_OK);
    const int64_t begun = clock_monotonic_ms();
    while (records("token_up") == before) {
        cr_assert_lt(clock_monotonic_ms() - begun, BACK_MS, "token_up is not recorded");
        (void)usleep(20000);
    }
    lab_exchange(client);
    last_record("token_up", up);
    cr_assert_eq(strlen(up), strlen(promised), "%s", up);
    return strcmp(up, promised) <= 0;
}

static void assert_failure_is_told_and_over(const struct failure *failure)
{
    mikeyd_client *client = lab_client(&lab);
    unsigned in_time = 0;
    lab_exchange(client);
    for (int i = 0; i < ROUNDS; i++)
        in_time += fail_once(client, failure) ? 1 : 0;
    cr_assert_gt(in_time, ROUNDS / 2, "up in time in %u of %d rounds", in_time, ROUNDS);
    cr_assert_geq(records("token_down"), ROUNDS);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    cr_assert_eq(lab_verify_audit(&lab), 0);
}

/* ---- what becomes of it */

static void fail_every_call(void)
{
    fault_control_plan(&control, "* 1+ rv 0x30\n");
}

static void hang_in_every_call(void)
{
    fault_control_plan(&control, "* 1+ hang\n");
}

static void lose_token(void)
{
    fault_control_plan(&control, "* 1+ lost\n");
}

static void fail_nothing(void)
{
    fault_control_plan(&control, FAULT_NOTHING);
}

static void move_folder(const char *from, const char *to)
{
    char old[LAB_PATH + 32], new[LAB_PATH + 32];
    (void)snprintf(old, sizeof old, "%s/%s", lab.token.dir, from);
    (void)snprintf(new, sizeof new, "%s/%s", lab.token.dir, to);
    cr_assert_eq(rename(old, new), 0);
}

static void take_folder_away(void)
{
    move_folder("tokens", "away");
}

static void put_folder_back(void)
{
    move_folder("away", "tokens");
}

Test(one_token, that_fails_every_call)
{
    assert_failure_is_told_and_over(&(struct failure){fail_every_call, fail_nothing});
}

Test(one_token, that_hangs_in_every_call)
{
    assert_failure_is_told_and_over(&(struct failure){hang_in_every_call, fail_nothing});
}

Test(one_token, that_is_lost_and_found)
{
    assert_failure_is_told_and_over(&(struct failure){lose_token, fail_nothing});
}

Test(one_token, whose_folder_is_gone_and_comes_back)
{
    assert_failure_is_told_and_over(&(struct failure){take_folder_away, put_folder_back});
}
