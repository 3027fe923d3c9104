#include "mikeyd/key_dates.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"

/* Seconds and their fraction say nothing here: "2026-12-01T00:00". */
static void put_date(int64_t unix_s, char out[CLOCK_TEXT])
{
    clock_format_utc(unix_s * 1000, out);
    out[16] = '\0';
}

enum key_age key_dates_judge(const struct policy_key *key, int64_t now, char text[KEY_DATES_TEXT])
{
    char date[CLOCK_TEXT];
    text[0] = '\0';
    if (key->not_before != 0 && now < key->not_before) {
        put_date(key->not_before, date);
        (void)snprintf(text, KEY_DATES_TEXT, "key %.96s/%u is not valid before %s UTC", key->name,
                       key->generation, date);
        return KEY_AGE_NOT_YET;
    }
    if (key->not_after == 0 || key->not_after - now > KEY_DATES_SOON_S)
        return KEY_AGE_GOOD;
    put_date(key->not_after, date);
    if (now >= key->not_after) {
        (void)snprintf(text, KEY_DATES_TEXT,
                       "key %.96s/%u expired at %s UTC: requests with it are refused", key->name,
                       key->generation, date);
        return KEY_AGE_EXPIRED;
    }
    (void)snprintf(text, KEY_DATES_TEXT, "key %.96s/%u expires in %" PRId64 " days, at %s UTC",
                   key->name, key->generation, (key->not_after - now) / 86400, date);
    return key->not_after - now > KEY_DATES_URGENT_S ? KEY_AGE_SOON : KEY_AGE_URGENT;
}

int64_t key_dates_first_expiry(const struct policy *policy, int64_t now)
{
    int64_t first = 0;
    for (size_t i = 0; i < policy_key_count(policy); i++) {
        const int64_t at = policy_key_at(policy, i)->not_after;
        if (at > now && (first == 0 || at < first))
            first = at;
    }
    return first;
}
