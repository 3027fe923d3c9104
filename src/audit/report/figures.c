/* Exchanges, refusals, outages and events: what happened. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/report/chart.h"
#include "audit/report/markup.h"
#include "audit/report/page.h"

#define PAIRS_SHOWN 12
#define CLIENTS_SHOWN 20

/* ---- exchanges ---- */

static int by_exchanges(const void *a, const void *b)
{
    const struct report_pair *left = *(const struct report_pair *const *)a;
    const struct report_pair *right = *(const struct report_pair *const *)b;
    return left->exchanges > right->exchanges ? -1 : left->exchanges < right->exchanges;
}

static void write_pair(FILE *out, const struct audit_report *report, const struct report_pair *pair)
{
    char count[32];
    html_markup(out, "<div class=\"pair\"><h4>");
    html_text(out, pair->from[0] == '\0' ? "(unnamed)" : pair->from);
    html_markup(out, " &rarr; ");
    html_text(out, pair->to[0] == '\0' ? "(unnamed)" : pair->to);
    html_markup(out, "</h4><p>");
    html_markup(out, html_count(pair->exchanges, count));
    html_markup(out, " exchanges, ");
    html_markup(out, html_count(pair->keys, count));
    html_markup(out, " keys</p>");
    report_chart_days(out, pair->by_day, report->day_count, report->first_day, 440, 104,
                      "exchanges");
    html_markup(out, "</div>\n");
}

static void write_other_pairs(FILE *out, const struct report_pair *const *order, size_t count,
                              const struct report_pair *uncounted)
{
    uint64_t exchanges = uncounted->exchanges, keys = uncounted->keys;
    char text[32];
    for (size_t i = PAIRS_SHOWN; i < count; i++) {
        exchanges += order[i]->exchanges;
        keys += order[i]->keys;
    }
    if (exchanges == 0 && keys == 0)
        return;
    html_markup(out, "<p class=\"soft\">All other pairs together: ");
    html_markup(out, html_count(exchanges, text));
    html_markup(out, " exchanges, ");
    html_markup(out, html_count(keys, text));
    html_markup(out, " keys.</p>\n");
}

static void write_pairs(FILE *out, const struct audit_report *report)
{
    const struct report_pair *order[REPORT_PAIRS] = {0};
    for (size_t i = 0; i < report->pair_count; i++)
        order[i] = &report->pairs[i];
    qsort(order, report->pair_count, sizeof order[0], by_exchanges);
    html_markup(out, "<h3>By pair and day</h3>\n");
    if (report->pair_count > PAIRS_SHOWN)
        (void)fprintf(out, "<p class=\"soft\">The %d busiest of %zu%s pairs.</p>\n", PAIRS_SHOWN,
                      report->pair_count, report->pair_count == REPORT_PAIRS ? " or more" : "");
    html_markup(out, "<div class=\"pairs\">\n");
    for (size_t i = 0; i < report->pair_count && i < PAIRS_SHOWN; i++)
        write_pair(out, report, order[i]);
    html_markup(out, "</div>\n");
    write_other_pairs(out, order, report->pair_count, &report->pairs[REPORT_PAIRS]);
}

static int by_keys(const void *a, const void *b)
{
    const struct report_client *left = *(const struct report_client *const *)a;
    const struct report_client *right = *(const struct report_client *const *)b;
    return left->exchanges > right->exchanges ? -1 : left->exchanges < right->exchanges;
}

