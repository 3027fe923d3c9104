/*
 * The fault module as a maker's module that it is not, from that maker's documents. Words of the
 * environment variable MIKEYD_FAULT_VENDOR, read when the module is loaded:
 *
 *     noreadonly        C_OpenSession: read-only sessions are refused
 *     writesessions     session objects are made in R/W sessions only (CKR_SESSION_READ_ONLY)
 *     hashkeys          HMAC keys have one hash: GENERIC_SECRET keys do not sign
 *     nosessionobjects  C_CreateObject, C_CopyObject: no session objects (CKR_FUNCTION_NOT_SUPPORTED)
 *     throttle=N        every N-th C_SignInit: CKR_DEVICE_ERROR, once
 *     bits              C_GetMechanismInfo: the least HMAC key is 64, and bits are meant
 *     maker=TEXT        C_GetTokenInfo: the manufacturer
 *     model=TEXT        and the model
 */
#ifndef TESTS_MODULE_FAULT_VENDOR_H
#define TESTS_MODULE_FAULT_VENDOR_H

#include <p11-kit/pkcs11.h>

/* Puts its functions in front of those of the list, for what the variable asks for. */
void fault_vendor_wrap(CK_FUNCTION_LIST *list);

#endif
