/* Pair keys: imported from an EPSK, one for each direction. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "lab.h"
#include "pkcs11/token/internal.h"

TestSuite(pair, .timeout = 60);

#define CORE "  - {name: core, kind: epsk}"
#define CORE_2                                                                                     \
    "  - {name: core, kind: epsk, generation: 2, previous: {generation: 1, until: 2099-01-01}}"

static const struct exchange_stream one[] = {{.ssrc = 0x11223344}};
static struct lab_result offer, answer, got;
static struct error err;

/* Both generations there: derived when they are used, or made beforehand. */
static void open_core(struct lab *lab)
{
    lab_open_token(lab, LAB_ANY);
    for (unsigned generation = 1; generation <= 2; generation++)
        lab_prepare_pairs(lab, "core", generation);
    cr_assert_eq(lab_start_service(lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_OK, "%s",
                 err.text);
    lab_start_workers(lab);
}

static void call(struct lab *lab)
{
    lab_must(lab_initiate(lab, one, 1, true, &offer), offer);
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    cr_assert(lab_same_keys(&answer, &got));
}

static enum mikeyd_status initiate_b_to_a(struct lab *lab)
{
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_B,
                                       .to = LAB_A,
                                       .streams = one,
                                       .stream_count = 1,
                                       .verify = true};
    return lab_serve(lab->b, LAB_UID_B, &request, &offer);
}

Test(pair, objects_of_the_ceremony_serve_a_token_without_hkdf)
{
    struct lab lab;
    lab_open_token(&lab, LAB_SIGNS);
    lab_derive_pairs(&lab, "core", 1, MIKEY_ALGORITHMS_256);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(&lab);
    call(&lab);
    lab_must(initiate_b_to_a(&lab), offer);
    lab_close(&lab);
}

/* As made before labels said it, or by another tool. */
Test(pair, object_that_does_not_say_how_long_its_epsk_is_is_refused)
{
    static const uint8_t value[32] = {5, 4, 3};
    char label[160];
    struct lab lab;
    lab_open_token(&lab, LAB_SIGNS);
    (void)snprintf(label, sizeof label, "mikeyd/pair/%s/1", lab_pair_name("core", 1, LAB_A, LAB_B));
    cr_assert(token_fixture_key(
        &lab.fixture,
        &(struct token_fixture_key){.label = label, .value = value, .len = sizeof value}));
    lab_token_provisioned(&lab.fixture);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_POLICY);
    cr_assert_not_null(strstr(err.text, "~BITS"), "%s", err.text);
    lab_close(&lab);
}

Test(pair, without_any_object_the_policy_is_refused_with_the_command)
{
    struct lab lab;
    lab_open_token(&lab, LAB_SIGNS);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err),
                 MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(err.text, "mikeyctl key derive --name core"), "%s", err.text);
    lab_close(&lab);
}

Test(pair, one_missing_object_refuses_that_direction_only)
{
    struct lab lab;
    lab_open_token(&lab, LAB_SIGNS);
    lab_derive_pairs(&lab, "core", 1, MIKEY_ALGORITHMS_256);
    lab_destroy(&lab, TOKEN_PAIR, lab_pair_name("core", 1, LAB_B, LAB_A), 1);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(&lab);
    call(&lab);
    lab_refused(initiate_b_to_a(&lab), offer, MIKEYD_TOKEN_DOWN);
    cr_assert_not_null(strstr(offer.err.text, "mikeyctl key derive --name core"), "%s",
                       offer.err.text);
    lab_close(&lab);
}

/* What the importer makes of the laboratory's EPSK for the directed pair of this offer. */
static void host_pair_key(const struct identity *initiator, const struct identity *responder,
                          uint8_t key[32])
{
    uint8_t epsk[32], epskx[32];
    struct importer_pair pair;
    memset(epsk, 0x5a, sizeof epsk);
    cr_assert_eq(importer_extract(IMPORTER_SHA256, epsk, 32, epskx, &err), MIKEYD_OK);
    cr_assert_eq(importer_pair("core", 1, initiator, responder, MIKEY_ALGORITHMS_256, &pair, &err),
                 MIKEYD_OK);
    cr_assert_eq(importer_expand(IMPORTER_SHA256, epskx, pair.info, pair.info_len, key, 32, &err),
                 MIKEYD_OK);
}

