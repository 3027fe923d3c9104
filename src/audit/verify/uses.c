/*
 * Were pre-shared keys used more often than is recorded? Keyholders count what they are asked to do
 * with them, and sign the count into checkpoints; records say how often their keys were used.
 *
 * S is the sum of the counts that were signed, R the sum of what is recorded, both since the log's
 * writer began ("instance"): keyholders live no longer than it. A use that is counted as checkpoint
 * C is signed is recorded as its request ends, which is mostly before the next checkpoint; so S of C
 * is held against R of the next one, and only what was in work all the while can be missing:
 *
 *   S(C) <= R(next) + workers * AUDIT_USES_A_REQUEST
 *
 * After a clean stop no request is left, and the last checkpoint itself has to balance. The last one
 * of a writer that was killed has no next one and is not judged: what it counts may have been lost
 * with the queue. Records of another writer do not pay for it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify/internal.h"
#include "base/text.h"

/* A message is tried under two generations of its key, each at up to eight tokens. */
#define AUDIT_USES_A_REQUEST 16
/* The most that a daemon can have, whatever it says. */
#define AUDIT_WORKERS_MAX 512
/* A keyholder that serves signs in its turn. So many checkpoints without it are no chance. */
#define AUDIT_SILENT_CHECKPOINTS 64
/* Remembered, those that signed last. */
#define AUDIT_HOLDERS 1024
#define AUDIT_INSTANCE 40

struct audit_holder {
    uint8_t name[CHECKPOINT_HOLDER];
    uint64_t writer; /* whom it serves; 0: free */
    uint64_t uses;   /* the greatest that it has signed */
    uint64_t heard;  /* number of the counted checkpoint by which it signed or began */
    bool has_signed, awaited;
    unsigned token;
};

struct audit_uses {
    char instance[AUDIT_INSTANCE];
    uint64_t writer;     /* their number in this log, from 1 */
    bool mid;            /* what this one did first stands in files that were not given */
    bool keeps_accounts; /* it or one before it said what it does with keys; older ones did not */
    bool hangs;          /* it left a request behind as it ended */
    uint64_t workers;    /* 0: not told */
    uint64_t recorded;   /* R */
    uint64_t counted;    /* S */
    uint64_t told;       /* the greatest excess that is reported */
    uint64_t open_sequence; /* checkpoint that the next one is held against; 0: none */
    uint64_t open_counted;
    uint64_t checkpoints; /* counted ones, of the whole log */
    struct audit_holder holders[AUDIT_HOLDERS];
};

struct audit_uses *audit_uses_make(void)
{
    return calloc(1, sizeof(struct audit_uses));
}

/* Numbers of a log that is not to be trusted. */
static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t number(const json_t *record, const char *name)
{
    const json_int_t value = json_integer_value(json_object_get(record, name));
    return value > 0 ? (uint64_t)value : 0;
}

static const char *text(const json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value == NULL ? "" : value;
}

/* ---- keyholders */

static struct audit_holder *find(struct audit_uses *uses, const uint8_t *name)
{
    for (size_t i = 0; i < AUDIT_HOLDERS; i++) {
        struct audit_holder *holder = &uses->holders[i];
        if (holder->writer != 0 && memcmp(holder->name, name, CHECKPOINT_HOLDER) == 0) /* public */
            return holder;
    }
    return NULL;
}

/* In the place of the one that was not heard of for the longest time. */
static struct audit_holder *make(struct audit_uses *uses, const uint8_t *name)
{
    struct audit_holder *oldest = &uses->holders[0];
    for (size_t i = 1; i < AUDIT_HOLDERS && oldest->writer != 0; i++) {
        if (uses->holders[i].writer == 0 || uses->holders[i].heard < oldest->heard)
            oldest = &uses->holders[i];
    }
    *oldest = (struct audit_holder){.writer = uses->writer, .heard = uses->checkpoints};
    memcpy(oldest->name, name, CHECKPOINT_HOLDER);
    return oldest;
}

static void show(const uint8_t *name, char out[2 * CHECKPOINT_HOLDER + 1])
{
    hex_encode(name, CHECKPOINT_HOLDER, out);
}

/* It serves from here on, in the place of another one on the same token. */
static void await(struct audit_uses *uses, const uint8_t *name, unsigned token)
{
    for (size_t i = 0; i < AUDIT_HOLDERS; i++) {
        if (uses->holders[i].token == token)
            uses->holders[i].awaited = false;
    }
    struct audit_holder *holder = find(uses, name);
    if (holder == NULL)
        holder = make(uses, name);
    holder->token = token;
    holder->awaited = true;
    holder->heard = uses->checkpoints;
}

static void note_holder(struct audit_uses *uses, const json_t *record, bool serves)
{
    uint8_t name[CHECKPOINT_HOLDER];
    size_t len = 0;
    const char *hex = text(record, "holder");
    if (hex_decode(hex, strlen(hex), name, sizeof name, &len, NULL) != MIKEYD_OK ||
        len != sizeof name)
        return;
    uses->keeps_accounts = true;
    struct audit_holder *holder = find(uses, name);
    if (serves)
        await(uses, name, (unsigned)number(record, "token"));
    else if (holder != NULL)
        holder->awaited = false;
}

/* ---- records */

