/* What the token shows of a key, for `key list` and `key check`. */
#include <stdio.h>

#include "pkcs11/provision/internal.h"

enum mikeyd_status provision_view_key(struct token_session *session, const struct token_key *key,
                                      struct provision_view *out, struct error *err)
{
    *out = (struct provision_view){0};
    if (key->block_count == 0 || key->block[0].generation != token_generation(session->token))
        return error_set(err, MIKEYD_TOKEN_DOWN, "mikeyd/%s/%s/%u is not there any more",
                         token_kind_name(key->kind), key->name, key->generation);
    enum mikeyd_status status = token_call_begin(session, "C_GetAttributeValue", err);
    if (status != MIKEYD_OK)
        return status;
    const struct token_object *block = &key->block[0];
    struct token_attributes got;
    CK_RV rv = token_attributes_read(session->token, session->handle,
                                     block->is_copy ? block->original : block->handle, &got);
    if (rv != CKR_OK)
        return token_call_failed(session, "C_GetAttributeValue", rv, err);
    token_call_end(session);
    *out = (struct provision_view){
        .value_len = got.value_len,
        .sensitive = got.sensitive,
        .private_object = got.private_object,
        .extractable = got.extractable,
        .modifiable = got.modifiable,
        .wrap_with_trusted = got.wrap_with_trusted,
        .sign = got.sign,
        .derive = got.derive,
        .wrap = got.wrap,
        .unwrap = got.unwrap,
        .encrypt = got.encrypt,
        .decrypt = got.decrypt,
        .readable = got.readable,
        .never_left = got.always_sensitive && got.never_extractable,
        .has_mechanisms = got.has_allowed,
        .mechanism_count = got.allowed_count,
    };
    for (size_t i = 0; i < got.allowed_count; i++)
        out->mechanisms[i] = got.allowed[i];
    return MIKEYD_OK;
}

const char *provision_mechanism_name(unsigned long mechanism)
{
    static _Thread_local char number[24];
    switch (mechanism) {
    case CKM_SHA_1_HMAC:
        return "CKM_SHA_1_HMAC";
    case CKM_SHA256_HMAC:
        return "CKM_SHA256_HMAC";
    case MIKEYD_CKM_HKDF_DERIVE:
        return "CKM_HKDF_DERIVE";
    case MIKEYD_CKM_SP800_108_DOUBLE_PIPELINE_KDF:
        return "CKM_SP800_108_DOUBLE_PIPELINE_KDF";
    case CKM_ECDSA:
        return "CKM_ECDSA";
    default:
        (void)snprintf(number, sizeof number, "0x%08lx", mechanism);
        return number;
    }
}
