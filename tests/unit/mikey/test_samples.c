/* Messages from the field (samples.tsv): strict parsing and dissection. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mikey/dissect.h"
#include "mikey/sdp.h"
#include "support.h"

TestSuite(samples, .init = support_init);

static struct mikey_message m;

typedef void check(size_t line, const struct bytes *sample, enum mikeyd_status decoded,
                   const char *notes);

static size_t for_each(check *one)
{
    char *text = support_file("samples.tsv"), *save = NULL;
    size_t line = 0;
    for (char *at = strtok_r(text, "\n", &save); at != NULL; at = strtok_r(NULL, "\n", &save)) {
        char *fields = NULL;
        const char *base64 = strtok_r(at, "\t", &fields);
        (void)strtok_r(NULL, "\t", &fields);
        const char *notes = strtok_r(NULL, "\t", &fields);
        struct bytes sample = {0};
        struct error err = {0};
        enum mikeyd_status status = mikey_sdp_parse(base64, strlen(base64), sample.data,
                                                    sizeof sample.data, &sample.len, &err);
        one(++line, &sample, status, notes);
    }
    free(text);
    return line;
}

static void check_parse(size_t line, const struct bytes *sample, enum mikeyd_status decoded,
                        const char *notes)
{
    struct error err = {0};
    uint8_t number = 255;
    enum mikeyd_status status =
        decoded == MIKEYD_OK ? mikey_parse(sample->data, sample->len, &m, &number, &err) : decoded;
    bool lenient_only = strstr(notes, "only in lenient mode") != NULL;
    if (strncmp(notes, "ACCEPT", 6) == 0 && !lenient_only)
        cr_assert_eq(status, MIKEYD_OK, "line %zu: %s", line, err.text);
    else if (strncmp(notes, "REJECT", 6) == 0 || lenient_only)
        cr_assert_neq(status, MIKEYD_OK, "line %zu", line);
    else
        cr_assert(status == MIKEYD_OK || err.text[0] != '\0' || decoded != MIKEYD_OK);
    if (strstr(notes, "unsupported message type") != NULL) {
        cr_assert_eq(status, MIKEYD_UNSUPPORTED, "line %zu", line);
        cr_assert_eq(number, 13, "line %zu", line);
    }
}

Test(samples, are_accepted_or_refused_as_noted)
{
    cr_assert_eq(for_each(check_parse), 21);
}

/* Data read back from a heap block of its exact size: AddressSanitizer sees any step outside. */
static void check_dissect(size_t line, const struct bytes *sample, enum mikeyd_status decoded,
                          const char *notes)
{
    if (decoded != MIKEYD_OK)
        return;
    uint8_t *exact = malloc(sample->len);
    cr_assert_not_null(exact);
    memcpy(exact, sample->data, sample->len);
    json_t *dissection = mikey_dissect(exact, sample->len);
    cr_assert_not_null(dissection, "line %zu", line);
    bool valid = json_is_true(json_object_get(dissection, "valid"));
    if (strncmp(notes, "ACCEPT;", 7) == 0)
        cr_assert(valid, "line %zu", line);
    if (strstr(notes, "trailing 1") != NULL)
        cr_assert_not(valid, "line %zu", line);
    cr_assert_eq(json_integer_value(json_object_get(dissection, "length")),
                 (json_int_t)sample->len);
    json_decref(dissection);
    free(exact);
}

Test(samples, are_dissected)
{
    cr_assert_eq(for_each(check_dissect), 21);
}

static json_t *dissect_line(size_t wanted)
{
    char *text = support_file("samples.tsv"), *save = NULL;
    char *at = strtok_r(text, "\n", &save);
    for (size_t line = 1; line < wanted; line++)
        at = strtok_r(NULL, "\n", &save);
    struct bytes sample = {0};
    cr_assert_eq(
        mikey_sdp_parse(at, strcspn(at, "\t"), sample.data, sizeof sample.data, &sample.len, NULL),
        MIKEYD_OK);
    free(text);
    return mikey_dissect(sample.data, sample.len);
}

static const char *text_of(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    cr_assert_not_null(text, "%s", field);
    return text;
}

static const json_t *payload(const json_t *dissection, size_t index, const char *name)
{
    const json_t *found = json_array_get(json_object_get(dissection, "payloads"), index);
    cr_assert_str_eq(text_of(found, "payload"), name);
    return found;
}

static bool finds(const json_t *dissection, const char *text)
{
    size_t index;
    const json_t *finding;
    json_array_foreach(json_object_get(dissection, "findings"), index, finding)
    {
        if (strstr(text_of(finding, "text"), text) != NULL)
            return true;
    }
    return false;
}

