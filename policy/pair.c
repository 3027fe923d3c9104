#include "policy/internal.h"

bool policy_pair_algorithms(const struct policy *policy, const struct policy_node *initiator,
                            const struct policy_node *responder, enum mikey_algorithms *out)
{
    const struct policy_pair *pair = policy_pair_find(policy, initiator->index, responder->index);
    if (pair != NULL) {
        *out = pair->settings.algorithms;
        return true;
    }
    const struct policy_mesh *mesh = initiator->index == responder->index
                                         ? NULL
                                         : policy_mesh_of(policy, &policy->nodes[initiator->index],
                                                          &policy->nodes[responder->index]);
    if (mesh == NULL)
        return false;
    *out = mesh->settings.algorithms;
    return true;
}
