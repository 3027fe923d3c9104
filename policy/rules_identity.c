/*
 * Identities: RFC 9257 6.1.1 has them compared byte by byte, so what looks alike to people must be
 * told before an auditor signs it. Unicode by libunistring.
 */
#include <stdlib.h>
#include <string.h>

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "policy/rules.h"

/* ---- identities that are none */

static void check_identity(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->node_count; i++) {
        const struct policy_node_entry *node = &policy->nodes[i];
        uint8_t store[IDENTITY_MAX];
        struct identity identity;
        struct error why;
        if (node->problem != NULL &&
            identity_parse(node->problem, store, &identity, &why) != MIKEYD_OK)
            rule_tell(run, node->at, "%s", why.text);
    }
}

/* ---- look-alikes */

/* What one identity looks like: equal appearances are suspicious. Owned. Of equal bytes the type
 * tells them apart, and a rule of its own speaks of those. */
struct appearance {
    uint8_t *bytes;
    size_t len;
    const struct policy_node_entry *node;
};

typedef bool appearance_fn(const struct identity *identity, struct appearance *out);

/* Same text in another Unicode form: composed or decomposed, wide, ligatures (NFKC). */
static bool normal_form(const struct identity *identity, struct appearance *out)
{
    out->bytes = u8_normalize(UNINORM_NFKC, identity->data, identity->len, NULL, &out->len);
    return out->bytes != NULL;
}

/* Letters of other scripts, and digits, that common typefaces draw like a Latin letter. Most
 * frequent ones only; case is folded before. */
static ucs4_t latin_twin(ucs4_t letter)
{
    static const struct {
        ucs4_t from, to;
    } twins[] = {
        {'0', 'o'},    {'1', 'l'},    {'i', 'l'},    {'|', 'l'},    {0x131, 'l'},  {0x430, 'a'},
        {0x435, 'e'},  {0x43e, 'o'},  {0x440, 'p'},  {0x441, 'c'},  {0x443, 'y'},  {0x445, 'x'},
        {0x455, 's'},  {0x456, 'l'},  {0x458, 'j'},  {0x501, 'd'},  {0x51b, 'q'},  {0x51d, 'w'},
        {0x4bb, 'h'},  {0x3bf, 'o'},  {0x3b1, 'a'},  {0x3bd, 'v'},  {0x3b9, 'l'},  {0x3c1, 'p'},
        {0x3c5, 'u'},  {0x3ba, 'k'},  {0x585, 'o'},  {0x2010, '-'}, {0x2011, '-'}, {0x2012, '-'},
        {0x2013, '-'}, {0x2212, '-'}, {0x2044, '/'}, {0x2215, '/'}, {0x3002, '.'}, {0x2024, '.'},
        {0xb7, '.'},
    };
    for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++) {
        if (twins[i].from == letter)
            return twins[i].to;
    }
    return letter;
}

/* Appends one letter as ASCII or UTF-8; "rn" looks like "m", "vv" like "w". */
static void look_append(struct appearance *out, size_t cap, ucs4_t letter)
{
    if (out->len > 0 && letter == 'n' && out->bytes[out->len - 1] == 'r')
        out->bytes[out->len - 1] = 'm';
    else if (out->len > 0 && letter == 'v' && out->bytes[out->len - 1] == 'v')
        out->bytes[out->len - 1] = 'w';
    else {
        int used = u8_uctomb(out->bytes + out->len, letter, (ptrdiff_t)(cap - out->len));
        if (used > 0)
            out->len += (size_t)used;
    }
}

/* Same look: case folded (NFKC), invisible characters dropped, look-alike letters replaced. */
static bool look(const struct identity *identity, struct appearance *out)
{
    size_t len;
    uint8_t *folded = u8_casefold(identity->data, identity->len, NULL, UNINORM_NFKC, NULL, &len);
    if (folded == NULL)
        return false;
    size_t cap = len + 8; /* twins are never longer than what they replace */
    out->bytes = malloc(cap);
    out->len = 0;
    for (size_t at = 0; out->bytes != NULL && at < len;) {
        ucs4_t letter;
        int used = u8_mbtouc(&letter, folded + at, len - at);
        at += used > 0 ? (size_t)used : 1;
        if (!uc_is_property_default_ignorable_code_point(letter))
            look_append(out, cap, latin_twin(letter));
    }
    free(folded);
    return out->bytes != NULL;
}

/* Byte order, the shorter first: 0 when equal. */
static int compare_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len); /* public */
    return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int appearance_compare(const void *a, const void *b)
{
    const struct appearance *x = a, *y = b;
    int order = compare_bytes(x->bytes, x->len, y->bytes, y->len);
    if (order != 0)
        return order;
    return (x->node->node.index > y->node->node.index) -
           (x->node->node.index < y->node->node.index);
}

static bool same_bytes(const struct appearance *a, const struct appearance *b)
{
    const struct identity *x = &a->node->node.identity, *y = &b->node->node.identity;
    return compare_bytes(x->data, x->len, y->data, y->len) == 0;
}

