/* Pair keys made in real tokens are those of tests/vectors/importer.json. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "base/text.h"
#include "importer/importer.h"
#include "provision_support.h"

static struct bench b;
static struct error err;

static void softhsm(void)
{
    bench_softhsm(&b);
}

static void nss(void)
{
    bench_nss(&b);
}

static void teardown(void)
{
    bench_close(&b);
}

TestSuite(derive_softhsm, .init = softhsm, .fini = teardown);
TestSuite(derive_nss, .init = nss, .fini = teardown);

static size_t hex_of(const json_t *vector, const char *field, uint8_t *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(vector, field));
    size_t len = 0;
    cr_assert_not_null(text);
    cr_assert_eq(hex_decode(text, strlen(text), out, cap, &len, NULL), MIKEYD_OK);
    return len;
}

static struct identity identity_of(const json_t *vector, const char *field, uint8_t *store)
{
    const json_t *value = json_object_get(vector, field);
    const size_t len = hex_of(value, "data", store, IDENTITY_MAX);
    return (struct identity){
        .type = (uint8_t)json_integer_value(json_object_get(value, "type")),
        .len = len,
        .data = store,
    };
}

static void make_main_key(const json_t *vector, enum token_kind kind, const char *name,
                          unsigned generation)
{
    uint8_t key[64];
    if (bench_key(b.token, kind, name, generation) != NULL)
        return;
    const size_t len = hex_of(vector, kind == TOKEN_EPSK ? "epsk" : "epskx", key, sizeof key);
    const struct provision_spec spec = {
        .kind = kind, .name = name, .generation = generation, .bits = 256};
    cr_assert_eq(provision_import(b.session, &spec, key, len, &err), MIKEYD_OK, "%s", err.text);
}

static void expect_vector(const json_t *vector, enum token_kind kind)
{
    uint8_t initiator_store[IDENTITY_MAX], responder_store[IDENTITY_MAX], pair_key[32];
    const char *name = json_string_value(json_object_get(vector, "name"));
    const unsigned generation = (unsigned)json_integer_value(json_object_get(vector, "generation"));
    const struct identity initiator = identity_of(vector, "initiator", initiator_store);
    const struct identity responder = identity_of(vector, "responder", responder_store);
    const bool is_256 =
        strcmp(json_string_value(json_object_get(vector, "algorithms")), "mikey-256") == 0;
    struct importer_pair pair;
    make_main_key(vector, kind, name, generation);
    cr_assert_eq(importer_pair(name, generation, &initiator, &responder,
                               is_256 ? MIKEY_ALGORITHMS_256 : MIKEY_ALGORITHMS_1, &pair, &err),
                 MIKEYD_OK, "%s", err.text);
    const struct token_key *source = bench_key(b.token, kind, name, generation);
    cr_assert_not_null(source);
    cr_assert_eq(provision_derive_pair(b.session, source, pair.object_name, pair.info,
                                       pair.info_len, NULL, &err),
                 MIKEYD_OK, "%s", err.text);
    const struct token_key *key = bench_key(b.token, TOKEN_PAIR, pair.object_name, generation);
    cr_assert_not_null(key);
    cr_expect_eq(key->findings & ~KEY_FINDING_NOTE, 0, "findings %x", key->findings);
    hex_of(vector, "pair_key", pair_key, sizeof pair_key);
    cr_expect(bench_hmac_equal(b.session, key, 0, pair_key, sizeof pair_key),
              "%s/%u: not the vector's pair key", name, generation);
    pair_key[0] ^= 1;
    cr_expect_not(bench_hmac_equal(b.session, key, 0, pair_key, sizeof pair_key));
}

static void expect_vectors(enum token_kind kind)
{
    json_error_t where;
    size_t index;
    json_t *vector, *file = json_load_file(VECTORS "/importer.json", 0, &where);
    cr_assert_not_null(file, "%s", where.text);
    const json_t *list = json_object_get(file, "vectors");
    cr_assert_gt(json_array_size(list), 3);
    json_array_foreach(list, index, vector)
    {
        expect_vector(vector, kind);
    }
    json_decref(file);
}

Test(derive_softhsm, epskx_expands_to_the_vectors)
{
    expect_vectors(TOKEN_EPSKX);
}

Test(derive_nss, epsk_imports_to_the_vectors_inside_the_token)
{
    expect_vectors(TOKEN_EPSK);
}

static const uint8_t info[] = {0, 32, 1, 2, 3};

static enum mikeyd_status derive_from(enum token_kind kind, const char *name)
{
    err = (struct error){0};
    return provision_derive_pair(b.session, bench_key(b.token, kind, name, 1), "p", info,
                                 sizeof info, NULL, &err);
}

static void generate(enum token_kind kind, const char *name)
{
    const struct provision_spec spec = {.kind = kind, .name = name, .generation = 1, .bits = 256};
    cr_assert_eq(provision_generate(b.session, &spec, &err), MIKEYD_OK, "%s", err.text);
}

Test(derive_softhsm, pair_key_is_never_a_source)
{
    generate(TOKEN_PAIR, "x");
    cr_expect_eq(derive_from(TOKEN_PAIR, "x"), MIKEYD_INVALID_ARGUMENT);
}

Test(derive_softhsm, psk_is_never_a_source)
{
    generate(TOKEN_PSK, "x");
    cr_expect_eq(derive_from(TOKEN_PSK, "x"), MIKEYD_INVALID_ARGUMENT);
}

Test(derive_softhsm, pair_object_that_exists_is_refused)
{
    generate(TOKEN_EPSKX, "x");
    cr_assert_eq(derive_from(TOKEN_EPSKX, "x"), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(derive_from(TOKEN_EPSKX, "x"), MIKEYD_INVALID_ARGUMENT);
    cr_expect_eq(bench_objects(b.session, "mikeyd/pair/p/1"), 1);
}

Test(derive_nss, pair_key_derives_its_own_prf_but_is_no_epsk)
{
    struct provision_view view;
    generate(TOKEN_EPSK, "x");
    cr_assert_eq(derive_from(TOKEN_EPSK, "x"), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(provision_view_key(b.session, bench_key(b.token, TOKEN_PAIR, "p", 1), &view, &err),
                 MIKEYD_OK);
    cr_expect(view.sign);
    cr_expect(view.derive);
    cr_expect_eq(view.value_len, 32);
    cr_expect_eq(derive_from(TOKEN_PAIR, "p"), MIKEYD_INVALID_ARGUMENT);
}
