/* The chain, record by record: which one is wrong, and how. */
#include <inttypes.h>
#include <string.h>

#include "audit/verify/internal.h"
#include "base/secret.h"
#include "base/text.h"

static bool same(const uint8_t *a, const uint8_t *b)
{
    return secret_equal(a, b, AUDIT_HASH_LEN);
}

/* The hash of a record read before, or NULL. */
static const uint8_t *find(const struct audit_verifier *verifier, uint64_t sequence)
{
    const struct audit_history *entry = &verifier->history[sequence % AUDIT_HISTORY];
    return sequence != 0 && entry->sequence == sequence ? entry->hash : NULL;
}

static void accept(struct audit_verifier *v, uint64_t sequence, const uint8_t *hash)
{
    struct audit_history *entry = &v->history[sequence % AUDIT_HISTORY];
    v->begun = true;
    v->chain.sequence = sequence;
    memcpy(v->chain.hash, hash, AUDIT_HASH_LEN);
    entry->sequence = sequence;
    memcpy(entry->hash, hash, AUDIT_HASH_LEN);
}

/* Records that came too early and whose turn it is now. */
static void accept_early(struct audit_verifier *v)
{
    for (size_t i = 0; i < v->early_count; i++) {
        if (v->early[i].sequence == v->chain.sequence + 1 &&
            same(v->early_prev[i], v->chain.hash)) {
            accept(v, v->early[i].sequence, v->early[i].hash);
            v->early[i].sequence = 0;
            i = (size_t)-1;
        }
    }
}

static bool keep_early(struct audit_verifier *v, const struct audit_sealed *sealed)
{
    if (v->early_count == AUDIT_EARLY_MAX)
        return false;
    v->early[v->early_count].sequence = sealed->sequence;
    memcpy(v->early[v->early_count].hash, sealed->hash, AUDIT_HASH_LEN);
    memcpy(v->early_prev[v->early_count], sealed->prev, AUDIT_HASH_LEN);
    v->early_count++;
    return true;
}

/* Does the record that is missing here stand further down in this file? */
static bool comes_later(struct audit_verifier *v, uint64_t sequence)
{
    FILE *stream = v->reader->stream;
    off_t here = ftello(stream);
    if (here < 0)
        return false;
    char head[32];
    int len = snprintf(head, sizeof head, "{\"seq\":%" PRIu64 ",", sequence);
    bool found = false;
    struct audit_line_reader *reader = v->reader;
    const uint64_t number = reader->number;
    while (v->scan_lines > 0 && !found) {
        v->scan_lines--;
        enum audit_line_kind kind = audit_line_next(reader);
        if (kind == AUDIT_LINE_END || kind == AUDIT_LINE_UNFINISHED)
            break;
        found = strncmp(reader->text, head, (size_t)len) == 0;
    }
    reader->number = number;
    clearerr(stream);
    if (fseeko(stream, here, SEEK_SET) != 0)
        return false;
    return found;
}

static uint64_t counted_gap(const json_t *record)
{
    const char *event = json_string_value(json_object_get(record, "event"));
    json_int_t count = json_integer_value(json_object_get(record, "count"));
    return event != NULL && strcmp(event, "recovered") == 0 && count > 0 ? (uint64_t)count : 0;
}

/* A record whose number was given before. */
static void stray(struct audit_verifier *v, const struct audit_sealed *sealed)
{
    const uint8_t *before = find(v, sealed->sequence - 1);
    const uint8_t *twin = find(v, sealed->sequence);
    const uint64_t n = sealed->sequence, line = v->reader->number;
    if (twin != NULL && same(twin, sealed->hash))
        audit_problem_add(v, AUDIT_REORDERED, false, line, n,
                          "record %" PRIu64 " stands here again, after record %" PRIu64, n,
                          v->chain.sequence);
    else if (before != NULL && same(before, sealed->prev))
        audit_problem_add(v, AUDIT_FORKED, false, line, n,
                          "this record and another number %" PRIu64 " both follow record %" PRIu64,
                          n, n - 1);
    else
        audit_problem_add(v, AUDIT_SPLICED, false, line, n,
                          "record %" PRIu64 " of another log stands after record %" PRIu64, n,
                          v->chain.sequence);
    v->branch.sequence = n;
    memcpy(v->branch.hash, sealed->hash, AUDIT_HASH_LEN);
}

/* A number higher than the next one. */
static void ahead(struct audit_verifier *v, const struct audit_sealed *sealed)
{
    const uint64_t n = sealed->sequence, want = v->chain.sequence + 1, line = v->reader->number;
    if (v->early_count < AUDIT_EARLY_MAX && comes_later(v, want) && keep_early(v, sealed)) {
        audit_problem_add(v, AUDIT_REORDERED, false, line, n,
                          "record %" PRIu64 " stands where record %" PRIu64 " belongs", n, want);
        return;
    }
    if (want == n - 1)
        audit_problem_add(v, AUDIT_DROPPED, false, line, n,
                          "record %" PRIu64 " is missing in front of this one", want);
    else
        audit_problem_add(v, AUDIT_DROPPED, false, line, n,
                          "records %" PRIu64 " to %" PRIu64 " are missing in front of this one",
                          want, n - 1);
    accept(v, n, sealed->hash);
}

