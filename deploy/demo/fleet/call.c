/* A call as an SBC makes it through the gates of two sites. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

/* As long as a caller hears it ring before SIP gives up (RFC 3261 17.1.1.2, timer B). */
#define PATIENCE_MS 32000
#define PAUSE_FIRST_MS 25
#define PAUSE_MOST_MS 200

struct call {
    struct load *load;
    size_t site; /* where the offer is made; the answer at the other */
    int64_t until_ms;
    bool tried_again; /* the last request had no certain answer at first */
    mikeyd_exchange *offer, *answer, *confirmed;
};

typedef enum mikeyd_status request_of(struct call *call, mikeyd_client *client);

int64_t load_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void load_pause_ms(long milliseconds)
{
    const struct timespec pause = {.tv_sec = milliseconds / 1000,
                                   .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- the three requests */

static enum mikeyd_status initiate(struct call *call, mikeyd_client *client)
{
    const struct mikeyd_stream streams[] = {{.ssrc = 0x11223344}, {.ssrc = 0}};
    const struct mikeyd_offer offer = {
        .from = CALLER, .to = CALLED, .streams = streams, .stream_count = 2, .verify = true};
    return mikeyd_initiate(client, &offer, &call->offer);
}

static enum mikeyd_status respond(struct call *call, mikeyd_client *client)
{
    struct mikeyd_answer answer = {.as = CALLED};
    answer.message = mikeyd_exchange_message(call->offer, &answer.message_len);
    return mikeyd_respond(client, &answer, &call->answer);
}

static enum mikeyd_status confirm(struct call *call, mikeyd_client *client)
{
    size_t ticket_len, reply_len;
    const uint8_t *ticket = mikeyd_exchange_ticket(call->offer, &ticket_len);
    const uint8_t *reply = mikeyd_exchange_message(call->answer, &reply_len);
    return mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &call->confirmed);
}

/* ---- trying again */

/* Says nothing about the request: the same one may succeed, at the other site or a little later. */
static bool is_passing(enum mikeyd_status status)
{
    switch (status) {
    case MIKEYD_UNREACHABLE:
    case MIKEYD_OVERLOADED:
    case MIKEYD_TOKEN_BUSY:
    case MIKEYD_TOKEN_DOWN:
    case MIKEYD_STORE_DOWN:
    case MIKEYD_AUDIT_DOWN:
        return true;
    default:
        return false;
    }
}

static enum mikeyd_status ask(struct call *call, request_of *request, size_t site)
{
    long pause_ms = PAUSE_FIRST_MS;
    enum mikeyd_status status = request(call, call->load->prefers[site]);
    call->tried_again = false;
    while (is_passing(status) && load_now_ms() < call->until_ms) {
        call->tried_again = true;
        load_pause_ms(pause_ms);
        pause_ms = pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : pause_ms * 2;
        site = (site + 1) % SITES;
        /* libmikeyd leaves a gate that is silent or gone, and not one that answers STORE_DOWN. */
        status = request(call, call->load->alone[site]);
    }
    return status;
}

/* The call needs a new offer: the old one was used up by a request whose answer was lost on its way,
 * or the ends had different generations of the key for a moment. */
static bool is_to_offer_again(const struct call *call, enum mikeyd_status status)
{
    if (status == MIKEYD_AUTH_FAILED)
        return true;
    return call->tried_again && (status == MIKEYD_REPLAY || status == MIKEYD_TICKET_INVALID);
}

static void forget(struct call *call)
{
    mikeyd_exchange_free(call->offer);
    mikeyd_exchange_free(call->answer);
    mikeyd_exchange_free(call->confirmed);
    call->offer = call->answer = call->confirmed = NULL;
}

static enum mikeyd_status try_once(struct call *call, const char **what)
{
    const size_t other = (call->site + 1) % SITES;
    forget(call);
    *what = "initiate";
    enum mikeyd_status status = ask(call, initiate, call->site);
    if (status == MIKEYD_OK) {
        *what = "respond";
        status = ask(call, respond, other);
    }
    if (status == MIKEYD_OK) {
        *what = "confirm";
        /* At the site that did not make the offer, every other time. */
        status = ask(call, confirm, load_now_ms() % 2 == 0 ? call->site : other);
    }
    return status;
}

/* Both ends have the same keys, one for each stream. */
static bool has_same_keys(const struct call *call)
{
    const struct mikeyd_srtp_key *ours, *theirs;
    unsigned different = 0;
    if (mikeyd_exchange_keys(call->confirmed, &ours) != 2 ||
        mikeyd_exchange_keys(call->answer, &theirs) != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        different |= (unsigned)(ours[i].key_len ^ theirs[i].key_len) | (ours[i].key_len == 0);
        for (size_t j = 0; j < sizeof ours[i].key; j++)
            different |= (unsigned)(ours[i].key[j] ^ theirs[i].key[j]);
    }
    return different == 0;
}

/* ---- counting */

static uint8_t *copy(const uint8_t *from, size_t len)
{
    uint8_t *out = malloc(len);
    if (out == NULL)
        abort();
    memcpy(out, from, len);
    return out;
}

/* Under lock. */
static void keep_sample(const struct call *call)
{
    struct load *load = call->load;
    struct sample *sample = &load->samples[load->sample_count++ % SAMPLES];
    free(sample->message);
    free(sample->ticket);
    free(sample->reply);
    const uint8_t *message = mikeyd_exchange_message(call->offer, &sample->message_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(call->offer, &sample->ticket_len);
    const uint8_t *reply = mikeyd_exchange_message(call->answer, &sample->reply_len);
    sample->message = copy(message, sample->message_len);
    sample->ticket = copy(ticket, sample->ticket_len);
    sample->reply = copy(reply, sample->reply_len);
}

static void count(const struct call *call, unsigned window, int64_t begun_ms, unsigned offers,
                  bool done)
{
    struct load *load = call->load;
    const int64_t now_ms = load_now_ms();
    (void)pthread_mutex_lock(&load->lock);
    struct window *own = &load->windows[window], *now = &load->windows[atomic_load(&load->window)];
    own->calls++;
    own->lost += done ? 0 : 1;
    own->offered_again += offers - 1;
    if (now_ms - begun_ms > own->slowest_ms)
        own->slowest_ms = now_ms - begun_ms;
    if (done) {
        const int64_t silence_ms = now_ms - load->completed_ms[call->site];
        /* Also of the window that it began in: silence may end with the command. */
        if (silence_ms > now->silence_ms)
            now->silence_ms = silence_ms;
        load->completed_ms[call->site] = now_ms;
        keep_sample(call);
    }
    (void)pthread_mutex_unlock(&load->lock);
}

void load_call(struct load *load, unsigned window, size_t site)
{
    const int64_t begun_ms = load_now_ms();
    struct call call = {.load = load, .site = site, .until_ms = begun_ms + PATIENCE_MS};
    const char *what;
    unsigned offers = 1;
    enum mikeyd_status status = try_once(&call, &what);
    for (; is_to_offer_again(&call, status) && load_now_ms() < call.until_ms; offers++) {
        load_pause_ms(PAUSE_FIRST_MS);
        status = try_once(&call, &what);
    }
    if (status != MIKEYD_OK)
        (void)fprintf(stderr, "fleet-load: a call was lost: %s: %s: %s\n", what,
                      mikeyd_status_name(status), mikeyd_client_error(NULL));
    else if (!has_same_keys(&call))
        (void)fprintf(stderr, "fleet-load: a call was lost: the ends have different keys\n");
    count(&call, window, begun_ms, offers, status == MIKEYD_OK && has_same_keys(&call));
    forget(&call);
}

enum mikeyd_status load_ask(const struct load *load, size_t site)
{
    struct call call = {.site = site};
    enum mikeyd_status status = initiate(&call, load->alone[site]);
    if (status == MIKEYD_OK)
        status = respond(&call, load->alone[site]);
    forget(&call);
    return status;
}
