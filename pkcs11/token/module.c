/*
 * Modules are loaded raw (dlopen, C_GetFunctionList, C_Initialize) and not through libp11, which
 * attaches afterwards for the signer only. Two reasons. C_Initialize: libp11 passes the OASIS
 * argument struct, and NSS softokn reads one pointer past its end. p11-kit-client: each
 * C_GetFunctionList opens an independent connection, so the sessions, the login and the recovery
 * must all hang on the one function list that the HMAC calls use.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11/token/internal.h"

static struct token_module *modules;
static pthread_mutex_t modules_lock = PTHREAD_MUTEX_INITIALIZER;

static CK_RV module_initialise(struct token_module *module)
{
    struct mikeyd_initialize_args args = {.flags = CKF_OS_LOCKING_OK,
                                          .library_parameters = module->init_args};
    return module->f->C_Initialize(&args);
}

/* A module that libp11 or another token of this process has initialised serves as well. */
static bool initialised(CK_RV rv)
{
    return rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED;
}

static enum mikeyd_status module_load(struct token_module *module, struct error *err)
{
    /* NODELETE: modules leave threads, thread-specific data and atexit handlers behind. */
    module->library = dlopen(module->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (module->library == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s: %s", module->path, dlerror());
    CK_C_GetFunctionList get_list = NULL;
    /* POSIX's own way to take a function from dlsym() without a cast ISO C forbids. */
    *(void **)&get_list = dlsym(module->library, "C_GetFunctionList");
    if (get_list == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s: no PKCS#11 module: %s", module->path,
                         dlerror());
    CK_RV rv = get_list(&module->f);
    if (rv != CKR_OK || module->f == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s: C_GetFunctionList: %s", module->path,
                         ckr_name(rv));
    rv = module_initialise(module);
    if (!initialised(rv))
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s: C_Initialize: %s", module->path,
                         ckr_name(rv));
    atomic_store(&module->initialisations, 1);
    return MIKEYD_OK;
}

static void module_free(struct token_module *module)
{
    if (atomic_load(&module->initialisations) != 0)
        (void)module->f->C_Finalize(NULL);
    if (module->library != NULL)
        (void)dlclose(module->library);
    (void)pthread_mutex_destroy(&module->recovery);
    (void)pthread_mutex_destroy(&module->serial);
    free(module->path);
    free(module->init_args);
    free(module);
}

static struct token_module *module_new(const char *path, const char *init_args)
{
    struct token_module *module = calloc(1, sizeof *module);
    if (module == NULL)
        return NULL;
    (void)pthread_mutex_init(&module->recovery, NULL);
    (void)pthread_mutex_init(&module->serial, NULL);
    module->path = strdup(path);
    module->init_args = init_args == NULL ? NULL : strdup(init_args);
    if (module->path == NULL || (init_args != NULL && module->init_args == NULL)) {
        module_free(module);
        return NULL;
    }
    return module;
}

static bool same_args(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static enum mikeyd_status module_find_or_load(const char *path, const char *init_args,
                                              struct token_module **out, struct error *err)
{
    for (struct token_module *module = modules; module != NULL; module = module->next) {
        if (strcmp(module->path, path) != 0)
            continue;
        if (!same_args(module->init_args, init_args))
            return error_set(err, MIKEYD_INVALID_ARGUMENT,
                             "module %s is loaded already with other init_args", path);
        module->users++;
        *out = module;
        return MIKEYD_OK;
    }
    struct token_module *module = module_new(path, init_args);
    if (module == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    enum mikeyd_status status = module_load(module, err);
    if (status != MIKEYD_OK) {
        module_free(module);
        return status;
    }
    module->users = 1;
    module->next = modules;
    modules = module;
    *out = module;
    return MIKEYD_OK;
}

enum mikeyd_status token_module_open(const char *path, const char *init_args,
                                     struct token_module **out, struct error *err)
{
    if (path == NULL || path[0] != '/')
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "module must be an absolute path");
    if (init_args != NULL && init_args[0] == '\0')
        init_args = NULL;
    (void)pthread_mutex_lock(&modules_lock);
    enum mikeyd_status status = module_find_or_load(path, init_args, out, err);
    (void)pthread_mutex_unlock(&modules_lock);
    return status;
}

void token_module_close(struct token_module *module)
{
    if (module == NULL)
        return;
    (void)pthread_mutex_lock(&modules_lock);
    if (--module->users == 0) {
        struct token_module **link = &modules;
        while (*link != module)
            link = &(*link)->next;
        *link = module->next;
        module_free(module);
    }
    (void)pthread_mutex_unlock(&modules_lock);
}

/* A module that would not be finalised has kept its sessions, which nobody knows any more: with
 * every recovery it would have more, until there are none to be had. */
static void close_what_was_kept(struct token_module *module)
{
    for (struct token *token = module->tokens; token != NULL; token = token->next_on_module)
        (void)module->f->C_CloseAllSessions(token->slot);
}

enum mikeyd_status token_module_reinitialise(struct token_module *module, struct error *err)
{
    /* CKR_CRYPTOKI_NOT_INITIALIZED and device errors here are what brought us; go on. */
    (void)module->f->C_Finalize(NULL);
    CK_RV rv = module_initialise(module);
    if (!initialised(rv))
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s: C_Initialize: %s", module->path,
                         ckr_name(rv));
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
        close_what_was_kept(module);
    (void)atomic_fetch_add(&module->initialisations, 1);
    atomic_store(&module->session_objects, 0);
    return MIKEYD_OK;
}
