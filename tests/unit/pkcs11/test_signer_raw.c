/*
 * Signing by calls of our own: where p11-kit's client gives libp11 a connection without a login,
 * and, made to, on tokens in the process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/pem.h>

#include "pkcs11/token/signer_internal.h"
#include "provision_support.h"

static struct bench b;
static struct token *remote; /* the bench's token in a server process, or behind the fault module */
static pid_t server;
static char plan_path[96];
static struct error err;
static const uint8_t digest[32] = {9, 8, 7, 6, 5, 4, 3, 2, 1};

/* ---- the stage */

static void make_audit_key(void)
{
    cr_assert_eq(provision_generate_audit_key(b.session, "log", 1, 256, &err), MIKEYD_OK, "%s",
                 err.text);
}

static void softhsm(void)
{
    bench_softhsm(&b);
    make_audit_key();
}

static void nss(void)
{
    bench_nss(&b);
    make_audit_key();
}

static void start_server(const char *path)
{
    char uri[160];
    (void)snprintf(uri, sizeof uri, "%s?write-protected=yes", b.fixture.uri);
    server = fork();
    cr_assert_geq(server, 0);
    if (server == 0) {
        (void)execlp("p11-kit", "p11-kit", "server", "-f", "-n", path, "--provider",
                     b.fixture.module, uri, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 250 && access(path, F_OK) != 0; i++)
        (void)usleep(20000);
    cr_assert_eq(access(path, F_OK), 0, "p11-kit server did not start");
}

static void open_remote(const char *module)
{
    struct token_config config = token_fixture_config(&b.fixture);
    config.module = module;
    cr_assert_eq(token_open(&config, &remote, &err), MIKEYD_OK, "%s", err.text);
}

/* The token through its own module for the ceremony, and through p11-kit for the daemon. */
static void behind_p11_kit(void)
{
    char path[96], address[128];
    bench_softhsm(&b);
    (void)snprintf(path, sizeof path, "%s/socket", b.fixture.dir);
    (void)snprintf(address, sizeof address, "unix:path=%s", path);
    start_server(path);
    cr_assert_eq(setenv("P11_KIT_SERVER_ADDRESS", address, 1), 0);
}

static void plan(const char *text)
{
    FILE *file = fopen(plan_path, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static void behind_faults(void)
{
    softhsm();
    (void)snprintf(plan_path, sizeof plan_path, "%s/plan", b.fixture.dir);
    plan("# nothing\n");
    cr_assert_eq(setenv("MIKEYD_FAULT_PLAN", plan_path, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULT_REAL", b.fixture.module, 1), 0);
    open_remote(FAULT_MODULE);
}

static void teardown(void)
{
    token_close(remote);
    bench_close(&b);
    if (server > 0) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
    }
}

TestSuite(raw_p11_kit, .init = behind_p11_kit, .fini = teardown, .timeout = 60);
TestSuite(raw_faults, .init = behind_faults, .fini = teardown, .timeout = 60);
TestSuite(raw_softhsm, .init = softhsm, .fini = teardown, .timeout = 60);
TestSuite(raw_nss, .init = nss, .fini = teardown, .timeout = 60);

static struct token_signer *signer_open(struct token *token)
{
    struct token_signer *signer = NULL;
    cr_assert_eq(token_signer_open(token, "log", 1, &signer, &err), MIKEYD_OK, "%s", err.text);
    return signer;
}

/* As if libp11 had not seen the private key; the keys are loaded anew at the next signature. */
static struct token_signer *signer_open_raw(struct token *token)
{
    struct token_signer *signer = signer_open(token);
    cr_assert_eq(signer->way, &signer_way_libp11);
    signer->way = &signer_way_raw;
    signer->generation = 0;
    return signer;
}

static EVP_PKEY *public_key(struct token_signer *signer)
{
    char *pem = token_signer_public_pem(signer);
    cr_assert_not_null(pem);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    cr_assert_not_null(key);
    BIO_free(bio);
    free(pem);
    return key;
}

static void expect_signature(struct token_signer *signer)
{
    uint8_t signature[128];
    size_t len = sizeof signature;
    cr_assert_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_OK, "%s",
                 err.text);
    EVP_PKEY *key = public_key(signer);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    cr_assert_eq(EVP_PKEY_verify_init(context), 1);
    cr_assert_eq(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()), 1);
    cr_expect_eq(EVP_PKEY_verify(context, signature, len, digest, sizeof digest), 1);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
}

/* ---- a token that gives no further session: libp11 would wait for one for ever */

Test(raw_faults, signs_by_the_session_that_it_has_when_there_is_no_other)
{
    cr_assert_eq(token_check_health(remote, &err), MIKEYD_OK, "%s", err.text);
    plan("* 1+ sessions 1\n");
    struct token_signer *signer = signer_open(remote);
    cr_expect_eq(signer->way, &signer_way_raw);
    expect_signature(signer);
    token_signer_close(signer);
}

Test(raw_faults, is_refused_at_once_when_there_is_no_session_at_all)
{
    struct token_signer *signer = NULL;
    plan("* 1+ sessions 1\n");
    cr_expect_eq(token_signer_open(remote, "log", 1, &signer, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "CKR_SESSION_COUNT"), "%s", err.text);
    plan("# nothing\n");
    signer = signer_open(remote);
    expect_signature(signer);
    token_signer_close(signer);
}

/* ---- a connection of its own for libp11, without a login */

Test(raw_p11_kit, signs_where_libp11_sees_no_private_key)
{
    make_audit_key();
    open_remote(P11_KIT_CLIENT);
    struct token_signer *signer = signer_open(remote);
    cr_expect_eq(signer->way, &signer_way_raw);
    for (int i = 0; i < 20; i++)
        expect_signature(signer);
    token_signer_close(signer);
}

Test(raw_p11_kit, has_the_public_key_that_libp11_has)
{
    make_audit_key();
    open_remote(P11_KIT_CLIENT);
    struct token_signer *near = signer_open(b.token), *far = signer_open(remote);
    cr_assert_eq(near->way, &signer_way_libp11);
    cr_assert_eq(far->way, &signer_way_raw);
    EVP_PKEY *one = public_key(near), *other = public_key(far);
    cr_expect_eq(EVP_PKEY_eq(one, other), 1);
    EVP_PKEY_free(one);
    EVP_PKEY_free(other);
    token_signer_close(near);
    token_signer_close(far);
}

Test(raw_p11_kit, missing_key_is_named)
{
    struct token_signer *signer = NULL;
    cr_assert_eq(provision_generate_audit_key(b.session, "other", 1, 256, &err), MIKEYD_OK);
    open_remote(P11_KIT_CLIENT);
    cr_expect_eq(token_signer_open(remote, "log", 1, &signer, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "no private key mikeyd/audit/log/1"), "%s", err.text);
}

Test(raw_p11_kit, signs_on_after_a_reinitialisation)
{
    struct token_session *session = NULL;
    make_audit_key();
    open_remote(P11_KIT_CLIENT);
    struct token_signer *signer = signer_open(remote);
    expect_signature(signer);
    cr_assert_eq(token_session_acquire(remote, 1000, &session, &err), MIKEYD_OK);
    cr_assert_eq(token_recover(session, CKR_CRYPTOKI_NOT_INITIALIZED, &err), MIKEYD_OK, "%s",
                 err.text);
    token_session_release(session);
    cr_expect_gt(token_generation(remote), 1);
    expect_signature(signer);
    cr_expect_eq(token_check_health(remote, &err), MIKEYD_OK, "%s", err.text);
    expect_signature(signer);
    token_signer_close(signer);
}

Test(raw_p11_kit, other_key_under_the_label_does_not_sign)
{
    uint8_t signature[128];
    size_t len = sizeof signature;
    unsigned objects = 0;
    make_audit_key();
    open_remote(P11_KIT_CLIENT);
    struct token_signer *signer = signer_open(remote);
    expect_signature(signer);
    cr_assert_eq(provision_destroy_name(b.session, TOKEN_AUDIT, "log", 1, &objects, &err),
                 MIKEYD_OK, "%s", err.text);
    make_audit_key();
    cr_expect_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "another key than before"), "%s", err.text);
    cr_expect_eq(len, sizeof signature);
    token_signer_close(signer);
}

