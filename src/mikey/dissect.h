/* Offline dissection of any MIKEY message for people: payload by payload, with findings. Never uses
 * or shows a key. */
#ifndef MIKEY_DISSECT_H
#define MIKEY_DISSECT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A JSON object: "length", "type" (name), "header" {...}, "payloads":
 * [{"payload","offset","length", fields...}], "findings":
 * [{"severity":"error|warning|note","where","text"}], "valid": bool. Encr data and MAC are given as
 * lengths; NULL-encrypted key data is reported as a finding and not shown. Never NULL except when
 * memory runs out.
 */
json_t *mikey_dissect(const uint8_t *bytes, size_t len);

#endif
