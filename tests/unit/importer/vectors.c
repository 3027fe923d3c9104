/* Known answers: blocks K and L of kats.txt (RFC 9258 for TLS and DTLS) and importer.json (MIKEY).
 */
#include "importer/importer.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define MAX 256

struct bytes {
    uint8_t data[MAX];
    size_t len;
};

static struct bytes unhex(const char *text)
{
    struct bytes bytes;
    cr_assert_eq(hex_decode(text, strlen(text), bytes.data, MAX, &bytes.len, NULL), MIKEYD_OK,
                 "not hex: %s", text);
    return bytes;
}

static void expect_bytes(const uint8_t *got, size_t len, const char *want, const char *what)
{
    char text[2 * MAX + 1];
    hex_encode(got, len, text);
    cr_expect_str_eq(text, want, "%s: got %s, want %s", what, text, want);
}

/* The importer's whole way: identity, label, extract, expand. */
static void expect_import(enum importer_hash hash, const struct bytes *epsk,
                          const struct imported_identity *id, const char *prefix, size_t length,
                          const char *want_identity, const char *want_key)
{
    uint8_t imported[MAX], info[IMPORTER_INFO_MAX], epskx[48], key[48];
    struct byte_writer iw = writer_of(imported, sizeof imported);
    struct byte_writer w = writer_of(info, sizeof info);
    cr_assert_eq(importer_write_identity(id, &iw, NULL), MIKEYD_OK);
    expect_bytes(imported, iw.len, want_identity, "ImportedIdentity");
    cr_assert_eq(importer_write_info(hash, prefix, imported, iw.len, (uint16_t)length, &w, NULL),
                 MIKEYD_OK);
    cr_assert_eq(importer_extract(hash, epsk->data, epsk->len, epskx, NULL), MIKEYD_OK);
    cr_assert_eq(importer_expand(hash, epskx, info, w.len, key, length, NULL), MIKEYD_OK);
    expect_bytes(key, length, want_key, "ipskx");
}

Test(importer_vectors, rfc_9258_answers_published_by_botan)
{
    FILE *file = fopen(VECTORS "/kats.txt", "r");
    cr_assert_not_null(file);
    char line[2048], hash[16], key[200], id[64], context[64], target[16], imported[200], want[200];
    int seen = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line,
                   " EPSK hash %15s key=%199s id=%63s ctx=%63s target=%15s -> "
                   "ImportedIdentity=%199s ipskx=%199s",
                   hash, key, id, context, target, imported, want) != 7)
            continue;
        seen++;
        struct bytes epsk = unhex(key), external = unhex(id);
        struct bytes ctx = unhex(strcmp(context, "(empty)") == 0 ? "" : context);
        bool sha384 = strcmp(target, "SHA-384") == 0;
        struct imported_identity identity = {.external_identity = external.data,
                                             .external_identity_len = external.len,
                                             .context = ctx.data,
                                             .context_len = ctx.len,
                                             .target_protocol = 0x0304,
                                             .target_kdf = sha384 ? IMPORTER_KDF_HKDF_SHA384
                                                                  : IMPORTER_KDF_HKDF_SHA256};
        expect_import(strcmp(hash, "sha384") == 0 ? IMPORTER_SHA384 : IMPORTER_SHA256, &epsk,
                      &identity, "tls13 ", sha384 ? 48 : 32, imported, want);
    }
    (void)fclose(file);
    cr_expect_eq(seen, 6, "block K has 6 answers, saw %d", seen);
}

/* Block L: the line that starts with `name`, after it up to the next blank. */
static void kat_value(const char *name, char *out, size_t cap)
{
    FILE *file = fopen(VECTORS "/kats.txt", "r");
    cr_assert_not_null(file);
    char line[4096];
    bool in_block = false, found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        in_block = in_block || strncmp(line, "L. ", 3) == 0;
        const char *at = in_block ? strstr(line, name) : NULL;
        if (at == NULL)
            continue;
        at += strlen(name);
        size_t len = strcspn(at, " \r\n");
        cr_assert_lt(len, cap);
        memcpy(out, at, len);
        out[len] = '\0';
        found = true;
    }
    (void)fclose(file);
    cr_assert(found, "kats.txt block L has no \"%s\"", name);
}

