/*
 * What the files of provisioning share: one object as it is to be, the ways to make it, and the
 * look-ups of the ceremony (which may search the token: no request waits for it).
 *
 * Functions marked "in the bracket" stand between the caller's token_call_begin() and
 * token_call_end(); those marked "bracket of its own" open and close one.
 */
#ifndef PKCS11_PROVISION_INTERNAL_H
#define PKCS11_PROVISION_INTERNAL_H

#include "pkcs11/provision/provision.h"
#include "pkcs11/token/internal.h"

/* RFC 3830 4.1.2: the PRF takes its key in blocks of 256 bits. */
#define PROVISION_BLOCK_LEN 32u
#define PROVISION_MECHANISMS_MAX 8

/* One secret-key object as it is to be; the template is made from it, the readback compared. */
struct provision_object {
    enum token_kind kind;
    char label[TOKEN_LABEL_MAX];
    uint8_t id[16];
    size_t value_len; /* bytes stored */
    bool on_token, extractable, wrap_with_trusted, modifiable;
    bool sign, derive;
    char not_before[11], not_after[11]; /* "2026-11-21" or empty */
    CK_MECHANISM_TYPE mechanisms[PROVISION_MECHANISMS_MAX];
    size_t mechanism_count; /* 0: no ALLOWED_MECHANISMS (temporary objects only) */
};

/* How an object comes to be. */
struct provision_maker {
    const char *operation; /* "C_GenerateKey" */
    CK_RV(*make)
    (struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
     const struct provision_maker *maker, CK_OBJECT_HANDLE *out);
    void *context;
    uint8_t *value;  /* C_CreateObject: value_len bytes in the secure heap; NULL for the others */
    bool states_len; /* CKA_VALUE_LEN is part of the template (SoftHSM's unwrap forbids it) */
};

/*
 * Makes the object, reads it back, destroys it when it is not what was asked for. Attributes that
 * the token does not know and that only narrow or describe (ALLOWED_MECHANISMS, dates) are left out
 * then, and told in *omitted. Bracket of its own.
 */
enum mikeyd_status provision_object_make(struct token_session *session,
                                         const struct provision_object *object,
                                         const struct provision_maker *maker,
                                         CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                         struct error *err);
/* C_CreateObject of object->value_len bytes. Bracket of its own. */
enum mikeyd_status provision_object_create(struct token_session *session,
                                           const struct provision_object *object, uint8_t *value,
                                           CK_OBJECT_HANDLE *handle, unsigned *omitted,
                                           struct error *err);
/* Destroys the one object of this label and CKA_ID, if it is there. Bracket of its own. */
enum mikeyd_status provision_object_destroy(struct token_session *session,
                                            const struct provision_object *object,
                                            struct error *err);

/* The template of an object, with the storage its attributes point to. */
#define PROVISION_ATTRIBUTES_MAX 32
struct provision_template {
    CK_ATTRIBUTE list[PROVISION_ATTRIBUTES_MAX];
    CK_ULONG count;
    struct provision_object object; /* a copy: PKCS#11 wants its values writable */
    CK_OBJECT_CLASS object_class;
    CK_KEY_TYPE key_type;
    CK_ULONG value_len;
    CK_BBOOL yes, no;
    CK_DATE start, end;
};
#define PROVISION_OMITTED_CHECK_VALUE (1u << 8) /* never told: nothing is lost */
void provision_template_make(struct provision_template *out, const struct provision_object *object,
                             const struct provision_maker *maker, unsigned omit);

/* NULL when the object came back as it was asked for, else the attribute that did not. *omitted
 * grows by what the token did not keep. In the bracket. */
const char *provision_object_mismatch(struct token_session *session, CK_OBJECT_HANDLE handle,
                                      const struct provision_object *object, unsigned *omitted);

/* All handles that match a template, at most cap; *found may exceed cap by one. In the bracket. */
CK_RV provision_find(struct token_session *session, CK_ATTRIBUTE *list, CK_ULONG count,
                     CK_OBJECT_HANDLE *out, size_t cap, size_t *found);
/* The one object of a class with that label; none or several are errors. In the bracket: closes it
 * when it fails. */
enum mikeyd_status provision_find_one(struct token_session *session, CK_OBJECT_CLASS object_class,
                                      const char *label, CK_OBJECT_HANDLE *out, struct error *err);
/* INVALID_ARGUMENT when any object of the token has this label. Bracket of its own. */
enum mikeyd_status provision_label_check_free(struct token_session *session, const char *label,
                                              struct error *err);
/* A flag of an object; false when absent. In the bracket. */
bool provision_flag_is_set(struct token_session *session, CK_OBJECT_HANDLE handle,
                           CK_ATTRIBUTE_TYPE type);

/* How a key of a kind and length is laid out in objects. */
struct provision_plan {
    unsigned bits;    /* true length */
    bool bits_stated; /* in the labels */
    size_t blocks;
    size_t len[TOKEN_BLOCKS_MAX];    /* true bytes of each block */
    size_t stored[TOKEN_BLOCKS_MAX]; /* bytes of its object: more when zero-padded */
    bool padded;
    struct provision_object object[TOKEN_BLOCKS_MAX];
};
/*
 * Checks the specification, refuses a label that exists, and fills the plan. Bracket of its own.
 */
enum mikeyd_status provision_plan_make(struct token_session *session,
                                       const struct provision_spec *spec, unsigned bits,
                                       struct provision_plan *out, struct error *err);
/* Kinds that have 32 bytes themselves and the strength of the EPSK they come from. */
bool provision_is_extracted(enum token_kind kind);
/* Puts the true length into the labels (~BITS), for tokens that will not tell it. */
enum mikeyd_status provision_plan_state_bits(struct provision_plan *plan,
                                             const struct provision_spec *spec, struct error *err);
/* Fills spec->result, if wanted. */
void provision_plan_report(const struct provision_spec *spec, const struct provision_plan *plan,
                           unsigned omitted);
/* Destroys the first `made` objects of a plan after a failure; err keeps the failure and is told
 * when a part could not be removed. */
void provision_plan_undo(struct token_session *session, const struct provision_plan *plan,
                         size_t made, struct error *err);

/* epskx = HKDF-Extract(0, EPSK object) over C_DigestKey. Bracket of its own. */
enum mikeyd_status provision_extract_in_token(struct token_session *session, CK_OBJECT_HANDLE epsk,
                                              uint8_t epskx[32], struct error *err);

/* The untrusted AES key, for this session only, that lengths and WRAP_WITH_TRUSTED are tried with.
 * In the bracket: leaves it open when it fails. */
CK_RV provision_probe_key(struct token_session *session, CK_OBJECT_HANDLE *out);

#endif
