/*
 * The fault matrix: every function of PKCS#11 that is called on the way, times every return value
 * that there is, times the first, the middle and the last call. Which of its cells are run is up to
 * MIKEYD_FAULT_THIRD: 1, 2, 3, or all; without it, a third by the day.
 */
#ifndef TESTS_MATRIX_H
#define TESTS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

#include "module/fault_tally.h"

/* Some kB a cell at most. AddressSanitizer keeps what was freed, and tells of leaks itself. */
#ifdef __SANITIZE_ADDRESS__
#define MATRIX_GROWN_KB_MAX (1024 * 1024)
#else
#define MATRIX_GROWN_KB_MAX 8192
#endif

struct matrix_cell {
    enum fault_function function;
    unsigned long rv;
    unsigned long call; /* which one of that function, from 1 */
};

struct matrix {
    unsigned long calls[FAULT_FUNCTION_COUNT]; /* of each function on the way */
    size_t cells;                              /* in all */
    size_t served, refused, untouched;         /* of those run; untouched: the call did not come */
};

/* The way is gone between these two, without a fault: which functions are called, how often. */
void matrix_measure_begin(struct matrix *matrix, const struct fault_tally *tally);
void matrix_measure_end(struct matrix *matrix, const struct fault_tally *tally);

/* The plan's line for the cell. */
void matrix_cell_rule(const struct matrix_cell *cell, char *out, size_t cap);
/* "C_Sign, call 3: CKR_DEVICE_ERROR". */
const char *matrix_cell_name(const struct matrix_cell *cell, char *out, size_t cap);

typedef void (*matrix_run)(struct matrix *matrix, const struct matrix_cell *cell);
/* Runs the cells of this run's third. Of these the part-th of `parts`: so programs share them. */
void matrix_run_cells(struct matrix *matrix, unsigned part, unsigned parts, matrix_run run);
/* The figures, to stdout. */
void matrix_report(const struct matrix *matrix, const char *what);

#endif
