#include "keys/door_form.h"

#include <string.h>

#include "mikey/wire.h"

bool form_failed(const struct door_form *form)
{
    return form->in != NULL ? form->in->failed : form->out->failed;
}

void form_fail(struct door_form *form)
{
    if (form->in != NULL)
        form->in->failed = true;
    else
        form->out->failed = true;
}

/* ---- numbers */

static uint64_t checked(struct door_form *form, uint64_t value, uint64_t low, uint64_t high)
{
    if (!form_failed(form) && value >= low && value <= high)
        return value;
    form_fail(form);
    return 0;
}

uint8_t form_u8(struct door_form *form, uint64_t value, uint8_t low, uint8_t high)
{
    if (form->in != NULL)
        return (uint8_t)checked(form, reader_u8(form->in), low, high);
    value = checked(form, value, low, high);
    writer_u8(form->out, (uint8_t)value);
    return (uint8_t)value;
}

uint16_t form_u16(struct door_form *form, uint64_t value, uint16_t low, uint16_t high)
{
    if (form->in != NULL)
        return (uint16_t)checked(form, reader_u16(form->in), low, high);
    value = checked(form, value, low, high);
    writer_u16(form->out, (uint16_t)value);
    return (uint16_t)value;
}

uint32_t form_u32(struct door_form *form, uint64_t value, uint32_t low, uint32_t high)
{
    if (form->in != NULL)
        return (uint32_t)checked(form, reader_u32(form->in), low, high);
    value = checked(form, value, low, high);
    writer_u32(form->out, (uint32_t)value);
    return (uint32_t)value;
}

uint64_t form_u64(struct door_form *form, uint64_t value)
{
    if (form->in != NULL)
        return reader_u64(form->in);
    writer_u64(form->out, value);
    return value;
}

bool form_bool(struct door_form *form, bool value)
{
    return form_u8(form, value, 0, 1) == 1;
}

enum mikeyd_status form_status(struct door_form *form, enum mikeyd_status status)
{
    return (enum mikeyd_status)form_u16(form, (uint64_t)status, 0, MIKEYD_STATUS_COUNT - 1);
}

/* ---- bytes and text */

const uint8_t *form_view(struct door_form *form, const uint8_t *data, size_t len)
{
    if (form->in != NULL)
        return reader_bytes(form->in, len);
    if (data == NULL && len != 0)
        form_fail(form);
    writer_bytes(form->out, data, len);
    return data;
}

void form_copy(struct door_form *form, uint8_t *data, size_t len)
{
    if (form->in != NULL)
        reader_copy(form->in, data, len);
    else
        writer_bytes(form->out, data, len);
}

static bool printable(char c)
{
    return c >= ' ' && c <= '~';
}

static bool all_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!printable(text[i]))
            return false;
    }
    return true;
}

/* cap <= 256: the length is one byte. */
void form_text(struct door_form *form, char *text, size_t low, size_t cap)
{
    size_t len = form->in != NULL ? 0 : strnlen(text, cap);
    len = form_u8(form, len, (uint8_t)low, (uint8_t)(cap - 1));
    form_copy(form, (uint8_t *)text, len);
    if (form->in != NULL)
        text[len] = '\0';
    if (!all_printable(text, len))
        form_fail(form);
}

void form_told(struct door_form *form, char *text, size_t cap)
{
    for (size_t i = 0; form->out != NULL && i < cap && text[i] != '\0'; i++) {
        if (!printable(text[i]))
            text[i] = '?';
    }
    form_text(form, text, 0, cap);
}

void form_key_name(struct door_form *form, char name[KEYS_NAME_MAX])
{
    form_text(form, name, 1, KEYS_NAME_MAX);
    /* Labels are mikeyd/KIND/NAME/GENERATION~BITS#BLOCK: what separates cannot be in a name. */
    if (!form_failed(form) && strpbrk(name, " /~#") != NULL)
        form_fail(form);
}

/* ---- what a message key depends on */

/* A pair key is made for two identities; a key that is used directly knows none. */
static void form_identity(struct door_form *form, struct identity *identity, bool wanted)
{
    identity->type = form_u8(form, identity->type, IDENTITY_NAI, wanted ? IDENTITY_BYTES : 0);
    identity->len = form_u8(form, identity->len, wanted ? 1 : 0, wanted ? IDENTITY_MAX : 0);
    identity->data = form_view(form, identity->data, identity->len);
}

