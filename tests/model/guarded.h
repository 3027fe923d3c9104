/* Memory that ends, or begins, where nothing may be read: one byte too far is a crash, in any build. */
#ifndef TESTS_MODEL_GUARDED_H
#define TESTS_MODEL_GUARDED_H

#include <stddef.h>
#include <stdint.h>

/* A copy of data whose last byte is the last that may be read. One at a time. */
const uint8_t *guarded_end(const uint8_t *data, size_t len);
/* Likewise whose first byte is the first. */
const uint8_t *guarded_begin(const uint8_t *data, size_t len);

#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            model_fail(__FILE__, __LINE__, #condition);                                            \
    } while (0)
_Noreturn void model_fail(const char *file, int line, const char *condition);
/* Called by model_fail() first, to tell what led there. */
extern void (*model_explain)(void);

#endif
