#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sip_side sip_side_magic;
typedef struct leg leg_magic;
#define NUA_MAGIC_T sip_side_magic
#define NUA_HMAGIC_T leg_magic
#include <sofia-sip/nua.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>

#include "sip.h"

#define RETRY_AFTER_S "5"

/* A copy: on TCP the next message may begin right behind the body, where a string would have to end. */
static char *copy_body(const sip_t *sip)
{
    const sip_payload_t *body = sip != NULL ? sip->sip_payload : NULL;
    return body != NULL ? strndup(body->pl_data, body->pl_len) : strdup("");
}

/* ---- events */

static void on_invite(struct sip_side *side, struct leg *leg, nua_handle_t *handle,
                      const sip_t *sip, const char *body)
{
    if (leg != NULL) {
        leg->answering = true;
        call_reinvited(leg, body);
        return;
    }
    if (sip->sip_to->a_tag != NULL) { /* a re-INVITE that met the BYE of its call */
        nua_respond(handle, SIP_481_NO_TRANSACTION, TAG_END());
        nua_handle_destroy(handle);
        return;
    }
    const char *user = sip->sip_to->a_url->url_user;
    leg = call_begin(side, handle, user != NULL ? user : "anonymous", sip->sip_call_id->i_id);
    if (leg == NULL) {
        nua_respond(handle, SIP_503_SERVICE_UNAVAILABLE, SIPTAG_RETRY_AFTER_STR(RETRY_AFTER_S),
                    TAG_END());
        nua_handle_destroy(handle);
        return;
    }
    nua_handle_bind(handle, leg);
    call_invited(leg, body);
}

static void on_answer(struct leg *leg, int status, const char *phrase, const char *body)
{
    if (status < 200) {
        if (status >= 180 && leg->state == LEG_CALLING)
            call_ringing(leg);
        return;
    }
    if (leg->state == LEG_CALLING && status < 300)
        leg->state = LEG_UP;
    else if (leg->state == LEG_CALLING)
        leg->state = LEG_ENDING;
    leg->offered = false;
    call_answered(leg, status, phrase, body);
}

/* A dialog is over when nua says so, whoever ended it: a refusal, a BYE, a CANCEL, a time-out. */
static void on_state(struct leg *leg, nua_handle_t *handle, tagi_t tags[])
{
    int state = nua_callstate_init;
    tl_gets(tags, NUTAG_CALLSTATE_REF(state), TAG_END());
    if (state != nua_callstate_terminated)
        return;
    nua_handle_bind(handle, NULL);
    nua_handle_destroy(handle);
    leg->handle = NULL;
    leg->state = LEG_NONE;
    call_leg_ended(leg);
}

static void on_event(nua_event_t event, int status, char const *phrase, nua_t *nua,
                     struct sip_side *side, nua_handle_t *handle, struct leg *leg, sip_t const *sip,
                     tagi_t tags[])
{
    (void)nua;
    const bool has_body = event == nua_i_invite || event == nua_r_invite;
    char *body = has_body ? copy_body(sip) : NULL;
    if (has_body && body == NULL)
        fprintf(stderr, "demo-sbc: out of memory: an INVITE or its answer is dropped\n");
    else if (event == nua_r_shutdown && status >= 200)
        side->closed = true;
    else if (event == nua_i_invite)
        on_invite(side, leg, handle, sip, body);
    else if (event == nua_r_invite && leg != NULL) /* NULL: of a leg that is over */
        on_answer(leg, status, phrase, body);
    else if (event == nua_i_state && leg != NULL)
        on_state(leg, handle, tags);
    free(body);
}

/* ---- requests */

bool sip_open(struct sip_side *side, void *root)
{
    side->nua =
        nua_create(root, on_event, side, NUTAG_URL(side->own), NUTAG_MEDIA_ENABLE(0),
                   NUTAG_AUTOANSWER(0), NUTAG_AUTOALERT(0), NUTAG_AUTOACK(1),
                   NUTAG_SESSION_TIMER(0), NUTAG_ALLOW("INVITE, ACK, BYE, CANCEL"), TAG_END());
    if (side->nua == NULL)
        fprintf(stderr, "demo-sbc: %s: cannot listen there\n", side->own);
    return side->nua != NULL;
}

void sip_shut_down(struct sip_side *side)
{
    nua_shutdown(side->nua);
}

void sip_close(struct sip_side *side)
{
    nua_destroy(side->nua);
}

bool sip_invite(struct leg *leg, const char *body, const char *user, const char *call_id)
{
    if (leg->handle == NULL) {
        char to[256];
        (void)snprintf(to, sizeof to, "sip:%s@%s", user, leg->side->next + sizeof "sip:" - 1);
        leg->handle = nua_handle(leg->side->nua, leg, NUTAG_URL(to), SIPTAG_TO_STR(to),
                                 SIPTAG_FROM_STR(leg->side->own),
                                 TAG_IF(call_id != NULL, SIPTAG_CALL_ID_STR(call_id)), TAG_END());
        if (leg->handle == NULL)
            return false;
        leg->state = LEG_CALLING;
    } else {
        leg->offered = true;
    }
    nua_invite(leg->handle, SIPTAG_CONTENT_TYPE_STR("application/sdp"), SIPTAG_PAYLOAD_STR(body),
               TAG_END());
    return true;
}

void sip_ringing(struct leg *leg)
{
    if (leg->state == LEG_CALLED)
        nua_respond(leg->handle, SIP_180_RINGING, TAG_END());
}

void sip_answer(struct leg *leg, const char *body)
{
    if (leg->state == LEG_CALLED)
        leg->state = LEG_UP;
    leg->answering = false;
    nua_respond(leg->handle, SIP_200_OK, SIPTAG_CONTENT_TYPE_STR("application/sdp"),
                SIPTAG_PAYLOAD_STR(body), TAG_END());
}

void sip_refuse(struct leg *leg, struct reason reason)
{
    if (leg->state == LEG_CALLED)
        leg->state = LEG_ENDING;
    leg->answering = false;
    nua_respond(leg->handle, reason.code, reason.phrase,
                TAG_IF(reason.later, SIPTAG_RETRY_AFTER_STR(RETRY_AFTER_S)), TAG_END());
}

void sip_hang_up(struct leg *leg)
{
    const enum leg_state was = leg->state;
    if (was == LEG_NONE || was == LEG_ENDING)
        return;
    leg->state = LEG_ENDING;
    if (was == LEG_CALLED)
        nua_respond(leg->handle, SIP_487_REQUEST_TERMINATED, TAG_END());
    else if (was == LEG_CALLING)
        nua_cancel(leg->handle, TAG_END());
    else
        nua_bye(leg->handle, TAG_END());
}
