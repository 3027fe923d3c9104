/*
 * Strict YAML: libyaml's events become a tree that remembers lines and fields. What lets one text
 * mean two things to two readers (aliases, tags, merge keys, several documents) is refused:
 * auditors sign these files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "base/yaml_tree.h"

#define FILE_MAX_BYTES ((size_t)16 << 20)
/* Bounds that keep a hostile file from costing more memory or time than an honest one. */
#define DEPTH_MAX 32
#define NODES_MAX ((size_t)1 << 19)

/* ---- building the tree */

static void node_free(struct yaml_node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->count; i++)
        node_free(node->children[i]); /* no deeper than DEPTH_MAX */
    free(node->children);
    free(node->field);
    free(node->text);
    free(node);
}

struct builder {
    struct yaml_file *file;
    struct yaml_node *stack[DEPTH_MAX]; /* the open lists and maps */
    size_t depth;
    char *field; /* a map's field whose value comes next */
    int field_line;
};

static enum mikeyd_status out_of_memory(struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "out of memory");
}

/* Hangs a new node under the innermost open list or map. */
static enum mikeyd_status builder_add(struct builder *b, enum yaml_kind kind, int line,
                                      struct yaml_node **out, struct error *err)
{
    if (++b->file->node_count > NODES_MAX)
        return yaml_fail_line(b->file, line, err, "more than %zu values", NODES_MAX);
    struct yaml_node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return out_of_memory(err);
    node->kind = kind;
    node->line = line;
    node->file = b->file;
    if (b->depth == 0) {
        b->file->root = node;
        *out = node;
        return MIKEYD_OK;
    }
    struct yaml_node *parent = b->stack[b->depth - 1];
    if (parent->count == parent->capacity) {
        size_t capacity = parent->capacity == 0 ? 8 : parent->capacity * 2;
        struct yaml_node **grown = realloc(parent->children, capacity * sizeof(struct yaml_node *));
        if (grown == NULL) {
            free(node);
            return out_of_memory(err);
        }
        parent->children = grown;
        parent->capacity = capacity;
    }
    node->parent = parent;
    node->position = parent->count;
    if (parent->kind == YAML_MAP) {
        node->field = b->field;
        b->field = NULL;
    }
    parent->children[parent->count++] = node;
    *out = node;
    return MIKEYD_OK;
}

static bool builder_wants_field(const struct builder *b)
{
    return b->depth > 0 && b->stack[b->depth - 1]->kind == YAML_MAP && b->field == NULL;
}

static enum mikeyd_status builder_scalar(struct builder *b, const yaml_event_t *event, int line,
                                         struct error *err)
{
    const char *value = (const char *)event->data.scalar.value;
    if (strlen(value) != event->data.scalar.length)
        return yaml_fail_line(b->file, line, err, "a zero byte in a value");
    char *copy = strdup(value);
    if (copy == NULL)
        return out_of_memory(err);
    if (builder_wants_field(b)) {
        b->field = copy;
        b->field_line = line;
        return MIKEYD_OK;
    }
    struct yaml_node *node = NULL;
    enum mikeyd_status status = builder_add(b, YAML_SCALAR, line, &node, err);
    if (status != MIKEYD_OK) {
        free(copy);
        return status;
    }
    node->text = copy;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return MIKEYD_OK;
}

static enum mikeyd_status builder_open(struct builder *b, enum yaml_kind kind, int line,
                                       struct error *err)
{
    if (builder_wants_field(b))
        return yaml_fail_line(b->file, line, err, "a field name must be plain text");
    if (b->depth == DEPTH_MAX)
        return yaml_fail_line(b->file, line, err, "nested deeper than %d", DEPTH_MAX);
    struct yaml_node *node = NULL;
    enum mikeyd_status status = builder_add(b, kind, line, &node, err);
    if (status != MIKEYD_OK)
        return status;
    b->stack[b->depth++] = node;
    return MIKEYD_OK;
}

static bool has_anchor_or_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
    default:
        return event->type == YAML_ALIAS_EVENT;
    }
}

static enum mikeyd_status builder_event(struct builder *b, const yaml_event_t *event,
                                        struct error *err)
{
    int line = (int)event->start_mark.line + 1;
    if (has_anchor_or_tag(event))
        return yaml_fail_line(b->file, line, err, "anchors, aliases and tags are not allowed");
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->file->root != NULL)
            return yaml_fail_line(b->file, line, err, "a second document");
        if (event->data.document_start.version_directive != NULL ||
            event->data.document_start.tag_directives.start !=
                event->data.document_start.tag_directives.end)
            return yaml_fail_line(b->file, line, err, "directives are not allowed");
        return MIKEYD_OK;
    case YAML_SCALAR_EVENT:
        return builder_scalar(b, event, line, err);
    case YAML_SEQUENCE_START_EVENT:
        return builder_open(b, YAML_LIST, line, err);
    case YAML_MAPPING_START_EVENT:
        return builder_open(b, YAML_MAP, line, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return MIKEYD_OK;
    default:
        return MIKEYD_OK;
    }
}

