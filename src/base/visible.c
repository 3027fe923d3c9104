#include "base/visible.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>

/* Controls, blanks but U+0020, and Unicode's Default_Ignorable_Code_Point and Bidi_Control. */
static bool is_unseen(unsigned long point)
{
    static const struct {
        unsigned long first, last;
    } ranges[] = {
        {0x0, 0x1f},        {0x7f, 0xa0},       {0xad, 0xad},        {0x34f, 0x34f},
        {0x61c, 0x61c},     {0x115f, 0x1160},   {0x1680, 0x1680},    {0x17b4, 0x17b5},
        {0x180b, 0x180f},   {0x2000, 0x200f},   {0x2028, 0x202f},    {0x205f, 0x206f},
        {0x2800, 0x2800},   {0x3000, 0x3000},   {0x3164, 0x3164},    {0xd800, 0xf8ff},
        {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},    {0xfff0, 0xfffb},
        {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (point >= ranges[i].first && point <= ranges[i].last)
            return true;
    }
    return false;
}

size_t visible_step(const void *text, size_t len, char out[VISIBLE_STEP], size_t *out_len)
{
    const uint8_t *bytes = text;
    /* Nearly all that is ever shown; every audit record passes here. */
    if (bytes[0] >= ' ' && bytes[0] <= '~') {
        out[0] = (char)bytes[0];
        *out_len = 1;
        return 1;
    }
    unsigned long point = 0;
    int used = UTF8_getc(bytes, len > 4 ? 4 : (int)len, &point);
    if (used <= 0) {
        *out_len = (size_t)snprintf(out, VISIBLE_STEP, "\\x%02x", bytes[0]);
        return 1;
    }
    if (is_unseen(point)) {
        *out_len = (size_t)snprintf(out, VISIBLE_STEP, "\\u{%lx}", point);
    } else {
        memcpy(out, bytes, (size_t)used);
        *out_len = (size_t)used;
    }
    return (size_t)used;
}

size_t visible_text(const void *text, size_t len, char *out, size_t cap)
{
    const uint8_t *at = text;
    size_t filled = 0;
    while (len > 0) {
        char form[VISIBLE_STEP];
        size_t form_len = 0, used = visible_step(at, len, form, &form_len);
        if (filled + form_len >= cap)
            break;
        memcpy(out + filled, form, form_len);
        filled += form_len;
        at += used;
        len -= used;
    }
    if (cap > 0)
        out[filled] = '\0';
    return filled;
}
