#include "base/key_finding.h"

#include <stdio.h>

const char *key_finding_text(uint32_t one_bit)
{
    switch (one_bit) {
    case KEY_FINDING_EXTRACTABLE:
        return "CKA_EXTRACTABLE is true: the key can leave the token wrapped";
    case KEY_FINDING_NOT_SENSITIVE:
        return "CKA_SENSITIVE is false";
    case KEY_FINDING_READABLE:
        return "CKA_VALUE can be read";
    case KEY_FINDING_NOT_PRIVATE:
        return "CKA_PRIVATE is false: made without a PIN, visible without one, and never used";
    case KEY_FINDING_MODIFIABLE:
        return "CKA_MODIFIABLE is true";
    case KEY_FINDING_USAGE:
        return "a usage flag is on that its kind does not need";
    case KEY_FINDING_MECHANISMS:
        return "CKA_ALLOWED_MECHANISMS is wider than its kind needs";
    case KEY_FINDING_DUPLICATE:
        return "another object has the same label or CKA_ID";
    case KEY_FINDING_BLOCK_MISSING:
        return "its blocks are not #1 to #n of 32 bytes each, the last one of no more";
    case KEY_FINDING_TYPE:
        return "not a key of the class and type of its kind";
    case KEY_FINDING_SHORT:
        return "shorter than 128 bits";
    case KEY_FINDING_DATES:
        return "today is outside its start and end date";
    case KEY_FINDING_HISTORY:
        return "was once outside a token (created or unwrapped)";
    case KEY_FINDING_LABEL:
        return "label starts with mikeyd/ but is none of ours";
    case KEY_FINDING_ID:
        return "CKA_ID is not 16 bytes";
    default:
        return "unknown finding";
    }
}

void key_findings_text(uint32_t findings, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t bit = 1; bit != 0 && at < cap; bit <<= 1) {
        if ((findings & bit) == 0)
            continue;
        int used = snprintf(out + at, cap - at, "%s%s", at == 0 ? "" : "; ", key_finding_text(bit));
        at += used < 0 ? 0 : (size_t)used;
    }
}
