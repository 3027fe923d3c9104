/* What the dates of the policy's keys say about the days ahead. */
#ifndef MIKEYD_KEY_DATES_H
#define MIKEYD_KEY_DATES_H

#include "policy/policy.h"

#define KEY_DATES_SOON_S (30 * (int64_t)86400)
#define KEY_DATES_URGENT_S (7 * (int64_t)86400)
#define KEY_DATES_TEXT 192

enum key_age {
    KEY_AGE_GOOD,    /* for more than 30 days, or for good */
    KEY_AGE_NOT_YET, /* not_before lies ahead */
    KEY_AGE_SOON,    /* expires within 30 days */
    KEY_AGE_URGENT,  /* within 7 */
    KEY_AGE_EXPIRED  /* requests with it are refused */
};

/* now: Unix seconds. text: the sentence to tell, "" for a good one. */
enum key_age key_dates_judge(const struct policy_key *key, int64_t now, char text[KEY_DATES_TEXT]);
/* When the first of the keys that are good now expires; 0: none does. */
int64_t key_dates_first_expiry(const struct policy *policy, int64_t now);

#endif
