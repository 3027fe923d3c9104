/*
 * The stage of test_pkcs11_recover: a real token behind the fault module, which makes happen what goes
 * wrong in tokens. Suites `recover` (SoftHSM) and `recover_nss`.
 */
#ifndef RECOVER_STAGE_H
#define RECOVER_STAGE_H

#include "pkcs11/token/internal.h"
#include "support/fault_control.h"
#include "support/token_fixture.h"

#define KEYS 5

extern struct fault_control control;
extern struct token_fixture fixture;
extern struct token_config config;
extern struct token *token;
extern struct token_session *session;
extern uint8_t psk[KEYS][32]; /* values of k0 to k4 */
extern const uint8_t message[22];

void plan(const char *text);
/* token, and one session of it. */
void open_token(void);
const struct token_key *find(unsigned index);
bool right_tag(unsigned index, const uint8_t *tag);
enum mikeyd_status sign_by(struct token_session *by, const struct token_key *key, uint8_t *tag,
                           struct error *err);
/* By the key of that number; a tag by another one fails the test. */
enum mikeyd_status sign(unsigned index, struct error *err);
/* Until the token is tried again, which it is not with every request. */
enum mikeyd_status sign_in_time(struct error *err);

#endif
