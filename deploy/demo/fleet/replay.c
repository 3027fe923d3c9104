/* What was accepted is brought again, and to both sites at the same moment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static enum mikeyd_status bring_message(mikeyd_client *client, const struct sample *sample)
{
    const struct mikeyd_answer answer = {
        .as = CALLED, .message = sample->message, .message_len = sample->message_len};
    mikeyd_exchange *exchange = NULL;
    const enum mikeyd_status status = mikeyd_respond(client, &answer, &exchange);
    mikeyd_exchange_free(exchange);
    return status;
}

static enum mikeyd_status bring_ticket(mikeyd_client *client, const struct sample *sample)
{
    mikeyd_exchange *exchange = NULL;
    const enum mikeyd_status status = mikeyd_confirm(client, sample->ticket, sample->ticket_len,
                                                     sample->reply, sample->reply_len, &exchange);
    mikeyd_exchange_free(exchange);
    return status;
}

/* ---- one after the other */

static bool take_sample(struct load *load, unsigned number, struct sample *out)
{
    (void)pthread_mutex_lock(&load->lock);
    const unsigned kept = load->sample_count < SAMPLES ? load->sample_count : SAMPLES;
    if (kept != 0) {
        const struct sample *from = &load->samples[number % kept];
        *out = *from;
        out->message = malloc(from->message_len);
        out->ticket = malloc(from->ticket_len);
        out->reply = malloc(from->reply_len);
        if (out->message == NULL || out->ticket == NULL || out->reply == NULL)
            abort();
        memcpy(out->message, from->message, from->message_len);
        memcpy(out->ticket, from->ticket, from->ticket_len);
        memcpy(out->reply, from->reply, from->reply_len);
    }
    (void)pthread_mutex_unlock(&load->lock);
    return kept != 0;
}

static void free_sample(struct sample *sample)
{
    free(sample->message);
    free(sample->ticket);
    free(sample->reply);
}

/* A site that is down refuses nothing, and is not counted. */
static void judge(struct load *load, const char *what, size_t site, enum mikeyd_status status)
{
    if (status == MIKEYD_OK)
        (void)fprintf(stderr, "fleet-load: site %zu accepted %s a second time\n", site + 1, what);
    (void)pthread_mutex_lock(&load->lock);
    struct window *window = &load->windows[atomic_load(&load->window)];
    window->replays_accepted += status == MIKEYD_OK ? 1 : 0;
    window->replays_refused += status == MIKEYD_REPLAY || status == MIKEYD_TICKET_INVALID ? 1 : 0;
    (void)pthread_mutex_unlock(&load->lock);
}

void load_replay(struct load *load, unsigned number)
{
    struct sample sample;
    if (!take_sample(load, number, &sample))
        return;
    const size_t site = number % SITES;
    judge(load, "a message", site, bring_message(load->alone[site], &sample));
    judge(load, "a ticket", site, bring_ticket(load->alone[site], &sample));
    free_sample(&sample);
}

/* ---- at the same moment */

typedef enum mikeyd_status bring_what(mikeyd_client *client, const struct sample *sample);

struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    mikeyd_client *client;
    const struct sample *sample;
    bring_what *bring;
    enum mikeyd_status status;
};

static void *run(void *user)
{
    struct racer *racer = user;
    (void)pthread_barrier_wait(racer->start);
    racer->status = racer->bring(racer->client, racer->sample);
    return NULL;
}

/* At how many of the sites it was accepted; -1 when one of them gave no verdict. */
static int race(struct load *load, bring_what *bring, const struct sample *sample)
{
    struct racer racers[SITES];
    pthread_barrier_t start;
    int accepted = 0, refused = 0;
    if (pthread_barrier_init(&start, NULL, SITES) != 0)
        abort();
    for (size_t i = 0; i < SITES; i++) {
        racers[i] = (struct racer){
            .start = &start, .client = load->alone[i], .sample = sample, .bring = bring};
        if (pthread_create(&racers[i].thread, NULL, run, &racers[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < SITES; i++) {
        (void)pthread_join(racers[i].thread, NULL);
        accepted += racers[i].status == MIKEYD_OK ? 1 : 0;
        refused += racers[i].status == MIKEYD_REPLAY ? 1 : 0;
    }
    (void)pthread_barrier_destroy(&start);
    return accepted + refused == SITES ? accepted : -1;
}

static mikeyd_exchange *offer_at(mikeyd_client *client)
{
    const struct mikeyd_stream stream = {.ssrc = 0x55667788};
    const struct mikeyd_offer offer = {
        .from = CALLER, .to = CALLED, .streams = &stream, .stream_count = 1, .verify = true};
    mikeyd_exchange *out = NULL;
    return mikeyd_initiate(client, &offer, &out) == MIKEYD_OK ? out : NULL;
}

static mikeyd_exchange *answer_at(mikeyd_client *client, const mikeyd_exchange *offer)
{
    struct mikeyd_answer answer = {.as = CALLED};
    mikeyd_exchange *out = NULL;
    answer.message = mikeyd_exchange_message(offer, &answer.message_len);
    return mikeyd_respond(client, &answer, &out) == MIKEYD_OK ? out : NULL;
}

/* The message of one offer is raced for, and the ticket of another one, made at one site and answered
 * at the other. */
static bool race_both(struct load *load, int *message, int *ticket)
{
    struct sample sample = {.message = NULL};
    mikeyd_exchange *offer = offer_at(load->alone[0]);
    if (offer == NULL)
        return false;
    sample.message = (uint8_t *)(uintptr_t)mikeyd_exchange_message(offer, &sample.message_len);
    *message = race(load, bring_message, &sample);
    mikeyd_exchange_free(offer);
    offer = offer_at(load->alone[0]);
    mikeyd_exchange *answer = offer == NULL ? NULL : answer_at(load->alone[1], offer);
    if (answer != NULL) {
        sample.ticket = (uint8_t *)(uintptr_t)mikeyd_exchange_ticket(offer, &sample.ticket_len);
        sample.reply = (uint8_t *)(uintptr_t)mikeyd_exchange_message(answer, &sample.reply_len);
        *ticket = race(load, bring_ticket, &sample);
    }
    const bool done = answer != NULL;
    mikeyd_exchange_free(answer);
    mikeyd_exchange_free(offer);
    return done;
}

bool load_race(struct load *load, unsigned count)
{
    unsigned raced = 0, messages = 0, tickets = 0, failed = 0;
    for (unsigned i = 0; i < count; i++) {
        int message = -1, ticket = -1;
        if (!race_both(load, &message, &ticket) || message < 0 || ticket < 0) {
            failed++;
            continue;
        }
        raced++;
        messages += (unsigned)message;
        tickets += (unsigned)ticket;
    }
    (void)printf("raced=%u answered=%u confirmed=%u failed=%u\n", raced, messages, tickets, failed);
    return failed == 0 && messages == count && tickets == count;
}