/* Who got the keys. */
static void write_users(FILE *out, const struct audit_report *report)
{
    const struct report_client *order[REPORT_CLIENTS] = {0};
    size_t count = 0;
    for (size_t i = 0; i < report->client_count; i++) {
        if (report->clients[i].exchanges > 0 || report->clients[i].keys > 0)
            order[count++] = &report->clients[i];
    }
    qsort(order, count, sizeof order[0], by_keys);
    html_markup(out, "<h3>By client</h3>\n");
    html_table(out, (const char *const[]){"Client", "#Exchanges", "#Keys released", NULL});
    for (size_t i = 0; i < count && i < CLIENTS_SHOWN; i++) {
        html_row(out);
        html_cell(out, NULL, order[i]->name[0] == '\0' ? "(not known)" : order[i]->name);
        html_count_cell(out, order[i]->exchanges);
        html_count_cell(out, order[i]->keys);
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

static void write_release(FILE *out, const struct report_release *release)
{
    char text[32];
    html_row(out);
    html_cell(out, "t", report_time(release->time, text));
    html_cell(out, NULL, release->client);
    html_cell_open(out, NULL);
    html_text(out, release->from);
    html_markup(out, " &rarr; ");
    html_text(out, release->to);
    html_markup(out, "</td>");
    html_cell(out, NULL, release->reference);
    html_cell(out, NULL, release->key);
    html_count_cell(out, release->keys);
    html_count_cell(out, release->sequence);
    html_markup(out, "</tr>\n");
}

/* Newest first. */
static void write_releases(FILE *out, const struct audit_report *report)
{
    const uint64_t total = report->releases_total;
    const uint64_t shown = total < REPORT_RELEASES ? total : REPORT_RELEASES;
    if (total == 0)
        return;
    html_markup(out, "<h3>Latest releases of keys</h3>\n");
    (void)fprintf(out,
                  "<p class=\"soft\">The last %" PRIu64 " of %" PRIu64
                  ". Any other: mikeyctl audit query.</p>\n",
                  shown, total);
    html_table(out, (const char *const[]){"Time", "Client", "Pair", "Call", "Key", "#Keys",
                                          "#Record", NULL});
    for (uint64_t i = 1; i <= shown; i++)
        write_release(out, &report->releases[(total - i) % REPORT_RELEASES]);
    html_markup(out, "</tbody></table>\n");
}

void report_write_exchanges(FILE *out, const struct audit_report *report)
{
    char count[32];
    html_markup(out, "<section><h2>Exchanges</h2>\n");
    if (report->exchanges == 0 && report->keys == 0) {
        html_markup(out, "<p class=\"soft\">None.</p>\n</section>\n");
        return;
    }
    html_markup(out, "<p>");
    html_markup(out, html_count(report->exchanges, count));
    html_markup(out, " exchanges begun, answered or updated here; ");
    html_markup(out, html_count(report->keys, count));
    html_markup(out, " session keys handed to entitled clients, each after its record was on disk."
                     "</p>\n<h3>All pairs, by day</h3>\n");
    report_chart_days(out, report->all_by_day, report->day_count, report->first_day, 940, 220,
                      "exchanges");
    if (report->earlier > 0) {
        html_markup(out, "<p class=\"soft\">Before these days: ");
        html_markup(out, html_count(report->earlier, count));
        html_markup(out, " exchanges.</p>\n");
    }
    write_users(out, report);
    write_releases(out, report);
    write_pairs(out, report);
    html_markup(out, "</section>\n");
}

/* ---- refusals ---- */

static const char *meaning(enum mikeyd_status status)
{
    switch (status) {
    case MIKEYD_SYNTAX:
        return "not a well-formed message or frame";
    case MIKEYD_UNSUPPORTED:
        return "asks for what is not offered";
    case MIKEYD_AUTH_FAILED:
        return "MAC or verification value wrong, or reflected";
    case MIKEYD_REPLAY:
        return "seen before";
    case MIKEYD_CLOCK_SKEW:
        return "timestamp outside the window";
    case MIKEYD_UNKNOWN_PEER:
        return "no such node or pair";
    case MIKEYD_POLICY:
        return "the policy forbids it";
    case MIKEYD_NOT_ENTITLED:
        return "this client may not do it";
    case MIKEYD_TICKET_INVALID:
    case MIKEYD_TICKET_EXPIRED:
        return "ticket foreign, used or too old";
    case MIKEYD_TOKEN_DOWN:
    case MIKEYD_TOKEN_BUSY:
    case MIKEYD_PIN_REFUSED:
        return "the token did not serve";
    case MIKEYD_STORE_DOWN:
        return "no replay decision was possible";
    case MIKEYD_AUDIT_DOWN:
        return "no audit record was possible";
    case MIKEYD_OVERLOADED:
        return "queue full or rate exceeded";
    case MIKEYD_OK:
    case MIKEYD_INTERNAL:
    case MIKEYD_UNREACHABLE:
    case MIKEYD_INVALID_ARGUMENT:
        break;
    }
    return "";
}

static size_t most_refused(const uint64_t *counts)
{
    size_t best = 0;
    for (size_t i = 1; i < MIKEYD_STATUS_COUNT; i++) {
        if (counts[i] > counts[best])
            best = i;
    }
    return best;
}

static void write_reasons(FILE *out, const struct audit_report *report)
{
    uint64_t left[MIKEYD_STATUS_COUNT];
    memcpy(left, report->by_status, sizeof left);
    const uint64_t max = left[most_refused(left)];
    html_markup(out, "<h3>By reason</h3>\n");
    html_table(out, (const char *const[]){"Code", "Meaning", "", "#Refusals", NULL});
    for (;;) {
        size_t status = most_refused(left);
        if (left[status] == 0)
            break;
        html_row(out);
        html_cell(out, "t", status_name((enum mikeyd_status)status));
        html_cell(out, NULL, meaning((enum mikeyd_status)status));
        html_cell_open(out, "bar");
        report_chart_bar(out, left[status], max);
        html_markup(out, "</td>");
        html_count_cell(out, left[status]);
        html_markup(out, "</tr>\n");
        left[status] = 0;
    }
    html_markup(out, "</tbody></table>\n");
}

static int by_refusals(const void *a, const void *b)
{
    const struct report_client *left = *(const struct report_client *const *)a;
    const struct report_client *right = *(const struct report_client *const *)b;
    return left->refusals > right->refusals ? -1 : left->refusals < right->refusals;
}

static void write_clients(FILE *out, const struct audit_report *report)
{
    const struct report_client *order[REPORT_CLIENTS] = {0};
    size_t count = 0;
    for (size_t i = 0; i < report->client_count; i++) {
        if (report->clients[i].refusals > 0)
            order[count++] = &report->clients[i];
    }
    qsort(order, count, sizeof order[0], by_refusals);
    html_markup(out, "<h3>By client</h3>\n");
    html_table(out, (const char *const[]){"Client", "Most often", "#Refusals", NULL});
    for (size_t i = 0; i < count && i < CLIENTS_SHOWN; i++) {
        html_row(out);
        html_cell(out, NULL, order[i]->name[0] == '\0' ? "(not known)" : order[i]->name);
        html_cell(out, NULL, status_name((enum mikeyd_status)most_refused(order[i]->by_status)));
        html_count_cell(out, order[i]->refusals);
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n");
}

void report_write_refusals(FILE *out, const struct audit_report *report)
{
    html_markup(out, "<section><h2>Refusals</h2>\n");
    if (report->refusals == 0) {
        html_markup(out, "<p class=\"soft\">None.</p>\n");
    } else {
        html_markup(out, "<p class=\"soft\">Beyond a few a second from one client for one reason, "
                         "refusals are counted and not recorded one by one; the counts are "
                         "included.</p>\n");
        write_reasons(out, report);
        write_clients(out, report);
    }
    html_markup(out, "</section>\n");
}

/* ---- outages ---- */

static void write_duration(FILE *out, const struct report_outage *outage)
{
    char text[48];
    int64_t seconds = outage->to_s - outage->from_s;
    if (outage->to[0] == '\0')
        (void)snprintf(text, sizeof text, "not over");
    else if (seconds < 120)
        (void)snprintf(text, sizeof text, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        (void)snprintf(text, sizeof text, "%" PRId64 " min", seconds / 60);
    else
        (void)snprintf(text, sizeof text, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                       seconds % 3600 / 60);
    html_cell(out, "n", text);
}

void report_write_outages(FILE *out, const struct audit_report *report)
{
    html_markup(out, "<section><h2>Token outages</h2>\n");
    if (report->outage_count == 0) {
        html_markup(out, "<p class=\"soft\">None.</p>\n</section>\n");
        return;
    }
    report_chart_outages(out, report);
    if (report->outages_total > report->outage_count)
        (void)fprintf(out, "<p class=\"soft\">The first %zu of %" PRIu64 ".</p>\n",
                      report->outage_count, report->outages_total);
    html_table(out, (const char *const[]){"Token", "Down", "Up again", "#Duration", NULL});
    for (size_t i = 0; i < report->outage_count; i++) {
        const struct report_outage *outage = &report->outages[i];
        char time[CLOCK_TEXT];
        html_row(out);
        html_cell(out, NULL, outage->token);
        html_cell(out, "t", report_time(outage->from, time));
        html_cell(out, "t", report_time(outage->to, time));
        write_duration(out, outage);
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n</section>\n");
}

/* ---- events ---- */

void report_write_events(FILE *out, const struct audit_report *report)
{
    html_markup(out, "<section><h2>Service</h2>\n");
    if (report->event_count == 0) {
        html_markup(out, "<p class=\"soft\">No start, stop or reload is recorded.</p>\n</section>"
                         "\n");
        return;
    }
    if (report->events_total > report->event_count)
        (void)fprintf(out, "<p class=\"soft\">The last %zu of %" PRIu64 " events.</p>\n",
                      report->event_count, report->events_total);
    html_table(out, (const char *const[]){"Time", "Event", "By", "Result", "Detail", NULL});
    for (size_t i = 0; i < report->event_count; i++) {
        const struct report_event *event = &report->events[i];
        char time[CLOCK_TEXT];
        html_row(out);
        html_cell(out, "t", report_time(event->time, time));
        html_cell(out, "t", audit_event_name(event->event));
        html_cell(out, NULL, event->client);
        html_cell(out, NULL, event->result);
        html_cell(out, NULL, event->detail);
        html_markup(out, "</tr>\n");
    }
    html_markup(out, "</tbody></table>\n</section>\n");
}