/* ---- what tokens give for points and signatures */

static void expect_raw_signs(void)
{
    struct token_signer *signer = signer_open_raw(b.token);
    for (int i = 0; i < 20; i++)
        expect_signature(signer);
    token_signer_close(signer);
}

Test(raw_softhsm, signs)
{
    expect_raw_signs();
}

Test(raw_nss, signs)
{
    expect_raw_signs();
}

/* A context of libp11 is never given back: one for each re-initialisation would add up. */
Test(raw_softhsm, libp11_is_loaded_once)
{
    struct token_signer *signer = signer_open(b.token);
    cr_assert_eq(signer->way, &signer_way_libp11);
    expect_signature(signer);
    signer->generation = 0;
    expect_signature(signer);
    cr_expect_eq(signer->way, &signer_way_raw);
    token_signer_close(signer);
}

/* The ceremony refuses to make one; another program may. */
static void make_second_public_key(const char *label)
{
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t params[sizeof p256], point[67] = {0x04, 65};
    size_t len = 0;
    cr_assert_eq(EVP_PKEY_get_octet_string_param(key, "pub", point + 2, 65, &len), 1);
    cr_assert_eq(len, 65);
    EVP_PKEY_free(key);
    memcpy(params, p256, sizeof params);
    CK_OBJECT_CLASS object_class = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_BBOOL yes = CK_TRUE;
    char text[TOKEN_LABEL_MAX];
    (void)snprintf(text, sizeof text, "%s", label);
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &object_class, sizeof object_class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &yes, sizeof yes},
        {CKA_LABEL, text, (CK_ULONG)strlen(text)},
        {CKA_EC_PARAMS, params, sizeof params},
        {CKA_EC_POINT, point, sizeof point},
    };
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    cr_assert_eq(token_call_begin(b.session, "test", NULL), MIKEYD_OK);
    CK_RV rv = b.token->f->C_CreateObject(b.session->handle, template, 6, &made);
    token_call_end(b.session);
    cr_assert_eq(rv, CKR_OK, "%s", ckr_name(rv));
}

