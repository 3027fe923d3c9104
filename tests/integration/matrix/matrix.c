#include "matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

#include "pkcs11/token/internal.h"

/* PKCS#11 2.40, and what 3.0 has more; two of the vendors' range, one of which wolfPKCS11 gives. */
static const unsigned long return_values[] = {
    0x001, 0x002, 0x003, 0x005, 0x006, 0x007, 0x008, 0x009,      0x00a, 0x010, 0x011, 0x012,
    0x013, 0x01b, 0x020, 0x021, 0x030, 0x031, 0x032, 0x040,      0x041, 0x042, 0x050, 0x051,
    0x054, 0x060, 0x062, 0x063, 0x064, 0x065, 0x066, 0x067,      0x068, 0x069, 0x06a, 0x070,
    0x071, 0x082, 0x090, 0x091, 0x0a0, 0x0a1, 0x0a2, 0x0a3,      0x0a4, 0x0b0, 0x0b1, 0x0b3,
    0x0b4, 0x0b5, 0x0b6, 0x0b7, 0x0b8, 0x0c0, 0x0c1, 0x0d0,      0x0d1, 0x0e0, 0x0e1, 0x0e2,
    0x0f0, 0x0f1, 0x0f2, 0x100, 0x101, 0x102, 0x103, 0x104,      0x105, 0x110, 0x112, 0x113,
    0x114, 0x115, 0x120, 0x121, 0x130, 0x140, 0x150, 0x160,      0x170, 0x180, 0x190, 0x191,
    0x1a0, 0x1a1, 0x1b0, 0x1b1, 0x1b5, 0x1b6, 0x1b7, 0x1b8,      0x1b9, 0x200, 0x201, 0x202,
    0x203, 0x204, 0x205, 0x206, 0x207, 0x208, 0x209, 0x80000000, ~0UL};
#define RETURN_VALUES (sizeof return_values / sizeof return_values[0])

void matrix_measure_begin(struct matrix *matrix, const struct fault_tally *tally)
{
    for (size_t i = 0; i < FAULT_FUNCTION_COUNT; i++)
        matrix->calls[i] = atomic_load(&tally->calls[i]);
}

void matrix_measure_end(struct matrix *matrix, const struct fault_tally *tally)
{
    for (size_t i = 0; i < FAULT_FUNCTION_COUNT; i++)
        matrix->calls[i] = atomic_load(&tally->calls[i]) - matrix->calls[i];
}

void matrix_cell_rule(const struct matrix_cell *cell, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s %lu rv 0x%lx\n", fault_function_name(cell->function), cell->call,
                   cell->rv);
}

const char *matrix_cell_name(const struct matrix_cell *cell, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s, call %lu: %s", fault_function_name(cell->function), cell->call,
                   ckr_name(cell->rv));
    return out;
}

/* 0: all. */
static unsigned third_of_run(void)
{
    const char *wanted = getenv("MIKEYD_FAULT_THIRD");
    if (wanted == NULL || wanted[0] == '\0')
        return 1 + (unsigned)(time(NULL) / 86400 % 3);
    if (strcmp(wanted, "all") == 0)
        return 0;
    cr_assert(strlen(wanted) == 1 && wanted[0] >= '1' && wanted[0] <= '3',
              "MIKEYD_FAULT_THIRD is 1, 2, 3 or all");
    return (unsigned)(wanted[0] - '0');
}

/* First, middle, last; fewer when there are fewer. */
static size_t calls_to_strike(unsigned long calls, unsigned long out[3])
{
    const unsigned long at[] = {1, (calls + 1) / 2, calls};
    size_t count = 0;
    for (size_t i = 0; i < 3 && calls != 0; i++) {
        if (count == 0 || out[count - 1] != at[i])
            out[count++] = at[i];
    }
    return count;
}

void matrix_run_cells(struct matrix *matrix, unsigned part, unsigned parts, matrix_run run)
{
    const unsigned third = third_of_run();
    unsigned long call[3];
    matrix->cells = 0;
    for (size_t f = 0; f < FAULT_FUNCTION_COUNT; f++) {
        const size_t count = calls_to_strike(matrix->calls[f], call);
        for (size_t i = 0; i < count * RETURN_VALUES; i++) {
            const struct matrix_cell cell = {.function = (enum fault_function)f,
                                             .rv = return_values[i / count],
                                             .call = call[i % count]};
            const size_t number = matrix->cells++;
            if ((third == 0 || number % 3 == third - 1) && number / 3 % parts == part)
                run(matrix, &cell);
        }
    }
}

void matrix_report(const struct matrix *matrix, const char *what)
{
    size_t functions = 0;
    for (size_t f = 0; f < FAULT_FUNCTION_COUNT; f++)
        functions += matrix->calls[f] != 0;
    printf(
        "%s: %zu functions, %zu return values, %zu cells; run here %zu: %zu served, %zu with the "
        "right error, %zu never came to it\n",
        what, functions, RETURN_VALUES, matrix->cells,
        matrix->served + matrix->refused + matrix->untouched, matrix->served, matrix->refused,
        matrix->untouched);
}
