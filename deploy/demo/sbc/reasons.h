/* What a status of mikeyd means to a SIP caller. */
#ifndef SBC_REASONS_H
#define SBC_REASONS_H

#include <mikeyd/client.h>

struct reason {
    int code; /* SIP status */
    const char *phrase;
    bool later; /* the same may work in a moment: Retry-After */
};

/* Never 2xx, not even for MIKEYD_OK: it is asked for when something failed. */
struct reason reason_for(enum mikeyd_status status);

#endif
