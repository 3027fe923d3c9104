/* The cache of pair keys by itself. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "keyholder/pair_cache.h"
#include "lab.h"

TestSuite(pair_cache, .timeout = 60);

static struct lab lab;
static struct pair_cache *cache;
static const struct token_object object;

static void open_cache(size_t capacity, size_t workers)
{
    struct error err = {0};
    lab_open(&lab, LAB_ANY);
    cr_assert_eq(pair_cache_make(lab.token, capacity, workers, &cache, &err), MIKEYD_OK);
}

static void close_cache(void)
{
    pair_cache_free(cache, NULL);
    lab_close(&lab);
}

/* One of many directed pairs. */
static struct pair_name name_of(uint64_t pair)
{
    static char text[24];
    (void)snprintf(text, sizeof text, "sip:%016llx", (unsigned long long)pair);
    return (struct pair_name){.era = 1,
                              .key = "core",
                              .generation = 1,
                              .initiator = {IDENTITY_URI, strlen(text), (const uint8_t *)text},
                              .responder = {IDENTITY_URI, 5, (const uint8_t *)"sip:b"}};
}

static struct pair_entry *put(uint64_t pair)
{
    struct pair_name name = name_of(pair);
    return pair_cache_put_object(cache, &name, &object, NULL);
}

static bool has(uint64_t pair)
{
    struct pair_name name = name_of(pair);
    struct pair_entry *entry = pair_cache_get(cache, &name);
    if (entry != NULL)
        pair_cache_release(cache, entry, NULL);
    return entry != NULL;
}

Test(pair_cache, finds_what_was_put_and_nothing_else)
{
    open_cache(8, 2);
    pair_cache_release(cache, put(1), NULL);
    cr_assert(has(1));
    struct pair_name name = name_of(1);
    name.era = 2;
    cr_assert_null(pair_cache_get(cache, &name), "another era");
    name = name_of(1);
    name.key = "cora";
    cr_assert_null(pair_cache_get(cache, &name), "another key");
    name = name_of(1);
    name.generation = 2;
    cr_assert_null(pair_cache_get(cache, &name), "another generation");
    name = name_of(1);
    name.algorithms = MIKEY_ALGORITHMS_256;
    cr_assert_null(pair_cache_get(cache, &name), "another algorithm set");
    name = name_of(1);
    name.responder.type = IDENTITY_NAI;
    cr_assert_null(pair_cache_get(cache, &name), "another type of identity");
    name = name_of(1);
    name.initiator = name_of(1).responder;
    name.responder = name_of(1).initiator;
    cr_assert_null(pair_cache_get(cache, &name), "the other direction");
    close_cache();
}

Test(pair_cache, where_a_name_ends_matters)
{
    open_cache(8, 2);
    struct pair_name name = name_of(1);
    name.initiator = (struct identity){IDENTITY_URI, 3, (const uint8_t *)"a\001b"};
    name.responder = (struct identity){IDENTITY_URI, 1, (const uint8_t *)"c"};
    pair_cache_release(cache, pair_cache_put_object(cache, &name, &object, NULL), NULL);
    cr_assert_not_null(pair_cache_get(cache, &name));
    name.initiator = (struct identity){IDENTITY_URI, 1, (const uint8_t *)"a"};
    name.responder = (struct identity){IDENTITY_URI, 3, (const uint8_t *)"b\001c"};
    cr_assert_null(pair_cache_get(cache, &name));
    close_cache();
}

Test(pair_cache, forgets_the_least_recently_used)
{
    open_cache(3, 2);
    for (uint64_t i = 1; i <= 3; i++)
        pair_cache_release(cache, put(i), NULL);
    cr_assert(has(1));
    pair_cache_release(cache, put(4), NULL);
    cr_assert_not(has(2));
    cr_assert(has(1));
    cr_assert(has(3));
    cr_assert(has(4));
    close_cache();
}

