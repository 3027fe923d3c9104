/* The options of mikeyctl exchange: what is left of them in memory. */
#include <stdbool.h>
#include <string.h>

#include <criterion/criterion.h>

#include "mikeyctl/exchange_arguments.h"

static const uint8_t *watched;
static size_t watched_len;
static unsigned seen;
static bool clean;

/* Each free() of the program is made to come here by the linker (--wrap). */
void __real_free(void *memory);
void __wrap_free(void *memory);

void __wrap_free(void *memory)
{
    if (memory != NULL && memory == watched) {
        seen++;
        clean = true;
        for (size_t i = 0; i < watched_len; i++)
            clean = clean && watched[i] == 0;
    }
    __real_free(memory);
}

Test(exchange_arguments, ticket_is_wiped_before_its_memory_is_given_back)
{
    static struct arguments arguments;
    struct error err = {0};
    char program[] = "confirm", option[] = "--ticket", text[] = "00112233445566778899aabbccddeeff";
    char *argv[] = {program, option, text, NULL};
    cr_assert_eq(arguments_parse(3, argv, &arguments, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(arguments.ticket.len, 16);
    watched = arguments.ticket.data;
    watched_len = arguments.ticket.len;
    cr_assert_eq(watched[15], 0xff);
    arguments_clear(&arguments);
    cr_assert_eq(seen, 1);
    cr_assert(clean);
}
