/* Running the rules and collecting what they find. */
#include "policy/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules.h"

/* Of one rule; a file with one fault a thousand times needs it told a few times. */
#define FINDINGS_PER_RULE 40
#define PLACE_FILE_MAX 56

const char *policy_severity_name(enum policy_severity severity)
{
    switch (severity) {
    case POLICY_NOTE:
        return "note";
    case POLICY_WARNING:
        return "warning";
    case POLICY_ERROR:
        break;
    }
    return "error";
}

/* ---- for rules ------------------------------------------------------------------------------- */

/* Room for one more, zeroed; NULL when memory runs out. */
static struct policy_finding *findings_grow(struct policy_findings *findings)
{
    struct policy_finding *list =
        realloc(findings->list, (findings->count + 1) * sizeof *findings->list);
    if (list == NULL)
        return NULL;
    findings->list = list;
    struct policy_finding *finding = &list[findings->count++];
    memset(finding, 0, sizeof *finding);
    return finding;
}

static struct policy_finding *findings_add(struct rule_run *run)
{
    struct policy_finding *finding = findings_grow(run->out);
    if (finding == NULL) {
        run->failed = true;
        return NULL;
    }
    finding->rule = run->rule->id;
    finding->severity = run->rule->severity;
    finding->about_token = run->rule->needs == RULE_NEEDS_TOKEN;
    return finding;
}

static void write_place(const struct rule_run *run, const struct yaml_node *at, char *out,
                        size_t size)
{
    const char *file = yaml_name(run->policy->file);
    const size_t len = strlen(file);
    if (len > PLACE_FILE_MAX) /* the end of a path says more than its beginning */
        file += len - PLACE_FILE_MAX;
    char path[96] = "";
    if (at == NULL) {
        (void)snprintf(out, size, "%s", file);
        return;
    }
    yaml_path(at, path, sizeof path);
    (void)snprintf(out, size, "%s:%d%s%s", file, yaml_line(at), path[0] == '\0' ? "" : " ", path);
}

void rule_tell(struct rule_run *run, const struct yaml_node *at, const char *format, ...)
{
    if (run->failed || run->told++ >= FINDINGS_PER_RULE)
        return;
    struct policy_finding *finding = findings_add(run);
    if (finding == NULL)
        return;
    write_place(run, at, finding->where, sizeof finding->where);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(finding->text, sizeof finding->text, format, args);
    va_end(args);
    yaml_clean_controls(finding->text);
}

const struct yaml_node *rule_field(const struct yaml_node *map, const char *field)
{
    const struct yaml_node *node = yaml_map_get(map, field);
    return node == NULL ? map : node;
}

const struct yaml_node *rule_defaults(const struct rule_run *run, const char *field)
{
    const struct policy *policy = run->policy;
    if (policy->defaults_at == NULL)
        return yaml_root(policy->file);
    return rule_field(policy->defaults_at, field);
}

static const struct yaml_node *first_field(const struct yaml_node *map, const char *const fields[])
{
    for (size_t i = 0; fields[i] != NULL; i++) {
        const struct yaml_node *node = yaml_map_get(map, fields[i]);
        if (node != NULL)
            return node;
    }
    return NULL;
}

