/* SRTP master key and salt of a crypto session (RFC 3830 4.1.3, 6.13; RFC 7714 for 12-byte salts).
 */
#include <string.h>

#include "base/secret.h"
#include "mikey/exchange.h"
#include "mikey/label.h"
#include "mikey/prf.h"

struct session {
    const struct mikey_key_data *key;
    const struct srtp_suite_info *suite;
    uint8_t cs_id;
    uint32_t csb_id;
    const uint8_t *rand;
    size_t rand_len;
};

static enum mikeyd_status derive_one(struct mikey_prf_key *tgk, const struct session *s,
                                     uint32_t constant, uint8_t *out, size_t len, struct error *err)
{
    uint8_t label[MIKEY_LABEL_MAX];
    size_t label_len =
        mikey_label_write(label, constant, s->cs_id, s->csb_id, s->rand, s->rand_len);
    return mikey_prf_run(tgk, label, label_len, out, len, err);
}

/*
 * RFC 3830 4.1.3: a salt that was transported SHALL be used and none derived, so one that is
 * shorter than the suite's cannot be replaced. The key data says by its type whether there is one.
 */
static enum mikeyd_status copy_salt(const struct session *s, struct mikey_session_key *out,
                                    struct error *err)
{
    if (s->key->salt_len < s->suite->salt_len)
        return error_set(err, MIKEYD_UNSUPPORTED, "a salt of %zu bytes is too short for %s",
                         s->key->salt_len, s->suite->name);
    memcpy(out->salt, s->key->salt, s->suite->salt_len);
    return MIKEYD_OK;
}

static enum mikeyd_status from_tgk(enum mikey_prf prf, const struct session *s,
                                   struct mikey_session_key *out, struct error *err)
{
    MIKEY_PRF_CLEANUP struct mikey_prf_key tgk = {0};
    enum mikeyd_status status = mikey_prf_open(&tgk, prf, s->key->key, s->key->key_len, err);
    if (status == MIKEYD_OK)
        status = derive_one(&tgk, s, MIKEY_LABEL_TEK, out->key, s->suite->key_len, err);
    if (status == MIKEYD_OK && s->key->salt_len != 0)
        return copy_salt(s, out, err);
    if (status == MIKEYD_OK)
        status = derive_one(&tgk, s, MIKEY_LABEL_TGK_SALT, out->salt, s->suite->salt_len, err);
    return status;
}

/* A TEK is the SRTP master key itself. There is nothing to derive a missing salt from, and a length
 * that is not the suite's means that the sender speaks another dialect (key and salt in one). */
static enum mikeyd_status from_tek(const struct session *s, struct mikey_session_key *out,
                                   struct error *err)
{
    if (s->key->key_len != s->suite->key_len) {
        return error_set(err, MIKEYD_UNSUPPORTED, "a TEK of %zu bytes for %s", s->key->key_len,
                         s->suite->name);
    }
    if (s->key->salt_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "a TEK without a salt for %s", s->suite->name);
    enum mikeyd_status status = copy_salt(s, out, err);
    if (status != MIKEYD_OK)
        return status;
    memcpy(out->key, s->key->key, s->suite->key_len);
    return MIKEYD_OK;
}

enum mikeyd_status mikey_session_key(enum mikey_prf prf, const struct mikey_key_data *key,
                                     uint8_t cs_id, uint32_t csb_id, const uint8_t *rand,
                                     size_t rand_len, enum srtp_suite suite,
                                     struct mikey_session_key *out, struct error *err)
{
    const struct session s = {.key = key,
                              .suite = srtp_suite_info(suite),
                              .cs_id = cs_id,
                              .csb_id = csb_id,
                              .rand = rand,
                              .rand_len = rand_len};
    secret_wipe(out, sizeof *out);
    /* CS IDs count from 1 (RFC 3830 6.1.1). */
    if (s.suite == NULL || cs_id == 0 || rand_len < MIKEY_RAND_MIN || rand_len > MIKEY_RAND_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "no such crypto session");
    enum mikeyd_status status;
    switch (key->type) {
    case MIKEY_KEY_TGK:
    case MIKEY_KEY_TGK_SALT:
        status = from_tgk(prf, &s, out, err);
        break;
    case MIKEY_KEY_TEK:
    case MIKEY_KEY_TEK_SALT:
        status = from_tek(&s, out, err);
        break;
    default:
        status = error_set(err, MIKEYD_UNSUPPORTED, "key type %u", key->type);
    }
    if (status != MIKEYD_OK)
        secret_wipe(out, sizeof *out);
    return status;
}
