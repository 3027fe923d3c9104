/* mikeyctl key release-store: a token goes to another replay store. */
#include <stdio.h>

#include "mikeyctl/key.h"
#include "pkcs11/token/store_mark.h"

static enum mikeyd_status release(struct ceremony *ceremony, struct error *err)
{
    size_t released = 0;
    const char *detail = "the token's replay store is released: the next daemon that starts has it";
    /* Recorded first: it is what lets a second store answer for the same keys. */
    enum mikeyd_status status =
        ceremony_record(ceremony, AUDIT_STORE, MIKEYD_OK, NULL, detail, err);
    if (status == MIKEYD_OK)
        status = token_release_store(ceremony->session, &released, err);
    if (status != MIKEYD_OK)
        return status;
    (void)printf("released token %s from %s\n", ceremony->facts.label,
                 released == 0 ? "no replay store: it had none" : "its replay store");
    return MIKEYD_OK;
}

int key_release_store(const struct key_options *options)
{
    return ceremony_run(options, release);
}
