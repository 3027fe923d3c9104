/* Policy, keys and ceremony: what was allowed, and what was there. */
#include <inttypes.h>
#include <string.h>

#include "audit/report/markup.h"
#include "audit/report/page.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value == NULL ? "" : value;
}

static const char *severity_class(const char *severity)
{
    if (strcmp(severity, "error") == 0)
        return "bad";
    return strcmp(severity, "warning") == 0 ? "warn" : "plain";
}

static void tag(FILE *out, const char *class_name, const char *text)
{
    (void)fprintf(out, "<span class=\"tag %s\">", class_name);
    html_text(out, text);
    html_markup(out, "</span>");
}

/* ---- policy ---- */

static void write_officers(FILE *out, const struct report_policy *policy)
{
    char text[sizeof policy->officers + 40];
    (void)snprintf(text, sizeof text, "serial %" PRIu64 ": %s", policy->serial, policy->officers);
    html_cell(out, NULL, policy->officers[0] == '\0' ? "nobody" : text);
}

static void write_policies_in_force(FILE *out, const struct audit_report *report,
                                    const char *given_sha256)
{
    if (report->policy_count == 0)
        return;
    html_markup(out, "<h3>In force according to the log</h3>\n");
    html_table(out, (const char *const[]){"SHA-256", "First record", "Last record", "#Records",
                                          "Signed by officers", "", NULL});
    for (size_t i = 0; i < report->policy_count; i++) {
        const struct report_policy *policy = &report->policies[i];
        char time[CLOCK_TEXT];
        html_row(out);
        html_cell(out, "m", policy->sha256);
        html_cell(out, "t", report_time(policy->first, time));
        html_cell(out, "t", report_time(policy->last, time));
        html_count_cell(out, policy->records);
        write_officers(out, policy);
        html_cell_open(out, NULL);
        if (given_sha256[0] != '\0' && strcmp(given_sha256, policy->sha256) == 0)
            tag(out, "good", "examined below");
        html_markup(out, "</td></tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

/* "policies/carrier.yaml:14 ..." is said of "policies/carrier.yaml", which stands above the table.
 */
static size_t folder_len(const json_t *finding, const json_t *policy)
{
    const char *file = text_of(policy, "policy");
    const char *slash = strrchr(file, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - file) + 1;
    return strncmp(text_of(finding, "where"), file, len) == 0 ? len : 0;
}

static void write_findings(FILE *out, const json_t *policy)
{
    const json_t *findings = json_object_get(policy, "findings");
    size_t index;
    json_t *finding;
    html_markup(out, "<h3>Findings</h3>\n");
    if (json_array_size(findings) == 0) {
        html_markup(out, "<p>None.</p>\n");
        return;
    }
    html_table(out, (const char *const[]){"Weight", "Rule", "Where", "Finding", NULL});
    json_array_foreach(findings, index, finding)
    {
        const char *severity = text_of(finding, "severity");
        html_row(out);
        html_cell_open(out, NULL);
        tag(out, severity_class(severity), severity);
        html_markup(out, "</td>");
        html_cell(out, "t", text_of(finding, "rule"));
        html_cell(out, NULL, text_of(finding, "where") + folder_len(finding, policy));
        html_cell(out, NULL, text_of(finding, "text"));
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

void report_write_policy(FILE *out, const struct audit_report *report,
                         const struct audit_report_input *input)
{
    const char *sha256 = text_of(input->policy, "sha256");
    html_markup(out, "<section><h2>Policy</h2>\n");
    write_policies_in_force(out, report, sha256);
    if (input->policy == NULL) {
        html_markup(out, "<p class=\"soft\">No policy file was given: its findings against "
                         "RFC 9257 are not part of this report.</p>\n</section>\n");
        return;
    }
    html_markup(out, "<h3>Examined: ");
    html_text(out, text_of(input->policy, "policy"));
    html_markup(out, "</h3>\n<p class=\"soft\">SHA-256 ");
    html_text(out, sha256);
    html_markup(out, "</p>\n");
    write_findings(out, input->policy);
    html_markup(out, "</section>\n");
}

void report_write_requirements(FILE *out, const struct audit_report_input *input)
{
    const json_t *rules = json_object_get(input->policy, "rules");
    size_t index;
    json_t *rule;
    if (json_array_size(rules) == 0)
        return;
    html_markup(out, "<section><h2>Requirements of RFC 9257 and RFC 3830, one by one</h2>\n");
    html_table(out, (const char *const[]){"Requirement", "Strength", "Status", "How", NULL});
    json_array_foreach(rules, index, rule)
    {
        const char *status = text_of(rule, "status");
        html_row(out);
        html_cell_open(out, NULL);
        html_text(out, text_of(rule, "requirement"));
        html_markup(out, " <span class=\"soft\">");
        html_text(out, text_of(rule, "section"));
        html_markup(out, "</span></td>");
        html_cell(out, "t", text_of(rule, "strength"));
        html_cell_open(out, NULL);
        tag(out, strcmp(status, "enforced") == 0 ? "good" : "plain", status);
        html_markup(out, "</td>");
        html_cell(out, NULL, text_of(rule, "reason"));
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n</section>\n");
}

/* ---- keys ---- */

/* The name of a pair key is a hash, which tells nobody anything: its two ends come first. */
static void write_pair_ends(FILE *out, const json_t *key)
{
    if (text_of(key, "initiator")[0] == '\0')
        return;
    html_text(out, text_of(key, "initiator"));
    html_markup(out, " &rarr; ");
    html_text(out, text_of(key, "responder"));
    html_markup(out, "<br><span class=\"soft\">");
}

/* After SP 800-57, when the listing has it. */
static void write_state(FILE *out, const json_t *key)
{
    const char *state = text_of(key, "state");
    html_cell_open(out, NULL);
    if (state[0] != '\0')
        tag(out, strcmp(state, "active") == 0 ? "good" : "plain", state);
    if (text_of(key, "state_why")[0] != '\0') {
        html_markup(out, " <span class=\"soft\">");
        html_text(out, text_of(key, "state_why"));
        html_markup(out, "</span>");
    }
    html_markup(out, "</td>");
}

/* One key of `mikeyctl key check --json`, or of `key inventory --json`. */
static void write_key(FILE *out, const json_t *key)
{
    char text[REPORT_NAME];
    const json_int_t generation = json_integer_value(json_object_get(key, "generation"));
    const json_int_t bits = json_integer_value(json_object_get(key, "bits"));
    const char *findings = text_of(key, "findings");
    html_row(out);
    html_cell(out, "t", text_of(key, "kind"));
    (void)snprintf(text, sizeof text, "%s/%" JSON_INTEGER_FORMAT, text_of(key, "name"), generation);
    html_cell_open(out, NULL);
    write_pair_ends(out, key);
    html_text(out, text);
    html_markup(out, text_of(key, "initiator")[0] == '\0' ? "</td>" : "</span></td>");
    html_cell(out, NULL, text_of(key, "token"));
    html_count_cell(out, bits > 0 ? (uint64_t)bits : 0);
    html_cell(out, NULL, text_of(key, "flags"));
    html_cell(out, NULL, text_of(key, "mechanisms"));
    (void)snprintf(text, sizeof text, "%s%s%s", text_of(key, "start_date"),
                   text_of(key, "end_date")[0] == '\0' ? "" : " to ", text_of(key, "end_date"));
    html_cell(out, NULL, text);
    write_state(out, key);
    html_cell_open(out, NULL);
    if (!json_is_true(json_object_get(key, "usable"))) {
        tag(out, "bad", "refused");
        html_markup(out, " ");
    }
    html_text(out, findings);
    html_markup(out, "</td></tr>\n");
}

static void write_key_findings(FILE *out, const json_t *findings)
{
    size_t index;
    json_t *finding;
    if (json_array_size(findings) == 0)
        return;
    html_table(out, (const char *const[]){"Weight", "Rule", "Token", "Finding", NULL});
    json_array_foreach(findings, index, finding)
    {
        const char *severity = text_of(finding, "severity");
        html_row(out);
        html_cell_open(out, NULL);
        tag(out, severity_class(severity), severity);
        html_markup(out, "</td>");
        html_cell(out, "t", text_of(finding, "rule"));
        html_cell(out, NULL, text_of(finding, "token"));
        html_cell(out, NULL, text_of(finding, "text"));
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

static void write_key_table(FILE *out, const json_t *listing)
{
    const json_t *keys = json_object_get(listing, "keys");
    size_t index;
    json_t *key;
    html_markup(out, "<h3>In the token</h3>\n");
    html_table(out, (const char *const[]){"Kind", "Key", "Token", "#Bits", "Flags", "Mechanisms",
                                          "Valid", "State", "Findings", NULL});
    json_array_foreach(keys, index, key)
    {
        write_key(out, key);
    }
    html_markup(out, "</tbody></table>\n");
    write_key_findings(out, json_object_get(listing, "findings"));
}

/* "NAME/GENERATION", with the pair whose it is in front. */
static void write_step_key(FILE *out, const char *text, const json_t *keys)
{
    const size_t len = strcspn(text, "/");
    const json_t *found = NULL, *key;
    size_t index;
    json_array_foreach(keys, index, key)
    {
        const char *name = text_of(key, "name");
        if (strlen(name) == len && strncmp(name, text, len) == 0)
            found = key;
    }
    write_pair_ends(out, found);
    html_text(out, text);
    html_markup(out, text_of(found, "initiator")[0] == '\0' ? "</td>" : "</span></td>");
}

static void write_steps(FILE *out, const struct audit_report *report,
                        const struct audit_report_input *input)
{
    html_markup(out, "<h3>Ceremony</h3>\n");
    if (report->step_count == 0) {
        html_markup(out, "<p class=\"soft\">This log holds no ceremony step.</p>\n");
        return;
    }
    if (report->steps_total > report->step_count)
        (void)fprintf(out, "<p class=\"soft\">The last %zu of %" PRIu64 " steps.</p>\n",
                      report->step_count, report->steps_total);
    html_table(out, (const char *const[]){"Time", "Step", "Key", "By", "Result", "Detail", NULL});
    for (size_t i = 0; i < report->step_count; i++) {
        const struct report_event *step = &report->steps[i];
        char time[CLOCK_TEXT];
        html_row(out);
        html_cell(out, "t", report_time(step->time, time));
        html_cell(out, "t", audit_event_name(step->event));
        html_cell_open(out, NULL);
        write_step_key(out, step->key, json_object_get(input->keys, "keys"));
        html_cell(out, NULL, step->client);
        html_cell_open(out, NULL);
        tag(out, strcmp(step->result, "OK") == 0 ? "good" : "bad", step->result);
        html_markup(out, "</td>");
        html_cell(out, NULL, step->detail);
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

void report_write_keys(FILE *out, const struct audit_report *report,
                       const struct audit_report_input *input)
{
    html_markup(out, "<section><h2>Keys</h2>\n");
    if (json_array_size(json_object_get(input->keys, "keys")) > 0) {
        write_key_table(out, input->keys);
    } else {
        html_markup(out, "<p class=\"soft\">No key listing was given: attributes of the objects in "
                         "the token are not part of this report.</p>\n");
    }
    write_steps(out, report, input);
    html_markup(out, "</section>\n");
}
