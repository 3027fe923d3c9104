/*
 * What one policy file changes in another, named for people: for the record of a reload. Compares
 * what the files say, item by item, as JSON values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/findings.h"
#include "policy/internal.h"

#define NAME_TEXT_MAX 600 /* two identities of 255 bytes and an arrow */

/* ---- a file as JSON */

/* Depth is bounded by the YAML reader. Scalars become strings. NULL when memory runs out. */
static json_t *value_of(const struct yaml_node *node)
{
    bool plain;
    const char *text = yaml_scalar(node, &plain);
    if (text != NULL)
        return json_string_nocheck(text);
    bool is_list = yaml_kind(node) == YAML_LIST;
    json_t *value = is_list ? json_array() : json_object();
    const struct yaml_node *child;
    const char *field = NULL;
    for (size_t i = 0; value != NULL; i++) {
        child = is_list ? yaml_list_at(node, i) : yaml_map_at(node, i, &field);
        if (child == NULL)
            break;
        json_t *item = value_of(child);
        int failed = is_list ? json_array_append_new(value, item)
                             : json_object_set_new_nocheck(value, field, item);
        if (failed != 0) {
            json_decref(value);
            return NULL;
        }
    }
    return value;
}

/* How a section's items are called. items: of a list, so far, for counting. */
typedef void name_fn(const json_t *item, const json_t *items, char out[NAME_TEXT_MAX]);

static const char *text_of(const json_t *item, const char *field)
{
    const char *text = json_string_value(json_object_get(item, field));
    return text == NULL ? "?" : text;
}

static void name_by_name(const json_t *item, const json_t *items, char out[NAME_TEXT_MAX])
{
    (void)items;
    (void)snprintf(out, NAME_TEXT_MAX, "%s", text_of(item, "name"));
}

static void name_by_text(const json_t *item, const json_t *items, char out[NAME_TEXT_MAX])
{
    (void)items;
    (void)snprintf(out, NAME_TEXT_MAX, "%s", json_string_value(item));
}

static void name_by_peer(const json_t *item, const json_t *items, char out[NAME_TEXT_MAX])
{
    (void)items;
    (void)snprintf(out, NAME_TEXT_MAX, "%s", text_of(item, "peer"));
}

static void name_by_ends(const json_t *item, const json_t *items, char out[NAME_TEXT_MAX])
{
    (void)items;
    (void)snprintf(out, NAME_TEXT_MAX, "%.255s -> %.255s", text_of(item, "initiator"),
                   text_of(item, "responder"));
}

/* Meshes have no names: the first, second ... mesh under a key. */
static void name_by_key(const json_t *item, const json_t *items, char out[NAME_TEXT_MAX])
{
    unsigned number = 0;
    do
        (void)snprintf(out, NAME_TEXT_MAX, "%s #%u", text_of(item, "key"), ++number);
    while (json_object_get(items, out) != NULL);
}

static const struct {
    const char *name;
    name_fn *item_name; /* NULL: a map of fields */
} sections[] = {
    {"defaults", NULL},        {"limits", NULL},          {"keys", name_by_name},
    {"nodes", name_by_text},   {"pairs", name_by_ends},   {"mesh", name_by_key},
    {"clients", name_by_name}, {"interop", name_by_peer},
};

/* A section as an object, name of an item -> item. An absent one is empty. */
static json_t *section_of(const struct policy *policy, size_t section)
{
    const struct yaml_node *node = yaml_map_get(yaml_root(policy->file), sections[section].name);
    if (node == NULL)
        return json_object();
    json_t *value = value_of(node);
    if (value == NULL || sections[section].item_name == NULL)
        return value;
    json_t *named = json_object();
    json_t *item;
    size_t i;
    json_array_foreach(value, i, item)
    {
        char name[NAME_TEXT_MAX];
        sections[section].item_name(item, named, name);
        if (json_object_set_nocheck(named, name, item) != 0) {
            json_decref(named);
            named = NULL;
            break;
        }
    }
    json_decref(value);
    return named;
}

/* ---- comparing */

struct names {
    json_t *list; /* NULL: none */
    bool failed;
};

static void names_add(struct names *names, const char *name)
{
    if (names->list == NULL)
        names->list = json_array();
    if (json_array_append_new(names->list, json_string_nocheck(name)) != 0)
        names->failed = true;
}

/* Puts the list into the section under its word, unless it is empty. Takes the list. */
static bool names_store(struct names *names, json_t *section, const char *word)
{
    if (names->list == NULL)
        return !names->failed;
    return json_object_set_new_nocheck(section, word, names->list) == 0 && !names->failed;
}

/* {"added", "removed", "changed"} of two sections; an empty object when they are equal. */
static json_t *compare(json_t *old, json_t *new)
{
    struct names added = {0}, removed = {0}, changed = {0};
    const char *name;
    json_t *item;
    json_object_foreach(new, name, item)
    {
        const json_t *before = json_object_get(old, name);
        if (before == NULL)
            names_add(&added, name);
        else if (!json_equal(before, item))
            names_add(&changed, name);
    }
    json_object_foreach(old, name, item)
    {
        if (json_object_get(new, name) == NULL)
            names_add(&removed, name);
    }
    json_t *section = json_object();
    bool stored = names_store(&added, section, "added");
    stored = names_store(&removed, section, "removed") && stored;
    stored = names_store(&changed, section, "changed") && stored;
    if (stored)
        return section;
    json_decref(section);
    return NULL;
}

/* Adds one section's difference to the whole; false when memory runs out. */
static bool add_section(json_t *difference, const struct policy *old, const struct policy *new,
                        size_t section)
{
    json_t *before = section_of(old, section), *after = section_of(new, section);
    json_t *found = before != NULL && after != NULL ? compare(before, after) : NULL;
    json_decref(before);
    json_decref(after);
    if (found == NULL)
        return false;
    if (json_object_size(found) == 0) {
        json_decref(found);
        return true;
    }
    return json_object_set_new_nocheck(difference, sections[section].name, found) == 0;
}

/* A field of the file itself: {"old", "new"}, null where it is not given. */
static bool add_field(json_t *difference, const struct policy *old, const struct policy *new,
                      const char *field)
{
    const struct yaml_node *before = yaml_map_get(yaml_root(old->file), field);
    const struct yaml_node *after = yaml_map_get(yaml_root(new->file), field);
    const char *was = before == NULL ? NULL : yaml_scalar(before, &(bool){false});
    const char *is = after == NULL ? NULL : yaml_scalar(after, &(bool){false});
    if (was == is || (was != NULL && is != NULL && strcmp(was, is) == 0))
        return true;
    return json_object_set_new_nocheck(difference, field,
                                       json_pack("{s:s?, s:s?}", "old", was, "new", is)) == 0;
}

json_t *policy_difference(const struct policy *old, const struct policy *new)
{
    json_t *difference =
        json_pack("{s:{s:s, s:s}}", "sha256", "old", old->sha256, "new", new->sha256);
    for (size_t i = 0; difference != NULL && i < sizeof sections / sizeof sections[0]; i++) {
        if (!add_section(difference, old, new, i)) {
            json_decref(difference);
            return NULL;
        }
    }
    if (difference != NULL && add_field(difference, old, new, "serial") &&
        add_field(difference, old, new, "signatures"))
        return difference;
    json_decref(difference);
    return NULL;
}