static void begin_writer(struct audit_uses *uses, const char *instance, bool mid)
{
    (void)snprintf(uses->instance, sizeof uses->instance, "%s", instance);
    uses->writer++;
    uses->mid = mid;
    uses->hangs = false;
    uses->workers = uses->recorded = uses->counted = uses->told = uses->open_sequence = 0;
    for (size_t i = 0; i < AUDIT_HOLDERS; i++)
        uses->holders[i].awaited = false;
}

void audit_uses_note(struct audit_verifier *v, const json_t *record, uint64_t sequence)
{
    struct audit_uses *uses = v->uses;
    const char *event = text(record, "event"), *instance = text(record, "instance");
    const uint64_t used = number(record, "psk_uses");
    if (uses->writer == 0 || strncmp(uses->instance, instance, AUDIT_INSTANCE - 1) != 0)
        begin_writer(uses, instance, uses->writer == 0 && sequence != 1);
    if (used != 0) {
        uses->keeps_accounts = true;
        uses->recorded = add(uses->recorded, used);
        v->verdict->uses_recorded = add(v->verdict->uses_recorded, used);
    }
    if (strcmp(event, "start") == 0)
        uses->workers = number(record, "workers");
    else if (strcmp(event, "stop") == 0)
        uses->hangs = strcmp(text(record, "result"), status_name(MIKEYD_OK)) != 0;
    else if (strcmp(event, "login") == 0 || strcmp(event, "token_up") == 0)
        note_holder(uses, record, true);
    else if (strcmp(event, "token_down") == 0)
        note_holder(uses, record, false);
}

/* ---- checkpoints */

/* Adds what the keyholder has done since it signed last. */
static void count(struct audit_verifier *v, const struct checkpoint_claim *claim, uint64_t sequence)
{
    struct audit_uses *uses = v->uses;
    struct audit_holder *holder = find(uses, claim->holder);
    char name[2 * CHECKPOINT_HOLDER + 1];
    uint64_t before = holder != NULL ? holder->uses : 0;
    show(claim->holder, name);
    if (holder == NULL)
        holder = make(uses, claim->holder);
    if (!holder->has_signed) {
        v->verdict->keyholders++;
        before = uses->mid ? claim->uses : 0;
    }
    if (holder->writer != uses->writer)
        audit_problem_add(v, AUDIT_USES, false, v->reader->number, sequence,
                          "keyholder %s has signed for another writer of this log before: a "
                          "keyholder serves one",
                          name);
    if (claim->uses < before)
        audit_problem_add(v, AUDIT_USES, false, v->reader->number, sequence,
                          "keyholder %s signs %" PRIu64 " uses of keys, and has signed %" PRIu64
                          " before: a count does not fall",
                          name, claim->uses, before);
    const uint64_t more = claim->uses > before ? claim->uses - before : 0;
    uses->counted = add(uses->counted, more);
    v->verdict->uses_counted = add(v->verdict->uses_counted, more);
    holder->uses = claim->uses > before ? claim->uses : before;
    holder->writer = uses->writer;
    holder->heard = uses->checkpoints;
    holder->has_signed = true;
}

/* S of a checkpoint against R as it is now. */
static void judge(struct audit_verifier *v, uint64_t counted, uint64_t checkpoint, uint64_t in_work,
                  uint64_t sequence)
{
    struct audit_uses *uses = v->uses;
    const uint64_t excess = counted > uses->recorded ? counted - uses->recorded : 0;
    if (!uses->keeps_accounts || excess <= in_work || excess <= uses->told)
        return;
    audit_problem_add(v, AUDIT_USES, false, v->reader->number, sequence,
                      "keys were used more often than recorded: checkpoint %" PRIu64
                      " counts %" PRIu64 " uses since this writer began, the records up to here "
                      "tell of %" PRIu64 " (at most %" PRIu64 " can have been in work)",
                      checkpoint, counted, uses->recorded, in_work);
    uses->told = excess;
}

static uint64_t most_in_work(const struct audit_uses *uses)
{
    const bool told = uses->workers != 0 && uses->workers < AUDIT_WORKERS_MAX;
    return (told ? uses->workers : AUDIT_WORKERS_MAX) * AUDIT_USES_A_REQUEST;
}

static void find_silent(struct audit_verifier *v, uint64_t sequence)
{
    struct audit_uses *uses = v->uses;
    for (size_t i = 0; i < AUDIT_HOLDERS; i++) {
        struct audit_holder *holder = &uses->holders[i];
        char name[2 * CHECKPOINT_HOLDER + 1];
        if (!holder->awaited || uses->checkpoints - holder->heard < AUDIT_SILENT_CHECKPOINTS)
            continue;
        show(holder->name, name);
        audit_problem_add(v, AUDIT_USES, true, v->reader->number, sequence,
                          "keyholder %s of token %u serves and has signed none of the last %d "
                          "checkpoints: what it does with keys cannot be seen",
                          name, holder->token, AUDIT_SILENT_CHECKPOINTS);
        holder->awaited = false;
    }
}

void audit_uses_check(struct audit_verifier *v, const struct checkpoint_claim *claim, bool final,
                      uint64_t sequence)
{
    struct audit_uses *uses = v->uses;
    uses->checkpoints++;
    count(v, claim, sequence);
    if (uses->open_sequence != 0)
        judge(v, uses->open_counted, uses->open_sequence, most_in_work(uses), sequence);
    if (final)
        judge(v, uses->counted, sequence, uses->hangs ? most_in_work(uses) : 0, sequence);
    uses->open_sequence = sequence;
    uses->open_counted = uses->counted;
    find_silent(v, sequence);
}
