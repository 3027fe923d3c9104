#include "bench/floor.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include "base/clock.h"
#include "base/secret.h"
#include "pkcs11/token/pkcs11_v3.h"

/* NSS softokn's initialisation arguments: one member more than the standard's, before the reserved
 * one. */
struct nss_initialize_args {
    CK_C_INITIALIZE_ARGS standard; /* its pReserved stands where NSS has LibraryParameters */
    void *reserved;
};

struct floor {
    CK_FUNCTION_LIST *f;
    CK_SLOT_ID slot;
    CK_OBJECT_HANDLE psk;
    struct floor_mix mix;
    unsigned per_thread;
    CK_RV failed;
};

static CK_OBJECT_HANDLE session_key(struct floor *fl, CK_SESSION_HANDLE session, CK_ULONG len)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE value[32] = {1, 2, 3};
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_TOKEN, &no, sizeof no},       {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &yes, sizeof yes},      {CKA_DERIVE, &yes, sizeof yes},
        {CKA_VALUE, value, len},
    };
    CK_OBJECT_HANDLE object = 0;
    CK_RV rv =
        fl->f->C_CreateObject(session, template, sizeof template / sizeof template[0], &object);
    if (rv != CKR_OK)
        fl->failed = rv;
    return object;
}

static void sign(struct floor *fl, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_ULONG len)
{
    CK_MECHANISM mechanism = {fl->mix.hash_bytes == 20 ? CKM_SHA_1_HMAC : CKM_SHA256_HMAC, NULL, 0};
    CK_BYTE data[256] = {0}, tag[32];
    CK_ULONG tag_len = sizeof tag;
    CK_RV rv = fl->f->C_SignInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = fl->f->C_Sign(session, data, len, tag, &tag_len);
    if (rv != CKR_OK)
        fl->failed = rv;
}

/* MIKEY's PRF in the token: a key that signs, or an AES key. */
static CK_OBJECT_HANDLE derive(struct floor *fl, CK_SESSION_HANDLE session, bool aes)
{
    CK_BYTE label[25] = {0};
    struct mikeyd_prf_data_param data[] = {{MIKEYD_SP800_108_ITERATION_VARIABLE, NULL, 0},
                                           {MIKEYD_SP800_108_BYTE_ARRAY, label, sizeof label}};
    struct mikeyd_sp800_108_kdf_params params = {
        .prf_type = fl->mix.hash_bytes == 20 ? CKM_SHA_1_HMAC : CKM_SHA256_HMAC,
        .data_param_count = 2,
        .data_params = data};
    CK_MECHANISM mechanism = {MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF, &params, sizeof params};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = aes ? CKK_AES : CKK_GENERIC_SECRET;
    CK_ULONG len = aes && fl->mix.hash_bytes == 20 ? 16 : fl->mix.hash_bytes;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &len, sizeof len}, {CKA_TOKEN, &no, sizeof no},
        {CKA_SENSITIVE, &yes, sizeof yes}, {aes ? CKA_ENCRYPT : CKA_SIGN, &yes, sizeof yes},
    };
    CK_OBJECT_HANDLE object = 0;
    CK_RV rv = fl->f->C_DeriveKey(session, &mechanism, fl->psk, template,
                                  sizeof template / sizeof template[0], &object);
    if (rv != CKR_OK)
        fl->failed = rv;
    return object;
}

static void encrypt(struct floor *fl, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_AES_CTR_PARAMS params = {.ulCounterBits = 128};
    CK_MECHANISM mechanism = {CKM_AES_CTR, &params, sizeof params};
    CK_BYTE data[36] = {0};
    CK_ULONG len = sizeof data;
    CK_RV rv = fl->f->C_EncryptInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = fl->f->C_Encrypt(session, data, sizeof data, data, &len);
    if (rv != CKR_OK)
        fl->failed = rv;
}

static void destroy(struct floor *fl, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_RV rv = fl->f->C_DestroyObject(session, object);
    if (rv != CKR_OK)
        fl->failed = rv;
}