/* One message, a -> b, once under the key of each direction: everything else is the same, so that
 * only the key can make the difference. */
Test(pair, directions_are_different_keys)
{
    struct lab lab;
    static struct lab_bytes message;
    uint8_t forth[32], back[32];
    open_core(&lab);
    struct mikey_init init = lab_peer_offer();
    host_pair_key(&init.idi, &init.idr, forth);
    host_pair_key(&init.idr, &init.idi, back);
    cr_assert_arr_neq(forth, back, sizeof forth);
    lab_seal(&init, back, sizeof back, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_seal(&init, forth, sizeof forth, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    lab_close(&lab);
}

Test(pair, key_is_the_importers)
{
    struct lab lab;
    static struct lab_bytes message;
    uint8_t epsk[32], key[32];
    open_core(&lab);
    struct mikey_init init = lab_peer_offer();
    host_pair_key(&init.idi, &init.idr, key);
    lab_seal(&init, key, sizeof key, &message);
    lab_must(lab_respond(&lab, &message, NULL, &got), got);
    /* The EPSK itself is never the key of a message. */
    memset(epsk, 0x5a, sizeof epsk);
    init.t++;
    lab_seal(&init, epsk, sizeof epsk, &message);
    lab_refused(lab_respond(&lab, &message, NULL, &got), got, MIKEYD_AUTH_FAILED);
    lab_close(&lab);
}

Test(pair, derived_once_and_then_from_the_cache)
{
    struct lab lab;
    struct token_facts before, after;
    struct door_facts stats;
    lab_open_policy(&lab, LAB_DERIVES, lab_policy_text(NULL, CORE, "core"));
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    stats = lab_facts(&lab);
    cr_assert_eq(stats.pair_misses, 1);
    cr_assert_eq(stats.pair_entries, 1);
    token_get_facts(lab.token, &before);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    token_get_facts(lab.token, &after);
    stats = lab_facts(&lab);
    cr_assert_eq(stats.pair_hits, 1);
    /* Only the two message keys: no HKDF. */
    cr_assert_eq(after.derives - before.derives, 2);
    lab_close(&lab);
}

Test(pair, a_full_cache_forgets_the_oldest_and_derives_again)
{
    struct lab lab;
    struct door_facts stats;
    lab_open_token(&lab, LAB_DERIVES);
    lab.options.pair_cache = 1;
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(&lab);
    call(&lab);
    lab_must(initiate_b_to_a(&lab), offer);
    call(&lab);
    stats = lab_facts(&lab);
    cr_assert_eq(stats.pair_evictions, 2);
    cr_assert_eq(stats.pair_entries, 1);
    lab_close(&lab);
}

Test(pair, prewarming_leaves_no_derivation_to_the_first_call)
{
    struct lab lab;
    struct door_facts stats;
    struct token_facts before, after;
    size_t warmed = 0;
    open_core(&lab);
    cr_assert_eq(exchange_worker_prewarm(lab.a, 100, 1000, &warmed, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(warmed, 2);
    stats = lab_facts(&lab);
    uint64_t misses = stats.pair_misses;
    token_get_facts(lab.token, &before);
    call(&lab);
    token_get_facts(lab.token, &after);
    stats = lab_facts(&lab);
    cr_assert_eq(stats.pair_misses, misses);
    cr_assert_eq(after.derives - before.derives, lab_token_derives(&lab.fixture) ? 2 + 2 + 1 : 0,
                 "message keys alone");
    lab_close(&lab);
}

static size_t warm(struct lab *lab, size_t most, unsigned timeout_ms)
{
    size_t warmed = 99;
    cr_assert_eq(exchange_worker_prewarm(lab->a, most, timeout_ms, &warmed, &err), MIKEYD_OK, "%s",
                 err.text);
    return warmed;
}

Test(pair, prewarming_ends_at_its_bounds)
{
    struct lab lab;
    open_core(&lab);
    cr_expect_eq(warm(&lab, 1, 1000), 1);
    cr_expect_eq(warm(&lab, 0, 1000), 0);
    cr_expect_eq(warm(&lab, 100, 0), 0, "no time for any");
    lab.config.prewarm = 1;
    lab_restart(&lab);
    cr_expect_eq(warm(&lab, 100, 1000), 1, "more than are wanted");
    lab_close(&lab);
}

Test(pair, prewarming_leaves_meshes_alone)
{
    struct lab lab;
    static char text[2048];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {provisioning: plaintext-allowed}\n"
                   "keys: [{name: core, kind: epsk}]\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" LAB_C "\"]\n"
                   "pairs: [{initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: core}]\n"
                   "mesh: [{nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" LAB_C "\"], key: core}]\n"
                   "clients: [{name: sbc-a, uid: 1001, acts_as: [\"" LAB_A
                   "\"], may: [initiate, respond]}]\n");
    open_core(&lab);
    cr_assert_eq(lab_reload(&lab, text, &err), MIKEYD_OK, "%s", err.text);
    cr_expect_eq(warm(&lab, 100, 1000), 1);
    lab_close(&lab);
}

static size_t derived_objects(struct lab *lab)
{
    CK_BBOOL no = CK_FALSE;
    CK_UTF8CHAR label[] = "mikeyd pair key of this process";
    CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label, sizeof label - 1}, {CKA_TOKEN, &no, sizeof no}};
    CK_OBJECT_HANDLE found[64];
    CK_ULONG count = 0;
    const CK_FUNCTION_LIST *f = lab->token->f;
    const CK_SESSION_HANDLE keeper = lab->token->keeper.handle;
    cr_assert_eq(f->C_FindObjectsInit(keeper, wanted, 2), CKR_OK);
    cr_assert_eq(f->C_FindObjects(keeper, found, 64, &count), CKR_OK);
    cr_assert_eq(f->C_FindObjectsFinal(keeper), CKR_OK);
    return count;
}

Test(pair, keys_of_a_policy_that_is_replaced_leave_the_token)
{
    struct lab lab;
    lab_open_policy(&lab, LAB_DERIVES, lab_policy_text(NULL, CORE, "core"));
    cr_assert_eq(warm(&lab, 100, 1000), 2);
    cr_assert_eq(derived_objects(&lab), 2);
    cr_assert_eq(
        lab_reload(&lab, lab_policy_text(NULL, "  - {name: legacy, kind: psk}", "legacy"), &err),
        MIKEYD_OK, "%s", err.text);
    for (int i = 0; i < 20 && derived_objects(&lab) != 0; i++)
        lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    cr_expect_eq(derived_objects(&lab), 0);
    struct door_facts stats;
    stats = lab_facts(&lab);
    cr_expect_eq(stats.pair_entries, 0);
    lab_close(&lab);
}

Test(pair, rotation_accepts_both_generations)
{
    struct lab lab;
    static struct lab_bytes old_message;
    open_core(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    old_message = offer.message;
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, CORE_2, "core"), &err), MIKEYD_OK, "%s",
                 err.text);
    lab_must(lab_respond(&lab, &old_message, NULL, &got), got);
    call(&lab);
    cr_assert_gt(lab_audit_count(&lab, "core/2"), 0);
    lab_close(&lab);
}

