#include "config/config_token.h"

#include <stdio.h>
#include <string.h>

#include "pkcs11/token/profile.h"

#define DEFAULT_SESSIONS 8
#define DEFAULT_CALL_TIMEOUT_MS 2000

static enum mikeyd_status read_session_copies(const struct yaml_node *map, enum token_copies *out,
                                              struct error *err)
{
    const char *text = "auto";
    enum mikeyd_status status = config_text(map, "session_copies", &text, err);
    if (status != MIKEYD_OK)
        return status;
    if (strcmp(text, "auto") == 0)
        *out = TOKEN_COPIES_AUTO;
    else if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
        *out = TOKEN_COPIES_ON;
    else if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0)
        *out = TOKEN_COPIES_OFF;
    else
        return yaml_fail(yaml_map_get(map, "session_copies"), err, "neither auto, on nor off");
    return MIKEYD_OK;
}

/* Names as a shell takes them; not those by which the dynamic linker would load other code. */
static bool is_variable(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    return name[0] != '\0' && strspn(name, allowed) == strlen(name) &&
           (name[0] < '0' || name[0] > '9') && strncmp(name, "LD_", 3) != 0;
}

static enum mikeyd_status read_environment(const struct yaml_node *map, struct token_config *token,
                                           struct error *err)
{
    const struct yaml_node *node = yaml_map_get(map, "environment"), *value;
    const char *name;
    if (node == NULL)
        return MIKEYD_OK;
    enum mikeyd_status status = MIKEYD_OK;
    if (yaml_map_at(node, 0, &name) == NULL)
        return yaml_fail(node, err, "not a map of variables, such as {SOFTHSM2_CONF: /etc/a.conf}");
    for (size_t i = 0; status == MIKEYD_OK && (value = yaml_map_at(node, i, &name)) != NULL; i++) {
        if (i == TOKEN_ENVIRONMENT_MAX)
            return yaml_fail(node, err, "more than %d variables", TOKEN_ENVIRONMENT_MAX);
        if (!is_variable(name))
            return yaml_fail(value, err, "not the name of a variable that a module may read");
        token->environment[i].name = name;
        status = yaml_string(value, &token->environment[i].value, err);
        token->environment_count = (unsigned)i + 1;
    }
    return status;
}

static enum mikeyd_status read_profile(const struct yaml_node *map, const char **out,
                                       struct error *err)
{
    char names[256] = "auto";
    *out = "auto";
    enum mikeyd_status status = config_text(map, "profile", out, err);
    if (status != MIKEYD_OK || strcmp(*out, "auto") == 0 || profile_named(*out) != NULL)
        return status;
    for (size_t i = 0; profile_at(i) != NULL; i++) {
        const size_t len = strlen(names);
        (void)snprintf(names + len, sizeof names - len, ", %s", profile_at(i)->name);
    }
    return yaml_fail(yaml_map_get(map, "profile"), err, "is none of %s", names);
}

const char *config_token_switch(const struct token_config *token, size_t n)
{
    const char *name;
    for (size_t i = 0; (name = profile_switch_at(i)) != NULL; i++) {
        if ((token->switches & UINT32_C(1) << i) != 0 && n-- == 0)
            return name;
    }
    return NULL;
}

static enum mikeyd_status read_switches(const struct yaml_node *map, uint32_t *out,
                                        struct error *err)
{
    char names[256] = "";
    const struct yaml_node *list = yaml_map_get(map, "switches");
    if (list == NULL)
        return MIKEYD_OK;
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        const size_t len = strlen(names);
        (void)snprintf(names + len, sizeof names - len, "%s%s", i == 0 ? "" : ", ",
                       profile_switch_at(i));
    }
    if (yaml_kind(list) != YAML_LIST)
        return yaml_fail(list, err, "not a list of some of %s", names);
    for (size_t i = 0; i < yaml_list_count(list); i++) {
        const char *name;
        uint32_t bit = 0;
        enum mikeyd_status status = yaml_string(yaml_list_at(list, i), &name, err);
        if (status != MIKEYD_OK)
            return status;
        if (!profile_switch_named(name, &bit))
            return yaml_fail(yaml_list_at(list, i), err, "is none of %s", names);
        *out |= bit;
    }
    return MIKEYD_OK;
}

enum mikeyd_status config_token_read(struct config_strings *strings, const struct yaml_node *map,
                                     struct token_config *token, struct error *err)
{
    static const char *const known[] = {
        "module",    "uri",          "pin_file",    "sessions", "session_copies",
        "init_args", "call_timeout", "environment", "profile",  "switches",
        NULL};
    const struct yaml_node *uri;
    *token = (struct token_config){.sessions = DEFAULT_SESSIONS,
                                   .call_timeout_ms = DEFAULT_CALL_TIMEOUT_MS};
    enum mikeyd_status status = yaml_map_check(map, known, err);
    if (status == MIKEYD_OK)
        status = config_required_path(strings, map, "module", &token->module, err);
    if (status == MIKEYD_OK)
        status = config_required(map, "uri", &uri, err);
    if (status == MIKEYD_OK)
        status = yaml_string(uri, &token->uri, err);
    /* The PIN comes from a private file only; the message must not repeat it. */
    if (status == MIKEYD_OK && strstr(token->uri, "pin-value") != NULL)
        status = yaml_fail(uri, err, "pin-value is refused: use pin_file");
    if (status == MIKEYD_OK)
        status = config_required_path(strings, map, "pin_file", &token->pin_file, err);
    if (status == MIKEYD_OK)
        status = config_text(map, "init_args", &token->init_args, err);
    if (status == MIKEYD_OK)
        status = config_number(map, "sessions", 1, 256, &token->sessions, err);
    if (status == MIKEYD_OK)
        status = read_session_copies(map, &token->session_copies, err);
    if (status == MIKEYD_OK)
        status = config_duration(map, "call_timeout", 10, 60000, &token->call_timeout_ms, err);
    if (status == MIKEYD_OK)
        status = read_environment(map, token, err);
    if (status == MIKEYD_OK)
        status = read_profile(map, &token->profile, err);
    if (status == MIKEYD_OK)
        status = read_switches(map, &token->switches, err);
    return status;
}
