/* The objects of a token fixture, made and destroyed by raw PKCS#11 calls. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "pkcs11/token/pkcs11_v3.h"
#include "support/token_fixture.h"

struct raw {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE session;
    bool initialised; /* by us: finalised by us */
};

static CK_RV raw_find_slot(CK_FUNCTION_LIST *f, CK_SLOT_ID *slot)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CK_RV rv = f->C_GetSlotList(CK_TRUE, slots, &count);
    /* The last initialised one: NSS has its key database behind the generic crypto slot. */
    bool found = false;
    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO info;
        if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            (info.flags & CKF_TOKEN_INITIALIZED) != 0) {
            *slot = slots[i];
            found = true;
        }
    }
    return rv == CKR_OK && !found ? CKR_TOKEN_NOT_PRESENT : rv;
}

static CK_RV raw_login(struct raw *raw, CK_SLOT_ID slot, const char *pin_text)
{
    CK_UTF8CHAR pin[sizeof((struct token_fixture *)NULL)->pin];
    CK_RV rv =
        raw->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &raw->session);
    if (rv != CKR_OK)
        return rv;
    const size_t len = strlen(pin_text);
    memcpy(pin, pin_text, len);
    rv = raw->f->C_Login(raw->session, CKU_USER, pin, len);
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static bool raw_open(const struct token_fixture *f, struct raw *raw)
{
    *raw = (struct raw){0};
    void *library = dlopen(f->module, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    CK_C_GetFunctionList get_list = NULL;
    if (library == NULL)
        return false;
    *(void **)&get_list = dlsym(library, "C_GetFunctionList");
    if (get_list == NULL || get_list(&raw->f) != CKR_OK)
        return false;
    char args_text[sizeof f->init_args];
    (void)snprintf(args_text, sizeof args_text, "%s", f->init_args);
    struct mikeyd_initialize_args args = {
        .flags = CKF_OS_LOCKING_OK, .library_parameters = args_text[0] == '\0' ? NULL : args_text};
    CK_RV rv = raw->f->C_Initialize(&args);
    raw->initialised = rv == CKR_OK;
    CK_SLOT_ID slot = 0;
    if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
        rv = raw_find_slot(raw->f, &slot);
    if (rv == CKR_OK)
        rv = raw_login(raw, slot, f->pin);
    if (rv != CKR_OK)
        (void)fprintf(stderr, "token fixture: %s: 0x%lx\n", f->module, rv);
    return rv == CKR_OK;
}

static void raw_close(struct raw *raw)
{
    if (raw->f == NULL)
        return;
    (void)raw->f->C_CloseSession(raw->session);
    if (raw->initialised)
        (void)raw->f->C_Finalize(NULL);
}

static bool is_kind(const char *label, const char *kind)
{
    char prefix[32];
    int len = snprintf(prefix, sizeof prefix, "mikeyd/%s/", kind);
    return strncmp(label, prefix, (size_t)len) == 0;
}

static CK_BBOOL flag(bool on)
{
    return on ? CK_TRUE : CK_FALSE;
}

/* What the kind uses, so that a plain fixture key has no findings on SoftHSM. */
static CK_ULONG allowed_mechanisms(const char *label, CK_MECHANISM_TYPE out[4])
{
    if (is_kind(label, "epsk")) {
        out[0] = MIKEYD_CKM_HKDF_DERIVE;
        return 1;
    }
    out[0] = CKM_SHA256_HMAC;
    out[1] = CKM_SHA_1_HMAC;
    return is_kind(label, "psk") || is_kind(label, "pair") ? 2 : 1;
}

static CK_RV create(struct raw *raw, const struct token_fixture_key *key, bool with_allowed)
{
    uint8_t id[16];
    if (RAND_bytes(id, sizeof id) != 1)
        return CKR_GENERAL_ERROR;
    union {
        const void *in;
        void *out;
    } value = {.in = key->value}, label = {.in = key->label}, given_id = {.in = key->id},
      end_date = {.in = key->end_date};
    const bool signs = !key->no_sign && !is_kind(key->label, "epsk");
    const bool derives =
        !key->no_derive &&
        (is_kind(key->label, "epsk") || is_kind(key->label, "psk") || is_kind(key->label, "pair"));
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = key->key_type == 0 ? CKK_GENERIC_SECRET : key->key_type;
    CK_BBOOL no = CK_FALSE, token = flag(!key->session_object), private = flag(!key->not_private),
             sensitive = flag(!key->not_sensitive), extractable = flag(key->extractable),
             modifiable = flag(key->modifiable), wrap = flag(key->wrap),
             encrypt = flag(key->encrypt), sign = flag(signs), derive = flag(derives);
    CK_MECHANISM_TYPE allowed[4];
    CK_ULONG allowed_count = allowed_mechanisms(key->label, allowed);
    const size_t id_len = key->id_len == 0 ? sizeof id : key->id_len;
    CK_ATTRIBUTE template[20] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_LABEL, label.out, (CK_ULONG)strlen(key->label)},
        {CKA_ID, key->id == NULL ? id : given_id.out, (CK_ULONG)id_len},
        {CKA_VALUE, value.out, (CK_ULONG)key->len},
        {CKA_TOKEN, &token, sizeof token},
        {CKA_PRIVATE, &private, sizeof private},
        {CKA_SENSITIVE, &sensitive, sizeof sensitive},
        {CKA_EXTRACTABLE, &extractable, sizeof extractable},
        {CKA_MODIFIABLE, &modifiable, sizeof modifiable},
        {CKA_WRAP, &wrap, sizeof wrap},
        {CKA_UNWRAP, &no, sizeof no},
        {CKA_ENCRYPT, &encrypt, sizeof encrypt},
        {CKA_DECRYPT, &no, sizeof no},
        {CKA_SIGN, &sign, sizeof sign},
        {CKA_VERIFY, &no, sizeof no},
        {CKA_DERIVE, &derive, sizeof derive},
    };
    CK_ULONG count = 17;
    if (key->end_date != NULL)
        template[count++] = (CK_ATTRIBUTE){CKA_END_DATE, end_date.out, 8};
    if (with_allowed)
        template[count++] = (CK_ATTRIBUTE){CKA_ALLOWED_MECHANISMS, allowed,
                                           allowed_count * (CK_ULONG)sizeof allowed[0]};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    return raw->f->C_CreateObject(raw->session, template, count, &handle);
}

