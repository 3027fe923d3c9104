/* One well-formed request and answer of each kind, for the tests and the fuzzer's seeds. */
#ifndef TESTS_SUPPORT_DOOR_SAMPLES_H
#define TESTS_SUPPORT_DOOR_SAMPLES_H

#include "keys/door.h"

/* What they point to is constant. */
void door_sample_request(enum door_op op, struct door_request *out);
/* page: DOOR_KEYS_PER_PAGE entries, filled for DOOR_KEYS. */
void door_sample_answer(enum door_op op, struct keys_entry *page, struct door_answer *out);

#endif
