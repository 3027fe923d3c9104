/*
 * mikeyctl key from the shell, on real tokens: what an operator types, reads and finds in the audit
 * log.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "audit/audit.h"
#include "support/token_fixture.h"

#define EPSK_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define EPSKX_HEX "46bd320605c5a6b6163ab70bc6345b92a5f908e79fe58979c23ebb47d1a5e307"
#define PSK_HEX "c0ffee00112233445566778899aabbccddeeff00112233445566778899aabbcc"

static struct token_fixture fixture;
static char output[65536]; /* stdout and stderr of the last command */

static void write_file(const char *name, mode_t mode, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void write_file(const char *name, mode_t mode, const char *format, ...)
{
    char path[200];
    va_list args;
    (void)snprintf(path, sizeof path, "%s/%s", fixture.dir, name);
    (void)unlink(path);
    FILE *file = fopen(path, "wx");
    cr_assert_not_null(file, "%s", path);
    va_start(args, format);
    (void)vfprintf(file, format, args);
    va_end(args);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(chmod(path, mode), 0);
}

static bool file_has(const char *name, const char *text)
{
    static char content[262144];
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", fixture.dir, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    const size_t len = fread(content, 1, sizeof content - 1, file);
    content[len] = '\0';
    (void)fclose(file);
    return strstr(content, text) != NULL;
}

/* Runs `mikeyctl key ...` in the laboratory's folder; its exit status. */
static int key(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int key(const char *format, ...)
{
    char arguments[1000], command[1600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    (void)snprintf(command, sizeof command,
                   "cd '%s' && '%s' --config mikeyd.yaml key %s 2>&1 </dev/null", fixture.dir,
                   MIKEYCTL_PROGRAM, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    const size_t len = fread(output, 1, sizeof output - 1, pipe);
    output[len] = '\0';
    const int status = pclose(pipe);
    cr_assert(WIFEXITED(status), "%s: %s", arguments, output);
    return WEXITSTATUS(status);
}

#define EXPECT_EXIT(wanted, ...)                                                                   \
    do {                                                                                           \
        int got_ = key(__VA_ARGS__);                                                               \
        cr_expect_eq(got_, wanted, "exit %d, not %d: %s", got_, wanted, output);                   \
    } while (0)
#define EXPECT_SAID(text) cr_expect_not_null(strstr(output, text), "no \"%s\" in: %s", text, output)

static void write_policy(const char *provisioning, const char *of_core)
{
    write_file(
        "policy.yaml", 0644,
        "policy: 1\n"
        "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256, min_psk_bits: 256,\n"
        "           provisioning: %s}\n"
        "keys:\n"
        "  - {name: core, kind: epsk, generation: 1, not_after: 2099-06-01%s}\n"
        "  - {name: legacy, kind: psk, generation: 1, not_after: 2099-06-01}\n"
        "nodes: [\"sip:a@lab.example\", \"sip:b@lab.example\", \"sip:pbx@lab.example\"]\n"
        "pairs:\n"
        "  - {initiator: \"sip:a@lab.example\", responder: \"sip:pbx@lab.example\", key: legacy}\n"
        "mesh:\n"
        "  - {nodes: [\"sip:a@lab.example\", \"sip:b@lab.example\"], key: core}\n"
        "clients:\n"
        "  - {name: lab, uid: 1000, acts_as: [\"sip:a@lab.example\"], may: [initiate]}\n",
        provisioning, of_core);
}

static void write_config(const char *pin_file, const char *second_token)
{
    write_file("mikeyd.yaml", 0644,
               "tokens:\n"
               "  - {module: %s, uri: \"%s\", pin_file: \"%s\", init_args: \"%s\"}\n%s"
               "policy: policy.yaml\n"
               "listen: [{unix: %s/mikeyd.sock}]\n"
               "replay: {lmdb: %s/replay}\n"
               "audit: {file: %s/audit.jsonl}\n",
               fixture.module, fixture.uri, pin_file, fixture.init_args, second_token, fixture.dir,
               fixture.dir, fixture.dir);
}

static void lab(void)
{
    write_policy("plaintext-allowed", "");
    write_config(fixture.pin_file, "");
    write_file("epsk.hex", 0600, EPSK_HEX "\n");
    write_file("psk.hex", 0400, PSK_HEX "\n");
}

static void softhsm(void)
{
    cr_assert(token_fixture_softhsm(&fixture, "lab"));
    lab();
}

static void nss(void)
{
    cr_assert(token_fixture_nss(&fixture));
    lab();
}

static void teardown(void)
{
    token_fixture_remove(&fixture);
}

TestSuite(ceremony_softhsm, .init = softhsm, .fini = teardown);
TestSuite(ceremony_nss, .init = nss, .fini = teardown);

/* ---- the whole way ---- */

Test(ceremony_softhsm, from_nothing_to_clean)
{
    EXPECT_EXIT(3, "check");
    EXPECT_SAID("TOKEN-MISSING");
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_SAID("mikeyd/epskx/core/1");
    EXPECT_SAID("epskx, the extracted form");
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    EXPECT_EXIT(3, "check");
    EXPECT_SAID("mikeyctl key derive --name core");
    EXPECT_EXIT(0, "derive");
    EXPECT_EXIT(0, "check");
    EXPECT_SAID("clean");
}

Test(ceremony_nss, from_nothing_to_clean)
{
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_SAID("mikeyd/epsk/core/1");
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    EXPECT_EXIT(0, "check");
    EXPECT_EXIT(0, "derive");
    EXPECT_EXIT(0, "check");
    EXPECT_EXIT(0, "list --kind pair --json");
    EXPECT_SAID("\"kind\":\"pair\"");
}

static void expect_main_key_deleted(void)
{
    write_policy("wrapped-only", ", delete_main: true");
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    EXPECT_EXIT(0, "derive");
    EXPECT_EXIT(3, "check");
    EXPECT_SAID("RFC9257-6-4-TOKEN");
    EXPECT_EXIT(0, "derive --delete-main");
    EXPECT_SAID("deleted");
    EXPECT_EXIT(0, "check");
    cr_expect(file_has("audit.jsonl", "\"key_destroy\""));
}

Test(ceremony_softhsm, pair_keys_are_listed_with_their_two_ends)
{
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(0, "derive");
    EXPECT_EXIT(0, "list --kind pair");
    EXPECT_SAID(" | sip:a@lab.example -> sip:b@lab.example\n");
    EXPECT_EXIT(0, "list --kind pair --json");
    EXPECT_SAID("\"initiator\":\"sip:b@lab.example\",\"responder\":\"sip:a@lab.example\"");
}

Test(ceremony_softhsm, main_key_goes_when_the_policy_wants_it)
{
    expect_main_key_deleted();
}

Test(ceremony_nss, main_key_goes_when_the_policy_wants_it)
{
    expect_main_key_deleted();
}

Test(ceremony_softhsm, main_key_stays_unless_the_policy_wants_it_gone)
{
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(3, "derive --delete-main");
    EXPECT_EXIT(0, "list --kind epskx");
    EXPECT_SAID("core");
}

Test(ceremony_softhsm, dry_run_makes_nothing)
{
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(0, "derive --dry-run");
    EXPECT_SAID("missing");
    EXPECT_EXIT(0, "list --kind pair --json");
    EXPECT_SAID("{\"keys\":[]}");
}

Test(ceremony_softhsm, derive_without_its_main_key_says_what_to_do)
{
    EXPECT_EXIT(1, "derive");
    EXPECT_SAID("mikeyd/epskx/core/1");
}

static void expect_foreign_pairs_found(const char *kind)
{
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    EXPECT_EXIT(0, "derive");
    EXPECT_EXIT(0, "check");
    EXPECT_EXIT(0, "destroy --kind %s --name core --generation 1 --yes", kind);
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(3, "check");
    EXPECT_SAID("TOKEN-PAIRS-FOREIGN");
    EXPECT_EXIT(3, "derive");
    EXPECT_SAID("another main key");
}

Test(ceremony_softhsm, pairs_of_an_earlier_main_key_are_found)
{
    expect_foreign_pairs_found("epskx");
}

Test(ceremony_nss, pairs_of_an_earlier_main_key_are_found)
{
    expect_foreign_pairs_found("epsk");
}

/* ---- keys in clear ---- */

Test(ceremony_softhsm, no_secret_in_output_or_audit_log)
{
    EXPECT_EXIT(0,
                "import --kind epsk --name core --hex-file epsk.hex --insecure-plaintext --json");
    static char everything[sizeof output * 4];
    (void)snprintf(everything, sizeof everything, "%s", output);
    EXPECT_EXIT(0, "import --kind psk --name legacy --hex-file psk.hex --insecure-plaintext");
    (void)strncat(everything, output, sizeof everything - strlen(everything) - 1);
    EXPECT_EXIT(0, "derive --json");
    (void)strncat(everything, output, sizeof everything - strlen(everything) - 1);
    EXPECT_EXIT(0, "check --json");
    (void)strncat(everything, output, sizeof everything - strlen(everything) - 1);
    static const char *const secrets[] = {EPSK_HEX, EPSKX_HEX, PSK_HEX, TOKEN_FIXTURE_PIN};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        cr_expect_null(strstr(everything, secrets[i]), "secret %zu in the output", i);
        cr_expect_not(file_has("audit.jsonl", secrets[i]), "secret %zu in the audit log", i);
    }
    cr_expect(file_has("epsk.hex", EPSK_HEX), "control: the search finds what is there");
    cr_expect(file_has("audit.jsonl", "\"key_import\""));
    cr_expect(file_has("audit.jsonl", "\"key_derive\""));
    cr_expect(file_has("audit.jsonl", "\"key_check\""));
}

Test(ceremony_softhsm, wrapped_only_refuses_keys_in_clear)
{
    write_policy("wrapped-only", "");
    EXPECT_EXIT(3, "import --kind psk --name legacy --hex-file psk.hex --insecure-plaintext");
    EXPECT_SAID("wrapped-only");
    EXPECT_EXIT(0, "list --json");
    EXPECT_SAID("{\"keys\":[]}");
    cr_expect(file_has("audit.jsonl", "\"POLICY\""), "the refusal is not recorded");
}

Test(ceremony_softhsm, import_needs_to_be_called_insecure)
{
    EXPECT_EXIT(3, "import --kind psk --name legacy --hex-file psk.hex");
    EXPECT_SAID("--insecure-plaintext");
}

Test(ceremony_softhsm, key_file_that_others_can_read_is_refused)
{
    write_file("open.hex", 0640, PSK_HEX "\n");
    EXPECT_EXIT(1, "import --kind psk --name legacy --hex-file open.hex --insecure-plaintext");
    EXPECT_SAID("0640");
}

Test(ceremony_softhsm, key_file_that_is_no_hex_is_refused_without_quoting_it)
{
    write_file("bad.hex", 0600, "00112233zz%s\n", "445566");
    EXPECT_EXIT(1, "import --kind psk --name legacy --hex-file bad.hex --insecure-plaintext");
    cr_expect_null(strstr(output, "00112233"), "%s", output);
}

Test(ceremony_softhsm, key_of_zeros_is_refused)
{
    write_file("zero.hex", 0600, "%064d\n", 0);
    EXPECT_EXIT(1, "import --kind psk --name legacy --hex-file zero.hex --insecure-plaintext");
    EXPECT_SAID("zeros");
    EXPECT_EXIT(0, "list --json");
    EXPECT_SAID("{\"keys\":[]}");
}

Test(ceremony_softhsm, key_that_would_have_ended_is_refused)
{
    EXPECT_EXIT(1, "generate --kind psk --name legacy --not-after 2021-01-01");
    EXPECT_SAID("ended on 2021-01-01");
}

/* The length of the EPSK, not of the 32 bytes that came of it. */
Test(ceremony_softhsm, true_length_of_an_epsk_is_kept)
{
    write_file("short.hex", 0600, "00112233445566778899aabbccddeeff\n");
    EXPECT_EXIT(3, "import --kind epsk --name core --hex-file short.hex --insecure-plaintext");
    EXPECT_SAID("min_psk_bits");
    EXPECT_EXIT(1, "import --kind epskx --name core --hex-file psk.hex --insecure-plaintext");
    EXPECT_SAID("--bits");
    EXPECT_EXIT(0, "import --kind epsk --name core --hex-file epsk.hex --insecure-plaintext");
    EXPECT_SAID("mikeyd/epskx/core/1~256");
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    EXPECT_EXIT(0, "derive");
    EXPECT_EXIT(0, "check");
    EXPECT_EXIT(0, "destroy --kind epskx --name core --generation 1 --yes");
    cr_assert(
        token_fixture_key(&fixture, &(struct token_fixture_key){.label = "mikeyd/epskx/core/1~128",
                                                                .value = (const uint8_t *)PSK_HEX,
                                                                .len = 32}));
    EXPECT_EXIT(3, "check");
    EXPECT_SAID("mikeyd/epskx/core/1 has 128 bits");
}

Test(ceremony_softhsm, generation_that_the_policy_lacks_is_said)
{
    EXPECT_EXIT(0, "generate --kind psk --name legacy --generation 2");
    EXPECT_SAID("nothing uses generation 2");
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    cr_expect_null(strstr(output, "nothing uses"), "%s", output);
}

Test(ceremony_softhsm, key_under_min_psk_bits_is_refused)
{
    EXPECT_EXIT(3, "generate --kind psk --name legacy --bits 128");
    EXPECT_SAID("min_psk_bits");
}

Test(ceremony_softhsm, key_of_another_kind_than_the_policys_is_refused)
{
    EXPECT_EXIT(3, "generate --kind psk --name core");
}

/* ---- roles, tokens, records ---- */

Test(ceremony_softhsm, pin_file_of_the_role_overrides_the_configuration)
{
    write_file("no-pin", 0600, "wrong\n");
    char path[200];
    (void)snprintf(path, sizeof path, "%s/missing", fixture.dir);
    write_config(path, "");
    EXPECT_EXIT(0, "generate --kind psk --name legacy --pin-file '%s'", fixture.pin_file);
}

Test(ceremony_softhsm, one_of_several_tokens_must_be_named)
{
    char second[300];
    (void)snprintf(second, sizeof second,
                   "  - {module: %s, uri: \"pkcs11:token=other\", pin_file: \"%s\"}\n",
                   fixture.module, fixture.pin_file);
    write_config(fixture.pin_file, second);
    EXPECT_EXIT(1, "generate --kind psk --name legacy");
    EXPECT_SAID("--token");
    EXPECT_EXIT(0, "generate --kind psk --name legacy --token 1");
    EXPECT_EXIT(0, "list --token '%s'", fixture.uri);
    EXPECT_SAID("legacy");
}

Test(ceremony_softhsm, destroy_asks_or_is_told_yes)
{
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    EXPECT_EXIT(1, "destroy --kind psk --name legacy --generation 1");
    EXPECT_EXIT(0, "list");
    EXPECT_SAID("legacy");
    EXPECT_EXIT(0, "destroy --kind psk --name legacy --generation 1 --yes");
    EXPECT_EXIT(0, "list --json");
    EXPECT_SAID("{\"keys\":[]}");
    cr_expect(file_has("audit.jsonl", "\"key_destroy\""));
}

Test(ceremony_softhsm, no_audit_log_no_ceremony)
{
    EXPECT_EXIT(6, "generate --kind psk --name legacy --audit /proc/nowhere/audit.jsonl");
    EXPECT_EXIT(0, "list --json");
    EXPECT_SAID("{\"keys\":[]}");
}

Test(ceremony_softhsm, log_held_by_the_daemon_has_a_file_beside_it)
{
    char path[200];
    struct audit_log *log = NULL;
    struct error err = {0};
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", fixture.dir);
    const struct audit_options options = {.path = path, .synchronous = true};
    cr_assert_eq(audit_open(&options, &log, &err), MIKEYD_OK, "%s", err.text);
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    audit_close(log);
    cr_expect(file_has("audit.jsonl.ceremony", "\"key_generate\""));
    cr_expect_not(file_has("audit.jsonl", "\"key_generate\""));
}

/* ---- transport ---- */

Test(ceremony_softhsm, key_travels_only_if_the_policy_says_so)
{
    EXPECT_EXIT(3, "generate --kind epsk --name core --for-transport");
    EXPECT_SAID("transport");
    EXPECT_EXIT(0, "generate --kind epsk --name core");
    EXPECT_EXIT(3, "wrap --kind epsk --name core --with anything --out core.wrapped");
    write_policy("wrapped-only", ", transport: true");
    EXPECT_EXIT(1, "wrap --kind epsk --name core --generation 7 --with anything --out w");
    EXPECT_SAID("no object mikeyd/epskx/core/7");
}

/* A second token with a key pair that the first trusts, and key core that may travel there. */
static void prepare_transport(void)
{
    char other[300];
    write_policy("wrapped-only", ", transport: true");
    (void)snprintf(other, sizeof other,
                   "softhsm2-util --init-token --free --label there --pin '%s' --so-pin '%s' "
                   ">/dev/null",
                   TOKEN_FIXTURE_PIN, TOKEN_FIXTURE_SO_PIN);
    cr_assert_eq(system(other), 0);
    (void)snprintf(other, sizeof other,
                   "  - {module: %s, uri: \"pkcs11:token=there\", pin_file: \"%s\"}\n",
                   fixture.module, fixture.pin_file);
    write_config(fixture.pin_file, other);
    write_file("so-pin", 0600, "%s\n", TOKEN_FIXTURE_SO_PIN);
    EXPECT_EXIT(0, "generate --token 2 --kind wrapping --name receiver --out receiver.pem");
    EXPECT_EXIT(0,
                "trust --token 1 --with receiver --public-key receiver.pem --so-pin-file so-pin");
    EXPECT_EXIT(0, "generate --token 1 --kind epsk --name core --for-transport");
}

Test(ceremony_softhsm, key_travels_from_token_to_token)
{
    prepare_transport();
    EXPECT_EXIT(3, "check --token 1");
    EXPECT_SAID("CKA_EXTRACTABLE");
    EXPECT_EXIT(0, "wrap --token 1 --kind epsk --name core --with receiver --scheme rsa-oaep-sha1 "
                   "--out core.wrapped");
    EXPECT_EXIT(0, "unwrap --token 2 --kind epskx --name core --bits 256 --with receiver "
                   "--scheme rsa-oaep-sha1 --in core.wrapped");
    EXPECT_EXIT(0, "generate --token 2 --kind psk --name legacy");
    EXPECT_EXIT(0, "derive --token 2");
    EXPECT_EXIT(0, "check --token 2");
    /* The key for transport is re-created non-extractable at home too. */
    EXPECT_EXIT(0, "list --token 2 --kind pair");
    cr_expect(file_has("audit.jsonl", "\"key_wrap\""));
    cr_expect(file_has("audit.jsonl", "\"key_unwrap\""));
}

/* The disk takes the wrapped key, but no more records: not even for a moment is there a file. */
Test(ceremony_softhsm, wrapped_key_never_leaves_before_its_record)
{
    char path[200];
    struct stat info;
    struct rlimit limit;
    prepare_transport();
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", fixture.dir);
    cr_assert_eq(stat(path, &info), 0);
    int watch = inotify_init1(IN_NONBLOCK);
    cr_assert_geq(inotify_add_watch(watch, fixture.dir, IN_CREATE), 0);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = (rlim_t)info.st_size + 10;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_EXIT(6, "wrap --token 1 --kind epsk --name core --with receiver --scheme rsa-oaep-sha1 "
                   "--out core.wrapped");
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    _Alignas(struct inotify_event) char events[4096];
    ssize_t n = read(watch, events, sizeof events);
    cr_assert_null(n > 0 ? memmem(events, (size_t)n, "core.wrapped", 12) : NULL,
                   "it was there for a moment");
    /* And when the file cannot be written, the log says that, too. */
    EXPECT_EXIT(1, "wrap --token 1 --kind epsk --name core --with receiver --scheme rsa-oaep-sha1 "
                   "--out missing/core.wrapped");
    cr_expect(file_has("audit.jsonl", "\"event\":\"key_wrap\",\"result\":\"INVALID_ARGUMENT\""));
}

Test(ceremony_softhsm, key_is_not_destroyed_without_a_record)
{
    char path[200];
    struct stat info;
    struct rlimit limit;
    EXPECT_EXIT(0, "generate --kind psk --name legacy");
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", fixture.dir);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = (rlim_t)info.st_size + 10;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_EXIT(6, "destroy --kind psk --name legacy --generation 1 --yes");
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_EXIT(0, "list");
    EXPECT_SAID("legacy");
}

Test(ceremony_softhsm, audit_key_is_made_once)
{
    EXPECT_EXIT(0, "generate --kind audit --name log");
    EXPECT_SAID("mikeyd/audit/log/1");
    EXPECT_EXIT(1, "generate --kind audit --name log");
}
