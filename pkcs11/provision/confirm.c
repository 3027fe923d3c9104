/* A key that was made is a key only once the token shows it again, as it was made. */
#include <string.h>

#include "pkcs11/provision/internal.h"
#include "pkcs11/token/signer.h"

static const struct token_key *key_listed(const struct token *token, enum token_kind kind,
                                          const struct provision_spec *spec)
{
    for (size_t i = 0; i < token_key_count(token); i++) {
        const struct token_key *key = token_key_at(token, i);
        if (key->present && key->kind == kind && key->generation == spec->generation &&
            strcmp(key->name, spec->name) == 0)
            return key;
    }
    return NULL;
}

/* NULL when the key is as it was made. */
static const char *difference(const struct token_key *key, const struct provision_spec *spec)
{
    uint32_t wrong = key->findings & KEY_FINDING_FATAL;
    if (spec->for_transport)
        wrong &= ~(uint32_t)KEY_FINDING_EXTRACTABLE;
    if (wrong != 0)
        return key_finding_text(wrong & (0u - wrong)); /* the first one will do */
    if (key->kind != TOKEN_AUDIT && key->bits != spec->bits)
        return "its length is another one";
    return NULL;
}

static enum mikeyd_status confirm_signature(struct token *token, const struct provision_spec *spec,
                                            struct error *err)
{
    struct token_signer *signer = NULL;
    enum mikeyd_status status =
        token_signer_open(token, spec->name, spec->generation, &signer, err);
    if (status == MIKEYD_OK)
        status = token_signer_prove(signer, err);
    token_signer_close(signer);
    return status;
}

static enum mikeyd_status confirm_shown(struct token *token, const struct provision_spec *spec,
                                        enum token_kind kind, struct error *err)
{
    const struct token_key *key = key_listed(token, kind, spec);
    if (key == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s said that it made mikeyd/%s/%s/%u, but does not show it",
                         token->label, token_kind_name(kind), spec->name, spec->generation);
    const char *wrong = difference(key, spec);
    if (wrong != NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN,
                         "token %s shows mikeyd/%s/%s/%u otherwise than it was made: %s",
                         token->label, token_kind_name(kind), spec->name, spec->generation, wrong);
    return kind == TOKEN_AUDIT ? confirm_signature(token, spec, err) : MIKEYD_OK;
}

enum mikeyd_status provision_confirm(struct token_session *session,
                                     const struct provision_spec *spec, enum token_kind kind,
                                     struct error *err)
{
    enum mikeyd_status status = token_rescan(session->token, err);
    if (status == MIKEYD_OK)
        status = confirm_shown(session->token, spec, kind, err);
    if (status == MIKEYD_OK)
        return status;
    unsigned objects = 0;
    const bool gone = provision_destroy_name(session, kind, spec->name, spec->generation, &objects,
                                             NULL) == MIKEYD_OK;
    error_prefix(err, gone ? "no key (what there was is destroyed)" : "no key");
    return status;
}
