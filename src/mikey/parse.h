/* Inside src/mikey only: the state of one parse, shared by framing and payload readers. */
#ifndef MIKEY_PARSE_H
#define MIKEY_PARSE_H

#include "mikey/message.h"
#include "mikey/wire.h"

struct mikey_parser {
    struct byte_reader r;
    struct mikey_message *m;
    bool has_t;
    uint8_t payload; /* the one being read, and where it starts */
    size_t at;
    uint8_t *mikey_error;
    struct error *err;
};

/* Refuses the message: names payload and offset, sets the RFC 3830 error number. */
enum mikeyd_status mikey_parser_refuse(struct mikey_parser *p, enum mikeyd_status status,
                                       uint8_t mikey_error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "KEMAC", "T" ...; "payload" for a number that RFC 3830 does not name. */
const char *mikey_payload_name(uint8_t payload);

/* Reads the body of p->payload, after its next payload byte. */
enum mikeyd_status mikey_parse_payload(struct mikey_parser *p);
/* Reads CS ID map info (RFC 3830 6.1.1). */
enum mikeyd_status mikey_parse_cs_map(struct mikey_parser *p, uint8_t announced);

#endif
