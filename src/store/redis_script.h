/* redis_script.lua as the build put it into the program. */
#ifndef STORE_REDIS_SCRIPT_H
#define STORE_REDIS_SCRIPT_H

#include <stddef.h>

extern const char redis_script[];
extern const size_t redis_script_len;

#endif