static void one_message(struct floor *fl, CK_SESSION_HANDLE session)
{
    const struct floor_mix *mix = &fl->mix;
    /* Half of a PRF's calls see the label (25 bytes), half the previous value and the label. */
    for (unsigned k = 0; k < mix->hmacs; k++)
        sign(fl, session, fl->psk, k % 2 == 0 ? 25 : mix->hash_bytes + 25);
    if (mix->derives > 1) {
        CK_OBJECT_HANDLE aes = derive(fl, session, true);
        encrypt(fl, session, aes);
        destroy(fl, session, aes);
    }
    if (mix->macs > 0) {
        CK_OBJECT_HANDLE auth = mix->derives > 0 ? derive(fl, session, false)
                                                 : session_key(fl, session, mix->hash_bytes);
        for (unsigned k = 0; k < mix->macs; k++)
            sign(fl, session, auth, 200);
        destroy(fl, session, auth);
    }
}

static void *run(void *argument)
{
    struct floor *fl = argument;
    CK_SESSION_HANDLE session;
    CK_RV rv = fl->f->C_OpenSession(fl->slot, CKF_SERIAL_SESSION, NULL, NULL, &session);
    if (rv != CKR_OK) {
        fl->failed = rv;
        return NULL;
    }
    for (unsigned i = 0; i < fl->per_thread && fl->failed == CKR_OK; i++)
        one_message(fl, session);
    (void)fl->f->C_CloseSession(session);
    return NULL;
}

/* A pre-shared or pair key of the token itself, where the daemon works on those. */
static CK_OBJECT_HANDLE token_key(struct floor *fl, CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
                               {CKA_TOKEN, &yes, sizeof yes},
                               {CKA_SIGN, &yes, sizeof yes}};
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG found = 0;
    CK_RV rv = fl->f->C_FindObjectsInit(session, template, sizeof template / sizeof template[0]);
    if (rv == CKR_OK)
        rv = fl->f->C_FindObjects(session, &object, 1, &found);
    (void)fl->f->C_FindObjectsFinal(session);
    if (rv != CKR_OK || found != 1)
        fl->failed = rv != CKR_OK ? rv : CKR_KEY_HANDLE_INVALID;
    return object;
}

static enum mikeyd_status find_slot(struct floor *fl, const char *uri_text, struct error *err)
{
    P11KitUri *uri = p11_kit_uri_new();
    CK_SLOT_ID slots[64];
    CK_ULONG count = sizeof slots / sizeof slots[0];
    bool found = false;
    if (uri != NULL && p11_kit_uri_parse(uri_text, P11_KIT_URI_FOR_TOKEN, uri) == P11_KIT_URI_OK &&
        fl->f->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK) {
        for (CK_ULONG i = 0; i < count && !found; i++) {
            CK_TOKEN_INFO info;
            found = fl->f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
                    p11_kit_uri_match_token_info(uri, &info);
            fl->slot = slots[i];
        }
    }
    p11_kit_uri_free(uri);
    return found ? MIKEYD_OK : error_set(err, MIKEYD_TOKEN_DOWN, "no token matches %s", uri_text);
}

static enum mikeyd_status login(struct floor *fl, const char *pin_file, CK_SESSION_HANDLE *session,
                                struct error *err)
{
    char pin[256] = "";
    FILE *file = fopen(pin_file, "r");
    if (file == NULL || fgets(pin, sizeof pin, file) == NULL) {
        if (file != NULL)
            fclose(file);
        return error_set(err, MIKEYD_TOKEN_DOWN, "cannot read %s", pin_file);
    }
    fclose(file);
    CK_RV rv =
        fl->f->C_OpenSession(fl->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session);
    if (rv == CKR_OK)
        rv = fl->f->C_Login(*session, CKU_USER, (CK_UTF8CHAR *)pin, strcspn(pin, "\r\n"));
    secret_wipe(pin, sizeof pin);
    return rv == CKR_OK ? MIKEYD_OK : error_set(err, MIKEYD_TOKEN_DOWN, "login: CKR 0x%lx", rv);
}

