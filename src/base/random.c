#include "base/random.h"

#include <stdint.h>

#include <openssl/rand.h>

#include "base/secret.h"

#define DRAW 32
#define DRAWS 4

/* From the generator for public numbers and from that for keys: they are two, with a state each. */
static bool draw_all(uint8_t drawn[DRAWS][DRAW])
{
    for (size_t i = 0; i < DRAWS; i++) {
        if ((i % 2 == 0 ? RAND_bytes(drawn[i], DRAW) : RAND_priv_bytes(drawn[i], DRAW)) != 1)
            return false;
    }
    return true;
}

/* Any equality is the fault, so that nothing is gained by hiding where it was found. */
static const char *judge(const uint8_t drawn[DRAWS][DRAW])
{
    for (size_t i = 0; i < DRAWS; i++) {
        /* Each byte is equal to the next one. */
        if (secret_equal(drawn[i], drawn[i] + 1, DRAW - 1))
            return "gives one byte again and again";
        for (size_t j = 0; j < i; j++) {
            if (secret_equal(drawn[i], drawn[j], DRAW))
                return "gave the same 32 bytes twice";
        }
    }
    return NULL;
}

enum mikeyd_status random_check(struct error *err)
{
    uint8_t drawn[DRAWS][DRAW];
    const char *fault = NULL;
    if (RAND_status() != 1)
        fault = "is not up";
    else if (!draw_all(drawn))
        fault = "gives no bytes";
    else
        fault = judge(drawn);
    secret_wipe(drawn, sizeof drawn);
    if (fault == NULL)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INTERNAL,
                     "OpenSSL's random number generator %s: see openssl.cnf (OPENSSL_CONF, its "
                     "sections [random] and providers) and the kernel's random numbers",
                     fault);
}
