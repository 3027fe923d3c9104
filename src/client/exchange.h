/* What an answer of the daemon becomes: the public exchange object, in private memory. */
#ifndef CLIENT_EXCHANGE_H
#define CLIENT_EXCHANGE_H

#include <mikeyd/client.h>

#include "base/error.h"
#include "rpc/mikeyd.pb-c.h"

/* INTERNAL when a field is out of its range: nothing of a wrong answer reaches the caller. */
enum mikeyd_status exchange_make(const Mikeyd__Exchange *answer, mikeyd_exchange **out,
                                 struct error *err);

#endif
