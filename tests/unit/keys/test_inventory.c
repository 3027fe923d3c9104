/* The index over ten thousand keys. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "keys/inventory.h"

#define MANY 10000

static void name_of(unsigned number, char name[KEYS_NAME_MAX])
{
    (void)snprintf(name, KEYS_NAME_MAX, "pair-%u-of-a-carrier", number);
}

static struct keys_inventory *make_many(void)
{
    struct keys_inventory *inventory = keys_inventory_make(MANY);
    for (unsigned i = 0; i < MANY; i++) {
        struct keys_entry entry = {
            .kind = (enum keys_kind)(KEYS_PSK + i % 5), .generation = 1 + i % 3, .usable = true};
        name_of(i, entry.name);
        cr_assert(keys_inventory_add(inventory, &entry));
    }
    return inventory;
}

Test(inventory, every_one_of_ten_thousand_keys_is_found_and_no_other)
{
    struct keys_inventory *inventory = make_many();
    cr_assert_eq(keys_inventory_count(inventory), MANY);
    for (unsigned i = 0; i < MANY; i++) {
        const enum keys_kind kind = (enum keys_kind)(KEYS_PSK + i % 5);
        char name[KEYS_NAME_MAX];
        name_of(i, name);
        const struct keys_entry *entry = keys_inventory_find(inventory, kind, name, 1 + i % 3);
        cr_assert_eq(entry, keys_inventory_at(inventory, i));
        cr_assert_null(keys_inventory_find(inventory, kind, name, 2 + i % 3));
        cr_assert_null(keys_inventory_find(inventory, KEYS_AUDIT, name, 1 + i % 3));
    }
    cr_assert_null(keys_inventory_at(inventory, MANY));
    keys_inventory_unref(inventory);
}

/* With few slots most of these fall on a key that is there. */
Test(inventory, a_key_is_not_taken_for_another_generation_kind_or_name)
{
    struct keys_inventory *inventory = keys_inventory_make(8);
    for (unsigned i = 0; i < 8; i++) {
        struct keys_entry entry = {.kind = KEYS_PSK, .generation = i + 1};
        name_of(0, entry.name);
        cr_assert(keys_inventory_add(inventory, &entry));
    }
    for (unsigned i = 1; i < 1000; i++) {
        char name[KEYS_NAME_MAX];
        name_of(0, name);
        cr_assert_null(keys_inventory_find(inventory, KEYS_PSK, name, 8 + i));
        const enum keys_kind kind = (enum keys_kind)(KEYS_EPSK + i / 8 % 5);
        cr_assert_null(keys_inventory_find(inventory, kind, name, 1 + i % 8));
        name_of(i, name);
        cr_assert_null(keys_inventory_find(inventory, KEYS_PSK, name, 1 + i % 8));
    }
    keys_inventory_unref(inventory);
}

Test(inventory, it_holds_no_more_than_it_was_made_for)
{
    struct keys_inventory *inventory = keys_inventory_make(1);
    const struct keys_entry entry = {.kind = KEYS_PSK, .name = "one", .generation = 1};
    cr_assert(keys_inventory_add(inventory, &entry));
    cr_assert_not(keys_inventory_add(inventory, &entry));
    keys_inventory_unref(inventory);
}

Test(inventory, it_lives_as_long_as_somebody_refers_to_it)
{
    struct keys_inventory *inventory = make_many();
    cr_assert_eq(keys_inventory_ref(inventory), inventory);
    keys_inventory_unref(inventory);
    cr_assert_eq(keys_inventory_count(inventory), MANY);
    keys_inventory_unref(inventory);
    keys_inventory_unref(NULL);
}

Test(inventory, two_are_equal_when_they_say_the_same_in_any_order)
{
    const struct keys_entry one = {.kind = KEYS_PSK, .name = "one", .generation = 1};
    struct keys_entry two = {.kind = KEYS_PSK, .name = "two", .generation = 1};
    struct keys_inventory *a = keys_inventory_make(2), *b = keys_inventory_make(2),
                          *c = keys_inventory_make(2);
    (void)keys_inventory_add(a, &one), (void)keys_inventory_add(a, &two);
    (void)keys_inventory_add(b, &two), (void)keys_inventory_add(b, &one);
    two.usable = true;
    (void)keys_inventory_add(c, &one), (void)keys_inventory_add(c, &two);
    cr_assert(keys_inventory_equal(a, b));
    cr_assert_not(keys_inventory_equal(a, c));
    keys_inventory_unref(a), keys_inventory_unref(b), keys_inventory_unref(c);
}
