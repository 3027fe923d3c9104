#include "recover_stage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <openssl/evp.h>

#include "base/secret.h"

struct token_fixture fixture;
struct token_config config;
struct token *token;
struct token_session *session;
uint8_t psk[KEYS][32];

struct fault_control control;

void plan(const char *text)
{
    fault_control_plan(&control, text);
}

static void stage(void)
{
    fault_control_make(&control, fixture.dir, "recover");
    fault_control_export(&control, fixture.module);
    for (uint8_t i = 0; i < KEYS; i++) {
        char name[8];
        memset(psk[i], 0x30 + i, sizeof psk[i]);
        (void)snprintf(name, sizeof name, "k%u", i);
        cr_assert(token_fixture_psk(&fixture, name, psk[i], sizeof psk[i]));
    }
    config = token_fixture_config(&fixture);
    config.module = FAULT_MODULE;
    config.call_timeout_ms = 300;
}

static void with_softhsm(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_softhsm(&fixture, "unit"));
    stage();
}

static void with_nss(void)
{
    cr_assert_eq(secret_heap_init(1 << 17, NULL), MIKEYD_OK);
    cr_assert(token_fixture_nss(&fixture));
    stage();
}

static void teardown(void)
{
    plan(FAULT_NOTHING);
    fault_control_end(&control);
    token_session_release(session);
    token_close(token);
    token_fixture_remove(&fixture);
}

TestSuite(recover, .init = with_softhsm, .fini = teardown);
TestSuite(recover_nss, .init = with_nss, .fini = teardown);

void open_token(void)
{
    struct error err = {0};
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 100, &session, &err), MIKEYD_OK, "%s", err.text);
}

const struct token_key *find(unsigned index)
{
    const struct token_key *key = NULL;
    struct error err = {0};
    char name[8];
    (void)snprintf(name, sizeof name, "k%u", index);
    cr_assert_eq(token_key_find(token, TOKEN_PSK, name, 1, &key, &err), MIKEYD_OK, "%s", err.text);
    return key;
}

const uint8_t message[22] = "a message of the peer";

bool right_tag(unsigned index, const uint8_t *tag)
{
    uint8_t want[HMAC_TAG_MAX];
    size_t len = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, psk[index], 32, message, sizeof message,
                     want, sizeof want, &len) != NULL &&
           memcmp(tag, want, sizeof want) == 0;
}

enum mikeyd_status sign_by(struct token_session *by, const struct token_key *key, uint8_t *tag,
                           struct error *err)
{
    struct hmac_job job = {.key = &key->block[0],
                           .hash = HMAC_SHA256,
                           .data = {message, NULL},
                           .len = {sizeof message, 0},
                           .tag = tag};
    return token_hmac_batch(by, &job, 1, err);
}

enum mikeyd_status sign(unsigned index, struct error *err)
{
    uint8_t tag[HMAC_TAG_MAX];
    enum mikeyd_status status = sign_by(session, find(index), tag, err);
    if (status == MIKEYD_OK)
        cr_assert(right_tag(index, tag), "signed with another key");
    return status;
}

enum mikeyd_status sign_in_time(struct error *err)
{
    enum mikeyd_status status = sign(0, err);
    for (int i = 0; i < 500 && status != MIKEYD_OK; i++) {
        usleep(20000);
        status = sign(0, err);
    }
    return status;
}
