#include "audit/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "audit/checkpoint.h"
#include "base/text.h"
#include "base/visible.h"

/* Longest text of one field, in bytes. 12 fields of it, escaped six-fold, would not fit a record:
 * text_room() shares what is left. */
#define TEXT_MAX 2048
/* What is said of the rest. */
#define TEXT_NOTE_MAX 48
/* What every field needs at the end of the buffer, so that a long text leaves the numbers alone. */
#define RESERVE 1024

const char *audit_event_name(enum audit_event event)
{
    static const char *const names[AUDIT_EVENT_COUNT] = {
        [AUDIT_START] = "start",
        [AUDIT_STOP] = "stop",
        [AUDIT_LOGIN] = "login",
        [AUDIT_RELOAD] = "reload",
        [AUDIT_RELOAD_REFUSED] = "reload_refused",
        [AUDIT_POLICY_CHANGE] = "policy_change",
        [AUDIT_TOKEN_UP] = "token_up",
        [AUDIT_TOKEN_DOWN] = "token_down",
        [AUDIT_INITIATE] = "initiate",
        [AUDIT_RESPOND] = "respond",
        [AUDIT_CONFIRM] = "confirm",
        [AUDIT_UPDATE] = "update",
        [AUDIT_REFUSED] = "refused",
        [AUDIT_SUPPRESSED] = "suppressed",
        [AUDIT_KEY_GENERATE] = "key_generate",
        [AUDIT_KEY_IMPORT] = "key_import",
        [AUDIT_KEY_UNWRAP] = "key_unwrap",
        [AUDIT_KEY_WRAP] = "key_wrap",
        [AUDIT_KEY_DERIVE] = "key_derive",
        [AUDIT_KEY_DESTROY] = "key_destroy",
        [AUDIT_KEY_CHECK] = "key_check",
        [AUDIT_CHECKPOINT] = "checkpoint",
        [AUDIT_ROTATE] = "rotate",
        [AUDIT_RECOVERED] = "recovered",
        [AUDIT_CEREMONY] = "ceremony",
        [AUDIT_UNSIGNED] = "unsigned",
        [AUDIT_STORE] = "store",
    };
    if ((unsigned)event >= AUDIT_EVENT_COUNT)
        return "unknown";
    return names[event];
}

bool audit_event_by_name(const char *name, enum audit_event *out)
{
    for (unsigned i = 0; i < AUDIT_EVENT_COUNT; i++) {
        if (strcmp(name, audit_event_name((enum audit_event)i)) == 0) {
            *out = (enum audit_event)i;
            return true;
        }
    }
    return false;
}

struct text {
    char *data;
    size_t len;
};

static size_t text_left(const struct text *text)
{
    return AUDIT_FIELDS_MAX - text->len;
}

static void put_bytes(struct text *text, const char *data, size_t len)
{
    if (len > text_left(text))
        return;
    memcpy(text->data + text->len, data, len);
    text->len += len;
}

static void put_name(struct text *text, const char *name)
{
    put_bytes(text, ",\"", 2);
    put_bytes(text, name, strlen(name));
    put_bytes(text, "\":", 2);
}

/* Most text needs no escaping: printable ASCII without quote and backslash. */
static bool is_plain(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (value[i] < ' ' || value[i] > '~' || value[i] == '"' || value[i] == '\\')
            return false;
    }
    return true;
}

/*
 * The text as a person will see it (base/visible.h), with backslashes doubled, so that nothing else
 * looks like an escape; cut, which is said, when it is longer than TEXT_MAX. out has
 * TEXT_SHOWN_MAX bytes.
 */
static size_t show(const char *value, char *out)
{
    const size_t whole = strlen(value);
    size_t at = 0, len = 0;
    while (at < whole) {
        char form[VISIBLE_STEP + 1];
        size_t form_len = 0, used = visible_step(value + at, whole - at, form, &form_len);
        if (form_len == 1 && form[0] == '\\')
            form[form_len++] = '\\';
        if (at + used > TEXT_MAX || len + form_len > TEXT_MAX)
            break;
        memcpy(out + len, form, form_len);
        len += form_len;
        at += used;
    }
    if (at < whole)
        len += (size_t)snprintf(out + len, TEXT_NOTE_MAX, "... (cut: %zu bytes in all)", whole);
    return len;
}

