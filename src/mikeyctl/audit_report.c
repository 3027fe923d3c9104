/* mikeyctl audit report: the auditor's page, from the log, the policy and a key listing. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/report/report.h"
#include "base/clock.h"
#include "mikeyctl/audit_command.h"
#include "policy/findings.h"

struct page {
    struct audit_report *report;
    struct audit_verdict *verdict;
    struct audit_report_input input;
    json_t *policy, *keys;
    char generated[CLOCK_TEXT];
    char host[256];
};

static enum mikeyd_status examine_policy(const char *path, json_t **out, struct error *err)
{
    struct policy *policy = NULL;
    struct policy_findings findings = {0};
    enum mikeyd_status status = policy_load_to_check(path, &policy, err);
    if (status != MIKEYD_OK)
        return status;
    status = policy_check(policy, NULL, 0, clock_unix_now(), &findings);
    if (status == MIKEYD_OK)
        *out = policy_findings_json(policy, &findings);
    if (status == MIKEYD_OK && *out == NULL)
        status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    policy_findings_free(&findings);
    policy_unref(policy);
    return status;
}

static enum mikeyd_status read_keys(const char *path, json_t **out, struct error *err)
{
    json_error_t where;
    *out = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (*out == NULL)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "%s:%d: %s", path, where.line, where.text);
    return MIKEYD_OK;
}

/* A log that does not verify still gets its page, which says so first. */
static enum mikeyd_status read_log(const struct audit_arguments *arguments, struct page *page,
                                   struct error *err)
{
    struct audit_verify_options options = audit_verify_options_of(arguments);
    options.visit = audit_report_add;
    options.visit_context = page->report;
    return audit_verify(&options, page->verdict, err);
}

static bool write_page(void *context, FILE *stream)
{
    const struct page *page = context;
    return audit_report_write(page->report, &page->input, stream);
}

/* verdict: what verification said of the log; the page is written in any case. */
static enum mikeyd_status make_page(const struct audit_arguments *arguments, struct page *page,
                                    enum mikeyd_status *verdict, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    if (page->report == NULL || page->verdict == NULL)
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    if (arguments->policy != NULL)
        status = examine_policy(arguments->policy, &page->policy, err);
    if (status == MIKEYD_OK && arguments->keys != NULL)
        status = read_keys(arguments->keys, &page->keys, err);
    if (status != MIKEYD_OK)
        return status;
    *verdict = read_log(arguments, page, err);
    if (*verdict != MIKEYD_OK && *verdict != MIKEYD_SYNTAX)
        return *verdict;
    clock_format_utc(clock_unix_ms(), page->generated);
    page->input = (struct audit_report_input){
        .verdict = page->verdict,
        .policy = page->policy,
        .keys = page->keys,
        .log_name = arguments->files[arguments->file_count - 1],
        .generated = page->generated,
        .host = gethostname(page->host, sizeof page->host - 1) == 0 ? page->host : NULL};
    struct error write_error = {0};
    status = audit_write_whole(arguments->html, write_page, page, &write_error);
    if (status != MIKEYD_OK && err != NULL)
        *err = write_error;
    return status;
}

int audit_command_report(const struct audit_arguments *arguments)
{
    struct error err = {0};
    enum mikeyd_status verdict = MIKEYD_OK;
    struct page page = {.report = audit_report_make(), .verdict = calloc(1, sizeof *page.verdict)};
    enum mikeyd_status status = make_page(arguments, &page, &verdict, &err);
    int result;
    if (status != MIKEYD_OK || verdict != MIKEYD_OK)
        result = ctl_fail(arguments->json, &err);
    else if (arguments->json)
        result = ctl_print(json_pack("{s:s, s:b}", "html", arguments->html, "good", true));
    else
        result = printf("%s: written; the log verifies\n", arguments->html) < 0 ? 6 : 0;
    audit_report_free(page.report);
    free(page.verdict);
    json_decref(page.policy);
    json_decref(page.keys);
    return result;
}
