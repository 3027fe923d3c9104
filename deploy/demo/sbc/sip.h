/*
 * SIP by Sofia-SIP's nua: legs of calls, and what happens to them. Dialogs, transactions, retransmission
 * and colliding re-INVITEs are nua's. SDP passes as text: its own offer/answer machine is off, because an
 * answer of this SBC has to wait for mikeyd.
 */
#ifndef SBC_SIP_H
#define SBC_SIP_H

#include <stdbool.h>

#include "reasons.h"

struct leg;
struct sbc;

/* One of the two sides of the SBC, with a SIP address of its own. */
struct sip_side {
    struct sbc *sbc;
    bool secure;     /* towards the other SBC */
    const char *own; /* SIP URI, also where it listens */
    const char *next;
    void *nua;
    bool closed; /* nua is gone */
};

enum leg_state {
    LEG_NONE,    /* not begun, or ended and forgotten by nua */
    LEG_CALLED,  /* their INVITE waits for our answer */
    LEG_CALLING, /* our INVITE waits for theirs */
    LEG_UP,
    LEG_ENDING /* BYE, CANCEL or a refusal is under way */
};

struct leg {
    struct call *call;
    struct sip_side *side;
    void *handle;
    enum leg_state state;
    bool offered;   /* our re-INVITE waits for its answer */
    bool answering; /* their re-INVITE waits for ours */
};

bool sip_open(struct sip_side *side, void *root);
/* Hangs up what is left. Done when side->closed is set, some turns of the loop later. */
void sip_shut_down(struct sip_side *side);
void sip_close(struct sip_side *side);

/* The first INVITE, and each later one, with this body. call_id: of a first one; NULL: nua makes it. */
bool sip_invite(struct leg *leg, const char *body, const char *user, const char *call_id);
void sip_ringing(struct leg *leg);
/* 200 for the INVITE that waits. */
void sip_answer(struct leg *leg, const char *body);
/* A refusal of the INVITE that waits; a refused re-INVITE leaves the leg up. */
void sip_refuse(struct leg *leg, struct reason reason);
/* BYE, CANCEL or 487, as the leg's state asks for. */
void sip_hang_up(struct leg *leg);

/* ---- what call.c does when something happens; body is "" where there is none */

/* A first INVITE for `user`: the leg that it becomes, or NULL when there is no room for another call. */
struct leg *call_begin(struct sip_side *side, void *handle, const char *user, const char *call_id);
/* Its body, once the leg stands. */
void call_invited(struct leg *leg, const char *body);
void call_reinvited(struct leg *leg, const char *body);
void call_ringing(struct leg *leg);
/* code: final status of our INVITE, first or later. */
void call_answered(struct leg *leg, int code, const char *phrase, const char *body);
/* The leg is over, by whatever end; its handle is gone. */
void call_leg_ended(struct leg *leg);

#endif