Test(pair, rotation_whose_ceremony_is_half_done_still_answers_the_old_key)
{
    struct lab lab;
    static struct lab_bytes old_message;
    lab_open_token(&lab, LAB_SIGNS);
    lab_derive_pairs(&lab, "core", 1, MIKEY_ALGORITHMS_256);
    lab_derive_pairs(&lab, "core", 2, MIKEY_ALGORITHMS_256);
    lab_destroy(&lab, TOKEN_PAIR, lab_pair_name("core", 2, LAB_A, LAB_B), 2);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(&lab);
    lab_must(lab_initiate(&lab, one, 1, true, &offer), offer);
    old_message = offer.message;
    cr_assert_eq(lab_reload(&lab, lab_policy_text(NULL, CORE_2, "core"), &err), MIKEYD_OK, "%s",
                 err.text);
    lab_must(lab_respond(&lab, &old_message, NULL, &got), got);
    lab_close(&lab);
}

Test(pair, algorithm_sets_have_different_pair_keys)
{
    struct lab lab;
    lab_open_token(&lab, LAB_SIGNS);
    lab_derive_pairs(&lab, "core", 1, MIKEY_ALGORITHMS_1);
    cr_assert_eq(lab_start_service(&lab, lab_policy_text(NULL, CORE, "core"), &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(&lab);
    lab_refused(lab_initiate(&lab, one, 1, true, &offer), offer, MIKEYD_TOKEN_DOWN);
    lab_close(&lab);
}
