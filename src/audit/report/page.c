/* The page: frame, verdict, figures, and what the chain and its signatures say. */
#include "audit/report/page.h"

#include <inttypes.h>
#include <string.h>

#include "audit/report/markup.h"
#include "audit/report/style.h"

const char *report_time(const char *time, char buffer[CLOCK_TEXT])
{
    (void)snprintf(buffer, CLOCK_TEXT, "%.19s", time);
    char *t = strchr(buffer, 'T');
    if (t != NULL)
        *t = ' ';
    return buffer;
}

static void write_head(FILE *out, const struct audit_report_input *input)
{
    char first[CLOCK_TEXT], last[CLOCK_TEXT], made[CLOCK_TEXT];
    html_markup(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                     "<title>Audit report: ");
    html_text(out, input->log_name);
    html_markup(out, "</title>\n");
    report_style_write(out);
    html_markup(out, "</head>\n<body>\n<header><div class=\"page\"><h1>Audit report</h1>\n<p>");
    html_text(out, input->log_name);
    if (input->host != NULL) {
        html_markup(out, " on ");
        html_text(out, input->host);
    }
    html_markup(out, "<br>");
    html_text(out, report_time(input->verdict->first_time, first));
    html_markup(out, " to ");
    html_text(out, report_time(input->verdict->last_time, last));
    html_markup(out, " UTC &middot; report of ");
    html_text(out, report_time(input->generated, made));
    html_markup(out, " UTC</p>\n</div></header>\n<main class=\"page\">\n");
}

static void write_banner(FILE *out, const struct audit_verdict *verdict)
{
    char count[32];
    if (!verdict->good) {
        html_markup(out, "<div class=\"banner bad\"><strong>&#10007; The log does not verify"
                         "</strong><p>");
        html_markup(out, html_count(verdict->failures, count));
        html_markup(out, " failures. The figures below are what the file says, not what is proven."
                         "</p></div>\n");
    } else if (!verdict->signatures_checked || verdict->checkpoints == 0) {
        html_markup(out, "<div class=\"banner warn\"><strong>! The chain is unbroken, its "
                         "signatures were not checked</strong><p>Whoever can write the file could "
                         "have rewritten all of it. Give the public key to check.</p></div>\n");
    } else {
        html_markup(out, "<div class=\"banner good\"><strong>&#10003; The log is intact and signed "
                         "up to record ");
        html_markup(out, html_count(verdict->covered_sequence, count));
        html_markup(out, "</strong><p>Every record follows the one before, and every checkpoint is "
                         "signed by the key given.</p></div>\n");
    }
}

static void tile(FILE *out, uint64_t value, const char *label, const char *class_name)
{
    char count[32];
    (void)fprintf(out, "<div class=\"tile\"><b class=\"%s\">%s</b><span>%s</span></div>\n",
                  class_name, html_count(value, count), label);
}

static void write_tiles(FILE *out, const struct audit_report *report,
                        const struct audit_verdict *verdict)
{
    html_markup(out, "<div class=\"tiles\">\n");
    tile(out, report->exchanges, "key exchanges", "");
    tile(out, report->keys, "session keys released", "");
    tile(out, report->refusals, "requests refused", "");
    tile(out, report->outages_total, "token outages", report->outages_total > 0 ? "warn" : "");
    tile(out, verdict->lost, "records the disk refused", verdict->lost > 0 ? "warn" : "");
    tile(out, verdict->records, "records", "");
    html_markup(out, "</div>\n");
}

static void fact(FILE *out, const char *name, const char *class_name, const char *value)
{
    (void)fprintf(out, "<tr><th scope=\"row\">%s</th><td class=\"%s\">", name, class_name);
    html_text(out, value);
    html_markup(out, "</td></tr>\n");
}

