#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum mikeyd_status error_set(struct error *err, enum mikeyd_status status, const char *format, ...)
{
    if (err == NULL)
        return status;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->status = status;
    return status;
}

void error_prefix(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (used < 0 || (size_t)used >= sizeof text - 3)
        return;
    size_t at = (size_t)used;
    text[at++] = ':';
    text[at++] = ' ';
    size_t room = sizeof text - at - 1;
    size_t keep = strnlen(err->text, sizeof err->text - 1);
    if (keep > room)
        keep = room;
    memcpy(text + at, err->text, keep);
    text[at + keep] = '\0';
    memcpy(err->text, text, at + keep + 1);
}

const char *status_name(enum mikeyd_status status)
{
    static const char *const names[MIKEYD_STATUS_COUNT] = {
        [MIKEYD_OK] = "OK",
        [MIKEYD_SYNTAX] = "SYNTAX",
        [MIKEYD_UNSUPPORTED] = "UNSUPPORTED",
        [MIKEYD_AUTH_FAILED] = "AUTH_FAILED",
        [MIKEYD_REPLAY] = "REPLAY",
        [MIKEYD_CLOCK_SKEW] = "CLOCK_SKEW",
        [MIKEYD_UNKNOWN_PEER] = "UNKNOWN_PEER",
        [MIKEYD_POLICY] = "POLICY",
        [MIKEYD_NOT_ENTITLED] = "NOT_ENTITLED",
        [MIKEYD_TICKET_INVALID] = "TICKET_INVALID",
        [MIKEYD_TICKET_EXPIRED] = "TICKET_EXPIRED",
        [MIKEYD_TOKEN_DOWN] = "TOKEN_DOWN",
        [MIKEYD_TOKEN_BUSY] = "TOKEN_BUSY",
        [MIKEYD_STORE_DOWN] = "STORE_DOWN",
        [MIKEYD_AUDIT_DOWN] = "AUDIT_DOWN",
        [MIKEYD_OVERLOADED] = "OVERLOADED",
        [MIKEYD_INTERNAL] = "INTERNAL",
        [MIKEYD_UNREACHABLE] = "UNREACHABLE",
        [MIKEYD_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [MIKEYD_PIN_REFUSED] = "PIN_REFUSED",
    };
    if ((unsigned)status >= MIKEYD_STATUS_COUNT)
        return "UNKNOWN_STATUS";
    return names[status];
}

int status_exit_code(enum mikeyd_status status)
{
    switch (status) {
    case MIKEYD_OK:
        return 0;
    case MIKEYD_INVALID_ARGUMENT:
        return 1;
    case MIKEYD_SYNTAX:
    case MIKEYD_UNSUPPORTED:
    case MIKEYD_AUTH_FAILED:
    case MIKEYD_REPLAY:
    case MIKEYD_CLOCK_SKEW:
    case MIKEYD_TICKET_INVALID:
    case MIKEYD_TICKET_EXPIRED:
        return 2;
    case MIKEYD_UNKNOWN_PEER:
    case MIKEYD_POLICY:
    case MIKEYD_NOT_ENTITLED:
        return 3;
    case MIKEYD_TOKEN_DOWN:
    case MIKEYD_TOKEN_BUSY:
        return 4;
    case MIKEYD_UNREACHABLE:
        return 5;
    case MIKEYD_PIN_REFUSED:
        return 7;
    case MIKEYD_STORE_DOWN:
    case MIKEYD_AUDIT_DOWN:
    case MIKEYD_OVERLOADED:
    case MIKEYD_INTERNAL:
        break;
    }
    return 6;
}
