/* mikeyctl token compat: what it finds on a token, and that its lines make a configuration. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support/token_fixture.h"

static struct token_fixture token;

static void tear_down(void)
{
    token_fixture_remove(&token);
}

TestSuite(compat, .fini = tear_down, .timeout = 60);

/* ---- the token and its maker */

static void make(enum token_fixture_kind kind)
{
    cr_assert(token_fixture_make(&token, kind));
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

/* In front of the token from now on: the fault module, as that maker's. */
static void emulate(const char *vendor, const char *plan)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/plan", token.dir);
    write_file(path, plan);
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", path, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", token.module, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_VENDOR", vendor, 1), 0);
    (void)snprintf(token.module, sizeof token.module, FAULT_MODULE);
}

static void add_key(unsigned long type)
{
    static const uint8_t value[32] = {1, 2, 3, 4, 5, 6, 7, 8};
    cr_assert(token_fixture_key(
        &token, &(struct token_fixture_key){
                    .label = "mikeyd/psk/a/1", .value = value, .len = 32, .key_type = type}));
}

/* ---- the command */

static int run(const char *command, char *out, size_t cap)
{
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    const size_t len = fread(out, 1, cap - 1, f);
    out[len] = '\0';
    const int status = pclose(f);
    cr_assert(WIFEXITED(status), "%s", command);
    return WEXITSTATUS(status);
}

/* Of the token as it stands, without a configuration. */
static void command_line(const char *options, char *out, size_t cap)
{
    (void)snprintf(
        out, cap, "%s %s token compat --module '%s' --uri '%s' --pin-file '%s' --init-args \"%s\"",
        MIKEYCTL_PROGRAM, options, token.module, token.uri, token.pin_file, token.init_args);
}

static json_t *parse(const char *text)
{
    json_t *found = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(found, "%s", text);
    return found;
}

static json_t *compat(const char *more)
{
    char command[900], whole[1000], text[8000];
    command_line("--json", command, sizeof command);
    (void)snprintf(whole, sizeof whole, "%s %s", command, more);
    cr_assert_eq(run(whole, text, sizeof text), 0, "%s", text);
    return parse(text);
}

/* The same by a configuration with those lines in the token's entry. */
static int compat_configured(const char *lines, char *text, size_t cap)
{
    char path[96], yaml[1800], command[300];
    (void)snprintf(path, sizeof path, "%s/mikeyd.yaml", token.dir);
    (void)snprintf(yaml, sizeof yaml,
                   "tokens:\n  - module: %s\n    uri: \"%s\"\n    pin_file: %s\n    init_args: "
                   "\"%s\"\n%s"
                   "policy: policy.yaml\nlisten: [{unix: s}]\nreplay: {lmdb: replay}\n"
                   "audit: {file: audit.jsonl}\n",
                   token.module, token.uri, token.pin_file, token.init_args, lines);
    write_file(path, yaml);
    (void)snprintf(command, sizeof command, "%s --config %s --json token compat", MIKEYCTL_PROGRAM,
                   path);
    return run(command, text, cap);
}

/* ---- what it says */

static const char *found(const json_t *report, const char *name)
{
    return json_string_value(json_object_get(json_object_get(report, "found"), name));
}

static void joined(const json_t *report, const char *list, const char *separator, char out[400])
{
    size_t index;
    json_t *line;
    out[0] = '\0';
    json_array_foreach(json_object_get(report, list), index, line)
    {
        const size_t len = strlen(out);
        (void)snprintf(out + len, 400 - len, "%s%s", index == 0 ? "" : separator,
                       json_string_value(line));
    }
}

static void expect_list(const json_t *report, const char *list, const char *expected)
{
    char text[400];
    joined(report, list, " | ", text);
    cr_expect_str_eq(text, expected, "%s: %s", list, text);
}

