/*
 * A keyholder over a real token, served in a thread of this process, and one connection to its
 * door: what the front would do, without the front.
 */
#ifndef TESTS_KEYHOLDER_LAB_H
#define TESTS_KEYHOLDER_LAB_H

#include <pthread.h>

#include "keyholder/keyholder.h"
#include "mikey/label.h"
#include "support/lab_token.h"

#define LAB_A "sip:sbc-a@carrier.example"
#define LAB_B "sip:sbc-b@carrier.example"
#define LAB_WAIT_MS 8000

struct lab {
    struct token_fixture fixture;
    struct token_config config;
    struct keyholder_options options;
    struct token *token;
    struct keyholder *holder;
    pthread_t thread;
    int control, door;
    int served;                   /* the keyholder's end of control */
    uint8_t in[DOOR_MESSAGE_MAX]; /* the last answer, as it came */
    size_t in_len;
    struct keys_entry entry[DOOR_KEYS_PER_PAGE];
};

/*
 * Keys in every lab token: psk plain/1 (32 bytes), psk long/1 (80 bytes, three objects), ticket
 * tickets/1, and epsk core/1: as such where the token derives, else as the pair keys of A -> B and
 * B -> A that the ceremony makes from it, for both algorithm sets.
 */
extern const uint8_t lab_plain[32], lab_long[80], lab_ticket[32], lab_epsk[32];

/* The parts of lab_open(), for tests that put something in between. */
void lab_make(struct lab *lab, enum token_fixture_kind kind);
void lab_start(struct lab *lab);
/* psk NAME/1, whose value begins with that byte. */
void lab_add_psk(struct lab *lab, const char *name, uint8_t first);
/* The key audit/log/1, that signs checkpoints. */
void lab_add_audit_key(struct lab *lab);
/* Both; token of the run. */
void lab_open(struct lab *lab, enum lab_token need);
/* Ends the control socket and the door, and waits for the keyholder to end. */
void lab_stop(struct lab *lab);
void lab_close(struct lab *lab);

/* Another connection. */
int lab_connect(struct lab *lab);
/* One request over lab->door and its answer, which is asserted to be one; its status. */
enum mikeyd_status lab_ask(struct lab *lab, const struct door_request *request,
                           struct door_answer *answer);
enum mikeyd_status lab_ask_over(struct lab *lab, int door, const struct door_request *request,
                                struct door_answer *answer);
struct door_facts lab_facts(struct lab *lab);

/* ---- names and messages */

struct keys_name lab_psk(const char *name);
/* Of core/1, for the pair LAB_A -> LAB_B, or the other way round. */
struct keys_name lab_pair(enum mikey_algorithms algorithms, bool reverse);
/* What the pair key is, by the host. out: 32 bytes. */
void lab_pair_key(const struct keys_name *name, uint8_t out[32]);
struct mikey_derivation lab_derivation(enum mikey_algorithms algorithms, bool encrypts);

/* A request to seal that head and those key data; `encrypts` is what the derivation says. */
struct door_request lab_seal(const struct keys_name *name, enum mikey_algorithms algorithms);
extern const uint8_t lab_key_data[48];
extern const uint8_t lab_head[120];
#define LAB_T 0xEDC0FFEE12345678ULL

/* ---- the same by OpenSSL, on a key in clear */

struct lab_host {
    struct mikey_psk_port port;
    struct mikey_key key;
};
void lab_host_open(struct lab_host *host, const uint8_t *psk, size_t len);
void lab_host_close(struct lab_host *host);
/* The whole covered part of a sealed message, in room for 2048 bytes, and its MAC. Its length. */
size_t lab_host_message(struct lab_host *host, enum mikey_algorithms algorithms, uint8_t *covered,
                        uint8_t mac[32]);

/* Does the run of bytes stand anywhere in them? */
bool lab_holds(const uint8_t *data, size_t len, const uint8_t *what, size_t what_len);

#endif
