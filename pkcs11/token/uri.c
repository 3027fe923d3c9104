/* Which slot a token URI (RFC 7512) means. Slot numbers change; labels and serials do not. */
#include <stdio.h>
#include <string.h>

#include <p11-kit/uri.h>

#include "pkcs11/token/internal.h"

#define SLOTS_MAX 256

static void uri_free(P11KitUri **uri)
{
    p11_kit_uri_free(*uri);
}
#define URI_CLEANUP __attribute__((cleanup(uri_free)))

/* Refuses what has no place in a token's name. The URI is never quoted: it might hold a PIN. */
static enum mikeyd_status uri_check(P11KitUri *uri, struct error *err)
{
    if (p11_kit_uri_get_pin_value(uri) != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "token URI: pin-value is refused, put the PIN into pin_file");
    if (p11_kit_uri_get_pin_source(uri) != NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "token URI: pin-source is refused, use pin_file");
    if (p11_kit_uri_get_slot_id(uri) != (CK_SLOT_ID)-1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "token URI: slot-id is refused, slot numbers change: name the token by "
                         "token= or serial=");
    CK_ULONG attributes = 0;
    (void)p11_kit_uri_get_attributes(uri, &attributes);
    if (attributes != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "token URI: names an object, where a token is meant");
    if (p11_kit_uri_any_unrecognized(uri))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "token URI: unknown attribute");
    const CK_TOKEN_INFO *wanted = p11_kit_uri_get_token_info(uri);
    if (wanted->label[0] == '\0' && wanted->serialNumber[0] == '\0')
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "token URI: must name the token by token= or serial=");
    return MIKEYD_OK;
}

static enum mikeyd_status uri_parse(const char *text, P11KitUri **out, struct error *err)
{
    *out = p11_kit_uri_new();
    if (*out == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    int result = p11_kit_uri_parse(text == NULL ? "" : text, P11_KIT_URI_FOR_ANY, *out);
    if (result != P11_KIT_URI_OK)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "token URI: %s",
                         p11_kit_uri_message(result));
    return uri_check(*out, err);
}

/* Appends " 'label' (serial N)" to a list of tokens for people. */
static void list_token(char *list, size_t cap, const CK_TOKEN_INFO *info)
{
    int label = (int)sizeof info->label, serial = (int)sizeof info->serialNumber;
    while (label > 0 && (info->label[label - 1] == ' ' || info->label[label - 1] == '\0'))
        label--;
    while (serial > 0 &&
           (info->serialNumber[serial - 1] == ' ' || info->serialNumber[serial - 1] == '\0'))
        serial--;
    size_t used = strlen(list);
    (void)snprintf(list + used, cap - used, "%s'%.*s' (serial %.*s)", used == 0 ? "" : ", ", label,
                   (const char *)info->label, serial, (const char *)info->serialNumber);
}

struct slot_search {
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    unsigned matches;
    unsigned tokens;
    unsigned strangers; /* of the name, but not the one that was seen before */
    char matching[120], others[120];
};

/* Labels are given to many tokens, serial numbers by a maker to one. */
static bool same_token(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b)
{
    return memcmp(a->serialNumber, b->serialNumber, sizeof a->serialNumber) == 0 /* public */ &&
           memcmp(a->manufacturerID, b->manufacturerID, sizeof a->manufacturerID) == 0 /* public */;
}

static void search_slot(struct token_module *module, CK_SLOT_ID slot, const P11KitUri *uri,
                        const CK_TOKEN_INFO *seen, struct slot_search *search)
{
    CK_TOKEN_INFO info;
    CK_RV rv = module->f->C_GetTokenInfo(slot, &info);
    if (rv != CKR_OK || (info.flags & CKF_TOKEN_INITIALIZED) == 0)
        return; /* an empty reader or SoftHSM's free slot: no token that could be meant */
    search->tokens++;
    if (!p11_kit_uri_match_token_info(uri, &info)) {
        list_token(search->others, sizeof search->others, &info);
        return;
    }
    if (seen != NULL && !same_token(seen, &info)) {
        search->strangers++;
        list_token(search->others, sizeof search->others, &info);
        return;
    }
    list_token(search->matching, sizeof search->matching, &info);
    if (search->matches++ == 0) {
        search->slot = slot;
        search->info = info;
    }
}

enum mikeyd_status token_uri_find_slot(struct token_module *module, const char *text,
                                       const CK_TOKEN_INFO *seen, CK_SLOT_ID *slot,
                                       CK_TOKEN_INFO *info, struct error *err)
{
    URI_CLEANUP P11KitUri *uri = NULL;
    enum mikeyd_status status = uri_parse(text, &uri, err);
    if (status != MIKEYD_OK)
        return status;
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    CK_RV rv = module->f->C_GetSlotList(CK_TRUE, slots, &count);
    if (rv != CKR_OK)
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s: C_GetSlotList: %s", module->path,
                         ckr_name(rv));
    /* A p11-kit connection whose server is gone initialises well and then shows nothing. */
    if (count == 0)
        return error_set(err, MIKEYD_TOKEN_DOWN, "module %s shows no slot with a token",
                         module->path);
    struct slot_search search = {0};
    for (CK_ULONG i = 0; i < count; i++)
        search_slot(module, slots[i], uri, seen, &search);
    if (search.matches == 0 && search.strangers != 0)
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "the token is not there; another one of its name is, %s, and is not sent "
                         "its PIN: start anew if it was replaced on purpose",
                         search.others);
    if (search.matches == 0)
        return error_set(err, MIKEYD_TOKEN_DOWN, "no token of module %s matches the URI; found %s",
                         module->path, search.tokens == 0 ? "none" : search.others);
    if (search.matches > 1)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the token URI matches %u tokens: %s; name one by serial=", search.matches,
                         search.matching);
    *slot = search.slot;
    *info = search.info;
    return MIKEYD_OK;
}
