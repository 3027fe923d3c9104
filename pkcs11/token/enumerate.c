/* One pass over the token's objects: what is there, grouped into keys, with findings. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pkcs11/token/enumerate.h"

#define FIND_BATCH 512
/* Beside requests, a pause after so many objects read. */
#define READ_BATCH 16
#define READ_PAUSE_NS 500000

/* ---- handles */

struct handle_list {
    CK_OBJECT_HANDLE *handle;
    size_t count, room;
};

static bool handles_reserve(struct handle_list *list, size_t more)
{
    if (list->room - list->count >= more)
        return true;
    size_t room = list->room * 2 + more;
    CK_OBJECT_HANDLE *grown = reallocarray(list->handle, room, sizeof *grown);
    if (grown == NULL)
        return false;
    list->handle = grown;
    list->room = room;
    return true;
}

/* All token objects, in big batches: SoftHSM walks its whole store for each C_FindObjectsInit. */
static CK_RV find_handles(struct token *token, CK_SESSION_HANDLE session, struct handle_list *list)
{
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, sizeof yes};
    CK_RV rv = token->f->C_FindObjectsInit(session, &on_token, 1);
    CK_ULONG got = FIND_BATCH;
    while (rv == CKR_OK && got > 0) {
        if (!handles_reserve(list, FIND_BATCH)) {
            rv = CKR_HOST_MEMORY;
            break;
        }
        rv = token->f->C_FindObjects(session, list->handle + list->count, FIND_BATCH, &got);
        if (rv == CKR_OK)
            list->count += got;
    }
    CK_RV final = token->f->C_FindObjectsFinal(session);
    return rv != CKR_OK ? rv : final;
}

/* ---- objects */

static const char label_prefix[] = "mikeyd/";

static bool labelled_ours(const struct token_attributes *a)
{
    return a->label_len >= sizeof label_prefix - 1 &&
           strncmp(a->label, label_prefix, sizeof label_prefix - 1) == 0;
}

/* Objects that are no keys of ours: the public half of an audit key, anything unlabelled. */
static bool concerns_us(const struct token_attributes *a)
{
    if (!labelled_ours(a))
        return false;
    return a->object_class != CKO_PUBLIC_KEY && a->object_class != CKO_CERTIFICATE;
}

/* Reported under its label, and never counted as a key; kind and generation mean nothing. */
static void found_take_stray(const struct token_attributes *a, uint32_t finding,
                             struct found_object *out)
{
    out->findings = finding;
    size_t len = a->label_len < TOKEN_NAME_MAX ? a->label_len : TOKEN_NAME_MAX - 1;
    out->label = (struct token_label){.kind = TOKEN_KIND_COUNT};
    memcpy(out->label.name, a->label, len);
}

static void found_take(struct token *token, CK_OBJECT_HANDLE handle,
                       const struct token_attributes *a, struct found_object *out)
{
    *out =
        (struct found_object){.handle = handle, .value_len = a->value_len, .key_type = a->key_type};
    if (!token_label_parse(a->label, a->label_len, &out->label)) {
        found_take_stray(a, KEY_FINDING_LABEL, out);
        return;
    }
    /* Anybody who reaches the token makes one without a PIN: it must neither pass for a key nor
     * take one away by having its label or CKA_ID. */
    if (!a->private_object) {
        found_take_stray(a, KEY_FINDING_NOT_PRIVATE, out);
        return;
    }
    memcpy(out->id, a->id, sizeof out->id);
    memcpy(out->start_date, a->start_date, sizeof out->start_date);
    memcpy(out->end_date, a->end_date, sizeof out->end_date);
    out->findings = token_attributes_findings(token, a, out->label.kind);
}

static int compare_labels(const void *pa, const void *pb)
{
    const struct token_label *a = &((const struct found_object *)pa)->label;
    const struct token_label *b = &((const struct found_object *)pb)->label;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    int name = strcmp(a->name, b->name);
    if (name != 0)
        return name;
    if (a->generation != b->generation)
        return a->generation < b->generation ? -1 : 1;
    return a->block == b->block ? 0 : a->block < b->block ? -1 : 1;
}

static int compare_ids(const void *pa, const void *pb)
{
    const struct found_object *const *a = pa, *const *b = pb;
    for (size_t i = 0; i < sizeof(*a)->id; i++) {
        if ((*a)->id[i] != (*b)->id[i])
            return (*a)->id[i] < (*b)->id[i] ? -1 : 1;
    }
    return 0;
}

