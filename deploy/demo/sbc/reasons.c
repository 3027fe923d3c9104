#include "reasons.h"

/*
 * The peer learns the class of the fault and no more: which key, token or record was the matter is in
 * this SBC's log and in the daemon's audit log.
 */
struct reason reason_for(enum mikeyd_status status)
{
    switch (status) {
    case MIKEYD_SYNTAX:
        return (struct reason){400, "Bad Key Management", false};
    case MIKEYD_UNSUPPORTED:
    case MIKEYD_POLICY:
        return (struct reason){488, "Not Acceptable Here", false};
    case MIKEYD_AUTH_FAILED:
    case MIKEYD_REPLAY:
    case MIKEYD_CLOCK_SKEW:
    case MIKEYD_UNKNOWN_PEER:
    case MIKEYD_NOT_ENTITLED:
    case MIKEYD_TICKET_INVALID:
    case MIKEYD_TICKET_EXPIRED:
        return (struct reason){403, "Key Management Refused", false};
    case MIKEYD_TOKEN_DOWN:
    case MIKEYD_TOKEN_BUSY:
    case MIKEYD_STORE_DOWN:
    case MIKEYD_AUDIT_DOWN:
    case MIKEYD_OVERLOADED:
    case MIKEYD_UNREACHABLE:
        return (struct reason){503, "Key Management Unavailable", true};
    default:
        return (struct reason){500, "Key Management Failed", false};
    }
}
