/* The messages of the door: what is written reads back, and nothing else reads. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "door_samples.h"
#include "mikey/wire.h"

static uint8_t room[DOOR_MESSAGE_MAX], again[DOOR_MESSAGE_MAX + 1];
static struct keys_entry page[DOOR_KEYS_PER_PAGE], page_read[DOOR_KEYS_PER_PAGE];
static struct door_request request, request_read;
static struct door_answer answer, answer_read;
static struct error err;

static struct byte_writer write_request(enum door_op op)
{
    struct byte_writer out = writer_of(room, sizeof room);
    door_sample_request(op, &request);
    cr_assert_eq(door_write_request(&request, &out, &err), MIKEYD_OK, "op %d: %s", op, err.text);
    return out;
}

static struct byte_writer write_answer(enum door_op op)
{
    struct byte_writer out = writer_of(room, sizeof room);
    door_sample_answer(op, page, &answer);
    cr_assert_eq(door_write_answer(&answer, &out, &err), MIKEYD_OK, "op %d: %s", op, err.text);
    return out;
}

static enum mikeyd_status read_request(size_t len)
{
    return door_read_request(room, len, &request_read, &err);
}

static enum mikeyd_status read_answer(size_t len)
{
    return door_read_answer(room, len, page_read, &answer_read, &err);
}

Test(door, every_request_reads_back_as_it_was_written)
{
    for (int op = DOOR_SEAL; op < DOOR_OP_END; op++) {
        struct byte_writer first = write_request((enum door_op)op);
        cr_assert_eq(read_request(first.len), MIKEYD_OK, "op %d: %s", op, err.text);
        cr_assert_eq(request_read.op, op);
        cr_assert_eq(request_read.id, 0x11223344);
        struct byte_writer second = writer_of(again, DOOR_MESSAGE_MAX);
        cr_assert_eq(door_write_request(&request_read, &second, &err), MIKEYD_OK);
        cr_assert_eq(second.len, first.len, "op %d", op);
        cr_assert_arr_eq(again, room, first.len, "op %d", op);
    }
}

Test(door, every_answer_reads_back_as_it_was_written)
{
    for (int op = DOOR_SEAL; op < DOOR_OP_END; op++) {
        struct byte_writer first = write_answer((enum door_op)op);
        cr_assert_eq(read_answer(first.len), MIKEYD_OK, "op %d: %s", op, err.text);
        cr_assert_eq(answer_read.op, op);
        cr_assert_eq(answer_read.id, 0x11223344);
        struct byte_writer second = writer_of(again, DOOR_MESSAGE_MAX);
        cr_assert_eq(door_write_answer(&answer_read, &second, &err), MIKEYD_OK);
        cr_assert_eq(second.len, first.len, "op %d", op);
        cr_assert_arr_eq(again, room, first.len, "op %d", op);
    }
}

Test(door, a_message_cut_short_or_with_a_byte_left_over_is_refused)
{
    for (int op = DOOR_SEAL; op < DOOR_OP_END; op++) {
        struct byte_writer whole = write_request((enum door_op)op);
        room[whole.len] = 0;
        cr_assert_eq(read_request(whole.len + 1), MIKEYD_SYNTAX, "request %d", op);
        for (size_t len = 0; len < whole.len; len++)
            cr_assert_eq(read_request(len), MIKEYD_SYNTAX, "request %d, %zu bytes", op, len);
        whole = write_answer((enum door_op)op);
        room[whole.len] = 0;
        cr_assert_eq(read_answer(whole.len + 1), MIKEYD_SYNTAX, "answer %d", op);
        for (size_t len = 0; len < whole.len; len++)
            cr_assert_eq(read_answer(len), MIKEYD_SYNTAX, "answer %d, %zu bytes", op, len);
    }
}

Test(door, another_version_operation_or_flag_is_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 0}, {0, DOOR_VERSION + 1}, {1, 0}, {1, DOOR_OP_END}, {2, 1}, {3, 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct byte_writer out = write_request(DOOR_HEALTH);
        room[wrong[i].at] = wrong[i].value;
        cr_assert_eq(read_request(out.len), MIKEYD_SYNTAX, "case %zu", i);
    }
    struct byte_writer out = write_answer(DOOR_HEALTH);
    room[3] = MIKEYD_STATUS_COUNT;
    cr_assert_eq(read_answer(out.len), MIKEYD_SYNTAX);
}

/* Whatever byte is changed to whatever value: refused, or another message that writes back so. */
Test(door, no_byte_has_two_readings)
{
    for (int op = DOOR_SEAL; op < DOOR_OP_END; op++) {
        struct byte_writer whole = write_request((enum door_op)op);
        for (size_t at = 0; at < whole.len; at++) {
            const uint8_t was = room[at];
            for (unsigned value = 0; value < 256; value += 5) {
                room[at] = (uint8_t)value;
                if (read_request(whole.len) != MIKEYD_OK)
                    continue;
                struct byte_writer out = writer_of(again, DOOR_MESSAGE_MAX);
                cr_assert_eq(door_write_request(&request_read, &out, &err), MIKEYD_OK);
                cr_assert(out.len == whole.len && memcmp(again, room, out.len) == 0,
                          "op %d, byte %zu, value %u", op, at, value);
            }
            room[at] = was;
        }
    }
}

