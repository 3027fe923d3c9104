/* The tree behind base/yaml.h, shared by the files that build it, read it and word its errors. */
#ifndef BASE_YAML_TREE_H
#define BASE_YAML_TREE_H

#include "base/yaml.h"

/* The file's name in messages: its tail, so that line and field always fit an error text. */
#define YAML_NAME_SIZE 96

struct yaml_node {
    enum yaml_kind kind;
    int line;
    bool plain; /* a scalar without quotes: the only form of numbers and booleans */
    const struct yaml_file *file;   /* for messages */
    const struct yaml_node *parent; /* NULL for the root */
    char *field;                    /* name in the parent map, or NULL */
    size_t position;                /* in the parent */
    char *text;                     /* scalars */
    struct yaml_node **children;    /* lists and maps */
    size_t count;
    size_t capacity;
};

struct yaml_file {
    char name[YAML_NAME_SIZE];
    char *text;
    size_t len;
    struct yaml_node *root;
    size_t node_count;
};

/* SYNTAX "FILE:LINE: text", for a place that has no node. */
enum mikeyd_status yaml_fail_line(const struct yaml_file *file, int line, struct error *err,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