/* The token may list them in any order. */
static CK_RV find_backwards(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *out, CK_ULONG max,
                            CK_ULONG *count)
{
    CK_RV rv = b.token->module->f->C_FindObjects(handle, out, max, count);
    for (CK_ULONG i = 0; rv == CKR_OK && i < *count / 2; i++) {
        const CK_OBJECT_HANDLE other = out[i];
        out[i] = out[*count - 1 - i];
        out[*count - 1 - i] = other;
    }
    return rv;
}

/* Anybody can make one, without a PIN: it neither stops the signatures nor becomes their key. */
Test(raw_softhsm, second_public_key_of_that_label_changes_nothing)
{
    struct token_signer *signer = signer_open_raw(b.token);
    expect_signature(signer);
    EVP_PKEY *before = public_key(signer);
    make_second_public_key(token_signer_label(signer));
    CK_FUNCTION_LIST backwards = *b.token->f;
    backwards.C_FindObjects = find_backwards;
    b.token->f = &backwards;
    signer->generation = 0;
    expect_signature(signer);
    struct token_signer *later = signer_open(b.token);
    expect_signature(later);
    EVP_PKEY *after = public_key(later);
    cr_expect_eq(EVP_PKEY_eq(before, after), 1);
    b.token->f = b.token->module->f;
    EVP_PKEY_free(before);
    EVP_PKEY_free(after);
    token_signer_close(later);
    token_signer_close(signer);
}

Test(raw_softhsm, too_small_a_buffer_is_an_error)
{
    uint8_t signature[64];
    size_t len = sizeof signature;
    struct token_signer *signer = signer_open_raw(b.token);
    cr_expect_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_TOKEN_DOWN);
    token_signer_close(signer);
}

/* ---- failures */

Test(raw_faults, signature_that_does_not_verify_is_not_returned)
{
    uint8_t signature[128];
    size_t len = sizeof signature;
    struct token_signer *signer = signer_open_raw(remote);
    plan("C_Sign 1+ corrupt\n");
    cr_expect_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_TOKEN_DOWN);
    plan("# nothing\n");
    expect_signature(signer);
    plan("C_Sign 1 corrupt\n");
    expect_signature(signer);
    token_signer_close(signer);
}

/* An operation that C_Sign left active cannot be cancelled: the session is replaced. */
Test(raw_faults, failed_call_is_made_again_in_another_session)
{
    struct token_signer *signer = signer_open_raw(remote);
    expect_signature(signer);
    const uint64_t openings = remote->guest.openings;
    plan("C_Sign 1 rv 0x05\n");
    expect_signature(signer);
    cr_expect_eq(remote->guest.openings, openings + 1);
    token_signer_close(signer);
}

Test(raw_faults, call_that_keeps_failing_is_named)
{
    uint8_t signature[128];
    size_t len = sizeof signature;
    struct token_signer *signer = signer_open_raw(remote);
    expect_signature(signer);
    plan("C_Sign 1+ rv 0x30\n");
    cr_expect_eq(token_signer_sign(signer, digest, signature, &len, &err), MIKEYD_TOKEN_DOWN);
    cr_expect_not_null(strstr(err.text, "C_Sign"), "%s", err.text);
    cr_expect_not_null(strstr(err.text, "CKR_DEVICE_ERROR"), "%s", err.text);
    token_signer_close(signer);
}
