/* Updates by either end of a bundle, by every method (RFC 3830 4.5, RFC 4650 3.1). */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "lab.h"

TestSuite(turns, .timeout = 120);

/* The caller, or the one that was called, with the ticket of what it has at present. */
struct end {
    struct exchange_worker **worker;
    uid_t uid;
    const char *name;
    struct lab_result has;
};

static struct lab lab;
static struct end caller = {.worker = &lab.a, .uid = LAB_UID_A, .name = LAB_A};
static struct end called = {.worker = &lab.b, .uid = LAB_UID_B, .name = LAB_B};
static struct lab_result sent, refused;

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};

static enum mikeyd_status serve(struct end *end, struct exchange_request *request,
                                struct lab_result *out)
{
    return lab_serve(*end->worker, end->uid, request, out);
}

static enum mikeyd_status update(struct end *from, const struct exchange_stream *streams,
                                 size_t count, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_UPDATE,
                                       .ticket = from->has.ticket.data,
                                       .ticket_len = from->has.ticket.len,
                                       .streams = streams,
                                       .stream_count = count,
                                       .verify = true};
    return serve(from, &request, out);
}

static enum mikeyd_status answer(struct end *end, const struct lab_bytes *message,
                                 const uint32_t *ssrcs, const uint32_t *rocs, size_t count,
                                 struct lab_result *out)
{
    static struct lab_bytes ticket;
    ticket = end->has.ticket; /* out may be what the end has */
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = end->name,
                                       .message = message->data,
                                       .message_len = message->len,
                                       .ssrcs = ssrcs,
                                       .rocs = rocs,
                                       .ssrc_count = count,
                                       .ticket = ticket.data,
                                       .ticket_len = ticket.len};
    return serve(end, &request, out);
}

static enum mikeyd_status confirm(struct end *end, const struct lab_result *offer,
                                  const struct lab_bytes *reply, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_CONFIRM,
                                       .ticket = offer->ticket.data,
                                       .ticket_len = offer->ticket.len,
                                       .message = reply->data,
                                       .message_len = reply->len};
    return serve(end, &request, out);
}

static void call(enum policy_method method)
{
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = caller.name,
                                       .to = called.name,
                                       .streams = one,
                                       .stream_count = 1,
                                       .method = method,
                                       .verify = true};
    called.has.ticket.len = 0;
    lab_must(serve(&caller, &request, &sent), sent);
    lab_must(answer(&called, &sent.message, NULL, NULL, 0, &called.has), called.has);
    lab_must(confirm(&caller, &sent, &called.has.message, &caller.has), caller.has);
    cr_assert(lab_same_keys(&caller.has, &called.has));
}

/* One update by `from`, which both ends then have. */
static void turn(struct end *from, struct end *to, const struct exchange_stream *streams,
                 size_t count)
{
    lab_must(update(from, streams, count, &sent), sent);
    cr_assert_eq(sent.key_count, 0, "no keys before the answer");
    lab_must(answer(to, &sent.message, NULL, NULL, 0, &to->has), to->has);
    lab_must(confirm(from, &sent, &to->has.message, &from->has), from->has);
    cr_assert(lab_same_keys(&from->has, &to->has));
}

static struct mikey_message *parsed(const struct lab_bytes *bytes)
{
    static struct mikey_message m;
    struct error err = {0};
    cr_assert_eq(mikey_parse(bytes->data, bytes->len, &m, NULL, &err), MIKEYD_OK, "%s", err.text);
    return &m;
}

static bool is_named(const struct identity *id, const char *name)
{
    uint8_t store[IDENTITY_MAX];
    struct identity expected;
    cr_assert_eq(identity_parse(name, store, &expected, NULL), MIKEYD_OK);
    return id != NULL && identity_equal(id, &expected);
}

static void fresh_turn(struct end *from, struct end *to)
{
    static struct lab_result before;
    const uint64_t t = parsed(&sent.message)->t.value;
    before = from->has;
    turn(from, to, NULL, 0);
    const struct mikey_message *m = parsed(&sent.message);
    cr_assert(mikey_is_update(m));
    cr_assert(is_named(mikey_idi(m), from->name) && is_named(mikey_idr(m), to->name));
    cr_assert_gt((int64_t)(m->t.value - t), 0, "T is later than that of the message before");
    cr_assert_eq(m->csb_id, before.csb_id);
    cr_assert_neq(memcmp(from->has.keys[0].value.key, before.keys[0].value.key, 32), 0);
    cr_assert_neq(memcmp(from->has.mki[0], before.mki[0], 4), 0, "a new key has a new MKI");
}

static void either_end_updates(void)
{
    static const enum policy_method methods[] = {POLICY_METHOD_PSK, POLICY_METHOD_PSK_DHE,
                                                 POLICY_METHOD_DHHMAC};
    for (size_t i = 0; i < 3; i++) {
        call(methods[i]);
        fresh_turn(&called, &caller);
        fresh_turn(&called, &caller);
        fresh_turn(&caller, &called);
        fresh_turn(&called, &caller);
    }
}

