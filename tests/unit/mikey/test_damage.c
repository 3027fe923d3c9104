/* Every bit flip, truncation and extension of a sealed message is refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "support.h"

TestSuite(damage, .init = support_init);

typedef enum mikeyd_status receive(struct call *call, const uint8_t *bytes, size_t len);

static void refuse(receive *receiver, struct call *call, const uint8_t *bytes, size_t len,
                   const char *what, size_t at)
{
    enum mikeyd_status status = receiver(call, bytes, len);
    cr_assert(status == MIKEYD_SYNTAX || status == MIKEYD_UNSUPPORTED ||
                  status == MIKEYD_AUTH_FAILED,
              "%s %zu: status %d", what, at, (int)status);
}

static void check_damage(receive *receiver, struct call *call, const uint8_t *bytes, size_t len)
{
    uint8_t copy[1024];
    cr_assert_eq(receiver(call, bytes, len), MIKEYD_OK);
    for (size_t bit = 0; bit < len * 8; bit++) {
        memcpy(copy, bytes, len);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refuse(receiver, call, copy, len, "bit", bit);
    }
    for (size_t cut = 0; cut < len; cut++)
        refuse(receiver, call, bytes, cut, "cut at", cut);
    memcpy(copy, bytes, len);
    for (unsigned extra = 0; extra < 256; extra++) {
        copy[len] = (uint8_t)extra;
        refuse(receiver, call, copy, len + 1, "trailing", extra);
    }
}

static void check_init(enum mikey_algorithms algorithms)
{
    struct call call;
    call_make(&call, algorithms);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    check_damage(call_authenticate, &call, call.message, call.message_len);
    call_free(&call);
}

static void check_reply(enum mikey_algorithms algorithms)
{
    struct call call;
    call_make(&call, algorithms);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    check_damage(call_verify, &call, call.reply, call.reply_len);
    call_free(&call);
}

Test(damage, i_message_of_mikey_1)
{
    check_init(MIKEY_ALGORITHMS_1);
}

Test(damage, i_message_of_mikey_256)
{
    check_init(MIKEY_ALGORITHMS_256);
}

Test(damage, r_message_of_mikey_1)
{
    check_reply(MIKEY_ALGORITHMS_1);
}

Test(damage, r_message_of_mikey_256)
{
    check_reply(MIKEY_ALGORITHMS_256);
}

Test(damage, another_psk_authenticates_nothing)
{
    struct call call;
    call_make(&call, MIKEY_ALGORITHMS_256);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    cr_assert_eq(call_answer(&call), MIKEYD_OK);
    struct bytes other = support_counting(1, 32);
    mikey_host_psk_clear(&call.psk);
    cr_assert_eq(mikey_host_psk(other.data, other.len, &call.psk, NULL), MIKEYD_OK);
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_AUTH_FAILED);
    cr_assert_eq(call_verify(&call, call.reply, call.reply_len), MIKEYD_AUTH_FAILED);
    call_free(&call);
}

Test(damage, failed_authentication_leaves_no_keys)
{
    struct call call;
    static const struct mikey_message_keys none;
    call_make(&call, MIKEY_ALGORITHMS_1);
    cr_assert_eq(call_seal(&call), MIKEYD_OK);
    cr_assert_eq(memcmp(call.keys, &none, sizeof none), 0, "after sealing");
    call.message[call.message_len - 1] ^= 1;
    cr_assert_eq(call_authenticate(&call, call.message, call.message_len), MIKEYD_AUTH_FAILED);
    cr_assert_eq(memcmp(call.keys, &none, sizeof none), 0, "after a wrong MAC");
    call_free(&call);
}