/* Its lines in a configuration: taken, nothing is left to be found, and the token is the same. */
static void expect_lines_hold(const json_t *report)
{
    char lines[500] = "    ", joint[400], text[8000];
    joined(report, "lines", "\n    ", joint);
    (void)snprintf(lines, sizeof lines, "    %s\n", joint);
    cr_assert_eq(compat_configured(lines, text, sizeof text), 0, "%s%s", lines, text);
    json_t *again = parse(text);
    expect_list(again, "tried", "");
    cr_expect(json_equal(json_object_get(again, "found"), json_object_get(report, "found")), "%s",
              text);
    cr_expect(json_equal(json_object_get(again, "lines"), json_object_get(report, "lines")), "%s",
              text);
    json_decref(again);
}

/* ---- tokens that run here */

Test(compat, softhsm_is_known_and_needs_its_profile_alone)
{
    make(TOKEN_FIXTURE_SOFTHSM);
    json_t *report = compat("");
    cr_expect_str_eq(json_string_value(json_object_get(report, "profile")), "softhsm");
    cr_expect(json_is_true(json_object_get(report, "measured")));
    expect_list(report, "lines", "profile: softhsm");
    cr_expect_str_eq(found(report, "session_objects"), "serve all sessions");
    cr_expect_str_eq(found(report, "pair_keys"), "made by mikeyctl key derive");
    cr_expect_str_eq(found(report, "least_hmac_key"), "20 bytes (SHA-1), 32 bytes (SHA-256)");
    cr_expect_not_null(strstr(found(report, "copies_of_keys"), "not tried"));
    expect_lines_hold(report);
    json_decref(report);
}

Test(compat, nss_derives_in_the_token)
{
    make(TOKEN_FIXTURE_NSS);
    add_key(0);
    json_t *report = compat("");
    expect_list(report, "lines", "profile: nss");
    cr_expect_str_eq(found(report, "mikey_prf"), "inside the token");
    cr_expect_str_eq(found(report, "pair_keys"), "derived in the token (HKDF)");
    cr_expect_str_eq(found(report, "copies_of_keys"), "work");
    expect_lines_hold(report);
    json_decref(report);
}

Test(compat, the_page_for_people_ends_with_the_lines)
{
    char command[900], text[8000];
    make(TOKEN_FIXTURE_SOFTHSM);
    command_line("", command, sizeof command);
    cr_assert_eq(run(command, text, sizeof text), 0);
    cr_expect_not_null(strstr(text, "token lab: SoftHSM project, SoftHSM v2"), "%s", text);
    cr_expect_not_null(strstr(text, "told, and not tried: leaks_objects, serialise\n"), "%s", text);
    cr_expect_not_null(
        strstr(text, "in the entry of this token in mikeyd.yaml:\n    profile: softhsm\n"), "%s",
        text);
}

/* ---- makers that nobody knows */

Test(compat, unknown_maker_gets_the_switches_that_trying_found)
{
    make(TOKEN_FIXTURE_SOFTHSM);
    emulate("noreadonly writesessions maker=Somebody", "any 1 isolate\n");
    json_t *report = compat("");
    expect_list(report, "tried", "read_write | per_session");
    expect_list(report, "lines", "profile: generic | switches: [read_write, per_session]");
    cr_expect_str_eq(found(report, "sessions"), "have to be R/W");
    expect_lines_hold(report);
    json_decref(report);
}

Test(compat, unknown_maker_that_takes_no_keys)
{
    make(TOKEN_FIXTURE_SOFTHSM);
    add_key(CKK_SHA256_HMAC);
    emulate("hashkeys nosessionobjects maker=Somebody", "# nothing\n");
    json_t *report = compat("");
    expect_list(report, "lines", "profile: generic | switches: [no_session_keys]");
    cr_expect_not_null(strstr(found(report, "hmac"), "known answers could not be asked for"));
    expect_lines_hold(report);
    json_decref(report);
}

