/* What an operator reads first when something is wrong. */
#include "mikeyctl/status_summary.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const char well[] =
    "{'version':'0.1.0','pid':7,'uptime_s':93784,"
    "'policy':{'file':'/etc/mikeyd/policy.yaml','sha256':'0123456789abcdef0123456789abcdef',"
    "'reloads':2,'reloads_refused':0},"
    "'token':{'label':'hsm','serial':'42','model':'M','module':'/usr/lib/m.so','up':true,"
    "'prf':'derive','sessions':4,'hmac_us':9,'generation':1},"
    "'keys':{'named':[{'kind':'epsk','name':'core','generation':1,'usable':true}],'pairs':6,"
    "'unusable':0},"
    "'exchanges':{'initiated':5,'responded':4,'confirmed':3,'updated':2,'keys_released':14,"
    "'refused':{}},"
    "'requests':{'queued':1,'queue':64,'in_flight':2,'waiting_for_disk':0,'connections':3},"
    "'store':{'entries':12,'refused':0},"
    "'audit':{'records':20,'checkpoints':1,'failures':0,'lost':0},"
    "'tokens':[{'state':'closed','pid':8,'latency_us':120,'failures':0,'label':'hsm',"
    "'serial':'42','profile':'softhsm','switches':[],'why':''}],"
    "'isolation':'two users','sandbox':{'seccomp':'on','landlock':'version 4'},"
    "'checks':{'token':'OK','audit':'OK','store':'OK'},'healthy':true}";

static json_t *report(void)
{
    char json[sizeof well];
    memcpy(json, well, sizeof json);
    for (size_t i = 0; i < sizeof json; i++)
        json[i] = json[i] == '\'' ? '"' : json[i];
    json_t *object = json_loads(json, 0, NULL);
    cr_assert_not_null(object);
    return object;
}

/* Drops the report; free() the page. */
static char *page(json_t *object)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cr_assert_not_null(out);
    status_summary_print(object, out);
    cr_assert_eq(fclose(out), 0);
    json_decref(object);
    return text;
}

static void set(json_t *object, const char *section, const char *name, json_t *value)
{
    json_t *target = section == NULL ? object : json_object_get(object, section);
    cr_assert_eq(json_object_set_new(target, name, value), 0);
}

static void expect_line(const char *text, size_t index, const char *expected)
{
    for (; index > 0; index--) {
        text = strchr(text, '\n');
        cr_assert_not_null(text);
        text++;
    }
    const size_t len = strcspn(text, "\n");
    cr_expect(len == strlen(expected) && strncmp(text, expected, len) == 0, "%.*s", (int)len, text);
}

Test(status_summary, healthy_daemon_on_twelve_lines)
{
    char *text = page(report());
    cr_expect_str_eq(
        text, "healthy      mikeyd 0.1.0, process 7, up 1 d 2 h\n"
              "token        hsm, up: M, serial 42, module m.so\n"
              "             9 us an HMAC, 4 sessions, MIKEY's PRF inside the token\n"
              "keyholder 0  serves, process 8, 120 us a request, 0 failures: hsm, serial 42, "
              "profile softhsm\n"
              "isolation    front and keyholders are processes of two users; seccomp on, "
              "Landlock version 4\n"
              "keys         1 by name, 6 of pairs, all usable\n"
              "policy       0123456789abcdef /etc/mikeyd/policy.yaml, 2 reloads\n"
              "exchanges    5 initiated, 4 responded, 3 confirmed, 2 updated; 14 keys "
              "released\n"
              "refused      none\n"
              "queue        1 of 64 waiting, 2 in work, 0 waiting for the disk; 3 clients "
              "connected\n"
              "store        12 entries, 0 seen again and refused\n"
              "audit        20 records, 1 signed checkpoints, 0 failed writes\n");
    free(text);
}

Test(status_summary, failed_check_comes_first)
{
    json_t *object = report();
    set(object, NULL, "healthy", json_false());
    set(object, "token", "up", json_false());
    set(object, "checks", "token", json_string("token hsm: C_Sign: CKR_DEVICE_ERROR"));
    char *text = page(object);
    expect_line(text, 0, "NOT HEALTHY  mikeyd 0.1.0, process 7, up 1 d 2 h");
    expect_line(text, 1, "  WRONG      token: token hsm: C_Sign: CKR_DEVICE_ERROR");
    expect_line(text, 2, "token        hsm, DOWN: M, serial 42, module m.so");
    cr_expect_not_null(strstr(text, "\nkeys         1 by name, 6 of pairs, NONE USABLE while the "
                                    "token is down\n"));
    cr_expect_null(strstr(text, "all usable"));
    free(text);
}

