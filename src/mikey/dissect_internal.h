/* Inside src/mikey only: the state of one dissection. */
#ifndef MIKEY_DISSECT_INTERNAL_H
#define MIKEY_DISSECT_INTERNAL_H

#include <jansson.h>

#include "mikey/wire.h"

struct dissection {
    struct byte_reader r;
    uint8_t type; /* data type of the header */
    json_t *payloads, *findings;
    bool errors;    /* a finding of severity error was made */
    bool no_memory; /* jansson ran out: the whole dissection is void */
    bool whole;     /* every payload was reached */
    bool has_rand, has_sdp_ids;
    size_t ids;
};

enum severity { FINDING_NOTE, FINDING_WARNING, FINDING_ERROR };
void dissect_find(struct dissection *d, enum severity severity, const char *where,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Setters that note when memory ran out. All but the first do nothing once the reader has failed. */
void dissect_set(struct dissection *d, json_t *object, const char *field, json_t *value);
void dissect_put(struct dissection *d, json_t *object, const char *field, json_t *value);
void dissect_put_number(struct dissection *d, json_t *object, const char *field, uint64_t value);
void dissect_put_text(struct dissection *d, json_t *object, const char *field, const char *text);
/* At most 512 bytes; longer ones are cut and end in "...". */
void dissect_put_hex(struct dissection *d, json_t *object, const char *field, const uint8_t *data,
                     size_t len);
/* A number and, beside it, FIELD_name; "unknown" outside the table. */
void dissect_put_code(struct dissection *d, json_t *object, const char *field, uint8_t value,
                      const char *const names[], size_t name_count);

/*
 * Reads the body of one payload of any MIKEY mode into `out`, after its next payload byte. False
 * when the payload is unknown, so that nothing after it can be read.
 */
bool dissect_payload(struct dissection *d, uint8_t payload, json_t *out);
/* The same for the payloads that pre-shared key mode does not have. */
bool dissect_foreign_payload(struct dissection *d, uint8_t payload, json_t *out);
const char *dissect_payload_name(uint8_t payload);

/* The bodies of T, RAND and ID, which payloads with a role in front of them share (RFC 6043). */
bool dissect_read_t(struct dissection *d, json_t *out);
void dissect_read_rand(struct dissection *d, json_t *out);
void dissect_read_id(struct dissection *d, json_t *out);

#endif
