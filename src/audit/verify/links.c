/* The daemon's log and the ceremony's are verified together: what one says of the other holds. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/verify/internal.h"
#include "base/secret.h"
#include "base/text.h"

void audit_link_note(struct audit_verifier *v, const json_t *record, uint64_t sequence)
{
    const char *file = json_string_value(json_object_get(record, "linked_file"));
    const char *hash = json_string_value(json_object_get(record, "linked_hash"));
    const json_int_t number = json_integer_value(json_object_get(record, "linked_seq"));
    struct audit_link link = {.sequence = sequence, .to.sequence = (uint64_t)number};
    size_t len = 0;
    if (file == NULL || hash == NULL || number <= 0 ||
        hex_decode(hash, strlen(hash), link.to.hash, AUDIT_HASH_LEN, &len, NULL) != MIKEYD_OK ||
        len != AUDIT_HASH_LEN)
        return; /* the writer found it damaged, which the record says */
    (void)snprintf(link.file, sizeof link.file, "%s", file);
    if (v->link_count == v->link_cap) {
        size_t cap = v->link_cap == 0 ? 64 : 2 * v->link_cap;
        struct audit_link *links = reallocarray(v->links, cap, sizeof *links);
        if (links == NULL) {
            audit_problem_add(v, AUDIT_MALFORMED, false, v->reader->number, sequence,
                              "out of memory");
            return;
        }
        v->links = links;
        v->link_cap = cap;
    }
    v->links[v->link_count++] = link;
}

static int by_target(const void *a, const void *b)
{
    const struct audit_link *left = a, *right = b;
    return left->to.sequence < right->to.sequence ? -1 : left->to.sequence > right->to.sequence;
}

/* The first of the sorted links that name this record. */
static size_t first_link(const struct audit_verifier *v, uint64_t sequence)
{
    size_t low = 0, high = v->link_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->links[middle].to.sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void mark_found(struct audit_verifier *v, const struct audit_sealed *sealed)
{
    for (size_t i = first_link(v, sealed->sequence);
         i < v->link_count && v->links[i].to.sequence == sealed->sequence; i++) {
        if (sealed->intact && secret_equal(v->links[i].to.hash, sealed->hash, AUDIT_HASH_LEN))
            v->links[i].found = true;
    }
}

static void look_through(struct audit_verifier *v, const char *path)
{
    struct audit_line_reader *reader = v->reader;
    struct audit_sealed sealed;
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return; /* nothing is found in it */
    reader->stream = stream;
    enum audit_line_kind kind;
    while ((kind = audit_line_next(reader)) != AUDIT_LINE_END) {
        if (kind == AUDIT_LINE &&
            audit_chain_read(v->hasher, reader->text, reader->len, &sealed, NULL) == MIKEYD_OK)
            mark_found(v, &sealed);
    }
    (void)fclose(stream);
}

void audit_links_check(struct audit_verifier *v, struct audit_verifier *ceremony,
                       char *const *paths, size_t count)
{
    if (v->link_count > 1)
        qsort(v->links, v->link_count, sizeof *v->links, by_target);
    for (size_t i = 0; i < count && v->link_count > 0; i++)
        look_through(v, paths[i]);
    for (size_t i = v->link_count; i-- > 0;) {
        const struct audit_link *link = &v->links[i];
        if (ceremony == NULL) {
            audit_problem_add(v, AUDIT_MISSING, false, 0, link->sequence,
                              "%s, which had come to record %" PRIu64
                              ", was not given and not found",
                              link->file, link->to.sequence);
            return;
        }
        if (!link->found)
            audit_problem_add(v, AUDIT_TRUNCATED, false, 0, link->sequence,
                              "%s had come to record %" PRIu64
                              " with another end than it has: cut or rewritten",
                              link->file, link->to.sequence);
        else if (link->sequence <= v->verdict->covered_sequence + 1 &&
                 link->to.sequence > ceremony->linked)
            ceremony->linked = link->to.sequence;
    }
}
