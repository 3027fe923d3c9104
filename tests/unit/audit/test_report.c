/* The report's arithmetic, its bounds, its escaping and its colours. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "audit/report/data.h"
#include "audit/report/markup.h"
#include "audit/report/report.h"

TestSuite(audit_report_unit, .timeout = 60);

static void add(struct audit_report *report, const char *event, const char *day, const char *from,
                const char *result)
{
    char time[40];
    (void)snprintf(time, sizeof time, "%sT12:00:00.000Z", day);
    json_t *record =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:i}", "seq", 1, "time", time, "event", event,
                  "result", result, "from", from, "to", "sip:to@x", "keys", 2);
    cr_assert_not_null(record);
    audit_report_add(report, record, true);
    json_decref(record);
}

static char *write_page(const struct audit_report *report)
{
    static struct audit_verdict verdict;
    char *page = NULL;
    size_t len = 0;
    FILE *stream = open_memstream(&page, &len);
    const struct audit_report_input input = {.verdict = &verdict,
                                             .log_name = "a&b<c>\"d'.jsonl",
                                             .generated = "2026-11-01T00:00:00.000Z"};
    cr_assert(audit_report_write(report, &input, stream));
    cr_assert_eq(fclose(stream), 0);
    return page;
}

Test(audit_report_unit, confirmation_is_no_second_exchange_but_releases_keys)
{
    struct audit_report *report = audit_report_make();
    add(report, "initiate", "2026-11-01", "sip:a@x", "OK");
    add(report, "confirm", "2026-11-01", "sip:a@x", "OK");
    cr_assert_eq(report->exchanges, 1);
    cr_assert_eq(report->keys, 4);
    audit_report_free(report);
}

Test(audit_report_unit, days_before_the_window_are_summed)
{
    struct audit_report *report = audit_report_make();
    add(report, "respond", "2020-01-01", "sip:a@x", "OK");
    add(report, "respond", "2026-11-01", "sip:a@x", "OK");
    add(report, "respond", "2026-11-02", "sip:a@x", "OK");
    add(report, "respond", "2020-01-02", "sip:a@x", "OK"); /* a clock that stepped back */
    cr_assert_eq(report->exchanges, 4);
    cr_assert_eq(report->earlier, 2);
    uint64_t sum = 0;
    for (size_t i = 0; i < REPORT_DAYS; i++)
        sum += report->all_by_day[i];
    cr_assert_eq(sum, 2);
    cr_assert_eq(report->pairs[0].by_day[REPORT_DAYS - 1], 1);
    free(write_page(report));
    audit_report_free(report);
}

Test(audit_report_unit, pairs_beyond_the_table_are_counted_together)
{
    struct audit_report *report = audit_report_make();
    for (int i = 0; i < REPORT_PAIRS + 50; i++) {
        char from[32];
        (void)snprintf(from, sizeof from, "sip:%d@x", i);
        add(report, "respond", "2026-11-01", from, "OK");
    }
    cr_assert_eq(report->pair_count, REPORT_PAIRS);
    cr_assert_eq(report->pairs[REPORT_PAIRS].exchanges, 50);
    char *page = write_page(report);
    cr_assert_not_null(strstr(page, "All other pairs together: 1,062 exchanges"));
    free(page);
    audit_report_free(report);
}

Test(audit_report_unit, text_is_escaped)
{
    struct audit_report *report = audit_report_make();
    char *page = write_page(report);
    cr_assert_not_null(strstr(page, "a&amp;b&lt;c&gt;&quot;d&#39;.jsonl"));
    cr_assert_null(strstr(page, "b<c>"));
    free(page);
    audit_report_free(report);
}

Test(audit_report_unit, numbers_are_grouped)
{
    char buffer[32];
    cr_assert_str_eq(html_count(0, buffer), "0");
    cr_assert_str_eq(html_count(999, buffer), "999");
    cr_assert_str_eq(html_count(1000, buffer), "1,000");
    cr_assert_str_eq(html_count(UINT64_MAX, buffer), "18,446,744,073,709,551,615");
}

/* ---- colours ---- */

static double channel(unsigned value)
{
    double c = value / 255.0;
    return c <= 0.03928 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

/* WCAG 2.1: relative luminance. */
static double luminance(const char *name)
{
    for (const struct audit_report_colour *c = audit_report_palette; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0)
            return 0.2126 * channel(c->rgb >> 16 & 0xff) + 0.7152 * channel(c->rgb >> 8 & 0xff) +
                   0.0722 * channel(c->rgb & 0xff);
    }
    cr_assert_fail("%s is not in the palette", name);
    return 0;
}

Test(audit_report_unit, every_pair_of_colours_has_enough_contrast)
{
    for (const struct audit_report_pair *pair = audit_report_pairs; pair->text != NULL; pair++) {
        double a = luminance(pair->text), b = luminance(pair->background);
        double ratio = (fmax(a, b) + 0.05) / (fmin(a, b) + 0.05);
        cr_assert_geq(ratio, 4.5, "%s on %s: %.2f", pair->text, pair->background, ratio);
    }
}

static bool is_paired(const char *name, bool text)
{
    for (const struct audit_report_pair *pair = audit_report_pairs; pair->text != NULL; pair++) {
        if (strcmp(text ? pair->text : pair->background, name) == 0)
            return true;
    }
    return false;
}

/* No colour of the style sheet escapes the test above. */
Test(audit_report_unit, style_sheet_uses_paired_colours_only)
{
    struct audit_report *report = audit_report_make();
    char *page = write_page(report);
    char *rules = strstr(page, "}\n*{");
    char *end = strstr(page, "</style>");
    cr_assert(rules != NULL && end != NULL);
    *end = '\0';
    cr_assert_null(strchr(rules, '#'), "a colour that is not in the palette");
    unsigned texts = 0, backgrounds = 0;
    for (char *at = rules; (at = strstr(at, "var(")) != NULL; at++) {
        char name[32];
        cr_assert_eq(sscanf(at, "var(%31[^)])", name), 1);
        if (strncmp(at - 11, "background:", 11) == 0) {
            cr_assert(is_paired(name, false), "%s as a background", name);
            backgrounds++;
        } else if (strncmp(at - 7, ";color:", 7) == 0 || strncmp(at - 7, "{color:", 7) == 0) {
            cr_assert(is_paired(name, true), "%s as text", name);
            texts++;
        }
    }
    cr_assert_geq(texts, 8);
    cr_assert_geq(backgrounds, 6);
    free(page);
    audit_report_free(report);
}