static void write_problems(FILE *out, const struct audit_verdict *verdict)
{
    if (verdict->problem_count == 0)
        return;
    html_markup(out, "<h3>What is wrong</h3>\n");
    html_table(out, (const char *const[]){"Weight", "Kind", "File, line", "#Record", "What", NULL});
    for (size_t i = 0; i < verdict->problem_count; i++) {
        const struct audit_problem *problem = &verdict->problems[i];
        char place[sizeof problem->file + 32];
        html_row(out);
        html_cell_open(out, NULL);
        html_markup(out, problem->warning ? "<span class=\"tag warn\">warning</span></td>"
                                          : "<span class=\"tag bad\">failure</span></td>");
        html_cell(out, NULL, audit_problem_name(problem->kind));
        if (problem->line != 0)
            (void)snprintf(place, sizeof place, "%s:%" PRIu64, problem->file, problem->line);
        else
            (void)snprintf(place, sizeof place, "%s", problem->file);
        html_cell(out, NULL, place);
        html_count_cell(out, problem->sequence);
        html_cell(out, NULL, problem->text);
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

void report_write_integrity(FILE *out, const struct audit_report_input *input)
{
    const struct audit_verdict *verdict = input->verdict;
    char text[320];
    html_markup(out, "<section><h2>Chain and signatures</h2>\n<table class=\"facts\"><tbody>\n");
    (void)snprintf(text, sizeof text, "%" PRIu64 " to %" PRIu64 " in %zu file%s",
                   verdict->first_sequence, verdict->last_sequence, verdict->file_count,
                   verdict->file_count == 1 ? "" : "s");
    fact(out, "Records", "", text);
    (void)snprintf(text, sizeof text, "%" PRIu64 ", by key %s", verdict->checkpoints,
                   verdict->checkpoints == 0 ? "none" : verdict->signer);
    fact(out, "Checkpoints", "", text);
    if (verdict->signatures_checked)
        (void)snprintf(text, sizeof text, "%" PRIu64 " good, %" PRIu64 " not",
                       verdict->good_signatures, verdict->checkpoints - verdict->good_signatures);
    else
        (void)snprintf(text, sizeof text, "not checked: no public key was given");
    fact(out, "Signatures", "", text);
    (void)snprintf(text, sizeof text, "up to record %" PRIu64 "; %" PRIu64 " after it are not%s",
                   verdict->covered_sequence, verdict->last_sequence - verdict->covered_sequence,
                   verdict->closed ? " (the closing checkpoint itself)" : " yet");
    fact(out, "Covered by a signature", "", text);
    if (verdict->ceremony_records > 0) {
        (void)snprintf(
            text, sizeof text,
            "%" PRIu64 " records beside the daemon; covered up to record %" PRIu64 " of %" PRIu64,
            verdict->ceremony_records, verdict->ceremony_covered, verdict->ceremony_last);
        fact(out, "Ceremony's own log", "", text);
    }
    (void)snprintf(text, sizeof text, "%" PRIu64 "; %" PRIu64 " records refused by the disk",
                   verdict->recoveries, verdict->lost);
    fact(out, "Recoveries", "", text);
    fact(out, "Hash of the last record", "m", verdict->last_hash);
    html_markup(out, "</tbody></table>\n<p class=\"soft\">No key was released for a record that "
                     "the disk refused. The hash of the last record is the anchor for the next "
                     "verification: a log that lacks it was cut or rewritten.</p>\n");
    write_problems(out, verdict);
    html_markup(out, "</section>\n");
}

bool audit_report_write(const struct audit_report *report, const struct audit_report_input *input,
                        FILE *out)
{
    write_head(out, input);
    write_banner(out, input->verdict);
    write_tiles(out, report, input->verdict);
    report_write_integrity(out, input);
    report_write_policy(out, report, input);
    report_write_keys(out, report, input);
    report_write_exchanges(out, report);
    report_write_refusals(out, report);
    report_write_outages(out, report);
    report_write_events(out, report);
    report_write_requirements(out, input);
    html_markup(out, "</main>\n<footer class=\"page\">mikeyd " MIKEYD_VERSION
                     " &middot; times are UTC &middot; made from the log alone: what is not in it "
                     "is not here</footer>\n</body>\n</html>\n");
    return fflush(out) == 0 && ferror(out) == 0;
}