struct token_fixture_batch {
    struct raw raw;
};

struct token_fixture_batch *token_fixture_batch_open(const struct token_fixture *fixture)
{
    struct token_fixture_batch *batch = calloc(1, sizeof *batch);
    if (batch != NULL && !raw_open(fixture, &batch->raw)) {
        token_fixture_batch_close(batch);
        batch = NULL;
    }
    return batch;
}

bool token_fixture_batch_key(struct token_fixture_batch *batch, const struct token_fixture_key *key)
{
    CK_RV rv = create(&batch->raw, key, true);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_GENERAL_ERROR) /* NSS knows no list */
        rv = create(&batch->raw, key, false);
    if (rv != CKR_OK)
        (void)fprintf(stderr, "token fixture: C_CreateObject %s: 0x%lx\n", key->label, rv);
    return rv == CKR_OK;
}

void token_fixture_batch_close(struct token_fixture_batch *batch)
{
    if (batch != NULL)
        raw_close(&batch->raw);
    free(batch);
}

bool token_fixture_key(const struct token_fixture *fixture, const struct token_fixture_key *key)
{
    struct token_fixture_batch *batch = token_fixture_batch_open(fixture);
    bool made = batch != NULL && token_fixture_batch_key(batch, key);
    token_fixture_batch_close(batch);
    return made;
}

bool token_fixture_psk(const struct token_fixture *fixture, const char *name, const uint8_t *psk,
                       size_t len)
{
    char label[160];
    const size_t blocks = (len + 31) / 32;
    for (size_t i = 0; i < blocks; i++) {
        uint8_t block[32] = {0};
        const size_t part = len - 32 * i < 32 ? len - 32 * i : 32;
        memcpy(block, psk + 32 * i, part);
        char bits[24] = "", number[24] = "";
        if (len % 32 != 0)
            (void)snprintf(bits, sizeof bits, "~%zu", len * 8);
        if (blocks > 1)
            (void)snprintf(number, sizeof number, "#%zu", i + 1);
        (void)snprintf(label, sizeof label, "mikeyd/psk/%s/1%s%s", name, bits, number);
        if (!token_fixture_key(fixture, &(struct token_fixture_key){
                                            .label = label, .value = block, .len = sizeof block}))
            return false;
    }
    return true;
}

bool token_fixture_destroy(const struct token_fixture *fixture, const char *label)
{
    struct raw raw;
    CK_OBJECT_HANDLE found[16];
    CK_ULONG count = 0;
    bool ok = raw_open(fixture, &raw);
    if (ok) {
        union {
            const char *in;
            void *out;
        } text = {.in = label};
        CK_BBOOL yes = CK_TRUE;
        CK_ATTRIBUTE at[] = {{CKA_LABEL, text.out, (CK_ULONG)strlen(label)},
                             {CKA_TOKEN, &yes, sizeof yes}};
        ok = raw.f->C_FindObjectsInit(raw.session, at, 2) == CKR_OK &&
             raw.f->C_FindObjects(raw.session, found, 16, &count) == CKR_OK &&
             raw.f->C_FindObjectsFinal(raw.session) == CKR_OK && count > 0;
    }
    for (CK_ULONG i = 0; ok && i < count; i++)
        ok = raw.f->C_DestroyObject(raw.session, found[i]) == CKR_OK;
    raw_close(&raw);
    return ok;
}
