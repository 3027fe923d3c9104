/* What the files of the token fixture share. */
#ifndef TESTS_SUPPORT_TOKEN_FIXTURE_INTERNAL_H
#define TESTS_SUPPORT_TOKEN_FIXTURE_INTERNAL_H

#include "support/token_fixture.h"

/* A shell command, which is shown when it fails. */
bool token_fixture_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Zeroes the fixture; its folder and the PIN file. */
bool token_fixture_begin(struct token_fixture *fixture, enum token_fixture_kind kind,
                         const char *pin);

#endif
