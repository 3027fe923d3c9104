/* Whatever bytes a client sends, what leaves the gate says whose they are. */
#include <criterion/criterion.h>
#include <string.h>

#include "gate/rewrite.h"

#define NAME "sbc.lab.example"

static struct rewriter rewriter;
static const struct rewrite_client client = {.name = NAME, .bits = 256};

static void start(void)
{
    rewriter_init(&rewriter);
}

TestSuite(gate_rewrite, .init = start);

static size_t status_request(uint8_t *out)
{
    Mikeyd__Status status = MIKEYD__STATUS__INIT;
    Mikeyd__Request request = MIKEYD__REQUEST__INIT;
    request.id = 5;
    request.op_case = MIKEYD__REQUEST__OP_STATUS;
    request.status = &status;
    return mikeyd__request__pack(&request, out);
}

/* The daemon reads it as NAME's, or the gate refuses it. */
static bool passes(const uint8_t *frame, size_t len)
{
    struct error err = {0};
    enum mikeyd_status status = rewrite_request(&rewriter, &client, frame, len, &err);
    if (status != MIKEYD_OK) {
        cr_assert_eq(status, MIKEYD_SYNTAX);
        cr_assert_eq(rewriter.len, 0);
        return false;
    }
    cr_assert_eq(rpc_frame_length(rewriter.frame), rewriter.len - RPC_HEADER);
    Mikeyd__Request *seen =
        mikeyd__request__unpack(NULL, rewriter.len - RPC_HEADER, rewriter.frame + RPC_HEADER);
    cr_assert_not_null(seen);
    cr_assert_str_eq(seen->on_behalf, NAME);
    cr_assert_not_null(seen->channel);
    cr_assert_eq(seen->channel->bits, 256);
    mikeyd__request__free_unpacked(seen, NULL);
    return true;
}

Test(gate_rewrite, request_gets_the_name_of_its_client)
{
    uint8_t frame[64];
    cr_assert(passes(frame, status_request(frame)));
    cr_assert_eq(rewriter.id, 5);
}

Test(gate_rewrite, name_that_the_client_wrote_is_overruled)
{
    static const uint8_t claims[] = {0x7a, 5, 'o', 't', 'h',  'e', 'r', /* on_behalf */
                                     0x82, 1, 3,   8,   0x80, 8};       /* channel: 1024 bits */
    uint8_t frame[128];
    size_t len = status_request(frame);
    memcpy(frame + len, claims, sizeof claims);
    len += sizeof claims;
    memcpy(frame + len, claims, sizeof claims);
    cr_assert(passes(frame, len + sizeof claims));
}

Test(gate_rewrite, field_that_would_swallow_what_follows_is_refused)
{
    /* An unknown field of 64 bytes, of which the frame has none: appended bytes would be its. */
    static const uint8_t open_end[] = {0x7a, 5, 'o', 't', 'h', 'e', 'r', 0xa2, 6, 64};
    uint8_t frame[128];
    size_t len = status_request(frame);
    memcpy(frame + len, open_end, sizeof open_end);
    cr_assert_not(passes(frame, len + sizeof open_end));
}

Test(gate_rewrite, unknown_fields_pass_and_hide_nothing)
{
    static const uint8_t unknown[] = {0xa2, 6, 3, 'a', 'b', 'c', 0xa8, 6, 1};
    uint8_t frame[128];
    size_t len = status_request(frame);
    memcpy(frame + len, unknown, sizeof unknown);
    cr_assert(passes(frame, len + sizeof unknown));
}

Test(gate_rewrite, frames_that_are_no_requests_are_refused)
{
    static const uint8_t garbage[] = {0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t wrong_type[] = {0x78, 1}; /* on_behalf as a number */
    cr_assert_not(passes(garbage, sizeof garbage));
    cr_assert_not(passes(wrong_type, sizeof wrong_type));
}

Test(gate_rewrite, request_too_long_with_its_name_is_refused)
{
    static uint8_t frame[RPC_FRAME_MAX];
    static uint8_t message[RPC_FRAME_MAX - 16];
    Mikeyd__Respond respond = MIKEYD__RESPOND__INIT;
    Mikeyd__Request request = MIKEYD__REQUEST__INIT;
    request.op_case = MIKEYD__REQUEST__OP_RESPOND;
    request.respond = &respond;
    respond.message = (ProtobufCBinaryData){.data = message, .len = sizeof message};
    const size_t len = mikeyd__request__pack(&request, frame);
    cr_assert(len <= RPC_FRAME_MAX);
    cr_assert_not(passes(frame, len));
}

Test(gate_rewrite, answer_of_the_gate_is_a_response)
{
    rewrite_answer(&rewriter, 9, MIKEYD_OVERLOADED, "too many");
    Mikeyd__Response *seen =
        mikeyd__response__unpack(NULL, rewriter.len - RPC_HEADER, rewriter.frame + RPC_HEADER);
    cr_assert_not_null(seen);
    cr_assert_eq(seen->id, 9);
    cr_assert_eq(seen->status, MIKEYD_OVERLOADED);
    cr_assert_str_eq(seen->error, "too many");
    mikeyd__response__free_unpacked(seen, NULL);
}