Test(status_summary, every_part_of_health_and_what_lies_ahead_is_told)
{
    json_t *object = report();
    set(object, NULL, "healthy", json_false());
    set(object, "checks", "keys", json_string("key core/1 expired"));
    set(object, "checks", "clock", json_string("the clock says 1970"));
    set(object, NULL, "warnings", json_pack("[s]", "key old/1 expires in 6 days"));
    char *text = page(object);
    expect_line(text, 1, "  WRONG      keys: key core/1 expired");
    expect_line(text, 2, "  WRONG      clock: the clock says 1970");
    expect_line(text, 3, "  SOON       key old/1 expires in 6 days");
    free(text);
}

Test(status_summary, health_not_asked_for_is_not_claimed)
{
    json_t *object = report();
    cr_assert_eq(json_object_del(object, "healthy"), 0);
    cr_assert_eq(json_object_del(object, "checks"), 0);
    set(object, "token", "up", json_false());
    char *text = page(object);
    expect_line(text, 0, "not checked  mikeyd 0.1.0, process 7, up 1 d 2 h");
    expect_line(text, 1, "  WRONG      token: it is down");
    free(text);
}

Test(status_summary, every_token_of_the_group_is_told)
{
    json_t *object = report();
    json_t *lost = json_pack("{s:s, s:i, s:i, s:i, s:s, s:s, s:s}", "state", "absent", "pid", 0,
                             "latency_us", 300, "failures", 2, "label", "hsm-2", "serial", "43",
                             "why", "token hsm-2: C_Login: CKR_DEVICE_REMOVED");
    cr_assert_eq(json_array_append_new(json_object_get(object, "tokens"), lost), 0);
    char *text = page(object);
    expect_line(text, 3,
                "keyholder 0  serves, process 8, 120 us a request, 0 failures: hsm, serial 42, "
                "profile softhsm");
    expect_line(text, 4,
                "keyholder 1  DOES NOT SERVE (absent), no process, 300 us a request, 2 failures: "
                "hsm-2, serial 43: token hsm-2: C_Login: CKR_DEVICE_REMOVED");
    free(text);
}

Test(status_summary, profile_and_switches_of_a_token_are_told)
{
    json_t *object = report();
    json_t *token = json_array_get(json_object_get(object, "tokens"), 0);
    (void)json_object_set_new(token, "profile", json_string("generic"));
    (void)json_object_set_new(token, "switches", json_pack("[s, s]", "read_write", "no_copies"));
    char *text = page(object);
    expect_line(text, 3,
                "keyholder 0  serves, process 8, 120 us a request, 0 failures: hsm, serial 42, "
                "profile generic and read_write, no_copies");
    free(text);
}

Test(status_summary, unusable_keys_are_named)
{
    json_t *object = report();
    set(object, "keys", "unusable", json_integer(2));
    set(json_array_get(json_object_get(json_object_get(object, "keys"), "named"), 0), NULL,
        "usable", json_false());
    char *text = page(object);
    expect_line(text, 1,
                "  ATTENTION  keys: 2 unusable: epsk core/1 ... (mikeyctl key check says why)");
    cr_expect_not_null(strstr(text, "\nkeys         1 by name, 6 of pairs, 2 UNUSABLE\n"));
    free(text);
}

Test(status_summary, lost_records_and_refusals_are_told)
{
    json_t *object = report();
    set(object, "audit", "lost", json_integer(3));
    set(object, "policy", "reloads_refused", json_integer(1));
    set(object, "requests", "overloaded", json_integer(8));
    set(object, "token", "generation", json_integer(3));
    set(json_object_get(object, "exchanges"), "refused", "REPLAY", json_integer(4));
    set(json_object_get(object, "exchanges"), "refused", "POLICY", json_integer(1));
    char *text = page(object);
    expect_line(text, 1,
                "  ATTENTION  audit: 3 records could not be written since the start; no key was "
                "released for them");
    cr_expect_not_null(strstr(text, ", 1 REFUSED: see the daemon's log\n"));
    cr_expect_not_null(strstr(text, ", 8 refused for a full queue\n"));
    cr_expect_not_null(strstr(text, ", connected anew 2 times\n"));
    cr_expect_not_null(strstr(text, "\nrefused      4 REPLAY, 1 POLICY\n"), "%s", text);
    free(text);
}

/* Of another version, say: no crash, nothing made up. */
Test(status_summary, empty_report_prints_dashes)
{
    char *text = page(json_object());
    expect_line(text, 0, "not checked  mikeyd -, process 0, up 0 s");
    expect_line(text, 1, "token        -, -: -, serial -, module -");
    free(text);
}
