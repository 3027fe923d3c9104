/* What the commands of mikeyctl share: the global options, and how results and failures are
 * printed. */
#ifndef MIKEYCTL_CTL_H
#define MIKEYCTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct ctl {
    const char *socket; /* --socket, else $MIKEYD_SOCKET, else /run/mikeyd/mikeyd.sock */
    const char *config; /* --config, else $MIKEYD_CONFIG, else /etc/mikeyd/mikeyd.yaml */
    bool json;
};

/* Each command gets its own name as argv[0] and returns the exit status. */
int ctl_exchange(struct ctl *ctl, int argc, char **argv);
int ctl_decode(struct ctl *ctl, int argc, char **argv);
int ctl_key(struct ctl *ctl, int argc, char **argv);
int ctl_policy(struct ctl *ctl, int argc, char **argv);
int ctl_audit(struct ctl *ctl, int argc, char **argv);
int ctl_token(struct ctl *ctl, int argc, char **argv);
int ctl_status(struct ctl *ctl, int argc, char **argv);
int ctl_sdp(struct ctl *ctl, int argc, char **argv);

/* Makes jansson wipe what it frees. Called once, before the first JSON value is made. */
void ctl_wipe_json_memory(void);

/* Prints {"error":{"code","message"}} on stdout when as_json, else "mikeyctl: message" on stderr;
 * returns the exit status. */
int ctl_fail(bool as_json, const struct error *err);
/* From now on usage errors are told on stdout, too, as an error object: for commands that print
 * JSON. */
void ctl_errors_as_json(void);
/* Usage error: message and the synopsis on stderr; returns 1. */
int ctl_usage(const char *synopsis, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints the object on one line and drops the reference; returns 0. That it could not be written is
 * also told at the end of the program (base/output.h). */
int ctl_print(json_t *object);

/* "@FILE" (or "@-" for stdin): the file's content, trimmed of a trailing newline; else the text
 * itself. free() it. INVALID_ARGUMENT when it is empty. */
enum mikeyd_status ctl_argument_text(const char *argument, char **text, size_t *len,
                                     struct error *err);
/* The same, then hexadecimal when it is only hex digits of even length and does not read as a MIKEY
 * base64, else as mikey_sdp_parse() reads it: base64, SDP, a KeyMgmt header. free() it. */
enum mikeyd_status ctl_argument_bytes(const char *argument, uint8_t **bytes, size_t *len,
                                      struct error *err);
/* True for that hexadecimal. */
bool ctl_is_hexadecimal(const char *text, size_t len);
/* free() the bytes. */
enum mikeyd_status ctl_decode_hexadecimal(const char *text, size_t len, uint8_t **bytes,
                                          size_t *bytes_len, struct error *err);

#endif
