/* Requests are counted by client, in a bounded room, and no count goes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "../policy/support.h"
#include "exchange/tally.h"

static struct exchange_client_stats stats[EXCHANGE_CLIENTS_COUNTED];

/* Clients c-FIRST to c-LAST. */
static struct policy *clients(unsigned first, unsigned last)
{
    static char text[1 << 18];
    int len = snprintf(text, sizeof text, "%s", HEAD KEYS NODES PAIRS "clients:\n");
    for (unsigned i = first; i <= last; i++)
        len += snprintf(text + len, sizeof text - (size_t)len,
                        "  - {name: c-%u, uid: %u, acts_as: [\"" A "\"], may: [initiate], rate: "
                        "10}\n",
                        i, 1000 + i);
    return loaded(text);
}

static void count(struct tally *tally, unsigned first, unsigned last, enum mikeyd_status status)
{
    struct policy *policy = clients(first, last);
    struct tally_place **places = tally_places(tally, policy);
    cr_assert_not_null(places);
    for (unsigned i = first; i <= last; i++)
        tally_count(places[policy_client_by_uid(policy, 1000 + i)->index], status);
    free(places);
    policy_unref(policy);
}

static const struct exchange_client_stats *of(size_t filled, const char *name)
{
    for (size_t i = 0; i < filled; i++) {
        if (strcmp(stats[i].name, name) == 0)
            return &stats[i];
    }
    return NULL;
}

Test(tally, counts_by_client_and_outcome)
{
    struct tally *tally = tally_make();
    count(tally, 1, 3, MIKEYD_OK);
    count(tally, 2, 2, MIKEYD_REPLAY);
    cr_assert_eq(tally_get(tally, stats), 3, "nobody is among the others");
    cr_expect_eq(of(3, "c-2")->served, 1);
    cr_expect_eq(of(3, "c-2")->refused, 1);
    cr_expect_eq(of(3, "c-3")->refused, 0);
    tally_free(tally);
}

/* A policy that drops a client and one that takes it back. */
Test(tally, a_count_outlives_policies)
{
    struct tally *tally = tally_make();
    count(tally, 1, 2, MIKEYD_OK);
    count(tally, 3, 4, MIKEYD_OK);
    cr_assert_eq(tally_get(tally, stats), 4);
    cr_expect_eq(of(4, "c-1")->served, 1);
    count(tally, 1, 1, MIKEYD_OK);
    cr_assert_eq(tally_get(tally, stats), 4);
    cr_expect_eq(of(4, "c-1")->served, 2);
    tally_free(tally);
}

Test(tally, clients_beyond_the_bound_count_together)
{
    struct tally *tally = tally_make();
    count(tally, 1, 1020, MIKEYD_OK);
    count(tally, 1015, 1030, MIKEYD_OK);
    cr_assert_eq(tally_get(tally, stats), EXCHANGE_CLIENTS_COUNTED);
    cr_expect_eq(of(EXCHANGE_CLIENTS_COUNTED, "c-1015")->served, 2);
    cr_expect_eq(of(EXCHANGE_CLIENTS_COUNTED, "c-1024")->served, 1);
    cr_expect_null(of(EXCHANGE_CLIENTS_COUNTED, "c-1025"));
    cr_expect_eq(of(EXCHANGE_CLIENTS_COUNTED, EXCHANGE_CLIENT_OTHERS)->served, 6);
    tally_free(tally);
}