Test(pair_cache, never_forgets_what_is_in_use)
{
    open_cache(2, 2);
    struct pair_entry *used = put(1);
    for (uint64_t i = 2; i < 50; i++)
        pair_cache_release(cache, put(i), NULL);
    cr_assert(has(1));
    pair_cache_release(cache, used, NULL);
    close_cache();
}

Test(pair_cache, more_users_than_entries_get_the_workers_share)
{
    open_cache(1, 2);
    struct pair_entry *used[4];
    for (uint64_t i = 0; i < 4; i++)
        used[i] = put(i);
    cr_assert(used[0] != NULL && used[1] != NULL && used[2] != NULL);
    cr_assert_null(used[3]);
    for (size_t i = 0; i < 3; i++)
        pair_cache_release(cache, used[i], NULL);
    close_cache();
}

Test(pair_cache, a_dropped_entry_is_found_no_more_and_its_place_comes_back)
{
    open_cache(1, 1);
    for (uint64_t i = 0; i < 10; i++) {
        struct pair_entry *entry = put(i);
        cr_assert_not_null(entry);
        pair_cache_drop(cache, entry);
        pair_cache_drop(cache, entry);
        cr_assert_not(has(i));
        pair_cache_release(cache, entry, NULL);
    }
    struct pair_cache_stats stats;
    pair_cache_get_stats(cache, &stats);
    cr_assert_eq(stats.entries, 0);
    close_cache();
}

Test(pair_cache, a_key_of_an_earlier_initialisation_is_gone)
{
    open_cache(4, 1);
    struct token_object stale = {.handle = 77, .generation = token_generation(lab.token) + 1};
    struct pair_name name = name_of(1);
    pair_cache_release(cache, pair_cache_put_derived(cache, &name, &stale, NULL), NULL);
    cr_assert_not(has(1));
    close_cache();
}

Test(pair_cache, two_that_derive_at_once_share_one_entry)
{
    open_cache(4, 2);
    struct token_object derived = {.handle = 77, .generation = token_generation(lab.token)};
    struct pair_name name = name_of(1);
    struct pair_entry *first = pair_cache_put_derived(cache, &name, &derived, NULL);
    derived.handle = 78;
    struct pair_entry *second = pair_cache_put_derived(cache, &name, &derived, NULL);
    cr_assert_eq(first, second);
    cr_assert_eq(first->object->handle, 77);
    pair_cache_release(cache, first, NULL);
    pair_cache_release(cache, second, NULL);
    close_cache();
}

static struct pair_entry *put_for(uint64_t era, uint64_t pair)
{
    struct pair_name name = name_of(pair);
    name.era = era;
    return pair_cache_put_object(cache, &name, &object, NULL);
}

static size_t entries(void)
{
    struct pair_cache_stats stats;
    pair_cache_get_stats(cache, &stats);
    return stats.entries;
}

Test(pair_cache, gives_back_what_belongs_to_an_earlier_era)
{
    open_cache(1000, 2);
    for (uint64_t pair = 0; pair < 600; pair++)
        pair_cache_release(cache, put_for(1 + pair % 2, pair), NULL);
    cr_assert_not(pair_cache_sweep(cache, NULL), "nothing to do");
    pair_cache_retire(cache, 2);
    cr_assert(pair_cache_sweep(cache, NULL), "in steps");
    while (pair_cache_sweep(cache, NULL))
        ;
    cr_assert_eq(entries(), 300);
    close_cache();
}

Test(pair_cache, what_an_earlier_era_still_uses_goes_with_its_user)
{
    open_cache(8, 2);
    struct pair_entry *in_use = put_for(1, 1);
    pair_cache_retire(cache, 2);
    (void)pair_cache_sweep(cache, NULL);
    cr_assert_eq(in_use->object, &object);
    struct pair_entry *late = put_for(1, 2);
    cr_assert_not_null(late);
    cr_assert_eq(late->object, &object);
    cr_assert_eq(entries(), 0);
    pair_cache_release(cache, in_use, NULL);
    pair_cache_release(cache, late, NULL);
    for (uint64_t pair = 0; pair < 10; pair++)
        cr_assert_not_null(put_for(2, pair), "a slot was lost");
    close_cache();
}
