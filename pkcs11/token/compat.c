#include "pkcs11/token/compat.h"

#include "pkcs11/token/internal.h"

static uint32_t found_by_trying(const struct token *token)
{
    const struct profile found = {
        .read_write = token->sessions_rw,
        .hash_keys = token->hash_keys,
        .no_session_keys = !token->session_keys,
        /* Where no session object can be made, whom one would serve is no question. */
        .per_session = token->session_keys && !token->shares_objects,
        .hmac_bits = token->hmac_bits,
    };
    return profile_switches(&found) & ~profile_switches(&token->profile);
}

/* Copies were asked for, so they are in use if one could be made of the key that was measured. */
static enum token_copying copying(struct token *token)
{
    if (token->profile.no_copies || !token->shares_objects)
        return TOKEN_COPIES_REFUSED;
    if (token_measured_key(token) == NULL)
        return TOKEN_COPIES_UNTRIED;
    return token->session_copies ? TOKEN_COPIES_WORK : TOKEN_COPIES_REFUSED;
}

static void look_at(struct token *token, struct token_compat *out)
{
    *out = (struct token_compat){0};
    token_get_facts(token, &out->facts);
    out->told = profile_switches(&token->profile);
    out->tried = found_by_trying(token);
    out->copies = copying(token);
    out->sessions = token->session_count;
    out->aes_kwp = token_has_mechanism(token, MIKEYD_CKM_AES_KEY_WRAP_KWP_240) ||
                   token_has_mechanism(token, MIKEYD_CKM_AES_KEY_WRAP_KWP_300);
    out->aes_kw = token_has_mechanism(token, CKM_AES_KEY_WRAP);
    out->rsa_oaep = token_has_mechanism(token, CKM_RSA_PKCS_OAEP);
    out->p256 =
        token_has_mechanism(token, CKM_EC_KEY_PAIR_GEN) && token_has_mechanism(token, CKM_ECDSA);
    out->rsa =
        token_has_mechanism(token, CKM_RSA_PKCS_KEY_PAIR_GEN) &&
        (token_has_mechanism(token, CKM_RSA_PKCS_PSS) || token_has_mechanism(token, CKM_RSA_PKCS));
}

enum mikeyd_status token_compat_probe(const struct token_config *config, struct token_compat *out,
                                      struct error *err)
{
    struct token_config trial = *config;
    struct token *token = NULL;
    trial.session_copies = TOKEN_COPIES_ON;
    trial.read_write = false;
    trial.provisioning = true; /* this is about the token, not about its keys */
    enum mikeyd_status status = token_open(&trial, &token, err);
    if (status != MIKEYD_OK)
        return status;
    look_at(token, out);
    out->facts.module = config->module;
    token_close(token);
    return MIKEYD_OK;
}