static bool is_anchor(const struct audit_verifier *v, const uint8_t *hash)
{
    char hex[AUDIT_HASH_HEX + 1];
    hex_encode(hash, AUDIT_HASH_LEN, hex);
    return v->options->anchor != NULL && strcmp(v->options->anchor, hex) == 0;
}

static void follow_first(struct audit_verifier *v, const struct audit_sealed *sealed)
{
    static const uint8_t zeros[AUDIT_HASH_LEN];
    v->verdict->first_sequence = sealed->sequence;
    v->begins_late = !same(sealed->prev, zeros) && !is_anchor(v, sealed->prev);
    if (!same(sealed->prev, zeros) && !v->begins_late)
        v->anchor_seen = true;
    if (same(sealed->prev, zeros) && sealed->sequence != 1)
        audit_problem_add(v, AUDIT_DROPPED, false, v->reader->number, sealed->sequence,
                          "the first record is number %" PRIu64, sealed->sequence);
    accept(v, sealed->sequence, sealed->hash);
}

/* Places an intact record. False: it has no place in the chain. */
static bool follow(struct audit_verifier *v, const struct audit_sealed *sealed,
                   const json_t *record)
{
    const uint64_t n = sealed->sequence, want = v->chain.sequence + 1;
    const bool linked = same(sealed->prev, v->chain.hash);
    const uint64_t gap = counted_gap(record);
    if (!v->begun) {
        follow_first(v, sealed);
    } else if ((linked || v->loose) && (n == want || (gap != 0 && n == want + gap))) {
        accept(v, n, sealed->hash);
        accept_early(v);
    } else if (v->branch.sequence != 0 && n == v->branch.sequence + 1 &&
               same(sealed->prev, v->branch.hash) && n <= v->chain.sequence) {
        v->branch.sequence = n;
        memcpy(v->branch.hash, sealed->hash, AUDIT_HASH_LEN);
        return false;
    } else if (n == want) {
        audit_problem_add(v, AUDIT_SPLICED, false, v->reader->number, n,
                          "record %" PRIu64 " does not follow record %" PRIu64
                          ": that one was rewritten, or this one is of another log",
                          n, n - 1);
        accept(v, n, sealed->hash);
    } else if (n < want) {
        stray(v, sealed);
        return false;
    } else {
        ahead(v, sealed);
    }
    v->loose = false;
    return true;
}

/* placed: it is a link of the chain. failures: found before its line was read. */
static void note(struct audit_verifier *v, const json_t *record, const struct audit_sealed *sealed,
                 bool placed, uint64_t failures)
{
    struct audit_verdict *verdict = v->verdict;
    const char *time = json_string_value(json_object_get(record, "time"));
    const char *event = json_string_value(json_object_get(record, "event"));
    if (verdict->records++ == 0)
        audit_copy_text(verdict->first_time, sizeof verdict->first_time, time);
    audit_copy_text(verdict->last_time, sizeof verdict->last_time, time);
    if (placed && is_anchor(v, sealed->hash))
        v->anchor_seen = true;
    v->last_is_final = false;
    if (strcmp(event, "recovered") == 0) {
        verdict->recoveries++;
        verdict->lost += counted_gap(record);
    }
    if (placed)
        audit_uses_note(v, record, sealed->sequence);
    if (strcmp(event, "ceremony") == 0 && placed)
        audit_link_note(v, record, sealed->sequence);
    if (strcmp(event, "checkpoint") == 0 && placed)
        audit_checkpoint_check(v, record, sealed);
    if (v->options->visit != NULL)
        v->options->visit(v->options->visit_context, record,
                          placed && verdict->failures == failures);
}

/* What every record has, whoever wrote it. */
static bool is_record(const json_t *json)
{
    return json_is_object(json) && json_is_integer(json_object_get(json, "seq")) &&
           json_is_string(json_object_get(json, "time")) &&
           json_is_string(json_object_get(json, "event")) &&
           json_is_string(json_object_get(json, "result"));
}

void audit_follow_line(struct audit_verifier *v)
{
    const struct audit_line_reader *reader = v->reader;
    struct audit_sealed sealed;
    struct error err = {0};
    const uint64_t want = v->begun ? v->chain.sequence + 1 : 0;
    const uint64_t failures = v->verdict->failures;
    json_t *record = json_loadb(reader->text, reader->len, JSON_REJECT_DUPLICATES, NULL);
    if (!is_record(record) ||
        audit_chain_read(v->hasher, reader->text, reader->len, &sealed, &err) != MIKEYD_OK) {
        audit_problem_add(v, AUDIT_MALFORMED, false, reader->number, want,
                          "this line is no record (%s)",
                          err.text[0] != '\0' ? err.text : "not JSON with the fields of one");
        /* It stood for a record: the next number is the one after it. */
        if (v->begun)
            v->chain.sequence++;
        v->loose = true;
    } else if (!sealed.intact) {
        uint64_t number = v->begun ? want : sealed.sequence;
        audit_problem_add(v, AUDIT_CHANGED, false, reader->number, number,
                          "record %" PRIu64 " was changed: it does not match its own hash", number);
        if (!v->begun)
            v->verdict->first_sequence = number;
        accept(v, number, sealed.hash);
        v->loose = true;
        note(v, record, &sealed, false, failures);
    } else {
        const bool placed = follow(v, &sealed, record);
        note(v, record, &sealed, placed, failures);
    }
    json_decref(record);
}