Test(turns, either_end_updates_by_every_method)
{
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    either_end_updates();
    cr_assert_eq(lab_audit_count(&lab, "update of the bundle"), 12);
    lab_close(&lab);
}

/* Of a key for each direction: the message of whoever is called is under the other one. */
Test(turns, either_end_updates_with_pair_keys)
{
    struct error err = {0};
    static const char core[] = "  - {name: core, kind: epsk}";
    lab_open_token(&lab, LAB_ANY);
    lab_prepare_pairs(&lab, "core", 1);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text("mki_bytes: 4", core, "core"), &err),
                 MIKEYD_OK, "%s", err.text);
    lab_start_workers(&lab);
    either_end_updates();
    lab_close(&lab);
}

Test(turns, outlive_the_process)
{
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    call(POLICY_METHOD_PSK_DHE);
    lab_restart(&lab);
    turn(&called, &caller, NULL, 0);
    lab_restart(&lab);
    turn(&caller, &called, NULL, 0);
    lab_close(&lab);
}

/* What the policy says of the pair in that direction holds: here there is none. */
Test(turns, are_refused_where_the_policy_has_no_such_direction)
{
    lab_open(&lab, LAB_ANY, NULL);
    call(POLICY_METHOD_PSK);
    char text[4096];
    struct error err = {0};
    (void)snprintf(text, sizeof text, "%s",
                   lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"));
    char *second = strstr(text, "  - {initiator: \"" LAB_B);
    cr_assert_not_null(second);
    const char *rest = strstr(second, "clients:");
    memmove(second, rest, strlen(rest) + 1);
    cr_assert_eq(lab_reload(&lab, text, &err), MIKEYD_OK, "%s", err.text);
    lab_refused(update(&called, NULL, 0, &sent), sent, MIKEYD_UNKNOWN_PEER);
    turn(&caller, &called, NULL, 0);
    lab_close(&lab);
}

/* A ticket is of one bundle at one end, and waits for a reply or goes on: nothing else. */
Test(turns, need_the_ticket_of_their_bundle)
{
    static struct lab_bytes other;
    static struct lab_result waiting;
    lab_open(&lab, LAB_ANY, NULL);
    call(POLICY_METHOD_PSK);
    other = caller.has.ticket;
    call(POLICY_METHOD_PSK);
    lab_must(update(&called, NULL, 0, &waiting), waiting);
    const struct lab_bytes own = caller.has.ticket;
    caller.has.ticket = other;
    lab_refused(answer(&caller, &waiting.message, NULL, NULL, 0, &refused), refused,
                MIKEYD_TICKET_INVALID);
    caller.has.ticket.len = 0;
    lab_refused(answer(&caller, &waiting.message, NULL, NULL, 0, &refused), refused,
                MIKEYD_TICKET_INVALID);
    caller.has.ticket = own;
    lab_must(answer(&caller, &waiting.message, NULL, NULL, 0, &caller.has), caller.has);
    /* One that waits for its reply serves no update; one that goes on confirms nothing. */
    called.has = waiting;
    lab_refused(update(&called, NULL, 0, &refused), refused, MIKEYD_TICKET_INVALID);
    cr_assert_not_null(strstr(refused.err.text, "confirm"), "%s", refused.err.text);
    lab_refused(confirm(&caller, &caller.has, &caller.has.message, &refused), refused,
                MIKEYD_TICKET_INVALID);
    lab_must(confirm(&called, &waiting, &caller.has.message, &called.has), called.has);
    lab_close(&lab);
}

Test(turns, are_answered_once_and_not_by_their_sender)
{
    static struct lab_bytes ticket;
    lab_open(&lab, LAB_ANY, NULL);
    call(POLICY_METHOD_DHHMAC);
    ticket = caller.has.ticket;
    lab_must(update(&called, NULL, 0, &sent), sent);
    lab_refused(answer(&called, &sent.message, NULL, NULL, 0, &refused), refused,
                MIKEYD_AUTH_FAILED);
    lab_must(answer(&caller, &sent.message, NULL, NULL, 0, &caller.has), caller.has);
    lab_refused(answer(&caller, &sent.message, NULL, NULL, 0, &refused), refused, MIKEYD_REPLAY);
    caller.has.ticket = ticket;
    lab_refused(answer(&caller, &sent.message, NULL, NULL, 0, &refused), refused, MIKEYD_REPLAY);
    lab_close(&lab);
}

/*
 * Both at the same moment, again and again: under one PSK nothing but T keeps the key streams of
 * their messages apart, so no T of one end may ever be one of the other.
 */
Test(turns, of_both_ends_at_once_have_different_timestamps)
{
    enum { SIDE = 1 << 20 };
    static struct lab_result theirs;
    lab_open(&lab, LAB_ANY, "mki_bytes: 4");
    call(POLICY_METHOD_PSK);
    for (int i = 0; i < 40; i++) {
        lab_must(update(&caller, NULL, 0, &sent), sent);
        lab_must(update(&called, NULL, 0, &theirs), theirs);
        cr_assert_eq(parsed(&sent.message)->t.value & SIDE, 0);
        cr_assert_eq(parsed(&theirs.message)->t.value & SIDE, SIDE);
    }
    /* Each can still be answered: which one the ends go on with is theirs to say. */
    static struct lab_result a, b, a_answer, b_answer;
    lab_must(answer(&called, &sent.message, NULL, NULL, 0, &b_answer), b_answer);
    lab_must(answer(&caller, &theirs.message, NULL, NULL, 0, &a_answer), a_answer);
    lab_must(confirm(&caller, &sent, &b_answer.message, &a), a);
    lab_must(confirm(&called, &theirs, &a_answer.message, &b), b);
    cr_assert(lab_same_keys(&a, &b_answer) && lab_same_keys(&b, &a_answer));
    cr_assert_neq(memcmp(a.mki[0], b.mki[0], 4), 0);
    caller.has = a_answer;
    called.has = b;
    turn(&caller, &called, NULL, 0);
    lab_close(&lab);
}

/* The sides are told apart by the names, also when one begins with the whole other. */
Test(turns, of_ends_with_names_alike_have_different_timestamps)
{
    enum { SIDE = 1 << 20 };
    static struct lab_result theirs;
    called.name = LAB_A ".net";
    lab_open_policy(
        &lab, LAB_ANY,
        "policy: 1\n"
        "defaults: {provisioning: plaintext-allowed}\n"
        "keys: [{name: legacy, kind: psk}]\n"
        "nodes: [\"" LAB_A "\", \"" LAB_A ".net\"]\n"
        "mesh: [{nodes: [\"" LAB_A "\", \"" LAB_A ".net\"], key: legacy}]\n"
        "clients:\n"
        "  - {name: sbc-a, uid: 1001, acts_as: [\"" LAB_A "\"], may: [initiate, respond]}\n"
        "  - {name: sbc-b, uid: 1002, acts_as: [\"" LAB_A ".net\"], may: [initiate, respond]}\n");
    call(POLICY_METHOD_PSK);
    for (int i = 0; i < 4; i++) {
        lab_must(update(&caller, NULL, 0, &sent), sent);
        lab_must(update(&called, NULL, 0, &theirs), theirs);
        cr_assert_eq(parsed(&sent.message)->t.value & SIDE, 0);
        cr_assert_eq(parsed(&theirs.message)->t.value & SIDE, SIDE);
    }
    lab_close(&lab);
}

/* The store cannot know it for a replay: the T that it has is the other end's. */
Test(turns, with_the_timestamp_of_the_other_end_are_refused)
{
    static struct lab_bytes message;
    lab_open(&lab, LAB_ANY, NULL);
    call(POLICY_METHOD_PSK);
    const struct mikey_message *m = parsed(&sent.message); /* the caller's */
    struct mikey_init init = lab_peer_offer();
    const struct mikey_stream stream = {.ssrc = 0x11223344, .suite = SRTP_AEAD_AES_256_GCM};
    const struct identity a = init.idi;
    init.idi = init.idr;
    init.idr = a;
    init.update = true;
    init.csb_id = m->csb_id;
    init.rand = m->rand;
    init.rand_len = m->rand_len;
    init.streams = &stream;
    init.t = m->t.value;
    lab_seal(&init, lab_psk, 32, &message);
    lab_refused(answer(&caller, &message, NULL, NULL, 0, &refused), refused, MIKEYD_REPLAY);
    init.t++;
    lab_seal(&init, lab_psk, 32, &message);
    lab_must(answer(&caller, &message, NULL, NULL, 0, &refused), refused);
    lab_close(&lab);
}

/* RFC 3830 6.1.1: streams are appended, and whoever sends a stream says its ROC of now. */
Test(turns, add_streams_and_state_rocs_anew)
{
    static const struct exchange_stream more[] = {{.ssrc = 0x55, .roc = 0}};
    static const struct exchange_stream mine[] = {{.ssrc = 0x55, .roc = 3}};
    static const uint32_t ssrcs[] = {0x11223344}, rocs[] = {7}, later[] = {8};
    lab_open(&lab, LAB_ANY, NULL);
    call(POLICY_METHOD_PSK);
    turn(&called, &caller, more, 1);
    cr_assert_eq(caller.has.key_count, 2);
    cr_assert_eq(caller.has.keys[0].ssrc, 0x11223344);
    cr_assert_eq(caller.has.keys[1].ssrc, 0x55);
    for (int i = 0; i < 2; i++) {
        lab_must(update(&called, mine, i == 0 ? 1 : 0, &sent), sent);
        lab_must(answer(&caller, &sent.message, ssrcs, i == 0 ? rocs : later, 1, &caller.has),
                 caller.has);
        lab_must(confirm(&called, &sent, &caller.has.message, &called.has), called.has);
        cr_assert(lab_same_keys(&called.has, &caller.has));
        cr_assert_eq(called.has.key_count, 2);
        cr_assert_eq(called.has.keys[0].roc, (uint32_t)(7 + i));
        cr_assert_eq(called.has.keys[1].roc, i == 0 ? 3u : 0u);
    }
    lab_close(&lab);
}
