/*
 * A provider for OpenSSL whose random number generators are broken (provider-rand(7)). Which one is used
 * says RAND_set_DRBG_type(), or `random =` in openssl.cnf:
 *   ONE-BYTE   each byte is 0x5a
 *   SAME-BYTES every draw gives the same bytes, which look random
 *   NO-BYTES   is ready, but every draw fails
 *   NOT-UP     cannot be instantiated
 * As a module, with MIKEYD_FAULTY_RANDOM=NAME in the environment, it is broken in programs alone whose
 * name begins so, and gives the kernel's numbers in others.
 */
#ifndef TESTS_MODULE_FAULTY_RANDOM_H
#define TESTS_MODULE_FAULTY_RANDOM_H

#include <openssl/core.h>

OSSL_provider_init_fn OSSL_provider_init;

#endif
