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
    CK_ULONG value_len;
    CK_KEY_TYPE key_type;
    uint32_t findings;
    char start_date[11], end_date[11];
};

struct found_list {
    struct found_object *object;
    size_t count;
};

/* Inside the session's bracket. Free with found_list_free(). */
enum mikeyd_status token_enumerate(struct token_session *session, struct found_list *out,
                                   struct error *err);
void found_list_free(struct found_list *list);
/* Blocks of one key: same kind, name and generation. */
bool found_same_key(const struct found_object *a, const struct found_object *b);

#endif
