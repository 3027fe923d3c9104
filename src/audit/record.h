/* One record as JSON text. Internal to the log. */
#ifndef AUDIT_RECORD_H
#define AUDIT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/audit.h"
#include "audit/chain.h"

/* Room for the fields of one record, without sequence, time, boot, instance and seal. */
#define AUDIT_FIELDS_MAX 8192

/* Fields that only the log itself writes; all optional. */
struct audit_internal {
    uint64_t cut_bytes;         /* AUDIT_RECOVERED: bytes of an unfinished line that were cut ... */
    const uint8_t *cut_hash;    /* ... and their SHA-256 */
    const char *previous_file;  /* first record of a file that continues another */
    const char *linked_file;    /* AUDIT_CEREMONY: base name of the ceremony's log ... */
    uint64_t linked_sequence;   /* ... its last record ... */
    const uint8_t *linked_hash; /* ... and that one's hash */
    const char *signer;         /* AUDIT_CHECKPOINT: label of the key that signs it; ... */
    uint64_t covers;            /* ... the record that it covers ... */
    const uint8_t *chain;       /* ... and that one's hash */
    bool counted;               /* the signer counts: base/checkpoint.h, form 3 */
    bool final;                 /* written as the log was closed */
};

/*
 * Writes ,"event":"initiate","result":"OK",... to out (AUDIT_FIELDS_MAX bytes, not terminated) and
 * returns its length. What cannot be seen is written as base/visible.h shows it, with
 * backslashes doubled; text that is too long is cut and says so: a record is never refused for what
 * a peer put into it.
 */
size_t audit_record_format(const struct audit_record *record, const struct audit_internal *internal,
                           char *out);

/* False when the name is none of ours. */
bool audit_event_by_name(const char *name, enum audit_event *out);

#endif
