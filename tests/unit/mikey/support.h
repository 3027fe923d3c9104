/* What the tests of src/mikey share: vector files, hexadecimal, and a sealed message to damage. */
#ifndef TESTS_MIKEY_SUPPORT_H
#define TESTS_MIKEY_SUPPORT_H

#include <jansson.h>

#include "mikey/exchange.h"

struct bytes {
    uint8_t data[4096];
    size_t len;
};

/* Secret memory, once a process. */
void support_init(void);

struct bytes support_hex(const char *text, size_t text_len);
struct bytes support_hex_string(const char *text);
/* 00 01 02 ... */
struct bytes support_counting(uint8_t first, size_t len);

/* A whole vector file, NUL terminated; freed by the caller. */
char *support_file(const char *name);
json_t *support_json(const char *name);
/*
 * kats.txt: the hexadecimal word after `label` in the text that starts at `section` (the beginning
 * of a line). Fails the test when there is none.
 */
struct bytes support_kat(const char *section, const char *label);
/* The n-th (from 0) value of a label. */
struct bytes support_kat_at(const char *section, const char *label, size_t n);

/* A worker's scratch, in the secure heap. */
struct mikey_message_keys *support_keys(void);
void support_keys_free(struct mikey_message_keys *keys);

/* alice calls bob with the key of kats.txt block C; two streams, the second SSRC left open. */
struct call {
    struct mikey_stream streams[2];
    struct mikey_key_data key;
    struct mikey_init init;
    struct mikey_psk psk;
    struct mikey_message_keys *keys;
    struct mikey_psk_port port; /* of call_key() */
    struct mikey_key holder;
    struct mikey_plain *plain; /* of the message opened last, and its key data */
    struct mikey_key_data data[MIKEY_KEY_DATA_MAX];
    size_t data_count;
    struct mikey_reply_rules answer_rules, verify_rules; /* the RFC's at first */
    uint8_t message[1024];
    size_t message_len;
    uint8_t reply[1024];
    size_t reply_len;
};
/* algorithms decides PSK (16 or 32 bytes) and key data as in blocks C and D. */
void call_make(struct call *call, enum mikey_algorithms algorithms);
void call_free(struct call *call);
/* Whoever holds the call's PSK, as it is now. */
const struct mikey_key *call_key(struct call *call);
/* Opens m, without a reply. */
enum mikeyd_status call_open(struct call *call, const struct mikey_message *m, const uint8_t *rand,
                             size_t rand_len, struct error *err);
/* The whole R_MESSAGE to m with that CS map. */
enum mikeyd_status call_reply_to(struct call *call, const struct mikey_message *m,
                                 const struct mikey_cs *cs, const uint8_t *rand, size_t rand_len,
                                 struct byte_writer *out, struct error *err);
enum mikeyd_status call_seal(struct call *call);
/* Opens call->message as bob and seals the reply, SSRC 55667788 for the open stream. */
enum mikeyd_status call_answer(struct call *call);
/* Parses and verifies bytes as the answer to call. */
enum mikeyd_status call_verify(struct call *call, const uint8_t *bytes, size_t len);
/* Parses and opens bytes as an I_MESSAGE under the call's PSK. */
enum mikeyd_status call_authenticate(struct call *call, const uint8_t *bytes, size_t len);

/* Asserts that two byte strings are equal. */
void support_equal(const void *actual, size_t actual_len, const void *expected, size_t expected_len,
                   const char *what);

#endif