#define REFUSED(op, change)                                                                        \
    do {                                                                                           \
        struct byte_writer out = writer_of(room, sizeof room);                                     \
        door_sample_request(op, &request);                                                         \
        change;                                                                                    \
        cr_assert_eq(door_write_request(&request, &out, &err), MIKEYD_INVALID_ARGUMENT, #change);  \
    } while (0)

Test(door, a_request_outside_its_bounds_is_not_written)
{
    static char long_name[KEYS_NAME_MAX + 1];
    memset(long_name, 'n', KEYS_NAME_MAX);
    REFUSED(DOOR_SEAL, request.op = DOOR_OP_END);
    REFUSED(DOOR_SEAL, request.name.name = NULL);
    REFUSED(DOOR_SEAL, request.name.name = "");
    REFUSED(DOOR_SEAL, request.name.name = "a/b");
    REFUSED(DOOR_SEAL, request.name.name = "a\nb");
    REFUSED(DOOR_SEAL, request.name.name = long_name);
    REFUSED(DOOR_SEAL, request.name.kind = KEYS_PAIR);
    REFUSED(DOOR_SEAL, request.name.kind = KEYS_PSK); /* which knows no identities */
    REFUSED(DOOR_SEAL, request.name.initiator.len = 0);
    REFUSED(DOOR_SEAL, request.name.responder.len = IDENTITY_MAX + 1);
    REFUSED(DOOR_SEAL, request.name.how = 8);
    REFUSED(DOOR_SEAL, request.name.generation = 0);
    REFUSED(DOOR_SEAL, request.seal.head_len = 0);
    REFUSED(DOOR_SEAL, request.seal.head_len = MIKEY_COVERED_MAX);
    REFUSED(DOOR_SEAL, request.seal.plain_len = MIKEY_PLAIN_MAX + 1);
    REFUSED(DOOR_SEAL, request.seal.plain = NULL);
    REFUSED(DOOR_SEAL, request.seal.what.encryption = MIKEY_ENCR_NULL); /* with key data */
    REFUSED(DOOR_SEAL, request.seal.what.encryption = MIKEY_ENCR_AES_CM_256 + 1);
    REFUSED(DOOR_SEAL, request.seal.what.mac = MIKEY_MAC_NULL);
    REFUSED(DOOR_SEAL, request.seal.what.rand_len = 256);
    REFUSED(DOOR_OPEN, request.open.covered_len = MIKEY_COVERED_MAX + 1);
    REFUSED(DOOR_OPEN, request.open.encrypted_at = 168); /* and 33 bytes: behind the end of 200 */
    REFUSED(DOOR_OPEN, request.open.mac = NULL);
    REFUSED(DOOR_OPEN, request.reply.parts = MIKEY_COVERED_PARTS + 1);
    REFUSED(DOOR_TAG, request.tag.job.covered.parts = 0);
    REFUSED(DOOR_TAG, request.tag.job.covered.len[1] = MIKEY_COVERED_MAX);
    REFUSED(DOOR_TAG, request.tag.job.what.encryption = MIKEY_ENCR_AES_CM_256);
    REFUSED(DOOR_TGK, request.tgk.len = 20);
    REFUSED(DOOR_TGK, request.tgk.purpose = MIKEY_TGK_DHE); /* with 16 bytes */
    REFUSED(DOOR_PROOF_OF, request.proof.count = 0);
    REFUSED(DOOR_PROOF_OF, request.proof.count = DOOR_PROOFS_MAX + 1);
    REFUSED(DOOR_PROOF_OF, request.proof.entry[2].kind = KEYS_AUDIT);
    REFUSED(DOOR_PROOF_OF, request.proof.entry[2].kind = KEYS_OTHER);
    REFUSED(DOOR_CLAIM, request.claim.store[0] = 'F');
    REFUSED(DOOR_CLAIM, request.claim.store[DOOR_STORE - 1] = '\0');
}

Test(door, a_request_that_does_not_fit_its_memory_is_not_written)
{
    struct byte_writer out = writer_of(room, 100);
    door_sample_request(DOOR_SEAL, &request);
    cr_assert_eq(door_write_request(&request, &out, &err), MIKEYD_INVALID_ARGUMENT);
}

Test(door, a_page_holds_no_more_than_the_inventory_has_left)
{
    struct byte_writer out = writer_of(room, sizeof room);
    door_sample_answer(DOOR_KEYS, page, &answer);
    answer.keys.total = 200;
    cr_assert_eq(door_write_answer(&answer, &out, &err), MIKEYD_INVALID_ARGUMENT);
    out = writer_of(room, sizeof room);
    door_sample_answer(DOOR_KEYS, page, &answer);
    answer.keys.count = 0; /* before the end: a reader would ask for ever */
    cr_assert_eq(door_write_answer(&answer, &out, &err), MIKEYD_INVALID_ARGUMENT);
}

Test(door, a_page_nobody_asked_for_is_refused)
{
    struct byte_writer out = write_answer(DOOR_KEYS);
    cr_assert_eq(door_read_answer(room, out.len, NULL, &answer_read, &err), MIKEYD_SYNTAX);
}

Test(door, a_claim_and_its_answer_arrive)
{
    struct byte_writer out = write_request(DOOR_CLAIM);
    cr_assert_eq(read_request(out.len), MIKEYD_OK);
    cr_assert_str_eq(request_read.claim.store, "0123456789abcdef0123456789abcdef");
    out = write_answer(DOOR_CLAIM);
    cr_assert_eq(read_answer(out.len), MIKEYD_OK);
    cr_assert_not(answer_read.claim.marked);
    cr_assert_str_eq(answer_read.claim.why, "token lab is write-protected");
}

/* Whoever can make objects in the token chooses it, and it goes to log and status. */
Test(door, a_key_that_is_none_of_ours_is_told_by_its_label)
{
    struct byte_writer out = writer_of(room, sizeof room);
    door_sample_answer(DOOR_KEYS, page, &answer);
    cr_assert_eq(page[1].kind, KEYS_OTHER);
    (void)snprintf(page[1].name, KEYS_NAME_MAX, "mikeyd/psk/x\x1b[2J");
    cr_assert_eq(door_write_answer(&answer, &out, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(read_answer(out.len), MIKEYD_OK);
    cr_assert_eq(page_read[1].kind, KEYS_OTHER);
    cr_assert_str_eq(page_read[1].name, "mikeyd/psk/x?[2J");
    uint8_t *label = memmem(room, out.len, "x?[2J", 5);
    cr_assert_not_null(label);
    label[1] = 0x1b; /* from a keyholder that does not keep to this */
    cr_assert_eq(read_answer(out.len), MIKEYD_SYNTAX);
    page[1].kind = KEYS_PSK; /* whose name is a name */
    out = writer_of(room, sizeof room);
    cr_assert_eq(door_write_answer(&answer, &out, &err), MIKEYD_INVALID_ARGUMENT);
}

Test(door, secrets_are_read_in_place)
{
    struct byte_writer out = write_answer(DOOR_OPEN);
    cr_assert_eq(read_answer(out.len), MIKEYD_OK);
    cr_assert(answer_read.open.plain > room && answer_read.open.plain < room + out.len);
    out = write_request(DOOR_SEAL);
    cr_assert_eq(read_request(out.len), MIKEYD_OK);
    cr_assert(request_read.seal.plain > room && request_read.seal.plain < room + out.len);
    cr_assert_null(request_read.seal.encrypted);
    cr_assert_null(request_read.seal.mac);
}

Test(door, a_failure_carries_its_text_and_no_body)
{
    struct byte_writer out = writer_of(room, sizeof room);
    door_sample_answer(DOOR_OPEN, page, &answer);
    answer.status = MIKEYD_TOKEN_DOWN;
    strcpy(answer.text, "C_Sign: CKR_DEVICE_ERROR\x1b[2J");
    cr_assert_eq(door_write_answer(&answer, &out, &err), MIKEYD_OK);
    cr_assert_eq(read_answer(out.len), MIKEYD_OK);
    cr_assert_eq(answer_read.status, MIKEYD_TOKEN_DOWN);
    cr_assert_str_eq(answer_read.text, "C_Sign: CKR_DEVICE_ERROR?[2J");
    cr_assert_null(answer_read.open.plain);
}

Test(door, every_fact_is_told)
{
    struct byte_writer out = write_answer(DOOR_FACTS);
    cr_assert_eq(read_answer(out.len), MIKEYD_OK);
    const struct door_facts *told = &answer_read.facts, *was = &answer.facts;
#define SAME(field) memcmp(&told->field, &was->field, sizeof told->field) == 0
    const bool same[] = {
        SAME(label),        SAME(serial),          SAME(manufacturer),
        SAME(model),        SAME(module),          SAME(hkdf),
        SAME(prf_derive),   SAME(session_copies),  SAME(up),
        SAME(sessions),     SAME(sessions_used),   SAME(hmac_us),
        SAME(generation),   SAME(calls),           SAME(hmacs),
        SAME(derives),      SAME(objects_created), SAME(uses),
        SAME(pair_hits),    SAME(pair_misses),     SAME(pair_evictions),
        SAME(pair_entries), SAME(inventory),       SAME(incarnation),
        SAME(key_count),    SAME(requests),        SAME(rss_kb),
        SAME(recycle),      SAME(profile),
    };
    for (size_t i = 0; i < sizeof same; i++)
        cr_assert(same[i], "field %zu", i);
#undef SAME
}
