/* The latest policy that officers signed: its serial and hash. */
#include <stdlib.h>
#include <string.h>

#include "audit/last.h"

#define HASH_HEX 64
#define POLICY ",\"policy\":\""
#define POLICY_LEN (sizeof POLICY - 1)
/* What stands between the hash and the number. */
#define SERIAL "\",\"policy_serial\":"
#define SERIAL_LEN (sizeof SERIAL - 1)
#define DIGITS_MAX 20

static bool find_policy(const char *text, size_t len, void *out)
{
    const char *at = text, *const end = text + len;
    struct audit_policy_mark *mark = out;
    while ((at = memmem(at, (size_t)(end - at), SERIAL, SERIAL_LEN)) != NULL) {
        char digits[DIGITS_MAX + 1];
        const char *hash = at - HASH_HEX;
        const size_t before = (size_t)(at - text);
        at += SERIAL_LEN;
        const size_t left = (size_t)(end - at) < DIGITS_MAX ? (size_t)(end - at) : DIGITS_MAX;
        memcpy(digits, at, left);
        digits[left] = '\0';
        const size_t count = strspn(digits, "0123456789");
        if (before < HASH_HEX + POLICY_LEN || count == left ||
            strncmp(hash - POLICY_LEN, POLICY, POLICY_LEN) != 0)
            continue; /* cut: the whole of it is read with what stands around it */
        mark->serial = strtoull(digits, NULL, 10);
        memcpy(mark->sha256, hash, HASH_HEX);
        mark->sha256[HASH_HEX] = '\0';
    }
    return mark->serial != 0;
}

enum mikeyd_status audit_last_policy(const char *path, struct audit_policy_mark *out,
                                     struct error *err)
{
    *out = (struct audit_policy_mark){0};
    const struct audit_last last = {.find = find_policy,
                                    .out = out,
                                    .longest = POLICY_LEN + HASH_HEX + SERIAL_LEN + DIGITS_MAX + 1};
    return audit_last_find(path, &last, err);
}
