#include "faulty_random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

enum fault { ONE_BYTE, SAME_BYTES, NO_BYTES, NOT_UP, NONE };

struct generator {
    enum fault fault;
    int state;
};

static void *make(enum fault fault)
{
    struct generator *g = calloc(1, sizeof *g);
    const char *program = getenv("MIKEYD_FAULTY_RANDOM");
    if (g == NULL)
        return NULL;
    g->state = EVP_RAND_STATE_UNINITIALISED;
    g->fault =
        program == NULL || strncmp(program, program_invocation_short_name, strlen(program)) == 0
            ? fault
            : NONE;
    return g;
}

#define MAKER(name, fault)                                                                         \
    static void *name(void *provider, void *parent, const OSSL_DISPATCH *calls)                    \
    {                                                                                              \
        (void)provider, (void)parent, (void)calls;                                                 \
        return make(fault);                                                                        \
    }
MAKER(make_one_byte, ONE_BYTE)
MAKER(make_same_bytes, SAME_BYTES)
MAKER(make_no_bytes, NO_BYTES)
MAKER(make_not_up, NOT_UP)

static int instantiate(void *generator, unsigned strength, int resistant, const unsigned char *text,
                       size_t text_len, const OSSL_PARAM params[])
{
    struct generator *g = generator;
    (void)strength, (void)resistant, (void)text, (void)text_len, (void)params;
    g->state = g->fault == NOT_UP ? EVP_RAND_STATE_ERROR : EVP_RAND_STATE_READY;
    return g->state == EVP_RAND_STATE_READY;
}

static int uninstantiate(void *generator)
{
    ((struct generator *)generator)->state = EVP_RAND_STATE_UNINITIALISED;
    return 1;
}

static int generate(void *generator, unsigned char *out, size_t len, unsigned strength,
                    int resistant, const unsigned char *more, size_t more_len)
{
    const struct generator *g = generator;
    (void)strength, (void)resistant, (void)more, (void)more_len;
    if (g->fault == NONE)
        return getrandom(out, len, 0) == (ssize_t)len;
    for (size_t i = 0; i < len; i++)
        out[i] = g->fault == ONE_BYTE ? 0x5a : (unsigned char)(i * i * 167 + i * 13 + 5);
    return g->fault == ONE_BYTE || g->fault == SAME_BYTES;
}

static int locking(void *generator)
{
    (void)generator;
    return 1;
}

static void unlock(void *generator)
{
    (void)generator;
}

static int get_params(void *generator, OSSL_PARAM params[])
{
    const struct generator *g = generator;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STATE);
    if (p != NULL && !OSSL_PARAM_set_int(p, g->state))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STRENGTH);
    if (p != NULL && !OSSL_PARAM_set_uint(p, 256))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_MAX_REQUEST);
    return p == NULL || OSSL_PARAM_set_size_t(p, 256); /* getrandom() gives so many at once */
}

#define ENTRY(id, function)                                                                        \
    {                                                                                              \
        id, (void (*)(void))(function)                                                             \
    }
#define FUNCTIONS(maker)                                                                           \
    {                                                                                              \
        ENTRY(OSSL_FUNC_RAND_NEWCTX, maker), ENTRY(OSSL_FUNC_RAND_FREECTX, free),                  \
            ENTRY(OSSL_FUNC_RAND_INSTANTIATE, instantiate),                                        \
            ENTRY(OSSL_FUNC_RAND_UNINSTANTIATE, uninstantiate),                                    \
            ENTRY(OSSL_FUNC_RAND_GENERATE, generate),                                              \
            ENTRY(OSSL_FUNC_RAND_ENABLE_LOCKING, locking), ENTRY(OSSL_FUNC_RAND_LOCK, locking),    \
            ENTRY(OSSL_FUNC_RAND_UNLOCK, unlock),                                                  \
            ENTRY(OSSL_FUNC_RAND_GET_CTX_PARAMS, get_params), {0, NULL},                           \
    }
static const OSSL_DISPATCH one_byte[] = FUNCTIONS(make_one_byte);
static const OSSL_DISPATCH same_bytes[] = FUNCTIONS(make_same_bytes);
static const OSSL_DISPATCH no_bytes[] = FUNCTIONS(make_no_bytes);
static const OSSL_DISPATCH not_up[] = FUNCTIONS(make_not_up);

static const OSSL_ALGORITHM generators[] = {
    {"ONE-BYTE", "provider=faulty", one_byte, NULL},
    {"SAME-BYTES", "provider=faulty", same_bytes, NULL},
    {"NO-BYTES", "provider=faulty", no_bytes, NULL},
    {"NOT-UP", "provider=faulty", not_up, NULL},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_RAND ? generators : NULL;
}

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **provider)
{
    static const OSSL_DISPATCH functions[] = {ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
                                              {0, NULL}};
    static int self;
    (void)handle, (void)in;
    *out = functions;
    *provider = &self;
    return 1;
}
