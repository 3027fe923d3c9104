/* Policy files: whatever the bytes, loading, rules, decisions and differences end without a crash.
 */
#include "policy/findings.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"

#define NOW ((int64_t)1796083200) /* 2026-12-01 */

static void decide_everything(const struct policy *policy)
{
    for (size_t c = 0; c < policy_client_count(policy) && c < 4; c++) {
        for (size_t i = 0; i < policy_node_count(policy) && i < 4; i++) {
            for (size_t r = 0; r < policy_node_count(policy) && r < 4; r++) {
                struct policy_decision decision;
                struct policy_request request = {.client = policy_client_at(policy, c),
                                                 .role = (i + r) % 2 == 0 ? POLICY_INITIATE
                                                                          : POLICY_RESPOND,
                                                 .initiator = policy_node_at(policy, i)->identity,
                                                 .responder = policy_node_at(policy, r)->identity};
                struct error err;
                /* What is allowed has a key, a suite, and two ends. */
                if (policy_decide(policy, &request, NOW, &decision, &err) != MIKEYD_OK)
                    continue;
                PROMISE(decision.key != NULL && decision.suites != 0);
                PROMISE((decision.suites & 1u << decision.first_suite) != 0);
                PROMISE(decision.initiator != decision.responder);
            }
        }
    }
}

static bool stop_soon(void *context, const struct policy_node *initiator,
                      const struct policy_node *responder)
{
    PROMISE(initiator != responder);
    return ++*(size_t *)context < 100;
}

static void use_loaded(const char *text, size_t size)
{
    struct policy *policy;
    struct error err;
    if (policy_load_text(text, size, "policy.yaml", &policy, &err) != MIKEYD_OK)
        return;
    decide_everything(policy);
    for (size_t i = 0; i < policy_key_count(policy) && i < 16; i++) {
        size_t pairs = 0;
        policy_each_pair(policy, policy_key_at(policy, i), stop_soon, &pairs);
    }
    policy_unref(policy);
}

static void use_checked(const char *text, size_t size)
{
    static const struct policy_token_key objects[] = {
        {"epsk", "k", 1, 256, "2027-01-01", "", false},
        {"psk", "l", 2, 100, "", "CKA_EXTRACTABLE is true", true},
        {"pair", "k.00", 1, 256, "", "", false},
    };
    struct policy *policy, *empty;
    struct error err;
    if (policy_load_text_to_check(text, size, "policy.yaml", &policy, &err) != MIKEYD_OK)
        return;
    struct policy_findings findings;
    if (policy_check(policy, objects, 3, NOW, &findings) == MIKEYD_OK) {
        json_decref(policy_findings_json(policy, &findings));
        policy_findings_free(&findings);
    }
    if (policy_load_text("policy: 1\n", 10, "empty", &empty, &err) == MIKEYD_OK) {
        json_decref(policy_difference(empty, policy));
        json_decref(policy_difference(policy, empty));
        policy_unref(empty);
    }
    policy_unref(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    use_loaded((const char *)data, size);
    use_checked((const char *)data, size);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_lines(data, size, max, &dice);
}
