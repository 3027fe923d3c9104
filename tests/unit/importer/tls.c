/* A client's PSK for TLS, imported: against values that Python's hmac gives (RFC 9258 5.1, RFC 5869). */
#include "importer/importer_tls.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint8_t wanted_identity[] = {
    0x00, 0x05, 0x70, 0x73, 0x6b, 0x2d, 0x61, 0x00, 0x12, 0x05, 0x70, 0x73, 0x6b, 0x2d, 0x61, 0x0b,
    0x6d, 0x69, 0x6b, 0x65, 0x79, 0x64, 0x2d, 0x67, 0x61, 0x74, 0x65, 0x03, 0x04, 0x00, 0x02};
static const uint8_t wanted_key[IMPORTER_TLS_PSK_LEN] = {
    0x3c, 0xbe, 0x92, 0x4a, 0xa4, 0x30, 0x6b, 0xa7, 0x3c, 0x7b, 0xed, 0x86, 0xdb, 0x97, 0x2c, 0x66,
    0x0f, 0x8c, 0x89, 0x2d, 0x9a, 0xc5, 0xee, 0x20, 0x2c, 0x3f, 0x08, 0xbd, 0x0b, 0xe7, 0x66, 0x33,
    0x49, 0xe0, 0x27, 0xa6, 0xf3, 0x61, 0xc7, 0x9d, 0xe9, 0xb8, 0x94, 0x49, 0x88, 0xf3, 0xb9, 0xe9};

static void import(const char *name, uint8_t first, struct byte_writer *identity, uint8_t *key)
{
    struct error err = {0};
    uint8_t epsk[32];
    for (size_t i = 0; i < sizeof epsk; i++)
        epsk[i] = (uint8_t)i;
    epsk[0] = first;
    cr_assert_eq(importer_tls_psk(name, epsk, sizeof epsk, identity, key, &err), MIKEYD_OK, "%s",
                 err.text);
}

Test(importer_tls, identity_and_key_are_those_of_the_text)
{
    uint8_t identity[IMPORTER_TLS_IDENTITY_MAX], key[IMPORTER_TLS_PSK_LEN];
    struct byte_writer writer = writer_of(identity, sizeof identity);
    import("psk-a", 0, &writer, key);
    cr_assert_eq(writer.len, sizeof wanted_identity);
    cr_assert_arr_eq(identity, wanted_identity, sizeof wanted_identity);
    cr_assert_arr_eq(key, wanted_key, sizeof wanted_key);
}

Test(importer_tls, another_name_or_another_key_gives_another_key)
{
    uint8_t identity[IMPORTER_TLS_IDENTITY_MAX], key[IMPORTER_TLS_PSK_LEN];
    struct byte_writer writer = writer_of(identity, sizeof identity);
    import("psk-b", 0, &writer, key);
    cr_assert_neq(memcmp(key, wanted_key, sizeof key), 0);
    writer = writer_of(identity, sizeof identity);
    import("psk-a", 1, &writer, key);
    cr_assert_neq(memcmp(key, wanted_key, sizeof key), 0);
    cr_assert_arr_eq(identity, wanted_identity, sizeof wanted_identity);
}

Test(importer_tls, longest_name_has_room_and_no_name_is_refused)
{
    uint8_t identity[IMPORTER_TLS_IDENTITY_MAX], key[IMPORTER_TLS_PSK_LEN];
    char name[257] = "";
    struct error err = {0};
    struct byte_writer writer = writer_of(identity, sizeof identity);
    cr_assert_eq(importer_tls_psk("", key, 32, &writer, key, &err), MIKEYD_INVALID_ARGUMENT);
    memset(name, 'a', 255);
    writer = writer_of(identity, sizeof identity);
    import(name, 0, &writer, key);
    name[255] = 'a';
    cr_assert_eq(importer_tls_psk(name, key, 32, &writer, key, &err), MIKEYD_INVALID_ARGUMENT);
}