static const struct bytes block_l_epsk = {{0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                           11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                           22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
                                          32};

static void expect_block_l(const char *context, uint16_t protocol, const char *prefix,
                           const char *identity, const char *key)
{
    struct bytes ctx = unhex(context);
    struct imported_identity id = {.external_identity = (const uint8_t *)"device-17",
                                   .external_identity_len = 9,
                                   .context = ctx.data,
                                   .context_len = ctx.len,
                                   .target_protocol = protocol,
                                   .target_kdf = IMPORTER_KDF_HKDF_SHA256};
    expect_import(IMPORTER_SHA256, &block_l_epsk, &id, prefix, 32, identity, key);
}

#define CLIENT_SERVER "0602000000000106020000000002"
#define SERVER_CLIENT "0602000000000206020000000001"

Test(importer_vectors, appendix_a_context_for_tls)
{
    char identity[200], key[100];
    kat_value("  ImportedIdentity ", identity, sizeof identity);
    kat_value("  ipskx ", key, sizeof key);
    expect_block_l(CLIENT_SERVER, 0x0304, "tls13 ", identity, key);
}

Test(importer_vectors, appendix_a_context_with_roles_swapped)
{
    char key[100];
    kat_value("roles swapped: ipskx ", key, sizeof key);
    expect_block_l(SERVER_CLIENT, 0x0304, "tls13 ",
                   "00096465766963652d3137000e060200000000020602000000000103040001", key);
}

Test(importer_vectors, appendix_a_context_for_dtls)
{
    char identity[200], key[100];
    kat_value("\"dtls13derived psk\"): ImportedIdentity ", identity, sizeof identity);
    kat_value("fefc0001 ipskx ", key, sizeof key);
    expect_block_l(CLIENT_SERVER, 0xfefc, "dtls13", identity, key);
}

Test(importer_vectors, hkdf_label_for_tls)
{
    char want[200];
    kat_value("  HkdfLabel ", want, sizeof want);
    struct bytes imported = unhex("00096465766963652d3137000e060200000000010602000000000203040001");
    uint8_t info[IMPORTER_INFO_MAX];
    struct byte_writer w = writer_of(info, sizeof info);
    cr_assert_eq(
        importer_write_info(IMPORTER_SHA256, "tls13 ", imported.data, imported.len, 32, &w, NULL),
        MIKEYD_OK);
    expect_bytes(info, w.len, want, "HkdfLabel");
}

static const char *text_of(json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    cr_assert_not_null(text, "importer.json: no %s", field);
    return text;
}

static struct identity node_of(json_t *object, const char *field, struct bytes *store)
{
    json_t *node = json_object_get(object, field);
    *store = unhex(text_of(node, "data"));
    return (struct identity){.type = (uint8_t)json_integer_value(json_object_get(node, "type")),
                             .len = store->len,
                             .data = store->data};
}

static void expect_pair(json_t *vector)
{
    struct bytes store[2], epsk = unhex(text_of(vector, "epsk"));
    struct identity initiator = node_of(vector, "initiator", &store[0]);
    struct identity responder = node_of(vector, "responder", &store[1]);
    enum mikey_algorithms algorithms;
    cr_assert(mikey_algorithms_by_name(text_of(vector, "algorithms"), &algorithms));
    unsigned generation = (unsigned)json_integer_value(json_object_get(vector, "generation"));
    struct importer_pair pair;
    cr_assert_eq(importer_pair(text_of(vector, "name"), generation, &initiator, &responder,
                               algorithms, &pair, NULL),
                 MIKEYD_OK);

    uint8_t epskx[32], key[32], info[IMPORTER_INFO_MAX];
    cr_assert_eq(importer_extract(IMPORTER_SHA256, epsk.data, epsk.len, epskx, NULL), MIKEYD_OK);
    expect_bytes(epskx, sizeof epskx, text_of(vector, "epskx"), "epskx");
    cr_assert_eq(
        importer_expand(IMPORTER_SHA256, epskx, pair.info, pair.info_len, key, sizeof key, NULL),
        MIKEYD_OK);
    expect_bytes(key, sizeof key, text_of(vector, "pair_key"), "pair key");

    /* The info really is over the vector's ImportedIdentity. */
    struct bytes imported = unhex(text_of(vector, "imported_identity"));
    struct byte_writer w = writer_of(info, sizeof info);
    cr_assert_eq(importer_write_info(IMPORTER_SHA256, IMPORTER_PREFIX_MIKEY, imported.data,
                                     imported.len, 32, &w, NULL),
                 MIKEYD_OK);
    cr_expect_eq(w.len, pair.info_len);
    cr_expect_arr_eq(info, pair.info, w.len);
}

Test(importer_vectors, pair_keys_of_importer_json)
{
    json_t *root = json_load_file(VECTORS "/importer.json", 0, NULL);
    cr_assert_not_null(root);
    json_t *vectors = json_object_get(root, "vectors");
    cr_assert_eq(json_array_size(vectors), 5);
    for (size_t i = 0; i < json_array_size(vectors); i++)
        expect_pair(json_array_get(vectors, i));
    json_decref(root);
}
