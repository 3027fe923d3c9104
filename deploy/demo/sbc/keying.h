/*
 * The keys of one call: what is asked of mikeyd, one question at a time, and what came of it.
 *
 * The calling SBC:  keying_offer() -> INVITE with `sent` ... 200 -> keying_confirm() -> keys
 * The called SBC:   INVITE -> keying_answer() -> keys, 200 with `has`
 * Either, later:    keying_update() -> re-INVITE with `sent` ... 200 -> keying_confirm() -> new keys
 *                   re-INVITE -> keying_answer() -> new keys, 200 with `has`
 */
#ifndef SBC_KEYING_H
#define SBC_KEYING_H

#include <mikeyd/client.h>
#include <mikeyd/sdp.h>

/* Runs from the event loop when mikeyd has answered, never inside the call that asked. */
typedef void keying_done(void *user, enum mikeyd_status status);

struct keying {
    mikeyd_client *client; /* of all calls */
    const char *own, *peer;
    char reference[128];   /* the Call-ID between the SBCs: in the audit records of both daemons */
    bool caller;           /* this end began the bundle: crypto session 1 is its stream */
    mikeyd_exchange *sent; /* our I_MESSAGE, and the ticket that waits for its answer */
    mikeyd_exchange *has;  /* the newest keys, and the ticket for the next update */
    mikeyd_exchange *before; /* the keys before those: their packets may still be under way */
    bool unseen; /* we answered with `has`, and nothing shows yet that the other end took it */
    keying_done *done; /* NULL: nothing is asked */
    void *user;
};

/* true: done will be called. false: nothing was asked, mikeyd_client_error() says why. */
bool keying_offer(struct keying *keying, uint32_t ssrc, keying_done *done);
bool keying_answer(struct keying *keying, const char *sdp, uint32_t ssrc, uint32_t roc,
                   bool same_bundle, keying_done *done);
bool keying_confirm(struct keying *keying, const char *sdp, keying_done *done);
bool keying_update(struct keying *keying, uint32_t ssrc, uint32_t roc, keying_done *done);

/* The offer came to nothing: its ticket goes, the keys in use stay. */
void keying_forget_offer(struct keying *keying);
/* No packet under the keys before can be under way any more. */
void keying_forget_before(struct keying *keying);
/* Of `has` or `before`; NULL: none. own: of the stream that this end sends. */
const struct mikeyd_srtp_key *keying_key(const struct keying *keying,
                                         const mikeyd_exchange *exchange, bool own);
/* Gives up what is asked, wipes and frees. */
void keying_close(struct keying *keying);

#endif
