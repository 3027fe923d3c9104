/* A log as a month of service leaves it, with the times of that month: releases, refusals, outages,
 * a ceremony, a rotation of policy, and hostile names. Signed by a key of its own. */
#ifndef TEST_AUDIT_STORY_H
#define TEST_AUDIT_STORY_H

#include <stdint.h>

/* The totals that the report must show. */
struct story_totals {
    uint64_t records, exchanges, keys, refusals, outages;
};

/* Writes FOLDER/audit.jsonl, FOLDER/key.pem and FOLDER/keys.json. */
void story_write(const char *folder, struct story_totals *totals);

#endif
