#include "keying.h"

#include <string.h>

#define STREAMS 2 /* one each way */

/* ---- what came of a question */

static void finish(struct keying *keying, enum mikeyd_status status)
{
    keying_done *done = keying->done;
    keying->done = NULL;
    done(keying->user, status);
}

static bool ask(struct keying *keying, enum mikeyd_status submitted, keying_done *done)
{
    if (submitted == MIKEYD_OK)
        keying->done = done;
    return submitted == MIKEYD_OK;
}

/* initiate, update: a message to send, no keys yet. */
static void offered(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    struct keying *keying = user;
    if (status == MIKEYD_OK) {
        mikeyd_exchange_free(keying->sent);
        keying->sent = exchange;
    }
    finish(keying, status);
}

/*
 * respond, confirm: keys. Those that were in use become the ones before. Keys that the other end never used, because
 * it did not get our answer or could not confirm it, are dropped instead: what it sends by is still `before`.
 */
static void keyed(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    struct keying *keying = user;
    if (status == MIKEYD_OK && (keying_key(keying, exchange, true) == NULL ||
                                keying_key(keying, exchange, false) == NULL)) {
        mikeyd_exchange_free(exchange); /* wipes them */
        status = MIKEYD_UNSUPPORTED;    /* not one stream each way: no call of this SBC */
    } else if (status == MIKEYD_OK) {
        mikeyd_exchange_free(keying->unseen ? keying->has : keying->before);
        if (!keying->unseen)
            keying->before = keying->has;
        keying->has = exchange;
    }
    finish(keying, status);
}

/* The ticket of our offer has served: nothing of it is kept, whatever the answer was. */
static void confirmed(void *user, enum mikeyd_status status, mikeyd_exchange *exchange)
{
    struct keying *keying = user;
    keying_forget_offer(keying);
    keyed(keying, status, exchange);
}

/* ---- questions */

bool keying_offer(struct keying *keying, uint32_t ssrc, keying_done *done)
{
    const struct mikeyd_stream streams[STREAMS] = {{.ssrc = ssrc}, {.ssrc = 0}};
    const struct mikeyd_offer offer = {.from = keying->own,
                                       .to = keying->peer,
                                       .streams = streams,
                                       .stream_count = STREAMS,
                                       .verify = true,
                                       .sdp = true,
                                       .reference = keying->reference};
    keying->caller = true;
    return ask(keying, mikeyd_submit_initiate(keying->client, &offer, offered, keying), done);
}

bool keying_answer(struct keying *keying, const char *sdp, uint32_t ssrc, uint32_t roc,
                   bool same_bundle, keying_done *done)
{
    struct mikeyd_answer answer = {.as = keying->own,
                                   .from = keying->peer,
                                   .message = sdp,
                                   .message_len = strlen(sdp),
                                   .sdp = true,
                                   .reference = keying->reference};
    if (same_bundle) {
        /* The bundle has this end's SSRC already. It is named only to state its rollover counter. */
        answer.ticket = mikeyd_exchange_ticket(keying->has, &answer.ticket_len);
        answer.ssrc_count = roc != 0 ? 1 : 0;
    } else {
        keying->caller = false;
        answer.ssrc_count = 1;
    }
    answer.ssrcs = &ssrc;
    answer.rocs = &roc;
    return ask(keying, mikeyd_submit_respond(keying->client, &answer, keyed, keying), done);
}

bool keying_confirm(struct keying *keying, const char *sdp, keying_done *done)
{
    size_t len;
    const uint8_t *ticket = mikeyd_exchange_ticket(keying->sent, &len);
    return ask(
        keying,
        mikeyd_submit_confirm(keying->client, ticket, len, sdp, strlen(sdp), confirmed, keying),
        done);
}

bool keying_update(struct keying *keying, uint32_t ssrc, uint32_t roc, keying_done *done)
{
    size_t len;
    const uint8_t *ticket = mikeyd_exchange_ticket(keying->has, &len);
    const struct mikeyd_stream own = {.ssrc = ssrc, .roc = roc};
    return ask(keying,
               mikeyd_submit_update(keying->client, ticket, len, &own, roc != 0 ? 1 : 0, true, true,
                                    offered, keying),
               done);
}

/* ---- what there is */

const struct mikeyd_srtp_key *keying_key(const struct keying *keying,
                                         const mikeyd_exchange *exchange, bool own)
{
    const struct mikeyd_srtp_key *keys;
    if (exchange == NULL || mikeyd_exchange_keys(exchange, &keys) != STREAMS)
        return NULL;
    return &keys[keying->caller == own ? 0 : 1];
}

void keying_forget_offer(struct keying *keying)
{
    mikeyd_exchange_free(keying->sent);
    keying->sent = NULL;
}

void keying_forget_before(struct keying *keying)
{
    mikeyd_exchange_free(keying->before);
    keying->before = NULL;
}

void keying_close(struct keying *keying)
{
    /* After this none of them runs for this call, whose memory may go. */
    if (keying->done != NULL) {
        (void)mikeyd_cancel(keying->client, offered, keying);
        (void)mikeyd_cancel(keying->client, keyed, keying);
        (void)mikeyd_cancel(keying->client, confirmed, keying);
    }
    keying_forget_offer(keying);
    keying_forget_before(keying);
    mikeyd_exchange_free(keying->has);
    keying->has = NULL;
    keying->done = NULL;
}