void form_name(struct door_form *form, struct keys_name *name, char text[KEYS_NAME_MAX])
{
    const uint32_t how_mask = KEYS_MUST_DERIVE | KEYS_MAC_HOST | KEYS_NO_COPIES;
    name->kind = (enum keys_kind)form_u8(form, name->kind, KEYS_PSK, KEYS_EPSK);
    name->generation = form_u32(form, name->generation, 1, DOOR_GENERATION_MAX);
    name->algorithms = (enum mikey_algorithms)form_u8(form, name->algorithms, MIKEY_ALGORITHMS_1,
                                                      MIKEY_ALGORITHMS_256);
    name->how = form_u32(form, name->how, 0, how_mask);
    if (form->out != NULL) {
        size_t len = name->name == NULL ? 0 : strnlen(name->name, KEYS_NAME_MAX - 1);
        if (len != 0)
            memcpy(text, name->name, len);
        text[len] = '\0';
        if (len != 0 && name->name[len] != '\0')
            form_fail(form);
    }
    form_key_name(form, text);
    name->name = text;
    form_identity(form, &name->initiator, name->kind == KEYS_EPSK);
    form_identity(form, &name->responder, name->kind == KEYS_EPSK);
}

void form_prf_input(struct door_form *form, struct mikey_derivation *what)
{
    what->prf = (enum mikey_prf)form_u8(form, what->prf, MIKEY_PRF_1, MIKEY_PRF_HMAC_SHA256);
    what->csb_id = form_u32(form, what->csb_id, 0, UINT32_MAX);
    what->rand_len = form_u8(form, what->rand_len, 1, DOOR_RAND_MAX);
    what->rand = form_view(form, what->rand, what->rand_len);
}

void form_derivation(struct door_form *form, struct mikey_derivation *what)
{
    form_prf_input(form, what);
    what->encryption = form_u8(form, what->encryption, MIKEY_ENCR_NULL, MIKEY_ENCR_AES_CM_256);
    what->mac = form_u8(form, what->mac, MIKEY_MAC_SHA1, MIKEY_MAC_SHA256);
}

size_t form_tag_len(const struct mikey_derivation *what)
{
    return what->mac == MIKEY_MAC_SHA256 ? 32 : 20;
}

void form_covered(struct door_form *form, struct mikey_covered *covered)
{
    size_t left = MIKEY_COVERED_MAX;
    covered->parts = form_u8(form, covered->parts, 1, MIKEY_COVERED_PARTS);
    for (size_t i = 0; i < covered->parts; i++) {
        covered->len[i] = form_u16(form, covered->len[i], 0, (uint16_t)left);
        covered->data[i] = form_view(form, covered->data[i], covered->len[i]);
        left -= covered->len[i];
    }
}

/* ---- entries of the inventory */

void form_proof_of(struct door_form *form, struct keys_entry *entry)
{
    entry->kind = (enum keys_kind)form_u8(form, entry->kind, KEYS_PSK, KEYS_TICKET);
    entry->generation = form_u32(form, entry->generation, 1, DOOR_GENERATION_MAX);
    form_key_name(form, entry->name);
}

static void form_date(struct door_form *form, char date[DOOR_DATE + 1])
{
    form_text(form, date, 0, DOOR_DATE + 1);
    if (form_failed(form))
        return;
    const size_t len = strlen(date);
    const bool date_like = len == DOOR_DATE && strspn(date, "0123456789-") == len;
    if (len != 0 && !date_like)
        form_fail(form);
}

void form_entry(struct door_form *form, struct keys_entry *entry)
{
    entry->kind = (enum keys_kind)form_u8(form, entry->kind, KEYS_PSK, KEYS_OTHER);
    entry->generation = form_u32(form, entry->generation, 1, DOOR_GENERATION_MAX);
    if (entry->kind == KEYS_OTHER)
        form_told(form, entry->name, sizeof entry->name);
    else
        form_key_name(form, entry->name);
    entry->bits = form_u32(form, entry->bits, 0, DOOR_BITS_MAX);
    entry->block_count = form_u8(form, entry->block_count, 0, KEYS_BLOCKS_MAX);
    entry->findings = form_u32(form, entry->findings, 0, UINT32_MAX);
    entry->usable = form_bool(form, entry->usable);
    form_date(form, entry->start_date);
    form_date(form, entry->end_date);
}