void rule_each_settings(struct rule_run *run, const char *const fields[],
                        void (*visit)(struct rule_run *run, const struct rule_settings *where))
{
    const struct policy *policy = run->policy;
    const struct yaml_node *at =
        policy->defaults_at == NULL ? NULL : first_field(policy->defaults_at, fields);
    visit(run, &(struct rule_settings){at != NULL ? at : rule_defaults(run, fields[0]),
                                       &policy->defaults});
    for (size_t i = 0; i < policy->pair_count; i++) {
        at = first_field(policy->pairs[i].at, fields);
        if (at != NULL)
            visit(run, &(struct rule_settings){at, &policy->pairs[i].settings});
    }
    for (size_t i = 0; i < policy->mesh_count; i++) {
        at = first_field(policy->meshes[i].at, fields);
        if (at != NULL)
            visit(run, &(struct rule_settings){at, &policy->meshes[i].settings});
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static void run_rule(struct rule_run *run, const struct policy_rule *rule)
{
    run->rule = rule;
    run->told = 0;
    rule->check(run);
    if (run->told <= FINDINGS_PER_RULE || run->failed)
        return;
    struct policy_finding *finding = findings_add(run);
    if (finding == NULL)
        return;
    write_place(run, NULL, finding->where, sizeof finding->where);
    (void)snprintf(finding->text, sizeof finding->text, "and %zu more findings of this rule",
                   run->told - FINDINGS_PER_RULE);
}

static enum mikeyd_status finish(struct rule_run *run)
{
    if (!run->failed)
        return MIKEYD_OK;
    policy_findings_free(run->out);
    return MIKEYD_INTERNAL;
}

enum mikeyd_status policy_check_errors(const struct policy *policy, struct policy_findings *out)
{
    *out = (struct policy_findings){0};
    struct rule_run run = {.policy = policy, .out = out};
    const struct policy_rule *rule;
    for (size_t i = 0; (rule = policy_rule_at(i)) != NULL; i++) {
        if (rule->severity == POLICY_ERROR && rule->needs == RULE_NEEDS_FILE)
            run_rule(&run, rule);
    }
    return finish(&run);
}

enum mikeyd_status policy_check(const struct policy *policy,
                                const struct policy_token_key *token_keys, size_t token_key_count,
                                int64_t now, struct policy_findings *out)
{
    *out = (struct policy_findings){0};
    struct rule_run run = {.policy = policy,
                           .token_keys = token_keys,
                           .token_key_count = token_key_count,
                           .now = now,
                           .out = out};
    const struct policy_rule *rule;
    for (size_t i = 0; (rule = policy_rule_at(i)) != NULL; i++) {
        if (rule->needs != RULE_NEEDS_TOKEN || token_keys != NULL)
            run_rule(&run, rule);
    }
    return finish(&run);
}

enum mikeyd_status policy_findings_add_token(struct policy_findings *findings, const char *prefix,
                                             const struct policy_findings *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct policy_finding *source = &from->list[i];
        if (!source->about_token)
            continue;
        struct policy_finding *finding = findings_grow(findings);
        if (finding == NULL)
            return MIKEYD_INTERNAL;
        *finding = *source;
        if (prefix != NULL)
            (void)snprintf(finding->text, sizeof finding->text, "%.80s: %.230s", prefix,
                           source->text);
    }
    return MIKEYD_OK;
}

void policy_findings_free(struct policy_findings *findings)
{
    free(findings->list);
    *findings = (struct policy_findings){0};
}

bool policy_findings_have_error(const struct policy_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->list[i].severity == POLICY_ERROR)
            return true;
    }
    return false;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *coverage_json(void)
{
    json_t *list = json_array();
    const struct policy_coverage *row;
    for (size_t i = 0; (row = policy_coverage_at(i)) != NULL; i++) {
        json_t *item =
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", row->id, "section",
                      row->section, "strength", row->strength, "requirement", row->requirement,
                      "status", policy_coverage_status_name(row->status), "reason", row->reason,
                      "rules", row->rules, "code", row->code, "test", row->test);
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *policy_findings_json(const struct policy *policy, const struct policy_findings *findings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < findings->count; i++) {
        const struct policy_finding *finding = &findings->list[i];
        json_t *item = json_pack("{s:s, s:s, s:s, s:s}", "rule", finding->rule, "severity",
                                 policy_severity_name(finding->severity), "where", finding->where,
                                 "text", finding->text);
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    /* json_pack takes both lists, also when it fails. */
    return json_pack("{s:s, s:s, s:o, s:o}", "policy", yaml_name(policy->file), "sha256",
                     policy->sha256, "findings", list, "rules", coverage_json());
}
