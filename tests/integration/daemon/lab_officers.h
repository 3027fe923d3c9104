/* Officers of a laboratory: their keys, their lines in mikeyd.yaml, their signatures. What fails, fails
 * the test. */
#ifndef TESTS_DAEMON_LAB_OFFICERS_H
#define TESTS_DAEMON_LAB_OFFICERS_H

#include "lab.h"

/* DIR/NAME.key and DIR/NAME.pem; type: "ED25519" or "EC" (P-256). */
void lab_officer_make(const struct lab *lab, const char *name, const char *type);
/* mikeyd.yaml, and the ceremony's, with these officers (a list ending in NULL); more: further lines. */
void lab_officers_configure(struct lab *lab, const char *const names[], unsigned signatures,
                            const char *more);
/* The policy with this serial; text: further lines. */
void lab_policy_with_serial(struct lab *lab, unsigned serial, const char *text);
/* mikeyctl policy sign by this officer with the key in DIR/KEY.key: its exit status. */
int lab_policy_sign(struct lab *lab, const char *officer, const char *key);
/* The same, which must succeed, with the officer's own key. */
void lab_policy_signed_by(struct lab *lab, const char *officer);

#endif
