/* The commands of mikeyctl policy. */
#ifndef MIKEYCTL_POLICY_COMMAND_H
#define MIKEYCTL_POLICY_COMMAND_H

#include "mikeyctl/ctl.h"
#include "mikeyctl/officer.h"
#include "officers/signed_policy.h"

/* policy sign FILE: writes FILE.NAME.sig. The exit status. */
int policy_command_sign(const char *file, const struct officer_options *officer, bool json);

/* Whose signatures a policy has, as the configuration's officers are: for policy check. */
struct signature_view {
    struct config *config; /* NULL: none that can be read here */
    struct officers *officers;
    struct policy_signers signers;
    bool refused; /* the daemon would not take it */
    struct error why;
};
/* INVALID_ARGUMENT when configuration or keys do not read. Clear it whatever comes of it. */
enum mikeyd_status signature_view_make(const char *config, const char *file,
                                       const struct policy *policy, struct signature_view *out,
                                       struct error *err);
void signature_view_clear(struct signature_view *view);
/* Nothing where nobody signs and nobody has to. */
void signature_view_print(const struct signature_view *view, const char *file);
/* NULL: nobody signs; or memory ran out. */
json_t *signature_view_json(const struct signature_view *view);

#endif
