#include "call.h"
#include "description.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CALLS 2000

static const struct reason cannot = {500, "Internal Server Error", false};
static const struct reason no_media = {488, "Not Acceptable Here", false};

void call_log(const struct call *call, const char *what, const char *why)
{
    fprintf(stderr, "demo-sbc: call %s: %s: %s\n", call->keying.reference, what, why);
}

/* ---- beginning and end */

static void free_call(struct call *call)
{
    call->sbc->open--;
    if (call->timer != NULL)
        su_timer_destroy(call->timer);
    media_close(&call->media); /* its streams point to keys: before they are wiped */
    keying_close(&call->keying);
    free(call->user);
    free(call->plain_said);
    free(call->secure_said);
    free(call->secure_asks);
    free(call);
}

/* The SSRC is random (RFC 3550 8.1), and so is the first number, below 2^15 (RFC 3711 3.3.1). */
static bool open_stream(struct call *call)
{
    struct {
        uint32_t ssrc;
        uint16_t first;
    } drawn;
    const int fixed = call->sbc->settings.first_sequence;
    if (RAND_bytes((unsigned char *)&drawn, sizeof drawn) != 1)
        return false;
    rtp_rewrite_open(&call->media.rewrite, drawn.ssrc != 0 ? drawn.ssrc : 1,
                     fixed >= 0 ? (uint16_t)fixed : drawn.first & 0x7fff);
    return true;
}

/* Its own Call-ID between the SBCs: the audit logs of both daemons name the call by it. */
static bool name_call(struct call *call, const char *call_id)
{
    unsigned char number[12];
    if (!call->from_plain)
        return snprintf(call->keying.reference, sizeof call->keying.reference, "%s", call_id) > 0;
    if (RAND_bytes(number, sizeof number) != 1)
        return false;
    for (size_t i = 0; i < sizeof number; i++)
        (void)snprintf(call->keying.reference + 2 * i, 3, "%02x", number[i]);
    return true;
}

struct leg *call_begin(struct sip_side *side, void *handle, const char *user, const char *call_id)
{
    struct sbc *sbc = side->sbc;
    struct call *call = sbc->open < MAX_CALLS ? calloc(1, sizeof *call) : NULL;
    sbc->calls++;
    if (call == NULL) {
        sbc->refused++;
        return NULL;
    }
    sbc->open++;
    call->sbc = sbc;
    call->from_plain = !side->secure;
    call->plain = (struct leg){.call = call, .side = &sbc->plain};
    call->secure = (struct leg){.call = call, .side = &sbc->secure};
    call->keying = (struct keying){.client = sbc->mikeyd.client,
                                   .own = sbc->settings.own,
                                   .peer = sbc->settings.peer,
                                   .user = call};
    call->media.counts = &sbc->packets;
    call->user = strdup(user);
    call->timer = su_timer_create(su_root_task(sbc->root), 0);
    if (call->user == NULL || call->timer == NULL || !open_stream(call) ||
        !name_call(call, call_id) ||
        !media_open(&call->media, sbc->root, sbc->settings.plain_media,
                    sbc->settings.secure_media)) {
        sbc->refused++;
        free_call(call);
        return NULL;
    }
    struct leg *leg = side->secure ? &call->secure : &call->plain;
    leg->handle = handle;
    leg->state = LEG_CALLED;
    return leg;
}

void call_fail(struct call *call, struct reason reason)
{
    struct leg *legs[] = {&call->plain, &call->secure};
    if (!call->over)
        call->sbc->refused++;
    call->over = true;
    for (int i = 0; i < 2; i++) {
        if (legs[i]->state == LEG_CALLED)
            sip_refuse(legs[i], reason);
        else
            sip_hang_up(legs[i]);
    }
}

void call_leg_ended(struct leg *leg)
{
    struct call *call = leg->call;
    call->over = true;
    sip_hang_up(&call->plain);
    sip_hang_up(&call->secure);
    if (call->plain.state == LEG_NONE && call->secure.state == LEG_NONE)
        free_call(call);
}

/* ---- plain to secure: offer, INVITE, 200, confirm, 200 */

static void offer_made(void *user, enum mikeyd_status status)
{
    struct call *call = user;
    if (call->over)
        return;
    if (status != MIKEYD_OK) {
        call_log(call, "no offer of keys", mikeyd_status_name(status));
        call_fail(call, reason_for(status));
        return;
    }
    char *body = call_describe_secure(call, call->keying.sent, 0);
    if (body == NULL || !sip_invite(&call->secure, body, call->user, call->keying.reference))
        call_fail(call, cannot);
    free(body);
}

