/*
 * mikeyctl key: what its commands share. A command parses nothing by itself: key.c hands it the
 * options; it opens the ceremony (configuration, policy, audit log, one token), does one thing and
 * records it. No secret is ever an argument, an environment variable or a line of output.
 */
#ifndef MIKEYCTL_KEY_H
#define MIKEYCTL_KEY_H

#include "audit/audit.h"
#include "base/secret.h"
#include "config/config.h"
#include "mikeyctl/ctl.h"
#include "officers/signed_policy.h"
#include "pkcs11/provision/provision.h"
#include "pkcs11/token/signer.h"
#include "policy/policy.h"

struct key_options {
    const char *config; /* mikeyd.yaml */
    const char
        *token; /* --token: number from 1, or a URI of the configuration; NULL: the only one */
    const char *pin_file, *so_pin_file; /* override the configuration's, one for each role */
    const char *audit;                  /* --audit, else the configuration's */
    const char *kind, *name;
    unsigned generation; /* 0: the policy's, else 1 */
    unsigned bits;       /* 0: not given */
    const char *not_before, *not_after;
    const char *hex_file;
    const char *with; /* label of the wrapping or unwrapping key */
    struct provision_wrapping wrapping;
    const char *in[TOKEN_BLOCKS_MAX];
    size_t in_count;
    const char *out, *public_key;
    bool for_transport, modifiable, insecure_plaintext, delete_main, dry_run, yes, json, csv;
};

int key_generate(const struct key_options *options);
int key_import(const struct key_options *options);
int key_unwrap(const struct key_options *options);
int key_wrap(const struct key_options *options);
int key_trust(const struct key_options *options);
int key_derive(const struct key_options *options);
int key_list(const struct key_options *options);
int key_inventory(const struct key_options *options);
int key_check(const struct key_options *options);
int key_destroy(const struct key_options *options);
int key_release_store(const struct key_options *options);

/* ---- the ceremony */

struct ceremony {
    const struct key_options *options;
    struct config *config;
    struct policy *policy;
    struct policy_signers signers; /* of the policy */
    struct audit_log *audit;
    struct token_signer *signer; /* signs the log as it is closed; NULL until then */
    char signer_label[TOKEN_NAME_MAX + 32];
    char audit_path[4096];
    char client[64]; /* who: "ceremony uid 1000" */
    struct token_config token_config;
    struct token *token;
    struct token_session *session;
    struct token_facts facts;
    bool read_only; /* set after ceremony_open(): for what only looks, also at a token that p11-kit
                       write-protects */
};

/* Configuration, policy, secure heap, and (recorded) the audit log: no record, no ceremony. Zeroed
 * by the call; close it whatever comes of it. */
enum mikeyd_status ceremony_open(const struct key_options *options, bool recorded,
                                 struct ceremony *out, struct error *err);
void ceremony_close(struct ceremony *ceremony);
/* Opens with the one token (an error when several could be meant), runs a step, closes, and says
 * what went wrong: the exit status. */
int ceremony_run(const struct key_options *options,
                 enum mikeyd_status (*step)(struct ceremony *, struct error *));

/* How many tokens --token leaves to work on, and the configuration index of the n-th. */
enum mikeyd_status ceremony_tokens(const struct ceremony *ceremony, size_t *count, size_t *first,
                                   struct error *err);
/* Opens one of them. */
enum mikeyd_status ceremony_open_token(struct ceremony *ceremony, size_t index, struct error *err);
void ceremony_close_token(struct ceremony *ceremony);
/* The configuration of a token as the ceremony uses it (its PIN file, R/W unless read_only, long
 * deadline). */
void ceremony_token_config(const struct ceremony *ceremony, size_t index, struct token_config *out);

/* Writes one record and waits until it is on disk. key: "core/1" or NULL. */
enum mikeyd_status ceremony_record(struct ceremony *ceremony, enum audit_event event,
                                   enum mikeyd_status result, const char *key, const char *detail,
                                   struct error *err);
/*
 * The end of a step that made a key: has the token show it again (provision_confirm), records it,
 * and destroys the key again when there can be no record of it.
 */
enum mikeyd_status ceremony_record_made(struct ceremony *ceremony, enum audit_event event,
                                        const struct provision_spec *spec,
                                        enum mikeyd_status status, const char *detail,
                                        struct error *err);

/* The policy's key of that name, or NULL. */
const struct policy_key *ceremony_policy_key(const struct ceremony *ceremony, const char *name);
/*
 * Fills name, generation, bits and dates from options and policy, and checks what the policy says
 * about a key of this kind: POLICY when it is of another kind or under min_psk_bits.
 */
enum mikeyd_status ceremony_spec(const struct ceremony *ceremony, enum token_kind kind,
                                 unsigned bits, struct provision_spec *out, char not_before[11],
                                 char not_after[11], struct error *err);
/* The last day of use for a policy's not_after, the first for its not_before: "" when 0. */
void ceremony_date(int64_t unix_seconds, bool last_day, char out[11]);

/* ---- files */

/* A key file that nobody else can read (private_file_open): one line of hex digits. */
enum mikeyd_status key_file_read_hex(const char *path, struct secret *out, struct error *err);
/* A file that is no secret (wrapped keys, public keys), at most cap bytes. */
enum mikeyd_status key_file_read(const char *path, uint8_t *out, size_t cap, size_t *len,
                                 struct error *err);
/* A new file, 0600; refuses one that exists. */
enum mikeyd_status key_file_write(const char *path, const void *data, size_t len,
                                  struct error *err);

/* ---- output */

/* What was made, as text or JSON; `extra` is merged in (a reference is taken over; may be NULL). */
int key_print_made(const struct ceremony *ceremony, const char *done,
                   const struct provision_spec *spec, const struct provision_result *result,
                   json_t *extra);

#endif