/* Two objects with one CKA_ID cannot be told apart after a re-initialisation: both are refused. */
static enum mikeyd_status mark_duplicate_ids(struct found_list *list, struct error *err)
{
    if (list->count < 2)
        return MIKEYD_OK;
    struct found_object **by_id = calloc(list->count, sizeof(struct found_object *));
    if (by_id == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    for (size_t i = 0; i < list->count; i++)
        by_id[i] = &list->object[i];
    qsort(by_id, list->count, sizeof(struct found_object *), compare_ids);
    for (size_t i = 1; i < list->count; i++) {
        if (compare_ids(&by_id[i - 1], &by_id[i]) != 0 ||
            by_id[i]->label.kind == TOKEN_KIND_COUNT ||
            by_id[i - 1]->label.kind == TOKEN_KIND_COUNT)
            continue;
        by_id[i - 1]->findings |= KEY_FINDING_DUPLICATE;
        by_id[i]->findings |= KEY_FINDING_DUPLICATE;
    }
    free(by_id);
    return MIKEYD_OK;
}

/* Those of one batch, from *at on. */
static CK_RV read_objects(struct token_session *session, const struct handle_list *handles,
                          size_t batch, size_t *at, struct found_list *out)
{
    struct token *token = session->token;
    const size_t end = handles->count - *at > batch ? *at + batch : handles->count;
    for (; *at < end; ++*at) {
        const CK_OBJECT_HANDLE handle = handles->handle[*at];
        struct token_attributes attributes;
        token_call_mark(session, "C_GetAttributeValue");
        CK_RV rv = token_attributes_read(token, session->handle, handle, &attributes);
        if (rv == CKR_OBJECT_HANDLE_INVALID)
            continue; /* destroyed by somebody else since the search */
        if (rv != CKR_OK)
            return rv;
        if (concerns_us(&attributes))
            found_take(token, handle, &attributes, &out->object[out->count++]);
    }
    return CKR_OK;
}

static enum mikeyd_status enumeration_failed(const struct token *token, CK_RV rv, struct error *err)
{
    return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: enumerating its objects: %s", token->label,
                     ckr_name(rv));
}

static CK_RV make_room(const struct handle_list *handles, struct found_list *out)
{
    out->object = calloc(handles->count + 1, sizeof *out->object);
    return out->object == NULL ? CKR_HOST_MEMORY : CKR_OK;
}

static enum mikeyd_status in_order(struct found_list *list, struct error *err)
{
    qsort(list->object, list->count, sizeof *list->object, compare_labels);
    return mark_duplicate_ids(list, err);
}

enum mikeyd_status token_enumerate(struct token_session *session, struct found_list *out,
                                   struct error *err)
{
    struct token *token = session->token;
    *out = (struct found_list){0};
    struct handle_list handles = {0};
    size_t at = 0;
    token_call_mark(session, "C_FindObjects");
    CK_RV rv = find_handles(token, session->handle, &handles);
    if (rv == CKR_OK)
        rv = make_room(&handles, out);
    if (rv == CKR_OK)
        rv = read_objects(session, &handles, handles.count, &at, out);
    free(handles.handle);
    if (rv == CKR_OK)
        return in_order(out, err);
    found_list_free(out);
    return enumeration_failed(token, rv, err);
}

/* ---- beside requests */

/* Opens a bracket in which the session is still the one that found the objects. */
static enum mikeyd_status go_on(struct token_session *session, uint64_t life, struct error *err)
{
    const struct token *token = session->token;
    enum mikeyd_status status = token_call_begin_once(session, "C_GetAttributeValue", err);
    if (status != MIKEYD_OK)
        return status;
    if (token_session_life(session) == life)
        return MIKEYD_OK;
    token_call_end(session);
    return error_set(err, MIKEYD_TOKEN_DOWN, "token %s: its sessions ended meanwhile",
                     token->label);
}

static enum mikeyd_status leave(struct token_session *session, CK_RV rv, struct error *err)
{
    if (rv != CKR_OK) {
        token_session_drop(session);
        token_call_end(session);
        return enumeration_failed(session->token, rv, err);
    }
    token_call_end(session);
    return MIKEYD_OK;
}

static enum mikeyd_status read_beside(struct token_session *session, uint64_t life,
                                      const struct handle_list *handles, struct found_list *out,
                                      struct error *err)
{
    const struct timespec pause = {.tv_nsec = READ_PAUSE_NS};
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t at = 0; status == MIKEYD_OK && at < handles->count;) {
        /* Locks of the module's own go to others, too. */
        (void)nanosleep(&pause, NULL);
        status = go_on(session, life, err);
        if (status == MIKEYD_OK)
            status = leave(session, read_objects(session, handles, READ_BATCH, &at, out), err);
    }
    return status;
}

enum mikeyd_status token_enumerate_beside(struct token_session *session, struct found_list *out,
                                          struct error *err)
{
    struct token *token = session->token;
    struct handle_list handles = {0};
    *out = (struct found_list){0};
    enum mikeyd_status status = token_call_begin_once(session, "C_FindObjects", err);
    if (status != MIKEYD_OK)
        return status;
    const uint64_t life = token_session_life(session);
    status = leave(session, find_handles(token, session->handle, &handles), err);
    if (status == MIKEYD_OK && make_room(&handles, out) != CKR_OK)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (status == MIKEYD_OK)
        status = read_beside(session, life, &handles, out, err);
    free(handles.handle);
    if (status == MIKEYD_OK)
        status = in_order(out, err);
    if (status != MIKEYD_OK)
        found_list_free(out);
    return status;
}

void found_list_free(struct found_list *list)
{
    free(list->object);
    *list = (struct found_list){0};
}

bool found_same_key(const struct found_object *a, const struct found_object *b)
{
    return a->label.kind == b->label.kind && a->label.generation == b->label.generation &&
           strcmp(a->label.name, b->label.name) == 0;
}

size_t found_blocks(const struct found_list *list, size_t first)
{
    size_t count = 1;
    while (first + count < list->count &&
           found_same_key(&list->object[first], &list->object[first + count]))
        count++;
    return count;
}
