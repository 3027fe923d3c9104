/* A call through the SBC: two legs, their media and their keys, from the first INVITE to the last BYE. */
#ifndef SBC_CALL_H
#define SBC_CALL_H

#include "keying.h"
#include "media.h"
#include "mikeyd_loop.h"
#include "settings.h"
#include "sip.h"

struct sbc {
    struct settings settings;
    su_root_t *root;
    struct mikeyd_loop mikeyd;
    struct sip_side plain, secure;
    struct media_counts packets;
    unsigned long calls, answered, refused, rekeyed, updates, failed_updates;
    unsigned open; /* calls that are not over */
};

struct call {
    struct sbc *sbc;
    struct leg plain, secure;
    struct keying keying;
    struct media media;
    bool from_plain;   /* the caller is on the plain side: this SBC makes the MIKEY offer */
    bool rekeyed;      /* it had an update */
    bool over;         /* being taken down */
    char *user;        /* who is called */
    char *plain_said;  /* last SDP of the plain peer; from it comes what the other SBC is told */
    char *secure_said; /* last SDP of the other SBC, whose key is in use */
    char *secure_asks; /* offer of the other SBC that waits for mikeyd */
    unsigned version;  /* of our description to the other SBC */
    su_timer_t *timer; /* the next change of keys, or the end of the old ones */
};

/* ---- call_keys.c: what becomes of the keys; call.c decides about the legs */

/* The offer for the other SBC, or its answer: our description with the message of this exchange. free() it. */
char *call_describe_secure(struct call *call, const mikeyd_exchange *exchange, size_t level);
/* A re-INVITE of the other SBC: answers it at once or when mikeyd has answered. */
void call_change_offered(struct call *call, const char *body);
/* The other SBC's answer to our update. */
void call_change_answered(struct call *call, int code, const char *body);
/* Both streams go by `has`, as far as they may already; sender: this end may send by it. false: libsrtp2 refused. */
bool call_use_keys(struct call *call, bool sender);
/* The next change is due after the time that the settings name. */
void call_plan_change(struct call *call);
/* Level of the message in a body, for the answer: 0 session, n the n-th m= line. */
size_t call_key_level(const char *body);

/* Both legs end; a leg that waits for an answer gets this one. */
void call_fail(struct call *call, struct reason reason);
/* One line on standard error, with the call's reference. */
void call_log(const struct call *call, const char *what, const char *why);

#endif
