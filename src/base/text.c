#include "base/text.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

size_t base64_size(size_t len)
{
    return (len + 2) / 3 * 4 + 1;
}

void base64_encode(const void *data, size_t len, char *out)
{
    /* EVP_EncodeBlock counts in int: whole groups of three at a time keep any length right. */
    const size_t piece = 3u * (1u << 20);
    const uint8_t *from = data;
    unsigned char *to = (unsigned char *)out;
    while (len > piece) {
        to += EVP_EncodeBlock(to, from, (int)piece);
        from += piece;
        len -= piece;
    }
    if (len != 0)
        to += EVP_EncodeBlock(to, from, (int)len);
    *to = '\0';
}

static bool base64_in_alphabet(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/*
 * EVP_DecodeBlock skips white space and takes stray padding, so the text is checked before: one
 * binary string has one text form, which is what a strict reader of SDP needs.
 */
static enum mikeyd_status base64_check(const char *text, size_t text_len, size_t *padding,
                                       struct error *err)
{
    *padding = 0;
    if (text_len >= 2 && text[text_len - 1] == '=')
        *padding = text[text_len - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < text_len - *padding; i++) {
        if (!base64_in_alphabet(text[i]))
            return error_set(err, MIKEYD_SYNTAX, "base64: wrong character at position %zu", i);
    }
    if (text_len % 4 != 0) {
        return error_set(err, MIKEYD_SYNTAX, "base64: length %zu is no multiple of 4", text_len);
    }
    return MIKEYD_OK;
}

enum mikeyd_status base64_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                 size_t *len, struct error *err)
{
    *len = 0;
    if (text_len == 0)
        return MIKEYD_OK;
    if (text_len > INT_MAX)
        return error_set(err, MIKEYD_SYNTAX, "base64: %zu characters are too many", text_len);
    size_t padding;
    enum mikeyd_status status = base64_check(text, text_len, &padding, err);
    if (status != MIKEYD_OK)
        return status;
    size_t bytes = text_len / 4 * 3 - padding;
    if (bytes > cap)
        return error_set(err, MIKEYD_SYNTAX, "base64: %zu bytes, at most %zu allowed", bytes, cap);

    /* EVP_DecodeBlock writes whole groups of three: the last one goes through a buffer of its own.
     */
    size_t head = text_len - 4;
    const unsigned char *from = (const unsigned char *)text;
    uint8_t last[3];
    if (head != 0 && EVP_DecodeBlock(out, from, (int)head) < 0)
        return error_set(err, MIKEYD_SYNTAX, "base64: not decodable");
    if (EVP_DecodeBlock(last, from + head, 4) < 0)
        return error_set(err, MIKEYD_SYNTAX, "base64: not decodable at position %zu", head);
    for (size_t i = 3 - padding; i < 3; i++) {
        /* Bits that no byte uses must be zero, or two texts would mean the same bytes. */
        if (last[i] != 0)
            return error_set(err, MIKEYD_SYNTAX, "base64: unused bits set at position %zu",
                             text_len - padding - 1);
    }
    memcpy(out + head / 4 * 3, last, 3 - padding);
    OPENSSL_cleanse(last, sizeof last);
    *len = bytes;
    return MIKEYD_OK;
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

enum mikeyd_status hex_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
                              size_t *len, struct error *err)
{
    *len = 0;
    if (text_len % 2 != 0)
        return error_set(err, MIKEYD_SYNTAX, "hex: %zu digits, not an even number", text_len);
    if (text_len / 2 > cap)
        return error_set(err, MIKEYD_SYNTAX, "hex: %zu bytes, at most %zu allowed", text_len / 2,
                         cap);
    for (size_t i = 0; i < text_len; i++) {
        int digit = OPENSSL_hexchar2int((unsigned char)text[i]);
        if (digit < 0)
            return error_set(err, MIKEYD_SYNTAX, "hex: wrong character at position %zu", i);
        uint8_t *byte = &out[i / 2];
        *byte = (uint8_t)(i % 2 == 0 ? digit << 4 : *byte | digit);
    }
    *len = text_len / 2;
    return MIKEYD_OK;
}
