/*
 * The objects of a token that carry our labels, sorted so that the blocks of a key stand together.
 */
#ifndef PKCS11_ENUMERATE_H
#define PKCS11_ENUMERATE_H

#include "pkcs11/token/internal.h"

struct found_object {
    struct token_label label; /* kind TOKEN_KIND_COUNT: no key of ours, name holds the label */
    uint8_t id[16];
    CK_OBJECT_HANDLE handle;
    CK_OBJECT_HANDLE copy; /* made for the key to be used by; CK_INVALID_HANDLE: none, or taken */
    CK_ULONG value_len;
    CK_KEY_TYPE key_type;
    uint32_t findings;
    char start_date[11], end_date[11];
};

struct found_list {
    struct found_object *object;
    size_t count;
};

/* Inside the session's bracket, under exclusion. Free with found_list_free(). */
enum mikeyd_status token_enumerate(struct token_session *session, struct found_list *out,
                                   struct error *err);
/*
 * The same beside requests, in brackets of its own with pauses between them: neither a recovery nor
 * a request waits for the whole of it. TOKEN_DOWN also when the session ended on the way.
 */
enum mikeyd_status token_enumerate_beside(struct token_session *session, struct found_list *out,
                                          struct error *err);
/*
 * Brings token->key up to date with the list: handles, new keys appended, vanished ones left with
 * present = false and no handles. Takes the copies of keys that may be used. Under exclusion.
 */
enum mikeyd_status token_keys_merge(struct token *token, struct found_list *list,
                                    struct error *err);
/* The key that stands already for these objects: same label, same CKA_IDs; else NULL. *at: where
 * the last one was found; both are mostly in the same order. With key_lock. */
struct token_key_entry *token_entry_of(const struct token *token, const struct found_object *object,
                                       size_t count, size_t *at);
void found_list_free(struct found_list *list);
/* Blocks of one key: same kind, name and generation. */
bool found_same_key(const struct found_object *a, const struct found_object *b);
/* How many from that place on are blocks of one key. */
size_t found_blocks(const struct found_list *list, size_t first);

#endif
