/* mikeyctl policy check: who signed the policy. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "mikeyctl/policy_command.h"

enum mikeyd_status signature_view_make(const char *config, const char *file,
                                       const struct policy *policy, struct signature_view *out,
                                       struct error *err)
{
    *out = (struct signature_view){.why = {.text = ""}};
    /* Where a policy is written there need not be a configuration. */
    if (access(config, R_OK) != 0)
        return MIKEYD_OK;
    enum mikeyd_status status = config_load(config, &out->config, err);
    if (status == MIKEYD_OK)
        status = officers_load(out->config, &out->officers, err);
    if (status != MIKEYD_OK)
        return status;
    policy_look_for_signers(file, policy, out->officers, &out->signers);
    out->refused =
        signed_policy_check(out->config, file, policy, &out->signers, &out->why) != MIKEYD_OK;
    return MIKEYD_OK;
}

void signature_view_clear(struct signature_view *view)
{
    officers_free(view->officers);
    config_free(view->config);
    *view = (struct signature_view){.config = NULL};
}

void signature_view_print(const struct signature_view *view, const char *file)
{
    for (size_t i = 0; i < officers_count(view->officers); i++) {
        const char *name = officers_name(view->officers, i);
        if (view->signers.by[i] == POLICY_SIGNED)
            (void)printf("signed by %s, key %s\n", name, officers_fingerprint(view->officers, i));
        else
            (void)printf("not by %s: %s.%s.sig %s\n", name, file, name,
                         policy_signature_text(view->signers.by[i]));
    }
    if (view->officers != NULL)
        (void)printf("signatures: %u, needed: %u\n", view->signers.count,
                     view->config->policy_signatures);
    if (view->refused)
        (void)printf("the daemon refuses it: %s\n", view->why.text);
}

json_t *signature_view_json(const struct signature_view *view)
{
    if (view->officers == NULL)
        return NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < officers_count(view->officers); i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "officer", officers_name(view->officers, i), "key",
                            officers_fingerprint(view->officers, i), "signature",
                            policy_signature_text(view->signers.by[i])));
    return json_pack("{s:i, s:i, s:b, s:o}", "count", (int)view->signers.count, "needed",
                     (int)view->config->policy_signatures, "enough", !view->refused, "officers",
                     list);
}
