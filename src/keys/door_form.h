/*
 * Fields of the door's messages, each described once for both directions: a form function writes
 * the value it is given and returns it, or reads one and returns that. A value out of range, a
 * length that does not fit and a byte too few fail the form; a failed form writes nothing more and
 * reads zeros. Callers look once, at the end.
 */
#ifndef KEYS_DOOR_FORM_H
#define KEYS_DOOR_FORM_H

#include "keys/door.h"

struct door_form {
    struct byte_reader *in;  /* reading, or NULL */
    struct byte_writer *out; /* writing, or NULL */
    struct keys_entry *page; /* reading an answer to DOOR_KEYS: where its entries go */
};

#define DOOR_RAND_MAX 255
#define DOOR_PEM_MAX 4096
#define DOOR_DATE 10 /* 2026-11-21 */
#define DOOR_GENERATION_MAX 999999999u
#define DOOR_BITS_MAX (KEYS_BLOCKS_MAX * 256u)

bool form_failed(const struct door_form *form);
void form_fail(struct door_form *form);

/* Numbers within low .. high. */
uint8_t form_u8(struct door_form *form, uint64_t value, uint8_t low, uint8_t high);
uint16_t form_u16(struct door_form *form, uint64_t value, uint16_t low, uint16_t high);
uint32_t form_u32(struct door_form *form, uint64_t value, uint32_t low, uint32_t high);
uint64_t form_u64(struct door_form *form, uint64_t value);
bool form_bool(struct door_form *form, bool value);
/* Bytes of a known length: a view when reading. */
const uint8_t *form_view(struct door_form *form, const uint8_t *data, size_t len);
/* Bytes of a known length that are copied. */
void form_copy(struct door_form *form, uint8_t *data, size_t len);
/* Text of low .. cap - 1 bytes of printable ASCII, NUL-terminated in memory. */
void form_text(struct door_form *form, char *text, size_t low, size_t cap);
/* What a module says of itself, which may be anything: written with '?' for what is not printable. */
void form_told(struct door_form *form, char *text, size_t cap);
/* A key's name: what can stand in a label, 1 to KEYS_NAME_MAX - 1 characters. */
void form_key_name(struct door_form *form, char name[KEYS_NAME_MAX]);
enum mikeyd_status form_status(struct door_form *form, enum mikeyd_status status);

/* text: where name->name is copied to when reading. */
void form_name(struct door_form *form, struct keys_name *name, char text[KEYS_NAME_MAX]);
void form_derivation(struct door_form *form, struct mikey_derivation *what);
/* PRF, CSB ID and RAND alone, for keys that come out of the pre-shared key into the host. */
void form_prf_input(struct door_form *form, struct mikey_derivation *what);
void form_covered(struct door_form *form, struct mikey_covered *covered);
/* 20 or 32 bytes. */
size_t form_tag_len(const struct mikey_derivation *what);
/* Kind, name and generation of an entry: how a proof names a key. Never KEYS_AUDIT. */
void form_proof_of(struct door_form *form, struct keys_entry *entry);
/* A whole entry of the inventory. */
void form_entry(struct door_form *form, struct keys_entry *entry);

#endif
