/* The sandbox of the gate: its files and its port, nothing else. */
#ifndef GATE_CONFINEMENT_H
#define GATE_CONFINEMENT_H

#include "config/config.h"

/* Before the first file and socket; then, when both are open. See sandbox/sandbox.h. */
enum mikeyd_status confinement_begin(const struct config *config, bool wanted, struct error *err);
enum mikeyd_status confinement_enter(const struct config *config, bool wanted, struct error *err);

#endif
