/* Who a client is, from its certificate. */
#ifndef GATE_NAME_H
#define GATE_NAME_H

#include <openssl/x509.h>

#include "base/error.h"
#include "base/identity.h"

#define NAME_MAX_LEN IDENTITY_MAX

/*
 * The certificate's one subject alternative name of type URI or, when it has none of these, its one
 * of type DNS, in lower case. NOT_ENTITLED when there is none, more than one, or one that is no
 * plain name (a wildcard, unprintable bytes): a certificate that could be two clients is neither.
 */
enum mikeyd_status name_of_certificate(const X509 *certificate, char out[NAME_MAX_LEN + 1],
                                       struct error *err);

#endif