static bool appearance_equal(const struct appearance *a, const struct appearance *b)
{
    return compare_bytes(a->bytes, a->len, b->bytes, b->len) == 0;
}

/* Identities that are no text have no look: they only meet others of the same bytes. */
static bool appear(const struct policy_node_entry *node, appearance_fn *make,
                   struct appearance *out)
{
    const struct identity *identity = &node->node.identity;
    out->node = node;
    if (u8_check(identity->data, identity->len) == NULL)
        return make(identity, out);
    out->bytes = malloc(identity->len);
    if (out->bytes == NULL)
        return false;
    memcpy(out->bytes, identity->data, identity->len);
    out->len = identity->len;
    return true;
}

/* The appearances of all good, different nodes, sorted: equal ones stand together. */
static struct appearance *appearances(struct rule_run *run, appearance_fn *make, size_t *count)
{
    const struct policy *policy = run->policy;
    struct appearance *list = calloc(policy->node_count + 1, sizeof *list);
    *count = 0;
    if (list == NULL) {
        run->failed = true;
        return NULL;
    }
    for (size_t i = 0; i < policy->node_count; i++) {
        const struct policy_node_entry *node = &policy->nodes[i];
        if (node->problem != NULL || node->duplicate_of != i)
            continue;
        if (!appear(node, make, &list[*count])) {
            run->failed = true;
            break;
        }
        (*count)++;
    }
    qsort(list, *count, sizeof *list, appearance_compare);
    return list;
}

/* same: those of the same bytes, which differ by type; else all others. */
static void tell_twins(struct rule_run *run, appearance_fn *make, bool same, const char *why)
{
    size_t count;
    struct appearance *list = appearances(run, make, &count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && appearance_equal(&list[i - 1], &list[i]) &&
            same_bytes(&list[i - 1], &list[i]) == same)
            rule_tell(run, list[i].node->at, "%.90s differs from %.90s (line %d) only by %s",
                      list[i].node->node.text, list[i - 1].node->node.text,
                      list[i - 1].node->node.line, why);
    }
    for (size_t i = 0; i < count; i++)
        free(list[i].bytes);
    free(list);
}

static void check_normalisation(struct rule_run *run)
{
    tell_twins(run, normal_form, false, "its Unicode form: they compare byte by byte");
}

static void check_confusables(struct rule_run *run)
{
    tell_twins(run, look, false, "case, invisible or look-alike characters");
}

/* A peer that sends a URI as an NAI needs nodes of its own: what it says must be what it means. */
static void check_types(struct rule_run *run)
{
    tell_twins(run, normal_form, true,
               "identity type: right for a peer that sends a URI as an NAI or the reverse");
}

/* RFC 9257 6.1.1: an identity that is not in one normal form is retyped wrongly sooner or later. */
static void check_not_normal(struct rule_run *run)
{
    const struct policy *policy = run->policy;
    for (size_t i = 0; i < policy->node_count; i++) {
        const struct policy_node_entry *node = &policy->nodes[i];
        const struct identity *identity = &node->node.identity;
        struct appearance normal = {0};
        if (node->problem != NULL || u8_check(identity->data, identity->len) != NULL)
            continue;
        if (!normal_form(identity, &normal)) {
            run->failed = true;
            return;
        }
        if (compare_bytes(normal.bytes, normal.len, identity->data, identity->len) != 0)
            rule_tell(run, node->at,
                      "%.120s is not in Unicode normal form (NFKC): a peer that normalises sends "
                      "other bytes and is refused",
                      node->node.text);
        free(normal.bytes);
    }
}

/* ---- privacy */

static void check_privacy(struct rule_run *run)
{
    if (run->policy->node_count > 0)
        rule_tell(run, yaml_list_at(yaml_map_get(yaml_root(run->policy->file), "nodes"), 0),
                  "identities travel in clear in every message (RFC 3830 9.4): they and their "
                  "domains are visible and linkable; name machines, not people");
}

const struct policy_rule policy_rules_identity[] = {
    {"RFC9257-6-1-1-IDENTITY", POLICY_ERROR, RULE_NEEDS_FILE,
     "Identities have 1 to 255 bytes and are a URI, user@host, uri:..., nai:... or hex:...",
     "nodes", check_identity},
    {"RFC9257-6-1-1-NORMALISATION", POLICY_ERROR, RULE_NEEDS_FILE,
     "No two nodes differ only by Unicode normalisation", "nodes", check_normalisation},
    {"RFC9257-6-1-1-TYPE", POLICY_WARNING, RULE_NEEDS_FILE,
     "No two nodes differ only by identity type", "nodes", check_types},
    {"RFC9257-6-1-1-CONFUSABLE", POLICY_WARNING, RULE_NEEDS_FILE,
     "No two nodes look alike to people", "nodes", check_confusables},
    {"RFC9257-6-1-1-FORM", POLICY_WARNING, RULE_NEEDS_FILE, "Identities are in Unicode normal form",
     "nodes", check_not_normal},
    {"RFC9257-7-PRIVACY", POLICY_NOTE, RULE_NEEDS_FILE,
     "Identities say no more than they must: they are visible on the wire", "nodes", check_privacy},
    {0},
};
