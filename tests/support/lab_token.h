/*
 * The token of a laboratory, chosen for the whole run by the environment variable
 * MIKEYD_TEST_TOKEN: softhsm (also without the variable), nss, opencryptoki, or isolated (SoftHSM
 * behind p11-kit as user nobody).
 */
#ifndef TESTS_SUPPORT_LAB_TOKEN_H
#define TESTS_SUPPORT_LAB_TOKEN_H

#include "support/token_fixture.h"

/* What a test needs of the token; under a run on one that has it not, the test is skipped. */
enum lab_token {
    LAB_ANY,
    LAB_SIGNS,   /* no derivation in the token: SoftHSM, isolated or not, opencryptoki */
    LAB_DERIVES, /* HKDF and the MIKEY PRF in the token: NSS softokn */
};

/* The kind of this run; fails the test when the variable holds anything else. Skips the test when
 * the token is not what it needs, or this user cannot make it. */
enum token_fixture_kind lab_token_of_run(enum lab_token need);
/* For tests on opencryptoki whatever the run is on: skips the test, loudly, where it cannot be. */
void lab_token_need_opencryptoki(void);
bool lab_token_derives(const struct token_fixture *token);
/* Makes it or fails the test. An isolated one is not served yet. */
void lab_token_make(struct token_fixture *token, enum token_fixture_kind kind);
/* After provisioning: an isolated token goes to its server, or what is new in it does. */
void lab_token_provisioned(struct token_fixture *token);

#endif
