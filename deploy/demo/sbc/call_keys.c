/* New keys for a call that runs, while its packets flow. */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "description.h"

#define UNDER_WAY_MS 1000 /* so long a packet under the old key may take to arrive */
#define AGAIN_MS 3000     /* after an update that failed: the other end may have begun one too */

static const struct reason not_acceptable = {488, "Not Acceptable Here", false};
static const struct reason busy = {491, "Request Pending", false};

/* ---- descriptions */

char *call_describe_secure(struct call *call, const mikeyd_exchange *exchange, size_t level)
{
    char *keyed = NULL;
    char *plain =
        description_for_other(call->plain_said, &call->media.secure.own, true, ++call->version);
    if (plain == NULL || mikeyd_sdp_put(plain, strlen(plain), exchange, level, &keyed) != MIKEYD_OK)
        keyed = NULL;
    free(plain);
    return keyed;
}

size_t call_key_level(const char *body)
{
    mikeyd_sdp *sdp = NULL;
    const struct mikeyd_sdp_message *messages;
    size_t level = 0;
    if (mikeyd_sdp_read(body, strlen(body), &sdp) == MIKEYD_OK &&
        mikeyd_sdp_messages(sdp, &messages) != 0)
        level = messages[0].level;
    mikeyd_sdp_free(sdp);
    return level;
}

/* What does this offer of the other SBC mean for the keys, after what it said last? */
static enum mikeyd_sdp_change change_in(const struct call *call, const char *body)
{
    enum mikeyd_sdp_change change = MIKEYD_SDP_REFUSED;
    mikeyd_sdp *before = NULL, *now = NULL;
    if (mikeyd_sdp_read(call->secure_said, strlen(call->secure_said), &before) == MIKEYD_OK &&
        mikeyd_sdp_read(body, strlen(body), &now) == MIKEYD_OK)
        change = mikeyd_sdp_compare(before, now, 1);
    mikeyd_sdp_free(before);
    mikeyd_sdp_free(now);
    return change;
}

/* ---- keys in use */

static void retire(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    (void)magic, (void)timer;
    struct call *call = (struct call *)arg;
    const struct mikeyd_srtp_key *newest = keying_key(&call->keying, call->keying.has, false);
    if (secure_stream_key(&call->media.receive, newest, NULL))
        keying_forget_before(&call->keying);
    if (call->from_plain) /* one end is enough */
        call_plan_change(call);
}

/* The other end sends by the newest key, so it has it: this end sends by it too (RFC 3830 A.1). */
static void new_key_seen(void *user)
{
    struct call *call = user;
    call->keying.unseen = false;
    if (!call_use_keys(call, true)) {
        call_log(call, "new keys", "libsrtp2 refused to send by them");
        call_fail(call, reason_for(MIKEYD_INTERNAL));
    }
    (void)su_timer_set_interval(call->timer, retire, (su_timer_arg_t *)call, UNDER_WAY_MS);
}

bool call_use_keys(struct call *call, bool sender)
{
    const struct keying *keying = &call->keying;
    struct media *media = &call->media;
    if (sender && !secure_stream_key(&media->send, keying_key(keying, keying->has, true), NULL))
        return false;
    if (media->receive.newest == keying_key(keying, keying->has, false))
        return true; /* receives by it already */
    media->updated = keying->before != NULL;
    media->user = call;
    media->new_key_seen = media->updated && !sender ? new_key_seen : NULL;
    return secure_stream_key(&media->receive, keying_key(keying, keying->has, false),
                             keying_key(keying, keying->before, false));
}

static void count_update(struct call *call)
{
    call->sbc->updates++;
    if (!call->rekeyed)
        call->sbc->rekeyed++;
    call->rekeyed = true;
}

/* ---- the other SBC changes the keys */

static void change_answered(void *user, enum mikeyd_status status)
{
    struct call *call = user;
    if (call->over)
        return;
    char *body = NULL;
    if (status != MIKEYD_OK) {
        call_log(call, "an update is refused, the old keys stay", mikeyd_status_name(status));
        sip_refuse(&call->secure, reason_for(status));
    } else if ((body = call_describe_secure(call, call->keying.has,
                                            call_key_level(call->secure_asks))) == NULL ||
               !call_use_keys(call, false)) {
        call_log(call, "an update is refused", "libsrtp2 or the description");
        call_fail(call, reason_for(MIKEYD_INTERNAL));
    } else {
        /* From here on both keys are received by, and the old one is sent by until new_key_seen(). */
        free(call->secure_said);
        call->secure_said = call->secure_asks;
        call->secure_asks = NULL;
        call->keying.unseen = true;
        count_update(call);
        sip_answer(&call->secure, body);
    }
    free(body);
}

