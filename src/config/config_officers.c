#include "config/config_officers.h"

#include <string.h>

bool config_officer_name_fits(const char *name)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const size_t len = strlen(name);
    return len > 0 && len <= CONFIG_OFFICER_NAME_MAX && name[0] != '.' && strspn(name, fit) == len;
}

static enum mikeyd_status read_officer(const struct yaml_node *item, struct config_strings *strings,
                                       struct config_officer *out, struct error *err)
{
    static const char *const known[] = {"name", "public_key", NULL};
    const struct yaml_node *name = NULL;
    enum mikeyd_status status = yaml_map_check(item, known, err);
    if (status == MIKEYD_OK)
        status = config_required(item, "name", &name, err);
    if (status == MIKEYD_OK)
        status = yaml_string(name, &out->name, err);
    if (status != MIKEYD_OK)
        return status;
    if (!config_officer_name_fits(out->name))
        return yaml_fail(
            name, err,
            "not 1 to %d letters, digits, \"_\", \"-\" and \".\", which is not the first",
            CONFIG_OFFICER_NAME_MAX);
    out->line = yaml_line(item);
    return config_required_path(strings, item, "public_key", &out->public_key, err);
}

static enum mikeyd_status read_list(const struct yaml_node *list, struct config_strings *strings,
                                    struct config_officer *out, struct error *err)
{
    if (yaml_kind(list) != YAML_LIST || yaml_list_count(list) == 0 ||
        yaml_list_count(list) > CONFIG_OFFICERS_MAX)
        return yaml_fail(list, err, "not a list of 1 to %d officers", CONFIG_OFFICERS_MAX);
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t i = 0; i < yaml_list_count(list) && status == MIKEYD_OK; i++) {
        const struct yaml_node *item = yaml_list_at(list, i);
        status = read_officer(item, strings, &out[i], err);
        for (size_t j = 0; j < i && status == MIKEYD_OK; j++) {
            if (strcmp(out[j].name, out[i].name) == 0)
                status = yaml_fail(item, err, "officer %s is already in line %d", out[i].name,
                                   out[j].line);
        }
    }
    return status;
}

/* More than there are officers could never be; none at all would be no protection. */
static enum mikeyd_status read_needed(const struct yaml_node *root, const char *field,
                                      size_t officers, unsigned *out, struct error *err)
{
    const struct yaml_node *node;
    uint64_t number = 0;
    enum mikeyd_status status = config_required(root, field, &node, err);
    if (status == MIKEYD_OK)
        status = yaml_unsigned(node, 1, officers, &number, err);
    *out = (unsigned)number;
    return status;
}

enum mikeyd_status config_officers_read(const struct yaml_node *root,
                                        struct config_strings *strings,
                                        struct config_officer out[CONFIG_OFFICERS_MAX],
                                        struct config *config, struct error *err)
{
    const struct yaml_node *list = yaml_map_get(root, "officers");
    const struct yaml_node *needed = yaml_map_get(root, "policy_signatures");
    if (list == NULL && needed != NULL)
        return yaml_fail(needed, err, "nobody could sign: officers is missing");
    if (list == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = read_list(list, strings, out, err);
    config->officers = out;
    config->officer_count = yaml_list_count(list);
    return status != MIKEYD_OK ? status
                               : read_needed(root, "policy_signatures", config->officer_count,
                                             &config->policy_signatures, err);
}