static enum mikeyd_status parse_events(struct builder *b, yaml_parser_t *parser, struct error *err)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            if (parser->error == YAML_MEMORY_ERROR)
                return out_of_memory(err);
            return yaml_fail_line(b->file, (int)parser->problem_mark.line + 1, err, "%s",
                                  parser->problem != NULL ? parser->problem : "not YAML");
        }
        bool end = event.type == YAML_STREAM_END_EVENT;
        enum mikeyd_status status = builder_event(b, &event, err);
        yaml_event_delete(&event);
        if (status != MIKEYD_OK)
            return status;
        if (end)
            break;
    }
    if (b->file->root == NULL)
        return yaml_fail_line(b->file, 1, err, "the file is empty");
    return MIKEYD_OK;
}

/* Some editors begin UTF-8 with a byte order mark: it means nothing (RFC 3629 6). Its length. */
static size_t byte_order_mark(const struct yaml_file *file)
{
    return file->len >= 3 && strncmp(file->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

static bool is_utf16(const struct yaml_file *file)
{
    return file->len >= 2 &&
           (strncmp(file->text, "\xff\xfe", 2) == 0 || strncmp(file->text, "\xfe\xff", 2) == 0);
}

static enum mikeyd_status parse_text(struct yaml_file *file, struct error *err)
{
    yaml_parser_t parser;
    if (is_utf16(file))
        return yaml_fail_line(file, 1, err, "the file is UTF-16: save it as UTF-8");
    if (!yaml_parser_initialize(&parser))
        return out_of_memory(err);
    /* Only UTF-8: in UTF-16 the bytes that are hashed would not be the text a person greps. */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    const size_t mark = byte_order_mark(file);
    yaml_parser_set_input_string(&parser, (const unsigned char *)file->text + mark,
                                 file->len - mark);
    struct builder b = {.file = file};
    enum mikeyd_status status = parse_events(&b, &parser, err);
    free(b.field);
    yaml_parser_delete(&parser);
    return status;
}

/* ---- files */

static struct yaml_file *file_make(const char *name, size_t len)
{
    struct yaml_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return NULL;
    file->text = malloc(len + 1);
    if (file->text == NULL) {
        free(file);
        return NULL;
    }
    file->len = len;
    size_t name_len = strlen(name);
    if (name_len < sizeof file->name)
        (void)snprintf(file->name, sizeof file->name, "%s", name);
    else
        (void)snprintf(file->name, sizeof file->name, "...%s",
                       name + name_len - (sizeof file->name - 4));
    yaml_clean_controls(file->name);
    return file;
}

static enum mikeyd_status file_finish(struct yaml_file *file, struct yaml_file **out,
                                      struct error *err)
{
    enum mikeyd_status status = parse_text(file, err);
    if (status != MIKEYD_OK) {
        yaml_file_free(file);
        return status;
    }
    *out = file;
    return MIKEYD_OK;
}

enum mikeyd_status yaml_file_parse(const char *text, size_t len, const char *name,
                                   struct yaml_file **out, struct error *err)
{
    *out = NULL;
    if (len > FILE_MAX_BYTES)
        return error_set(err, MIKEYD_SYNTAX, "%s: larger than 16 MiB", name);
    struct yaml_file *file = file_make(name, len);
    if (file == NULL)
        return out_of_memory(err);
    if (len > 0)
        memcpy(file->text, text, len);
    file->text[len] = '\0';
    return file_finish(file, out, err);
}

/* Reads exactly len bytes: a file that changes its size while it is read is refused. */
static bool read_exactly(int fd, char *to, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read(fd, to + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    char more;
    ssize_t n;
    do
        n = read(fd, &more, 1);
    while (n < 0 && errno == EINTR);
    return n == 0;
}

static enum mikeyd_status load_fd(int fd, const char *path, struct yaml_file **out,
                                  struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return error_set(err, MIKEYD_SYNTAX, "%s: not a regular file", path);
    if ((uintmax_t)st.st_size > FILE_MAX_BYTES)
        return error_set(err, MIKEYD_SYNTAX, "%s: larger than 16 MiB", path);
    struct yaml_file *file = file_make(path, (size_t)st.st_size);
    if (file == NULL)
        return out_of_memory(err);
    file->text[file->len] = '\0';
    if (!read_exactly(fd, file->text, file->len)) {
        yaml_file_free(file);
        return error_set(err, MIKEYD_SYNTAX, "%s: cannot be read, or changes while it is read",
                         path);
    }
    return file_finish(file, out, err);
}

enum mikeyd_status yaml_file_load(const char *path, struct yaml_file **out, struct error *err)
{
    *out = NULL;
    /* O_NONBLOCK: a FIFO in the file's place must not hang the daemon at start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(err, MIKEYD_SYNTAX, "%s: %s", path, strerror(errno));
    enum mikeyd_status status = load_fd(fd, path, out, err);
    (void)close(fd);
    return status;
}

void yaml_file_free(struct yaml_file *file)
{
    if (file == NULL)
        return;
    node_free(file->root);
    free(file->text);
    free(file);
}