/* Same key as before: hold, a new address. What was said of the keys is said again. */
static void answer_unchanged(struct call *call, const char *body)
{
    struct sockaddr_in peer;
    char *answer = call_describe_secure(call, call->keying.has, call_key_level(body));
    if (answer != NULL && description_target(body, &peer)) {
        call->media.secure.peer = peer;
        sip_answer(&call->secure, answer);
    } else {
        sip_refuse(&call->secure, not_acceptable);
    }
    free(answer);
}

void call_change_offered(struct call *call, const char *body)
{
    const enum mikeyd_sdp_change change = change_in(call, body);
    const uint32_t ssrc = call->media.rewrite.ssrc, roc = rtp_rewrite_roc(&call->media.rewrite);
    if (call->keying.done != NULL || call->keying.sent != NULL) {
        sip_refuse(&call->secure, busy); /* both ends began one: RFC 3261 14.1 */
        return;
    }
    switch (change) {
    case MIKEYD_SDP_UNCHANGED:
        answer_unchanged(call, body);
        return;
    case MIKEYD_SDP_UPDATED:
        free(call->secure_asks);
        call->secure_asks = strdup(body);
        if (call->secure_asks == NULL ||
            !keying_answer(&call->keying, body, ssrc, roc, true, change_answered))
            sip_refuse(&call->secure, reason_for(MIKEYD_UNREACHABLE));
        return;
    default:
        /* No key any more, or a bundle that begins anew in a call that runs: as before, RFC 4567 4.1.2. */
        sip_refuse(&call->secure, not_acceptable);
    }
}

/* ---- this SBC changes them */

static void change_due(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

static void change_failed(struct call *call, const char *why)
{
    call_log(call, "no new keys, the old ones stay", why);
    keying_forget_offer(&call->keying);
    call->sbc->failed_updates++;
    (void)su_timer_set_interval(call->timer, change_due, (su_timer_arg_t *)call, AGAIN_MS);
}

static void change_offered(void *user, enum mikeyd_status status)
{
    struct call *call = user;
    if (call->over)
        return;
    if (status != MIKEYD_OK) {
        change_failed(call, mikeyd_status_name(status));
        return;
    }
    char *body = call_describe_secure(call, call->keying.sent, 0);
    if (body == NULL || !sip_invite(&call->secure, body, NULL, NULL))
        change_failed(call, "no re-INVITE");
    free(body);
}

static void change_due(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    (void)magic, (void)timer;
    struct call *call = (struct call *)arg;
    if (call->over)
        return;
    if (call->keying.done != NULL || call->keying.unseen || call->secure.answering)
        change_failed(call, "another change is under way");
    else if (!keying_update(&call->keying, call->media.rewrite.ssrc,
                            rtp_rewrite_roc(&call->media.rewrite), change_offered))
        change_failed(call, mikeyd_client_error(call->keying.client));
}

static void change_confirmed(void *user, enum mikeyd_status status)
{
    struct call *call = user;
    if (call->over)
        return;
    if (status != MIKEYD_OK) {
        change_failed(call, mikeyd_status_name(status));
    } else if (!call_use_keys(call, true)) { /* the other end receives by them since its answer */
        call_log(call, "new keys", "libsrtp2 refused them");
        call_fail(call, reason_for(MIKEYD_INTERNAL));
    } else {
        count_update(call);
        (void)su_timer_set_interval(call->timer, retire, (su_timer_arg_t *)call, UNDER_WAY_MS);
    }
}

void call_change_answered(struct call *call, int code, const char *body)
{
    char *said = strdup(body);
    if (code >= 300 || said == NULL) {
        change_failed(call, "the other SBC refused");
        free(said);
        return;
    }
    if (!keying_confirm(&call->keying, body, change_confirmed))
        change_failed(call, mikeyd_client_error(call->keying.client));
    free(call->secure_said);
    call->secure_said = said;
}

void call_plan_change(struct call *call)
{
    if (call->sbc->settings.rekey_every_ms != 0)
        (void)su_timer_set_interval(call->timer, change_due, (su_timer_arg_t *)call,
                                    call->sbc->settings.rekey_every_ms);
}
