#include "mikeyd/audit_signer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* What of a keyholder's count stands in a checkpoint, or was asked for in vain. */
struct asked {
    uint8_t holder[CHECKPOINT_HOLDER];
    uint64_t uses;
};

struct checkpoint_signer {
    const struct config *config;
    struct keys_group *keys;
    struct keys_port *_Atomic port; /* of the committer; NULL until the tokens are there */
    unsigned timeout_ms;
    char label[160];
    /* the committer's */
    struct asked asked[KEYS_MEMBERS_MAX];
    size_t turn; /* the member that signs next */
};

/* ---- whose turn it is: every keyholder that serves has to sign what it counts */

static bool is_of(const struct asked *asked, const uint8_t *holder)
{
    return memcmp(asked->holder, holder, sizeof asked->holder) == 0; /* public */
}

static void remember(struct asked *asked, const uint8_t *holder, uint64_t uses)
{
    memcpy(asked->holder, holder, sizeof asked->holder);
    asked->uses = uses;
}

/* The first from `turn` on that serves; whoever, when none does. */
static size_t whose_turn(const struct checkpoint_signer *signer)
{
    const size_t members = signer->config->token_count;
    for (size_t i = 0; i < members; i++) {
        const size_t member = (signer->turn + i) % members;
        struct keys_member_status status;
        keys_group_member_status(signer->keys, member, &status);
        if (status.state == KEYS_MEMBER_CLOSED)
            return member;
    }
    return signer->turn;
}

/* claim: as it was signed, by whom is said there; NULL: it was not. Who was asked is not asked again
 * for the same count, also when it cannot sign. */
static void end_turn(struct checkpoint_signer *signer, size_t member,
                     const struct checkpoint_claim *claim)
{
    const size_t members = signer->config->token_count;
    for (size_t i = 0; i < members; i++) {
        struct keys_member_status status;
        keys_group_member_status(signer->keys, i, &status);
        const uint8_t *holder = status.facts.incarnation;
        if (claim != NULL && memcmp(claim->holder, holder, sizeof claim->holder) == 0) /* public */
            remember(&signer->asked[i], holder, claim->uses);
        else if (i == member)
            remember(&signer->asked[i], holder, status.facts.uses);
    }
    signer->turn = (member + 1) % members;
}

static bool owes(void *context)
{
    const struct checkpoint_signer *signer = context;
    if (atomic_load(&signer->port) == NULL)
        return false;
    for (size_t i = 0; i < signer->config->token_count; i++) {
        struct keys_member_status status;
        keys_group_member_status(signer->keys, i, &status);
        const struct asked *asked = &signer->asked[i];
        const uint64_t before = is_of(asked, status.facts.incarnation) ? asked->uses : 0;
        if (status.state == KEYS_MEMBER_CLOSED && status.facts.uses > before)
            return true;
    }
    return false;
}

static unsigned signers(void *context)
{
    const struct checkpoint_signer *signer = context;
    unsigned serving = 0;
    for (size_t i = 0; atomic_load(&signer->port) != NULL && i < signer->config->token_count; i++) {
        struct keys_member_status status;
        keys_group_member_status(signer->keys, i, &status);
        serving += status.state == KEYS_MEMBER_CLOSED;
    }
    return serving;
}

/* ---- signing */

static enum mikeyd_status sign_by(struct checkpoint_signer *signer, struct keys_port *port,
                                  struct checkpoint_claim *claim, uint8_t *signature, size_t *len,
                                  struct error *err)
{
    const struct keys_checkpoint what = {.key_name = signer->config->audit_key_name,
                                         .generation = signer->config->audit_key_generation,
                                         .member = whose_turn(signer),
                                         .claim = *claim};
    keys_port_deadline(port, clock_monotonic_ms() + signer->timeout_ms);
    enum mikeyd_status status =
        keys_port_checkpoint(port, &what, signature, len, &claim->uses, claim->holder, err);
    if (claim->covers != 0) /* else it stands in no log */
        end_turn(signer, what.member, status == MIKEYD_OK ? claim : NULL);
    return status;
}

static enum mikeyd_status sign(void *context, struct checkpoint_claim *claim, uint8_t *signature,
                               size_t *len, struct error *err)
{
    struct checkpoint_signer *signer = context;
    struct keys_port *port = atomic_load(&signer->port);
    if (port == NULL)
        return error_set(err, MIKEYD_TOKEN_DOWN, "the token is not open yet");
    return sign_by(signer, port, claim, signature, len, err);
}

enum mikeyd_status audit_signer_make(const struct config *config, struct checkpoint_signer **out,
                                     struct audit_signer *interface, struct error *err)
{
    struct checkpoint_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    signer->config = config;
    for (size_t i = 0; i < config->token_count; i++) {
        const unsigned timeout_ms = config->tokens[i].call_timeout_ms;
        signer->timeout_ms = timeout_ms > signer->timeout_ms ? timeout_ms : signer->timeout_ms;
    }
    (void)snprintf(signer->label, sizeof signer->label, "mikeyd/audit/%s/%u",
                   config->audit_key_name, config->audit_key_generation);
    *interface = (struct audit_signer){.context = signer,
                                       .sign = sign,
                                       .counts = true,
                                       .owes = owes,
                                       .signers = signers,
                                       .key_label = signer->label};
    *out = signer;
    return MIKEYD_OK;
}

enum mikeyd_status audit_signer_attach(struct checkpoint_signer *signer, struct keys_group *keys,
                                       struct error *err)
{
    struct keys_port *port = NULL;
    struct checkpoint_claim probe = {.counted = true}; /* there is no record 0 */
    uint8_t signature[DOOR_SIGNATURE_MAX];
    size_t len = sizeof signature;
    enum mikeyd_status status = keys_port_open(keys, &port, err);
    if (status != MIKEYD_OK)
        return status;
    signer->keys = keys;
    /* Whose first checkpoint would fail is not to serve. The committer has the port from then on. */
    status = sign_by(signer, port, &probe, signature, &len, err);
    atomic_store(&signer->port, port);
    return status;
}

void audit_signer_free(struct checkpoint_signer *signer)
{
    if (signer == NULL)
        return;
    keys_port_close(atomic_load(&signer->port));
    free(signer);
}
