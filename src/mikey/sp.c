/* Security policies for SRTP (RFC 3830 6.10.1, RFC 4771, RFC 7714): reading, meaning, writing. */
#include "mikey/message.h"
#include "mikey/wire.h"

enum parameter {
    SP_ENCRYPTION = 0,
    SP_ENCRYPTION_KEY_LEN = 1,
    SP_AUTHENTICATION = 2,
    SP_AUTHENTICATION_KEY_LEN = 3,
    SP_SALT_LEN = 4,
    SP_PRF = 5,
    SP_KDR = 6,
    SP_SRTP_ENCRYPTED = 7,
    SP_SRTCP_ENCRYPTED = 8,
    SP_FEC_ORDER = 9,
    SP_SRTP_AUTHENTICATED = 10,
    SP_TAG_LEN = 11,
    SP_PREFIX_LEN = 12,
    SP_ROC_RATE = 13,
    SP_RTCP_TAG_LEN = 19,
    SP_AEAD_TAG_LEN = 20
};

#define SRTP_AES_CM 1
#define SRTP_AES_GCM 6
#define SRTP_HMAC_SHA1 1

static bool given(const struct mikey_sp *sp, unsigned type)
{
    return (sp->given >> type & 1u) != 0;
}

static enum mikeyd_status set_number(uint8_t *field, uint32_t value, unsigned type,
                                     struct error *err)
{
    if (value > UINT8_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "SP parameter %u: value %u", type, value);
    *field = (uint8_t)value;
    return MIKEYD_OK;
}

static enum mikeyd_status set_switch(bool *field, uint32_t value, unsigned type, struct error *err)
{
    if (value > 1)
        return error_set(err, MIKEYD_UNSUPPORTED, "SP parameter %u: value %u", type, value);
    *field = value == 1;
    return MIKEYD_OK;
}

static enum mikeyd_status set_parameter(struct mikey_sp *sp, unsigned type, uint32_t value,
                                        struct error *err)
{
    switch (type) {
    case SP_ENCRYPTION:
        return set_number(&sp->encryption, value, type, err);
    case SP_AUTHENTICATION:
        return set_number(&sp->authentication, value, type, err);
    case SP_PRF:
        return set_number(&sp->prf, value, type, err);
    case SP_FEC_ORDER:
        return set_number(&sp->fec_order, value, type, err);
    case SP_SRTP_ENCRYPTED:
        return set_switch(&sp->srtp_encrypted, value, type, err);
    case SP_SRTCP_ENCRYPTED:
        return set_switch(&sp->srtcp_encrypted, value, type, err);
    case SP_SRTP_AUTHENTICATED:
        return set_switch(&sp->srtp_authenticated, value, type, err);
    case SP_ENCRYPTION_KEY_LEN:
        sp->encryption_key_len = value;
        return MIKEYD_OK;
    case SP_AUTHENTICATION_KEY_LEN:
        sp->authentication_key_len = value;
        return MIKEYD_OK;
    case SP_SALT_LEN:
        sp->salt_len = value;
        return MIKEYD_OK;
    case SP_KDR:
        sp->kdr = value;
        return MIKEYD_OK;
    case SP_TAG_LEN:
        sp->tag_len = value;
        return MIKEYD_OK;
    case SP_PREFIX_LEN:
        sp->prefix_len = value;
        return MIKEYD_OK;
    case SP_AEAD_TAG_LEN:
        sp->aead_tag_len = value;
        return MIKEYD_OK;
    default:
        /* RFC 4771's 13 to 19 are known by number; `given` makes mikey_sp_suite refuse them. */
        return MIKEYD_OK;
    }
}

