/* Opening a token: which one, with which PIN, with which keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/secret.h"
#include "support/token_fixture.h"

static struct token_fixture fixture;
static const uint8_t psk[40] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13,
                                14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
                                28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39};

static void setup(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
}

static void teardown(void)
{
    token_fixture_remove(&fixture);
}

TestSuite(open, .init = setup, .fini = teardown);

static enum mikeyd_status open_with(const struct token_config *config, struct error *err)
{
    struct token *token = NULL;
    enum mikeyd_status status = token_open(config, &token, err);
    token_close(token);
    return status;
}

Test(open, softhsm_by_uri)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct error err = {0};
    cr_assert(token_fixture_psk(&fixture, "a", psk, 32));
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    struct token_facts facts;
    token_get_facts(token, &facts);
    cr_expect_str_eq(facts.label, "unit");
    cr_expect_str_eq(facts.manufacturer, "SoftHSM project");
    cr_expect(facts.up);
    cr_expect_not(facts.hkdf);
    cr_expect_not(facts.prf_derive);
    cr_expect_not(facts.session_copies, "SoftHSM copies no key that is not modifiable");
    cr_expect_eq(facts.generation, 1);
    const struct token_key *key = NULL;
    cr_assert_eq(token_key_find(token, TOKEN_PSK, "a", 1, &key, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(key->bits, 256);
    cr_expect_eq(key->findings, KEY_FINDING_HISTORY, "findings %x", key->findings);
    token_close(token);
}

static enum mikeyd_status open_uri(const char *uri, struct error *err)
{
    struct token_config config = token_fixture_config(&fixture);
    config.uri = uri;
    return open_with(&config, err);
}

Test(open, uri_with_pin_value_is_refused_and_not_quoted)
{
    struct error err = {0};
    cr_expect_eq(open_uri("pkcs11:token=unit?pin-value=987654", &err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "pin-value"), "%s", err.text);
    cr_expect_null(strstr(err.text, "987654"), "%s", err.text);
}

Test(open, uri_with_slot_id_is_refused)
{
    struct error err = {0};
    cr_expect_eq(open_uri("pkcs11:token=unit;slot-id=0", &err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "slot-id"), "%s", err.text);
}

Test(open, uri_that_names_no_token_is_refused)
{
    cr_expect_eq(open_uri("pkcs11:", NULL), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(open_uri("pkcs11:manufacturer=SoftHSM%20project", NULL), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(open_uri("pkcs11:token=unit;object=key", NULL), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(open_uri("softhsm", NULL), MIKEYD_INVALID_ARGUMENT);
}

Test(open, unknown_token_names_what_was_found)
{
    struct error err = {0};
    cr_expect_eq(open_uri("pkcs11:token=other", &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "'unit'"), "%s", err.text);
}

Test(open, two_tokens_of_one_label_are_refused)
{
    cr_assert_eq(system("softhsm2-util --init-token --free --label unit --pin 1234 --so-pin 1234 "
                        ">/dev/null"),
                 0);
    struct error err = {0};
    cr_expect_eq(open_uri("pkcs11:token=unit", &err), MIKEYD_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(err.text, "matches 2 tokens"), "%s", err.text);
}

Test(open, missing_module_is_named)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    config.module = "/nonexistent/module.so";
    cr_expect_eq(open_with(&config, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "/nonexistent/module.so"), "%s", err.text);
}

Test(open, library_that_is_no_module_is_refused)
{
    struct token_config config = token_fixture_config(&fixture);
    config.module = "/lib/x86_64-linux-gnu/libm.so.6";
    cr_expect_eq(open_with(&config, NULL), MIKEYD_TOKEN_DOWN);
}

/* ---- the PIN file */

Test(open, pin_file_modes)
{
    static const mode_t bad[] = {0640, 0644, 0700, 0440, 0604, 0602, 04600};
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(chmod(fixture.pin_file, bad[i]), 0);
        cr_expect_eq(open_with(&config, &err), MIKEYD_INVALID_ARGUMENT, "mode %o",
                     (unsigned)bad[i]);
        cr_expect_not_null(strstr(err.text, "mode"), "%s", err.text);
    }
    cr_assert_eq(chmod(fixture.pin_file, 0400), 0);
    cr_expect_eq(open_with(&config, &err), MIKEYD_OK, "%s", err.text);
}

Test(open, pin_file_behind_a_link_of_ones_own_serves)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    char link[128];
    (void)snprintf(link, sizeof link, "%s/link", fixture.dir);
    cr_assert_eq(symlink(fixture.pin_file, link), 0);
    config.pin_file = link;
    cr_expect_eq(open_with(&config, &err), MIKEYD_OK, "%s", err.text);
}

