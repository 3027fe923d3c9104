/* A log signed by a key that never leaves its token, and proven with nothing but the public half.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "audit/audit.h"
#include "pkcs11/provision/provision.h"
#include "pkcs11/token/signer.h"
#include "support/token_fixture.h"

TestSuite(audit_token_key, .timeout = 120);

static struct token_fixture fixture;

/* What the last command that printed something printed stays in the file "out". */
static int run(const char *command)
{
    char whole[1024];
    (void)snprintf(whole, sizeof whole,
                   "cd %s && { %s; } >new 2>err </dev/null; s=$?; test -s new && mv new out; "
                   "exit $s",
                   fixture.dir, command);
    int status = system(whole);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make_key(const char *name, unsigned bits)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct token_session *session = NULL;
    struct error err = {0};
    config.read_write = true;
    config.provisioning = true;
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 2000, &session, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(provision_generate_audit_key(session, name, 1, bits, &err), MIKEYD_OK, "%s",
                 err.text);
    token_session_release(session);
    token_close(token);
}

static enum mikeyd_status sign(void *context, struct checkpoint_claim *claim, uint8_t *signature,
                               size_t *len, struct error *err)
{
    uint8_t digest[32];
    cr_assert_eq(checkpoint_digest(claim, digest, err), MIKEYD_OK);
    return token_signer_sign(context, digest, signature, len, err);
}

static void write_log(const char *name)
{
    struct token_config config = token_fixture_config(&fixture);
    struct token *token = NULL;
    struct token_signer *key = NULL;
    struct audit_log *log = NULL;
    struct error err = {0};
    char path[128];
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", fixture.dir);
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_signer_open(token, name, 1, &key, &err), MIKEYD_OK, "%s", err.text);
    const struct audit_signer signer = {
        .context = key, .sign = sign, .key_label = token_signer_label(key)};
    const struct audit_options options = {
        .path = path, .signer = &signer, .checkpoint_records = 10};
    cr_assert_eq(audit_open(&options, &log, &err), MIKEYD_OK, "%s", err.text);
    const struct audit_record record = {.event = AUDIT_START, .detail = "test"};
    uint64_t sequence = 0;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(audit_append(log, &record, &sequence, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(audit_wait(log, sequence, &err), MIKEYD_OK, "%s", err.text);
    audit_close(log);
    token_signer_close(key);
    token_close(token);
}

static void write_config(void)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/mikeyd.yaml", fixture.dir);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fprintf(file,
                  "tokens:\n  - module: %s\n    uri: \"%s\"\n    pin_file: %s\n    sessions: 2\n"
                  "policy: policy.yaml\nlisten: [ {unix: mikeyd.sock} ]\nreplay: {lmdb: replay}\n"
                  "audit: {file: audit.jsonl, sign: {key: main, generation: 1}}\n",
                  fixture.module, fixture.uri, fixture.pin_file);
    cr_assert_eq(fclose(file), 0);
}

static void enter(void)
{
    cr_assert(token_fixture_softhsm(&fixture, "audit"));
    make_key("main", 256);
    make_key("other", 256);
    write_log("main");
    write_config();
}

static void leave(void)
{
    token_fixture_remove(&fixture);
}

Test(audit_token_key, exported_key_proves_the_log, .init = enter, .fini = leave)
{
    cr_assert_eq(run(MIKEYCTL_PROGRAM " --config mikeyd.yaml audit export-key --out key.pem"), 0);
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit verify audit.jsonl --public-key key.pem --strict"),
                 0);
    cr_assert_eq(run("grep -q 'covered up to record' out"), 0);
    cr_assert_eq(run("sed -i '50s/test/tast/' audit.jsonl"), 0);
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit verify audit.jsonl --public-key key.pem --json"), 2);
    cr_assert_eq(run("grep -q '\"kind\":\"changed\"' out"), 0);
}

static void enter_with_rsa(void)
{
    cr_assert(token_fixture_softhsm(&fixture, "audit"));
    make_key("main", 3072);
    write_log("main");
    write_config();
}