/* RFC 3711 8.2 for what is absent; RFC 7714 14.3 and 15 where the cipher is AES-GCM. */
static void set_defaults(struct mikey_sp *sp)
{
    bool gcm = given(sp, SP_ENCRYPTION) && sp->encryption == SRTP_AES_GCM;
    const struct mikey_sp absent = {
        .encryption = SRTP_AES_CM,
        .authentication = gcm ? 0 : SRTP_HMAC_SHA1,
        .encryption_key_len = 16,
        .authentication_key_len = gcm ? 0 : 20,
        .salt_len = gcm ? 12 : 14,
        .tag_len = gcm ? 0 : 10,
        .aead_tag_len = 16,
    };
    if (!given(sp, SP_ENCRYPTION))
        sp->encryption = absent.encryption;
    if (!given(sp, SP_ENCRYPTION_KEY_LEN))
        sp->encryption_key_len = absent.encryption_key_len;
    if (!given(sp, SP_AUTHENTICATION))
        sp->authentication = absent.authentication;
    if (!given(sp, SP_AUTHENTICATION_KEY_LEN))
        sp->authentication_key_len = absent.authentication_key_len;
    if (!given(sp, SP_SALT_LEN))
        sp->salt_len = absent.salt_len;
    if (!given(sp, SP_SRTP_ENCRYPTED))
        sp->srtp_encrypted = true;
    if (!given(sp, SP_SRTCP_ENCRYPTED))
        sp->srtcp_encrypted = true;
    if (!given(sp, SP_SRTP_AUTHENTICATED))
        sp->srtp_authenticated = true;
    if (!given(sp, SP_TAG_LEN))
        sp->tag_len = absent.tag_len;
    if (!given(sp, SP_AEAD_TAG_LEN))
        sp->aead_tag_len = absent.aead_tag_len;
}

bool mikey_sp_framed(struct byte_reader parameters)
{
    while (reader_left(&parameters) > 0) {
        (void)reader_u8(&parameters);
        (void)reader_bytes(&parameters, reader_u8(&parameters));
    }
    return !parameters.failed;
}

enum mikeyd_status mikey_sp_read(struct byte_reader *parameters, struct mikey_sp *sp,
                                 uint8_t *mikey_error, struct error *err)
{
    *mikey_error = MIKEY_ERROR_UNSPECIFIED;
    while (reader_left(parameters) > 0) {
        unsigned type = reader_u8(parameters);
        size_t len = reader_u8(parameters);
        const uint8_t *bytes = reader_bytes(parameters, len);
        if (parameters->failed)
            return error_set(err, MIKEYD_SYNTAX, "SP parameter %u runs past its payload", type);
        if (type > SP_AEAD_TAG_LEN) {
            *mikey_error = MIKEY_ERROR_SP_PARAMETER;
            return error_set(err, MIKEYD_UNSUPPORTED, "SP parameter %u is not known", type);
        }
        if (given(sp, type))
            return error_set(err, MIKEYD_SYNTAX, "SP parameter %u stands twice", type);
        if (len < 1 || len > 4)
            return error_set(err, MIKEYD_SYNTAX, "SP parameter %u has %zu bytes", type, len);
        uint32_t value = 0;
        for (size_t i = 0; i < len; i++)
            value = value << 8 | bytes[i];
        sp->given |= UINT32_C(1) << type;
        enum mikeyd_status status = set_parameter(sp, type, value, err);
        if (status != MIKEYD_OK) {
            *mikey_error = MIKEY_ERROR_SP_PARAMETER;
            return status;
        }
    }
    if (!reader_done(parameters))
        return error_set(err, MIKEYD_SYNTAX, "SP ends inside a parameter");
    set_defaults(sp);
    return MIKEYD_OK;
}

static enum mikeyd_status misfit(struct error *err, const char *what, uint32_t value)
{
    return error_set(err, MIKEYD_UNSUPPORTED, "SP: %s is %u", what, value);
}

/* What all six suites have in common: everything on, AES-CM as SRTP's PRF, no extras. */
static enum mikeyd_status check_common(const struct mikey_sp *sp, struct error *err)
{
    for (unsigned type = SP_ROC_RATE; type <= SP_RTCP_TAG_LEN; type++) {
        if (given(sp, type))
            return misfit(err, "a ROC transmission parameter (RFC 4771)", type);
    }
    if (sp->prf != 0)
        return misfit(err, "PRF (5)", sp->prf);
    if (sp->kdr != 0)
        return misfit(err, "key derivation rate (6)", sp->kdr);
    if (!sp->srtp_encrypted)
        return misfit(err, "SRTP encryption (7)", 0);
    if (!sp->srtcp_encrypted)
        return misfit(err, "SRTCP encryption (8)", 0);
    if (sp->fec_order != 0)
        return misfit(err, "FEC order (9)", sp->fec_order);
    if (!sp->srtp_authenticated)
        return misfit(err, "SRTP authentication (10)", 0);
    if (sp->prefix_len != 0)
        return misfit(err, "prefix length (12)", sp->prefix_len);
    return MIKEYD_OK;
}

