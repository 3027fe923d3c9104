#include "importer/importer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const struct identity node_a = {IDENTITY_URI, 9, (const uint8_t *)"sip:a@x.y"};
static const struct identity node_b = {IDENTITY_URI, 9, (const uint8_t *)"sip:b@x.y"};

static struct importer_pair pair_of(const char *name, unsigned generation,
                                    const struct identity *initiator,
                                    const struct identity *responder,
                                    enum mikey_algorithms algorithms)
{
    struct importer_pair pair;
    cr_assert_eq(importer_pair(name, generation, initiator, responder, algorithms, &pair, NULL),
                 MIKEYD_OK);
    return pair;
}

static void expect_different(const struct importer_pair *a, const struct importer_pair *b)
{
    cr_expect_neq(memcmp(a->info, b->info, a->info_len), 0);
    cr_expect_neq(memcmp(a->identity_hash, b->identity_hash, 32), 0);
    cr_expect_str_neq(a->object_name, b->object_name);
}

Test(importer, each_direction_has_a_key_of_its_own)
{
    struct importer_pair there = pair_of("k", 1, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    struct importer_pair back = pair_of("k", 1, &node_b, &node_a, MIKEY_ALGORITHMS_256);
    expect_different(&there, &back);
}

Test(importer, each_algorithm_set_has_a_key_of_its_own)
{
    struct importer_pair one = pair_of("k", 1, &node_a, &node_b, MIKEY_ALGORITHMS_1);
    struct importer_pair two = pair_of("k", 1, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    expect_different(&one, &two);
}

Test(importer, each_name_and_generation_has_a_key_of_its_own)
{
    struct importer_pair a = pair_of("k", 1, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    struct importer_pair b = pair_of("k", 2, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    struct importer_pair c = pair_of("l", 1, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    expect_different(&a, &b);
    expect_different(&a, &c);
}

/* "ab"+"c" and "a"+"bc" would be the same bytes without lengths. */
Test(importer, identities_do_not_run_into_one_another)
{
    struct identity ab = {IDENTITY_URI, 2, (const uint8_t *)"ab"};
    struct identity c = {IDENTITY_URI, 1, (const uint8_t *)"c"};
    struct identity a = {IDENTITY_URI, 1, (const uint8_t *)"a"};
    struct identity bc = {IDENTITY_URI, 2, (const uint8_t *)"bc"};
    struct importer_pair one = pair_of("k", 1, &ab, &c, MIKEY_ALGORITHMS_256);
    struct importer_pair two = pair_of("k", 1, &a, &bc, MIKEY_ALGORITHMS_256);
    expect_different(&one, &two);
}

Test(importer, identity_type_is_part_of_the_key)
{
    struct identity other = node_b;
    other.type = IDENTITY_NAI;
    struct importer_pair one = pair_of("k", 1, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    struct importer_pair two = pair_of("k", 1, &node_a, &other, MIKEY_ALGORITHMS_256);
    expect_different(&one, &two);
}

Test(importer, object_name_is_the_key_and_half_of_the_hash)
{
    struct importer_pair pair = pair_of("core", 3, &node_a, &node_b, MIKEY_ALGORITHMS_256);
    char want[64] = "core.";
    hex_encode(pair.identity_hash, 16, want + 5);
    cr_expect_str_eq(pair.object_name, want);
}

/* RFC 9257 4.1, 6 item 2 */
Test(importer, a_node_has_no_key_with_itself)
{
    struct importer_pair pair;
    cr_expect_eq(importer_pair("k", 1, &node_a, &node_a, MIKEY_ALGORITHMS_256, &pair, NULL),
                 MIKEYD_INVALID_ARGUMENT);
}

Test(importer, empty_or_overlong_names_and_nodes_are_refused)
{
    struct importer_pair pair;
    struct identity empty = {IDENTITY_URI, 0, NULL};
    char name[100];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    cr_expect_eq(importer_pair("", 1, &node_a, &node_b, MIKEY_ALGORITHMS_256, &pair, NULL),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(importer_pair(name, 1, &node_a, &node_b, MIKEY_ALGORITHMS_256, &pair, NULL),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(importer_pair("k", 1, &node_a, &empty, MIKEY_ALGORITHMS_256, &pair, NULL),
                 MIKEYD_INVALID_ARGUMENT);
    name[46] = '\0';
    cr_expect_eq(importer_pair(name, 1, &node_a, &node_b, MIKEY_ALGORITHMS_256, &pair, NULL),
                 MIKEYD_OK);
}

Test(importer, longest_nodes_fit)
{
    uint8_t bytes[IDENTITY_MAX];
    memset(bytes, 'x', sizeof bytes);
    struct identity longest = {IDENTITY_BYTES, sizeof bytes, bytes};
    (void)pair_of("0123456789012345678901234567890123456789012345", 4294967295u, &longest, &node_b,
                  MIKEY_ALGORITHMS_256);
}

/* RFC 9258 5.1: external_identity<1..2^16-1>, and the whole has to fit in a PskIdentity. */
Test(importer, imported_identity_keeps_its_limits)
{
    static uint8_t bytes[65536], out[65536 + 16];
    struct imported_identity id = {.external_identity = bytes};
    struct byte_writer w = writer_of(out, sizeof out);
    cr_expect_eq(importer_write_identity(&id, &w, NULL), MIKEYD_INVALID_ARGUMENT);
    id.external_identity_len = 65536;
    cr_expect_eq(importer_write_identity(&id, &w, NULL), MIKEYD_INVALID_ARGUMENT);
    id.external_identity_len = 65528;
    cr_expect_eq(importer_write_identity(&id, &w, NULL), MIKEYD_INVALID_ARGUMENT);
    id.external_identity_len = SIZE_MAX;
    id.context_len = 10;
    cr_expect_eq(importer_write_identity(&id, &w, NULL), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(w.len, 0);
    id.external_identity_len = 65517;
    id.context = bytes;
    cr_expect_eq(importer_write_identity(&id, &w, NULL), MIKEYD_OK);
    cr_expect_eq(w.len, 65535);
}

Test(importer, without_room_nothing_is_called_done)
{
    uint8_t out[12] = {0};
    struct imported_identity id = {.external_identity = (const uint8_t *)"abcde",
                                   .external_identity_len = 5};
    struct byte_writer w = writer_of(out, sizeof out);
    cr_expect_eq(importer_write_identity(&id, &w, NULL), MIKEYD_INVALID_ARGUMENT);
    struct byte_writer w2 = writer_of(out, sizeof out);
    cr_expect_eq(importer_write_context(&node_a, &node_b, &w2, NULL), MIKEYD_INVALID_ARGUMENT);
    struct byte_writer w3 = writer_of(out, sizeof out);
    cr_expect_eq(importer_write_info(IMPORTER_SHA256, "mikey1", out, 1, 32, &w3, NULL),
                 MIKEYD_INVALID_ARGUMENT);
}

Test(importer, label_prefix_has_six_bytes)
{
    uint8_t out[IMPORTER_INFO_MAX] = {0};
    struct byte_writer w = writer_of(out, sizeof out);
    cr_expect_eq(importer_write_info(IMPORTER_SHA256, "tls13", out, 1, 32, &w, NULL),
                 MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(w.len, 0);
}

Test(importer, empty_epsk_is_refused)
{
    uint8_t out[32] = {0};
    cr_expect_eq(importer_extract(IMPORTER_SHA256, out, 0, out, NULL), MIKEYD_INVALID_ARGUMENT);
}
