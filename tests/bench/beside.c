#include "bench/beside.h"

#include <stdio.h>
#include <stdlib.h>

struct figures {
    double *one, *other, *ratio; /* a round each */
};

/* Who goes first changes with every round. */
static bool run_both(struct load *one, struct load *other, enum operation operation, unsigned round,
                     struct figures *out)
{
    struct load *const turn[2] = {round % 2 == 0 ? one : other, round % 2 == 0 ? other : one};
    for (int i = 0; i < 2; i++) {
        const double rate = load_run(turn[i], operation);
        if (rate <= 0)
            return false;
        *(turn[i] == one ? &out->one[round] : &out->other[round]) = rate;
    }
    out->ratio[round] = out->one[round] / out->other[round];
    return true;
}

static void print(enum operation operation, struct figures *f, unsigned rounds)
{
    qsort(f->one, rounds, sizeof *f->one, compare_doubles);
    qsort(f->other, rounds, sizeof *f->other, compare_doubles);
    qsort(f->ratio, rounds, sizeof *f->ratio, compare_doubles);
    printf("%-9s %12.0f %12.0f %7.2f %7.2f %7.2f\n", operation_names[operation], f->one[rounds / 2],
           f->other[rounds / 2], f->ratio[rounds / 2], f->ratio[0], f->ratio[rounds - 1]);
}

bool beside_measure(struct load *one, struct load *other)
{
    const unsigned rounds = one->options->rounds;
    struct figures figures[UPDATE];
    double *room = calloc((size_t)rounds * 3 * UPDATE, sizeof *room);
    bool ok = room != NULL;
    for (int op = 0; ok && op < UPDATE; op++) {
        double *at = room + (size_t)op * 3 * rounds;
        figures[op] = (struct figures){at, at + rounds, at + 2 * (size_t)rounds};
    }
    for (unsigned round = 0; ok && round < rounds; round++) {
        for (enum operation op = INITIATE; ok && op < UPDATE; op++)
            ok = run_both(one, other, op, round, &figures[op]);
        load_forget(one);
        load_forget(other);
    }
    if (ok)
        printf("%-9s %12s %12s %7s %7s %7s\n", "operation", "this", "beside", "ratio", "least",
               "most");
    for (enum operation op = INITIATE; ok && op < UPDATE; op++)
        print(op, &figures[op], rounds);
    free(room);
    return ok;
}
