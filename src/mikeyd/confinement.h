/*
 * The daemon's sandbox: the profile (sandbox/sandbox.h) that follows from its configuration. Its
 * own files and folders, those of its module, and what `sandbox:` in mikeyd.yaml adds.
 */
#ifndef MIKEYD_CONFINEMENT_H
#define MIKEYD_CONFINEMENT_H

#include "config/config.h"

struct confinement;

/* In the only thread, before anything is opened; *out is made also when not wanted. Says in the log
 * what the kernel lacks. */
enum mikeyd_status confinement_begin(const struct config *config, bool wanted,
                                     struct confinement **out, struct error *err);
/* When everything is open. */
enum mikeyd_status confinement_enter(const struct confinement *confinement, struct error *err);
void confinement_free(struct confinement *confinement);

/* For the status report: what holds of each layer, "off" without a sandbox. */
const char *confinement_seccomp(const struct confinement *confinement);
const char *confinement_landlock(const struct confinement *confinement);

#endif