Test(compat, unknown_maker_that_counts_in_bits)
{
    make(TOKEN_FIXTURE_NSS);
    emulate("bits hashkeys maker=Somebody", "# nothing\n");
    json_t *report = compat("");
    expect_list(report, "lines", "profile: generic | switches: [hash_keys, hmac_bits]");
    cr_expect_str_eq(found(report, "least_hmac_key"), "8 bytes (SHA-1), 8 bytes (SHA-256)");
    expect_lines_hold(report);
    json_decref(report);
}

Test(compat, token_with_few_sessions_gets_their_number)
{
    make(TOKEN_FIXTURE_SOFTHSM);
    emulate("maker=Somebody", "C_OpenSession 6+ rv 0xb1\n");
    json_t *report = compat("");
    /* Five are given: one to find out by, one for the health check. */
    expect_list(report, "lines", "profile: generic | sessions: 3");
    json_decref(report);
    char text[8000];
    cr_assert_eq(compat_configured("    sessions: 3\n", text, sizeof text), 0);
    report = parse(text);
    expect_list(report, "lines", "profile: generic");
    json_decref(report);
}

/* ---- makers known from their documents */

Test(compat, yubihsm2_is_believed_and_not_tried)
{
    make(TOKEN_FIXTURE_SOFTHSM);
    add_key(CKK_SHA256_HMAC);
    emulate("noreadonly hashkeys nosessionobjects maker=Yubico model=YubiHSM", "# nothing\n");
    json_t *report = compat("");
    expect_list(report, "lines", "profile: yubihsm2");
    expect_list(report, "tried", "");
    expect_list(report, "told",
                "read_write | hash_keys | no_session_keys | per_session | no_copies");
    cr_expect(json_is_false(json_object_get(report, "measured")));
    expect_lines_hold(report);
    json_decref(report);
}

Test(compat, another_profile_can_be_tried)
{
    make(TOKEN_FIXTURE_SOFTHSM);
    emulate("noreadonly writesessions maker=Marvell", "any 1 isolate\n");
    json_t *report = compat("");
    expect_list(report, "lines", "profile: cloudhsm");
    json_decref(report);
    report = compat("--profile generic");
    expect_list(report, "tried", "read_write | per_session");
    json_decref(report);
}

/* ---- refusals */

Test(compat, a_token_that_computes_wrong_is_refused)
{
    char command[900], text[8000];
    make(TOKEN_FIXTURE_SOFTHSM);
    emulate("maker=Somebody", "C_Sign 1+ corrupt\n");
    command_line("--json", command, sizeof command);
    cr_expect_eq(run(command, text, sizeof text), 4);
    cr_expect_not_null(strstr(text, "computed another HMAC"), "%s", text);
}

Test(compat, unknown_switches_and_profiles_are_named)
{
    char text[8000];
    make(TOKEN_FIXTURE_SOFTHSM);
    cr_expect_eq(compat_configured("    switches: [read_wirte]\n", text, sizeof text), 2, "%s",
                 text);
    cr_expect_not_null(strstr(text, "is none of read_write, hash_keys"), "%s", text);
    cr_expect_eq(compat_configured("    switches: read_write\n", text, sizeof text), 2);
    cr_expect_not_null(strstr(text, "not a list"), "%s", text);
    cr_expect_eq(compat_configured("    profile: nobody\n", text, sizeof text), 2);
    cr_expect_not_null(strstr(text, "is none of auto, generic"), "%s", text);
}

Test(compat, half_a_token_is_a_usage_error)
{
    char text[8000];
    cr_expect_eq(
        run(MIKEYCTL_PROGRAM " --json token compat --module /x 2>/dev/null", text, sizeof text), 1);
    cr_expect_not_null(strstr(text, "go together"), "%s", text);
    cr_expect_eq(run(MIKEYCTL_PROGRAM " --json token compat --module /x --uri u --pin-file f "
                                      "--token 1 2>/dev/null",
                     text, sizeof text),
                 1);
    cr_expect_eq(run(MIKEYCTL_PROGRAM " --json token list 2>/dev/null", text, sizeof text), 1);
}
