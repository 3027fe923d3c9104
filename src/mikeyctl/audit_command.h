/* The parts of `mikeyctl audit`, one file each. */
#ifndef MIKEYCTL_AUDIT_COMMAND_H
#define MIKEYCTL_AUDIT_COMMAND_H

#include "audit/export/export.h"
#include "audit/record.h"
#include "audit/verify/verify.h"
#include "mikeyctl/ctl.h"
#include "mikeyctl/pair_names.h"

#define AUDIT_ARGUMENTS_MAX 256

/* What the command line says; every subcommand looks at its own part. */
struct audit_arguments {
    const char *files[AUDIT_ARGUMENTS_MAX];
    size_t file_count;
    const char *public_keys[8];
    size_t public_key_count;
    uint64_t expect_sequence;
    const char *anchor;
    bool strict;
    const char *html, *policy, *keys;                /* report */
    const char *pair, *day, *client, *event;         /* query */
    const char *format, *host;                       /* export, follow */
    const char *to, *state, *ca, *certificate, *key; /* follow */
    bool once;
    const char *out, *name; /* export-key */
    unsigned generation;
    bool json;
};

int audit_command_verify(const struct audit_arguments *arguments);
int audit_command_query(const struct audit_arguments *arguments);
int audit_command_export(const struct audit_arguments *arguments);
int audit_command_follow(const struct audit_arguments *arguments);
int audit_command_report(const struct audit_arguments *arguments);
int audit_command_export_key(const struct ctl *ctl, const struct audit_arguments *arguments);

/* What the files are verified against. */
struct audit_verify_options audit_verify_options_of(const struct audit_arguments *arguments);
/* After audit_verify(): a log that is right but not all of it is an argument, exit status 1. */
int audit_exit_code(const struct audit_arguments *arguments, const struct audit_verdict *verdict,
                    enum mikeyd_status status);
/* --format and --host. */
enum mikeyd_status audit_export_how(const struct audit_arguments *arguments,
                                    struct audit_export *out, struct error *err);
/* The pairs of --policy and --keys. */
enum mikeyd_status audit_names_read(struct pair_names *names,
                                    const struct audit_arguments *arguments, struct error *err);
/* "2026-11-25", or "2026-11". */
bool audit_is_day(const char *text);

/* Writes a file under a temporary name and renames it when `write` returned true: a reader sees the
 * old file or the whole new one. */
enum mikeyd_status audit_write_whole(const char *path, bool (*write)(void *context, FILE *stream),
                                     void *context, struct error *err);

#endif