/* Also with the tools of any Unix, as audit/audit.h says. */
Test(audit_token_key, rsa_key_proves_the_log, .init = enter_with_rsa, .fini = leave)
{
    cr_assert_eq(run(MIKEYCTL_PROGRAM " --config mikeyd.yaml audit export-key --out key.pem"), 0);
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit verify audit.jsonl --public-key key.pem --strict"),
                 0);
    cr_assert_eq(run("grep -q 'covered up to record' out"), 0);
    cr_assert_eq(run("grep checkpoint audit.jsonl | tail -1 > line && "
                     "field() { sed -E \"s/.*\\\"$1\\\":\\\"?([^,\\\"]*).*/\\1/\" line; } && "
                     "head=$(sed -E 's/,\"signature\":.*//' line | head -c -1 | sha256sum | "
                     "cut -c1-64) && "
                     "printf 'mikeyd audit checkpoint 2\\n%s\\n%s\\n%s\\n' $(field covers) "
                     "$(field chain) $head > text && "
                     "field signature | base64 -d > signature && "
                     "openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 "
                     "-verify key.pem -signature signature text"),
                 0);
    cr_assert_eq(run("sed -i '50s/test/tast/' audit.jsonl"), 0);
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit verify audit.jsonl --public-key key.pem"), 2);
}

Test(audit_token_key, short_rsa_key_is_refused, .init = enter_with_rsa, .fini = leave)
{
    cr_assert_eq(run("openssl genrsa 2048 2>/dev/null | openssl rsa -pubout -out key.pem"), 0);
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit verify audit.jsonl --public-key key.pem 2>why"), 1);
    cr_assert_eq(run("grep -q 'RSA of 3072 to 4096 bits' why"), 0);
}

Test(audit_token_key, another_key_does_not, .init = enter, .fini = leave)
{
    cr_assert_eq(
        run(MIKEYCTL_PROGRAM
            " --config mikeyd.yaml audit export-key --name other --generation 1 --out key.pem"),
        0);
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit verify audit.jsonl --public-key key.pem"), 2);
    cr_assert_eq(run("grep -q 'signature:' out"), 0);
    /* What is there is right, but it is not all: an argument. */
    cr_assert_eq(
        run("tail -n +3 audit.jsonl > late.jsonl && " MIKEYCTL_PROGRAM " audit verify late.jsonl"),
        1);
}

/* The definition in audit/audit.h, with the tools of any Unix. */
Test(audit_token_key, shell_commands_of_the_definition_hold, .init = enter, .fini = leave)
{
    cr_assert_eq(run(MIKEYCTL_PROGRAM " --config mikeyd.yaml audit export-key --out key.pem"), 0);
    cr_assert_eq(run("test $(head -1 audit.jsonl | head -c -76 | sha256sum | cut -c1-64) = "
                     "$(head -1 audit.jsonl | tail -c 68 | cut -c2-65)"),
                 0);
    cr_assert_eq(run("grep checkpoint audit.jsonl | tail -1 > line && "
                     "field() { sed -E \"s/.*\\\"$1\\\":\\\"?([^,\\\"]*).*/\\1/\" line; } && "
                     "head=$(sed -E 's/,\"signature\":.*//' line | head -c -1 | sha256sum | "
                     "cut -c1-64) && "
                     "printf 'mikeyd audit checkpoint 2\\n%s\\n%s\\n%s\\n' $(field covers) "
                     "$(field chain) $head > text && "
                     "field signature | base64 -d > signature && "
                     "openssl dgst -sha256 -verify key.pem -signature signature text"),
                 0);
}

/* A token lets anybody without a PIN put another public object in the place of ours. */
Test(audit_token_key, replaced_public_object_is_not_exported, .init = enter, .fini = leave)
{
    cr_assert_eq(setenv("MODULE", fixture.module, 1), 0);
    cr_assert_eq(run("openssl ecparam -name prime256v1 -genkey -noout -out own.pem && "
                     "openssl ec -in own.pem -pubout -outform DER -out own.der && "
                     "id=$(pkcs11-tool --module $MODULE --list-objects --type pubkey | "
                     "sed -nE '/mikeyd.audit.main/{n;s/.*ID: *//p}') && "
                     "pkcs11-tool --module $MODULE --delete-object --type pubkey "
                     "--label mikeyd/audit/main/1 && "
                     "pkcs11-tool --module $MODULE --write-object own.der --type pubkey "
                     "--label mikeyd/audit/main/1 --id $id"),
                 0, "without a PIN");
    cr_assert_eq(run(MIKEYCTL_PROGRAM " --config mikeyd.yaml audit export-key --out key.pem; "
                                      "test $? = 2 && grep -q 'somebody replaced it' err"),
                 0);
    cr_assert_eq(run("test ! -e key.pem"), 0);
}