static void put_string(struct text *text, const char *name, const char *value)
{
    if (value == NULL)
        return;
    char shown[TEXT_MAX + TEXT_NOTE_MAX], escaped[6 * sizeof shown + 2];
    const char *out = value;
    size_t len = strlen(value), out_len = len;
    bool plain = len <= TEXT_MAX && is_plain(value, len);
    if (!plain) {
        out = shown;
        out_len = len = show(value, shown);
        plain = is_plain(shown, len);
    }
    if (!plain) {
        json_t *string = json_stringn(shown, len);
        out_len = string == NULL ? 0
                                 : json_dumpb(string, escaped, sizeof escaped,
                                              JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        json_decref(string);
        out = escaped;
    }
    if (out_len > sizeof escaped || out_len + strlen(name) + 8 + RESERVE > text_left(text)) {
        out = "(too long)";
        out_len = strlen(out);
        plain = true;
    }
    put_name(text, name);
    if (plain)
        put_bytes(text, "\"", 1);
    put_bytes(text, out, out_len);
    if (plain)
        put_bytes(text, "\"", 1);
}

static void put_number(struct text *text, const char *name, uint64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, value);
    put_name(text, name);
    put_bytes(text, digits, (size_t)len);
}

static void put_identity(struct text *text, const char *name, const struct identity *identity)
{
    if (identity->len == 0)
        return;
    char form[IDENTITY_TEXT_MAX];
    identity_format(identity, form);
    put_string(text, name, form);
}

static void put_digest(struct text *text, const char *name, const uint8_t *digest)
{
    if (digest == NULL)
        return;
    char hex[AUDIT_HASH_HEX + 1];
    hex_encode(digest, AUDIT_HASH_LEN, hex);
    put_string(text, name, hex);
}

static void put_holder(struct text *text, const struct audit_record *record)
{
    if (record->holder != NULL) {
        char hex[2 * CHECKPOINT_HOLDER + 1];
        hex_encode(record->holder, CHECKPOINT_HOLDER, hex);
        put_string(text, "holder", hex);
    }
    if (record->token != 0)
        put_number(text, "token", record->token);
}

static void put_internal(struct text *text, const struct audit_internal *internal)
{
    if (internal->cut_hash != NULL) {
        put_number(text, "cut_bytes", internal->cut_bytes);
        put_digest(text, "cut_sha256", internal->cut_hash);
    }
    put_string(text, "previous_file", internal->previous_file);
    if (internal->linked_hash != NULL) {
        put_string(text, "linked_file", internal->linked_file);
        put_number(text, "linked_seq", internal->linked_sequence);
        put_digest(text, "linked_hash", internal->linked_hash);
    }
    if (internal->signer != NULL) {
        put_number(text, "form", internal->counted ? CHECKPOINT_FORM_COUNTED : CHECKPOINT_FORM);
        put_number(text, "covers", internal->covers);
        put_digest(text, "chain", internal->chain);
        put_number(text, "final", internal->final ? 1 : 0);
        put_string(text, "signer", internal->signer);
    }
}

size_t audit_record_format(const struct audit_record *record, const struct audit_internal *internal,
                           char *out)
{
    struct text text = {out, 0};
    put_string(&text, "event", audit_event_name(record->event));
    put_string(&text, "result", status_name(record->status));
    put_string(&text, "client", record->client);
    put_string(&text, "operation", record->operation);
    put_identity(&text, "from", &record->from);
    put_identity(&text, "to", &record->to);
    if (record->has_csb_id) {
        char hex[9];
        (void)snprintf(hex, sizeof hex, "%08" PRIx32, record->csb_id);
        put_string(&text, "csb_id", hex);
    }
    put_string(&text, "key", record->key);
    put_string(&text, "method", record->method);
    put_string(&text, "algorithms", record->algorithms);
    put_string(&text, "suites", record->suites);
    put_string(&text, "prf", record->prf);
    if (record->keys != 0)
        put_number(&text, "keys", record->keys);
    put_string(&text, "reference", record->reference);
    if (record->count != 0)
        put_number(&text, "count", record->count);
    if (record->psk_uses != 0)
        put_number(&text, "psk_uses", record->psk_uses);
    put_holder(&text, record);
    if (record->workers != 0)
        put_number(&text, "workers", record->workers);
    if (record->policy_sha256 != NULL && record->policy_sha256[0] != '\0')
        put_string(&text, "policy", record->policy_sha256);
    if (record->policy_serial != 0) /* directly behind the hash: last_policy.c reads both */
        put_number(&text, "policy_serial", record->policy_serial);
    put_string(&text, "officers", record->officers);
    put_string(&text, "store", record->store);
    if (internal != NULL)
        put_internal(&text, internal);
    put_string(&text, "detail", record->detail);
    return text.len;
}