/* The bare module, ready for calls, and a session that is logged in. */
static enum mikeyd_status open_bare(struct floor *fl, const struct token_config *config,
                                    CK_SESSION_HANDLE *session, struct error *err)
{
    void *library = dlopen(config->module, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = NULL;
    if (library != NULL)
        *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (get == NULL || get(&fl->f) != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "cannot load %s", config->module);
    struct nss_initialize_args args = {.standard.flags = CKF_OS_LOCKING_OK};
    char *parameters = NULL;
    if (config->init_args != NULL && config->init_args[0] != '\0')
        args.standard.pReserved = parameters = strdup(config->init_args);
    CK_RV rv = fl->f->C_Initialize(&args);
    free(parameters);
    if (rv != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "C_Initialize: CKR 0x%lx", rv);
    enum mikeyd_status status = find_slot(fl, config->uri, err);
    return status != MIKEYD_OK ? status : login(fl, config->pin_file, session, err);
}

enum mikeyd_status floor_measure(const struct token_config *config, const struct floor_mix *mix,
                                 unsigned count, double *per_second, struct error *err)
{
    struct floor fl = {.mix = *mix, .failed = CKR_OK};
    CK_SESSION_HANDLE session = 0;
    enum mikeyd_status status = open_bare(&fl, config, &session, err);
    if (status == MIKEYD_OK) {
        unsigned threads = config->sessions == 0 ? 1 : config->sessions;
        pthread_t *thread = calloc(threads, sizeof *thread);
        unsigned started = 0;
        fl.psk = mix->session_copies ? session_key(&fl, session, 32) : token_key(&fl, session);
        fl.per_thread = (count + threads - 1) / threads;
        int64_t begin = clock_monotonic_us();
        while (thread != NULL && started < threads &&
               pthread_create(&thread[started], NULL, run, &fl) == 0)
            started++;
        for (unsigned i = 0; i < started; i++)
            (void)pthread_join(thread[i], NULL);
        double seconds = (double)(clock_monotonic_us() - begin) / 1e6;
        *per_second = (double)fl.per_thread * started / seconds;
        free(thread);
        if (fl.failed != CKR_OK || started != threads)
            status =
                error_set(err, MIKEYD_TOKEN_DOWN, "bare token calls failed: CKR 0x%lx", fl.failed);
    }
    if (fl.f != NULL)
        (void)fl.f->C_Finalize(NULL);
    return status;
}

/* Label and ID of every secret key. */
static CK_RV read_keys(struct floor *fl, CK_SESSION_HANDLE session, size_t *keys)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_ATTRIBUTE all = {CKA_CLASS, &class, sizeof class};
    CK_OBJECT_HANDLE objects[64];
    CK_ULONG found = 0;
    CK_RV rv = fl->f->C_FindObjectsInit(session, &all, 1);
    while (rv == CKR_OK) {
        rv = fl->f->C_FindObjects(session, objects, 64, &found);
        if (rv != CKR_OK || found == 0)
            break;
        for (CK_ULONG i = 0; i < found && rv == CKR_OK; i++) {
            char label[256], id[64];
            CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label, sizeof label}, {CKA_ID, id, sizeof id}};
            rv = fl->f->C_GetAttributeValue(session, objects[i], wanted, 2);
        }
        *keys += found;
    }
    (void)fl->f->C_FindObjectsFinal(session);
    return rv;
}

enum mikeyd_status floor_read_keys(const struct token_config *config, double *seconds, size_t *keys,
                                   struct error *err)
{
    struct floor fl = {.failed = CKR_OK};
    CK_SESSION_HANDLE session = 0;
    *keys = 0;
    const int64_t begin = clock_monotonic_us();
    enum mikeyd_status status = open_bare(&fl, config, &session, err);
    const CK_RV rv = status == MIKEYD_OK ? read_keys(&fl, session, keys) : CKR_OK;
    *seconds = (double)(clock_monotonic_us() - begin) / 1e6;
    if (rv != CKR_OK)
        status = error_set(err, MIKEYD_TOKEN_DOWN, "keys cannot be read: CKR 0x%lx", rv);
    if (fl.f != NULL)
        (void)fl.f->C_Finalize(NULL);
    return status;
}
