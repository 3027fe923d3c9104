/*
 * A laboratory for one test: a token (the run's choice, support/lab_token.h), its keys, a folder
 * with policy and configuration, and a real daemon on them. Everything fails the test by itself
 * when it does not work.
 */
#ifndef TESTS_DAEMON_LAB_H
#define TESTS_DAEMON_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <mikeyd/client.h>

#include "support/lab_token.h"

#define LAB_A "sip:a@lab.example"
#define LAB_B "sip:b@lab.example"
#define LAB_PATH 128

struct lab {
    char dir[LAB_PATH];
    struct token_fixture token;
    char config[LAB_PATH], policy[LAB_PATH], audit[LAB_PATH], socket[LAB_PATH], log[LAB_PATH];
    char ceremony[LAB_PATH]; /* configuration of mikeyctl key: the token without p11-kit */
    char address[LAB_PATH + 8];
    pid_t daemon; /* the monitor; 0: none */
};

/* On the token of the run, with psk pbx/1 and ticket lab/1 in it. extra: lines added to
 * mikeyd.yaml, or NULL. */
void lab_make(struct lab *lab, const char *extra);
/* On this token, whatever the run is on. */
void lab_make_on(struct lab *lab, enum token_fixture_kind kind, const char *extra);
/* True when the daemon has a sanitizer in it, whose memory and system calls are no daemon's. */
bool lab_daemon_is_sanitized(void);
/* Starts the daemon and waits until it answers. */
void lab_start(struct lab *lab);
/* Starts the daemon and does not wait. */
void lab_start_unwatched(struct lab *lab);
/* Starts the daemon and waits until it answers, with its stdout and stderr at this descriptor instead of in the log. */
void lab_start_speaking_to(struct lab *lab, int fd);
/* Starts the daemon and waits for its end, which must come by itself: its exit status. */
int lab_start_refused(struct lab *lab);
/* Sends the signal and waits for the end; the status as of waitpid(). */
int lab_stop(struct lab *lab, int signal);
/* The processes that the monitor started; 0: there is none at present. */
pid_t lab_front(const struct lab *lab);
pid_t lab_keyholder(const struct lab *lab, unsigned token);
/* kill -9 of the monitor, and with it of the others: returns when all are gone. */
void lab_kill(struct lab *lab);
/* Ends what runs and removes the folder. */
void lab_remove(struct lab *lab);

/* What mikeyd.yaml says instead of the usual. */
struct lab_config {
    const char *module;      /* NULL: the token's, or p11-kit's client when it is served */
    unsigned sessions;       /* 0: 3 */
    const char *token_extra; /* further lines of the token, indented by four; NULL: none */
    const char *extra;       /* further lines of the file; NULL: none */
};
void lab_write_config(struct lab *lab, const struct lab_config *with);
/* Writes the policy with two nodes, both ways, and this user as the client of both; more: further
 * lines. */
void lab_write_policy(struct lab *lab, const char *more);
void lab_write_file(const char *path, const char *text);
/* The whole file, NUL-terminated; free() it. */
char *lab_read_file(const char *path);
/* True when the file holds the text within half a minute. */
bool lab_file_gets(const char *path, const char *text);
size_t lab_count_in_file(const char *path, const char *text);

/* Runs a program of argv, NULL-terminated; its exit status. Output goes to DIR/out. */
int lab_run(struct lab *lab, const char *const argv[]);
/* mikeyctl key with these arguments, NULL-terminated; its exit status. */
int lab_key(struct lab *lab, const char *const arguments[]);
/* lab_key(), which must succeed. */
void lab_key_must(struct lab *lab, const char *const arguments[]);
/* Imports 64 hexadecimal digits under generation 1, or fails the test. */
void lab_key_import(struct lab *lab, const char *kind, const char *name, const char *hex);
/* mikeyctl audit verify on the audit log. */
int lab_verify_audit(struct lab *lab);
/* The configuration says that the log is signed by the key audit/lab/1, often; more: what else is
 * said of the log, after a comma, or "". */
void lab_sign_audit(struct lab *lab, const char *more);
/* Verifies such a log with the public key, which it takes out of the token; the daemon has ended. The
 * test fails unless it is good without a warning. Its verdict as JSON text; free() it. */
char *lab_verdict(struct lab *lab);

/* A client of the daemon. */
mikeyd_client *lab_client(const struct lab *lab);
/* A connection without libmikeyd. */
int lab_connect(const struct lab *lab);
/* Initiate, respond and confirm through the client, all of which must succeed with equal keys. */
void lab_exchange(mikeyd_client *client);
enum mikeyd_status lab_initiate(mikeyd_client *client, mikeyd_exchange **out);
/* A packed, framed request: an initiate of LAB_A to LAB_B. Returns its length. */
size_t lab_frame_initiate(uint64_t id, const char *on_behalf, uint8_t *out, size_t cap);
size_t lab_frame_status(uint64_t id, uint8_t *out, size_t cap);
/* Reads one response: its status, or -1 at the end of the connection, -2 after timeout_ms. */
int lab_read_response(int fd, int timeout_ms, uint64_t *id);

/* ---- several clients at once, with calls one after the other: until the end none may fail */

void lab_calls_begin(const struct lab *lab);
/* Returns when so many more are over. */
void lab_calls_wait(unsigned more);
/* Fails the test when a call failed, naming the first one's error, or its ends had different keys. */
void lab_calls_end(void);

#endif