Test(samples, the_offer_of_rfc_4567_dissects_as_known)
{
    json_t *d = dissect_line(1);
    const json_t *header = json_object_get(d, "header");
    cr_assert_str_eq(text_of(header, "csb_id"), "cd177e50");
    cr_assert(json_is_true(json_object_get(header, "v")));
    cr_assert_str_eq(text_of(payload(d, 0, "T"), "value"), "c8e350ea00000000");
    cr_assert_str_eq(text_of(payload(d, 0, "T"), "utc"), "2006-10-20T13:43:06.000Z");
    cr_assert_str_eq(text_of(payload(d, 1, "RAND"), "rand"), "4a28da979ee21a7651a0d7f19136d98c");
    cr_assert_str_eq(text_of(payload(d, 2, "ID"), "id"), "donald@duck.com");
    cr_assert_str_eq(text_of(payload(d, 3, "SP"), "suite"), "AES_CM_128_HMAC_SHA1_80");
    cr_assert_eq(json_integer_value(json_object_get(payload(d, 4, "KEMAC"), "encrypted_len")), 36);
    cr_assert_eq(json_integer_value(json_object_get(payload(d, 4, "KEMAC"), "mac_len")), 20);
    cr_assert(finds(d, "SDP IDs"));
    json_decref(d);
}

Test(samples, the_answer_of_rfc_4567_dissects_as_known)
{
    json_t *d = dissect_line(2);
    cr_assert_str_eq(text_of(payload(d, 0, "T"), "value"), "c8e350ea00000000");
    cr_assert_str_eq(text_of(payload(d, 1, "ID"), "id"), "mickey@mouse.com");
    cr_assert_eq(json_integer_value(json_object_get(payload(d, 2, "V"), "mac_len")), 20);
    cr_assert(finds(d, "V set in a response"));
    json_decref(d);
}

Test(samples, keys_in_the_clear_are_a_finding_and_are_not_shown)
{
    json_t *d = dissect_line(6);
    char *text = json_dumps(d, JSON_COMPACT);
    cr_assert_not_null(text);
    cr_assert(finds(d, "NULL encryption"));
    cr_assert(finds(d, "NULL MAC"));
    cr_assert(finds(d, "authentication key length (3)"), "the tag length in the wrong parameter");
    /* samples.tsv gives the key and salt of this one */
    cr_assert_null(strstr(text, "8a6fef072af4b12b"));
    cr_assert_null(strstr(text, "07d3b431a506bd60"));
    free(text);
    json_decref(d);
}

Test(samples, a_sakke_message_is_dissected_to_its_end)
{
    json_t *d = dissect_line(7);
    cr_assert_str_eq(text_of(d, "type"), "SAKKE");
    cr_assert(json_is_true(json_object_get(d, "valid")));
    cr_assert_str_eq(text_of(payload(d, 9, "SIGN"), "payload"), "SIGN");
    json_decref(d);
}

Test(samples, nothing_at_all_is_dissected_too)
{
    json_t *d = mikey_dissect((const uint8_t *)"", 0);
    cr_assert_not_null(d);
    cr_assert_not(json_is_true(json_object_get(d, "valid")));
    json_decref(d);
}

Test(samples, a_sealed_call_is_valid_and_without_warnings)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_256);
    call.init.sdp_ids = "mikey";
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    json_t *d = mikey_dissect(call.message, call.message_len);
    cr_assert(json_is_true(json_object_get(d, "valid")));
    cr_assert_eq(json_array_size(json_object_get(d, "findings")), 0);
    json_decref(d);
    call_free(&call);
}

/* Every field that stands in `part` stands in `whole` with the same value. */
static void is_part_of(const json_t *part, const json_t *whole, size_t cut)
{
    const char *name;
    const json_t *value;
    size_t i;
    if (json_is_object(part)) {
        json_object_foreach((json_t *)(uintptr_t)part, name, value)
            is_part_of(value, json_object_get(whole, name), cut);
    } else if (json_is_array(part)) {
        json_array_foreach(part, i, value) is_part_of(value, json_array_get(whole, i), cut);
    } else {
        cr_assert(json_equal(part, whole), "cut at %zu", cut);
    }
}

Test(samples, dissection_of_a_cut_message_claims_only_what_it_reached)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_256);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    json_t *whole = mikey_dissect(call.message, call.message_len);
    for (size_t len = 0; len < call.message_len; len++) {
        json_t *cut = mikey_dissect(call.message, len), *finding;
        size_t i;
        cr_assert(json_is_false(json_object_get(cut, "valid")));
        is_part_of(json_object_get(cut, "header"), json_object_get(whole, "header"), len);
        is_part_of(json_object_get(cut, "payloads"), json_object_get(whole, "payloads"), len);
        json_array_foreach(json_object_get(cut, "findings"), i, finding)
        {
            const char *severity = json_string_value(json_object_get(finding, "severity"));
            cr_assert_str_eq(severity, "error", "cut at %zu: %s", len,
                             json_string_value(json_object_get(finding, "text")));
        }
        json_decref(cut);
    }
    json_decref(whole);
    call_free(&call);
}

/* RFC 6509: each end has a KMS of its own. */
Test(samples, the_two_kms_of_a_sakke_message_have_their_roles)
{
    json_t *dissection = dissect_line(8);
    cr_expect_str_eq(text_of(payload(dissection, 4, "IDR"), "role_name"), "IDRkmsi");
    cr_expect_str_eq(text_of(payload(dissection, 5, "IDR"), "role_name"), "IDRkmsr");
    json_decref(dissection);
}
