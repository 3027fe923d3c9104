/* The pre-shared key method of RFC 3830 3.1. */
#include "mikey/label.h"
#include "mikey/method.h"

const struct mikey_method mikey_method_psk = {
    .name = "psk",
    .setting = "tgk: transported",
    .init_type = MIKEY_TYPE_PSK_INIT,
    .answer_type = MIKEY_TYPE_PSK_RESP,
    .rand_len = MIKEY_RAND_MIN, /* RFC 3830 6.11: at least 128 bits */
    .transports = true,
    .updates = true,
};