Test(open, pin_file_that_is_no_file_is_refused)
{
    struct token_config config = token_fixture_config(&fixture);
    char fifo[128];
    (void)snprintf(fifo, sizeof fifo, "%s/fifo", fixture.dir);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    config.pin_file = fifo;
    cr_expect_eq(open_with(&config, NULL), MIKEYD_INVALID_ARGUMENT);
    config.pin_file = NULL;
    cr_expect_eq(open_with(&config, NULL), MIKEYD_INVALID_ARGUMENT);
}

static void write_pin(const char *text)
{
    FILE *file = fopen(fixture.pin_file, "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

Test(open, pin_file_of_two_lines_is_refused)
{
    struct token_config config = token_fixture_config(&fixture);
    write_pin(TOKEN_FIXTURE_PIN "\nsecond\n");
    cr_expect_eq(open_with(&config, NULL), MIKEYD_INVALID_ARGUMENT);
    write_pin("\n");
    cr_expect_eq(open_with(&config, NULL), MIKEYD_INVALID_ARGUMENT);
    write_pin("");
    cr_expect_eq(open_with(&config, NULL), MIKEYD_INVALID_ARGUMENT);
}

/* Each is named, and costs no attempt: SoftHSM would tell by CKF_USER_PIN_COUNT_LOW. */
Test(open, what_editors_put_around_a_pin_is_named)
{
    static const struct {
        const char *text, *said;
    } odd[] = {
        {TOKEN_FIXTURE_PIN "\r\n", "CR LF"},
        {"\xef\xbb\xbf" TOKEN_FIXTURE_PIN "\n", "byte order mark"},
        {TOKEN_FIXTURE_PIN " \n", "blanks behind"},
        {TOKEN_FIXTURE_PIN "\t", "blanks behind"},
        {" " TOKEN_FIXTURE_PIN "\n", "blanks before"},
    };
    struct token_config config = token_fixture_config(&fixture);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct error err = {0};
        write_pin(odd[i].text);
        cr_expect_eq(open_with(&config, &err), MIKEYD_INVALID_ARGUMENT, "%zu", i);
        cr_expect_not_null(strstr(err.text, odd[i].said), "%s", err.text);
        cr_expect_null(strstr(err.text, TOKEN_FIXTURE_PIN), "%s", err.text);
    }
}

Test(open, pin_without_newline_serves)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    write_pin(TOKEN_FIXTURE_PIN);
    cr_expect_eq(open_with(&config, &err), MIKEYD_OK, "%s", err.text);
}

Test(open, wrong_pin_names_the_ckr_and_not_the_pin)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    write_pin("wrong-pin-77");
    cr_expect_eq(open_with(&config, &err), MIKEYD_PIN_REFUSED);
    cr_expect_not_null(strstr(err.text, "C_Login: CKR_PIN_INCORRECT"), "%s", err.text);
    cr_expect_null(strstr(err.text, "wrong-pin-77"), "%s", err.text);
}

/* ---- keys that would let the secret out */

/* The token serves; the key does not, by name or by an older pointer to it. */
static void expect_key_refused(const char *name, const char *reason)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct error err = {0};
    const struct token_key *key = NULL;
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_key_find(token, TOKEN_PSK, name, 1, &key, &err), MIKEYD_POLICY);
    cr_expect_not_null(strstr(err.text, name), "%s", err.text);
    cr_expect_not_null(strstr(err.text, reason), "%s", err.text);
    cr_expect_eq(token_key_at(token, 0)->block[0].handle, 0, "it has a handle");
    token_close(token);
}

static void expect_refused(struct token_fixture_key key, const char *reason)
{
    key.label = "mikeyd/psk/bad/1";
    key.value = psk;
    key.len = 32;
    cr_assert(token_fixture_key(&fixture, &key));
    expect_key_refused("bad", reason);
}

Test(open, extractable_key_is_refused)
{
    expect_refused((struct token_fixture_key){.extractable = true}, "EXTRACTABLE");
}

Test(open, key_that_is_not_sensitive_is_refused)
{
    expect_refused((struct token_fixture_key){.not_sensitive = true}, "SENSITIVE");
}

static const struct token_key *only_finding(const struct token *token, uint32_t finding)
{
    const struct token_key *found = NULL;
    for (size_t i = 0; i < token_key_count(token); i++) {
        const struct token_key *key = token_key_at(token, i);
        if ((key->findings & finding) != 0) {
            cr_assert_null(found);
            found = key;
        }
    }
    cr_assert_not_null(found);
    return found;
}

Test(open, key_visible_without_login_is_no_key)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct error err = {0};
    const struct token_key *key = NULL;
    cr_assert(token_fixture_key(
        &fixture, &(struct token_fixture_key){
                      .label = "mikeyd/psk/a/1", .value = psk, .len = 32, .not_private = true}));
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_key_find(token, TOKEN_PSK, "a", 1, &key, &err), MIKEYD_TOKEN_DOWN);
    struct token_facts facts;
    token_get_facts(token, &facts);
    cr_expect_eq(facts.keys, 0);
    key = only_finding(token, KEY_FINDING_NOT_PRIVATE);
    cr_expect_eq(key->kind, TOKEN_KIND_COUNT);
    cr_expect_str_eq(key->name, "mikeyd/psk/a/1", "not told which");
    token_close(token);
}