static void answer_confirmed(void *user, enum mikeyd_status status)
{
    struct call *call = user;
    if (call->over)
        return;
    if (status != MIKEYD_OK) {
        call_log(call, "the other SBC's answer is no answer", mikeyd_status_name(status));
        call_fail(call, reason_for(status));
        return;
    }
    char *body = description_for_other(call->secure_said, &call->media.plain.own, false, 1);
    if (body == NULL || !call_use_keys(call, true) || !media_start(&call->media)) {
        call_fail(call, cannot);
    } else {
        sip_answer(&call->plain, body);
        call->sbc->answered++;
        call_plan_change(call);
    }
    free(body);
}

/* ---- secure to plain: answer, INVITE, 200, 200 */

static void offer_answered(void *user, enum mikeyd_status status)
{
    struct call *call = user;
    if (call->over)
        return;
    if (status != MIKEYD_OK) {
        call_log(call, "the other SBC's offer is refused", mikeyd_status_name(status));
        call_fail(call, reason_for(status));
        return;
    }
    char *body = description_for_other(call->secure_said, &call->media.plain.own, false, 1);
    if (body == NULL || !call_use_keys(call, true) ||
        !sip_invite(&call->plain, body, call->user, NULL))
        call_fail(call, cannot);
    free(body);
}

static void plain_answered(struct call *call)
{
    char *body = call_describe_secure(call, call->keying.has, call_key_level(call->secure_said));
    if (body == NULL || !media_start(&call->media)) {
        call_fail(call, cannot);
    } else {
        sip_answer(&call->secure, body);
        call->sbc->answered++;
    }
    free(body);
}

/* ---- what SIP tells */

static bool keep(char **kept, const char *body)
{
    char *copy = strdup(body);
    if (copy == NULL)
        return false;
    free(*kept);
    *kept = copy;
    return true;
}

void call_invited(struct leg *leg, const char *body)
{
    struct call *call = leg->call;
    struct media_side *from = call->from_plain ? &call->media.plain : &call->media.secure;
    char **said = call->from_plain ? &call->plain_said : &call->secure_said;
    if (!description_target(body, &from->peer) || !keep(said, body)) {
        call_fail(call, no_media);
        return;
    }
    const uint32_t ssrc = call->media.rewrite.ssrc;
    const bool asked = call->from_plain
                           ? keying_offer(&call->keying, ssrc, offer_made)
                           : keying_answer(&call->keying, body, ssrc, 0, false, offer_answered);
    if (!asked) {
        call_log(call, "mikeyd", mikeyd_client_error(call->keying.client));
        call_fail(call, reason_for(MIKEYD_UNREACHABLE));
    }
}

void call_ringing(struct leg *leg)
{
    struct call *call = leg->call;
    sip_ringing(leg == &call->plain ? &call->secure : &call->plain);
}

void call_answered(struct leg *leg, int code, const char *phrase, const char *body)
{
    struct call *call = leg->call;
    const bool first = leg == &call->plain || call->keying.has == NULL;
    if (call->over)
        return;
    if (!first) {
        call_change_answered(call, code, body);
    } else if (code >= 300) {
        call_fail(call, (struct reason){code, phrase, false}); /* their refusal is ours */
    } else if (leg == &call->plain) {
        if (description_target(body, &call->media.plain.peer) && keep(&call->plain_said, body))
            plain_answered(call);
        else
            call_fail(call, no_media);
    } else if (!description_target(body, &call->media.secure.peer) ||
               !keep(&call->secure_said, body)) {
        call_fail(call, no_media);
    } else if (!keying_confirm(&call->keying, body, answer_confirmed)) {
        call_log(call, "mikeyd", mikeyd_client_error(call->keying.client));
        call_fail(call, reason_for(MIKEYD_UNREACHABLE));
    }
}

/*
 * The plain peer may move its media; what else it changes is not passed on. The other SBC's re-INVITE is
 * about keys.
 */
void call_reinvited(struct leg *leg, const char *body)
{
    struct call *call = leg->call;
    if (leg == &call->secure) {
        call_change_offered(call, body);
        return;
    }
    char *answer = description_for_other(call->secure_said, &call->media.plain.own, false, 1);
    if (answer != NULL && description_target(body, &call->media.plain.peer))
        sip_answer(leg, answer);
    else
        sip_refuse(leg, no_media);
    free(answer);
}
