/*
 * The end of a log file: where its chain stands, and how much of it a crash left unfinished. Reads
 * the last part only, so that opening a large log is quick.
 */
#ifndef AUDIT_TAIL_H
#define AUDIT_TAIL_H

#include <limits.h>

#include "audit/chain.h"

/* How much of the end is read and checked, in bytes. */
#define AUDIT_TAIL_BYTES (1U << 20)

struct audit_tail {
    struct audit_chain chain; /* of the last complete record; zeros when there is none */
    uint64_t complete;        /* length of the file up to and with that record */
    uint64_t cut_bytes;       /* bytes after it: an unfinished line */
    uint8_t cut_hash[AUDIT_HASH_LEN];
};

/*
 * Looks at the first `size` bytes of fd. What a crash can leave (a line without end, or blocks of
 * zeros that were never written) counts as unfinished; anything else that does not chain is SYNTAX
 * and names the record: somebody has to look at it before it is written to.
 */
enum mikeyd_status audit_tail_read(int fd, uint64_t size, struct audit_hasher *hasher,
                                   struct audit_tail *out, struct error *err);

/*
 * The rotated file next to path ("audit.jsonl" -> "audit.jsonl.20270131T010203Z-77",
 * "audit.jsonl.1") whose chain goes furthest. name (NAME_MAX + 1 bytes) is empty when there is
 * none. Needed when the file itself is missing or empty.
 */
void audit_tail_find_previous(const char *path, struct audit_hasher *hasher,
                              char name[NAME_MAX + 1], struct audit_chain *chain);

#endif
