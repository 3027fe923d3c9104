/* Labels mikeyd/KIND/NAME/GENERATION[~BITS][#BLOCK]. */
#include <stdio.h>
#include <string.h>

#include "pkcs11/token/internal.h"

#define LABEL_PREFIX "mikeyd/"
#define LABEL_PREFIX_LEN (sizeof LABEL_PREFIX - 1)
#define GENERATION_MAX 999999999u
#define BITS_MAX (TOKEN_BLOCKS_MAX * 256u)

static const char *const kind_names[TOKEN_KIND_COUNT] = {
    [TOKEN_PSK] = "psk",   [TOKEN_EPSK] = "epsk",     [TOKEN_EPSKX] = "epskx",
    [TOKEN_PAIR] = "pair", [TOKEN_TICKET] = "ticket", [TOKEN_AUDIT] = "audit",
};

const char *token_kind_name(enum token_kind kind)
{
    return (unsigned)kind < TOKEN_KIND_COUNT ? kind_names[kind] : "unknown";
}

bool token_kind_by_name(const char *name, enum token_kind *out)
{
    for (unsigned kind = 0; kind < TOKEN_KIND_COUNT; kind++) {
        if (strcmp(kind_names[kind], name) == 0) {
            *out = (enum token_kind)kind;
            return true;
        }
    }
    return false;
}

/* Printable ASCII without what separates the fields. */
static bool name_char(char c)
{
    return c > ' ' && c <= '~' && c != '/' && c != '~' && c != '#';
}

/* A decimal without sign or leading zero, 1 .. max, up to the first other character. */
static bool take_number(struct byte_reader *r, unsigned max, unsigned *out)
{
    unsigned value = 0;
    size_t digits = 0;
    while (reader_left(r) > 0 && r->data[r->at] >= '0' && r->data[r->at] <= '9') {
        unsigned digit = (unsigned)(reader_u8(r) - '0');
        if ((digits == 0 && digit == 0) || digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
        digits++;
    }
    *out = value;
    return digits > 0;
}

/* The characters up to the next '/', which is consumed. */
static bool take_field(struct byte_reader *r, char *out, size_t cap)
{
    size_t len = 0;
    while (reader_left(r) > 0) {
        char c = (char)reader_u8(r);
        if (c == '/') {
            out[len] = '\0';
            return len > 0;
        }
        if (!name_char(c) || len + 1 >= cap)
            return false;
        out[len++] = c;
    }
    return false;
}

static bool take_if(struct byte_reader *r, char c)
{
    if (reader_left(r) == 0 || r->data[r->at] != (uint8_t)c)
        return false;
    (void)reader_u8(r);
    return true;
}

bool token_label_parse(const char *text, size_t len, struct token_label *out)
{
    *out = (struct token_label){0};
    if (len < LABEL_PREFIX_LEN || strncmp(text, LABEL_PREFIX, LABEL_PREFIX_LEN) != 0)
        return false;
    struct byte_reader r = reader_of(text, len);
    (void)reader_bytes(&r, LABEL_PREFIX_LEN);
    char kind[16];
    if (!take_field(&r, kind, sizeof kind) || !token_kind_by_name(kind, &out->kind) ||
        !take_field(&r, out->name, sizeof out->name) ||
        !take_number(&r, GENERATION_MAX, &out->generation))
        return false;
    if (take_if(&r, '~') && !take_number(&r, BITS_MAX, &out->bits))
        return false;
    if (take_if(&r, '#') && !take_number(&r, TOKEN_BLOCKS_MAX, &out->block))
        return false;
    return reader_done(&r);
}

enum mikeyd_status token_label_format(const struct token_label *label, char *out, struct error *err)
{
    char bits[16] = "", block[16] = "";
    if (label->bits != 0)
        (void)snprintf(bits, sizeof bits, "~%u", label->bits);
    if (label->block != 0)
        (void)snprintf(block, sizeof block, "#%u", label->block);
    int len = snprintf(out, TOKEN_LABEL_MAX, LABEL_PREFIX "%s/%s/%u%s%s",
                       token_kind_name(label->kind), label->name, label->generation, bits, block);
    /* Whatever would not read back as itself is no label. */
    struct token_label back;
    if (len < 0 || len >= TOKEN_LABEL_MAX || !token_label_parse(out, (size_t)len, &back) ||
        back.kind != label->kind || back.generation != label->generation ||
        back.bits != label->bits || back.block != label->block ||
        strcmp(back.name, label->name) != 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "no label can carry kind %s, name '%s', generation %u: names are 1 to %d "
                         "printable characters without space, '/', '~' and '#'",
                         token_kind_name(label->kind), label->name, label->generation,
                         TOKEN_NAME_MAX - 1);
    return MIKEYD_OK;
}