static enum mikeyd_status check_lengths(const struct mikey_sp *sp, bool gcm, struct error *err)
{
    if (sp->encryption_key_len != 16 && sp->encryption_key_len != 32)
        return misfit(err, "encryption key length (1)", sp->encryption_key_len);
    if (sp->salt_len != (gcm ? 12 : 14))
        return misfit(err, "salt length (4)", sp->salt_len);
    if (sp->aead_tag_len != 16 || (!gcm && given(sp, SP_AEAD_TAG_LEN)))
        return misfit(err, "AEAD tag length (20)", sp->aead_tag_len);
    /* RFC 7714 14.3: cipher, key length and AEAD tag length determine an AEAD fully. What else the
     * peer says of authentication has nothing to apply to. */
    if (gcm)
        return MIKEYD_OK;
    if (sp->authentication != SRTP_HMAC_SHA1)
        return misfit(err, "authentication algorithm (2)", sp->authentication);
    /* RFC 3830 6.10.1: parameter 3 is the length of the key, not of the tag. */
    if (sp->authentication_key_len != 20)
        return misfit(err, "authentication key length (3)", sp->authentication_key_len);
    if (sp->tag_len != 10 && sp->tag_len != 4)
        return misfit(err, "tag length (11)", sp->tag_len);
    return MIKEYD_OK;
}

enum mikeyd_status mikey_sp_suite(const struct mikey_sp *sp, enum srtp_suite *out,
                                  struct error *err)
{
    bool gcm = sp->encryption == SRTP_AES_GCM;
    if (sp->passed_over)
        return error_set(err, MIKEYD_UNSUPPORTED, "SP: not of SRTP, or not understood");
    if (!gcm && sp->encryption != SRTP_AES_CM)
        return misfit(err, "encryption algorithm (0)", sp->encryption);
    enum mikeyd_status status = check_common(sp, err);
    if (status == MIKEYD_OK)
        status = check_lengths(sp, gcm, err);
    if (status != MIKEYD_OK)
        return status;
    for (int i = 0; i < SRTP_SUITE_COUNT; i++) {
        const struct srtp_suite_info *info = srtp_suite_info((enum srtp_suite)i);
        if (info->encryption == sp->encryption && info->key_len == sp->encryption_key_len &&
            info->tag_len == (gcm ? sp->aead_tag_len : sp->tag_len)) {
            *out = (enum srtp_suite)i;
            return MIKEYD_OK;
        }
    }
    return error_set(err, MIKEYD_UNSUPPORTED, "SP: no suite has these parameters");
}

const struct mikey_sp *mikey_find_sp(const struct mikey_message *m, uint8_t number)
{
    for (size_t i = 0; i < m->sp_count; i++) {
        if (m->sp[i].number == number)
            return &m->sp[i];
    }
    return NULL;
}

static void write_parameter(struct byte_writer *w, uint8_t type, uint8_t value)
{
    const uint8_t tlv[] = {type, 1, value};
    writer_bytes(w, tlv, sizeof tlv);
}

void mikey_sp_write(struct byte_writer *w, uint8_t next, uint8_t number, enum srtp_suite suite)
{
    const struct srtp_suite_info *info = srtp_suite_info(suite);
    bool gcm = info->encryption == SRTP_AES_GCM;
    writer_u8(w, next);
    writer_u8(w, number);
    writer_u8(w, 0); /* Prot type SRTP */
    size_t len_at = w->len;
    writer_u16(w, 0);
    write_parameter(w, SP_ENCRYPTION, info->encryption);
    write_parameter(w, SP_ENCRYPTION_KEY_LEN, info->key_len);
    if (!gcm) {
        write_parameter(w, SP_AUTHENTICATION, info->authentication);
        write_parameter(w, SP_AUTHENTICATION_KEY_LEN, 20);
    }
    write_parameter(w, SP_SALT_LEN, info->salt_len);
    write_parameter(w, SP_PRF, 0);
    write_parameter(w, SP_KDR, 0);
    write_parameter(w, SP_SRTP_ENCRYPTED, 1);
    write_parameter(w, SP_SRTCP_ENCRYPTED, 1);
    write_parameter(w, SP_FEC_ORDER, 0);
    write_parameter(w, SP_SRTP_AUTHENTICATED, 1);
    if (!gcm)
        write_parameter(w, SP_TAG_LEN, info->tag_len);
    write_parameter(w, SP_PREFIX_LEN, 0);
    if (gcm)
        write_parameter(w, SP_AEAD_TAG_LEN, info->tag_len);
    writer_patch_u16(w, len_at, (uint16_t)(w->len - len_at - 2));
}