/* The same label and CKA_ID, made without a PIN. */
Test(open, object_made_without_a_pin_takes_no_key_away)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct error err = {0};
    const struct token_key *key = NULL;
    struct token_fixture_key twin = {
        .label = "mikeyd/psk/a/1", .value = psk, .len = 32, .id = psk, .id_len = 16};
    cr_assert(token_fixture_key(&fixture, &twin));
    twin.not_private = true;
    cr_assert(token_fixture_key(&fixture, &twin));
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_key_find(token, TOKEN_PSK, "a", 1, &key, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(key->block_count, 1);
    cr_expect_eq(token_rescan(token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_key_find(token, TOKEN_PSK, "a", 1, &key, &err), MIKEYD_OK, "%s", err.text);
    token_close(token);
}

Test(open, key_that_wraps_is_refused)
{
    expect_refused((struct token_fixture_key){.wrap = true}, "usage");
}

Test(open, key_that_encrypts_is_refused)
{
    expect_refused((struct token_fixture_key){.encrypt = true}, "usage");
}

Test(open, key_with_a_short_id_is_refused)
{
    expect_refused((struct token_fixture_key){.id = psk, .id_len = 4}, "CKA_ID");
}

Test(open, the_ceremony_sees_the_bad_key)
{
    struct token_config config = token_fixture_config(&fixture);
    config.provisioning = true;
    struct token *token = NULL;
    struct error err = {0};
    cr_assert(token_fixture_key(
        &fixture, &(struct token_fixture_key){
                      .label = "mikeyd/psk/bad/1", .value = psk, .len = 32, .extractable = true}));
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_key_count(token), 1);
    cr_expect(token_key_at(token, 0)->findings & KEY_FINDING_EXTRACTABLE);
    token_close(token);
}

static void make_key(const char *label, const uint8_t *id)
{
    cr_assert(token_fixture_key(
        &fixture, &(struct token_fixture_key){.label = label, .value = psk, .len = 32, .id = id}));
}

Test(open, two_objects_of_one_label_are_refused)
{
    make_key("mikeyd/psk/twin/1", NULL);
    make_key("mikeyd/psk/twin/1", NULL);
    expect_key_refused("twin", "same label or CKA_ID");
}

Test(open, two_objects_of_one_id_are_refused)
{
    make_key("mikeyd/psk/a/1", psk);
    make_key("mikeyd/psk/b/1", psk);
    expect_key_refused("a", "same label or CKA_ID");
    expect_key_refused("b", "same label or CKA_ID");
}

Test(open, key_that_lost_a_block_is_refused)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    cr_assert(token_fixture_psk(&fixture, "long", psk, 40));
    cr_assert_eq(open_with(&config, &err), MIKEYD_OK, "%s", err.text);
    cr_assert(token_fixture_destroy(&fixture, "mikeyd/psk/long/1~320#2"));
    expect_key_refused("long", "blocks");
}

/* RFC 3830 4.1.2 splits the key at 32 bytes; the token would take it whole. */
Test(open, long_key_in_one_object_is_refused)
{
    const struct token_fixture_key key = {.label = "mikeyd/psk/whole/1", .value = psk, .len = 33};
    cr_assert(token_fixture_key(&fixture, &key));
    expect_key_refused("whole", "32 bytes");
}

Test(open, key_split_elsewhere_than_at_32_bytes_is_refused)
{
    cr_assert(token_fixture_key(
        &fixture,
        &(struct token_fixture_key){.label = "mikeyd/psk/odd/1#1", .value = psk, .len = 20}));
    cr_assert(token_fixture_key(
        &fixture,
        &(struct token_fixture_key){.label = "mikeyd/psk/odd/1#2", .value = psk + 4, .len = 32}));
    expect_key_refused("odd", "32 bytes");
}

Test(open, foreign_objects_do_not_matter)
{
    struct token_config config = token_fixture_config(&fixture);
    struct error err = {0};
    cr_assert(token_fixture_key(
        &fixture, &(struct token_fixture_key){
                      .label = "somebody else's", .value = psk, .len = 32, .extractable = true}));
    cr_expect_eq(open_with(&config, &err), MIKEYD_OK, "%s", err.text);
}

Test(open, true_length_of_a_padded_key)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct error err = {0};
    const struct token_key *key = NULL;
    cr_assert(token_fixture_psk(&fixture, "short", psk, 16));
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_key_find(token, TOKEN_PSK, "short", 1, &key, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_expect_eq(key->bits, 128);
    token_close(token);
}

Test(open, absent_key_is_named)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct error err = {0};
    const struct token_key *key = NULL;
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(token_key_find(token, TOKEN_PSK, "x", 1, &key, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_str_eq(err.text, "no object mikeyd/psk/x/1 in token unit");
    token_close(token);
}
