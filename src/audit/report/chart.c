#include "audit/report/chart.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "audit/report/markup.h"

#define MARGIN_LEFT 52U
#define MARGIN_TOP 14U
#define MARGIN_BOTTOM 22U
#define LANE_HEIGHT 26U
#define LANES_MAX 12U

void report_day_text(int64_t day, char out[16])
{
    time_t seconds = (time_t)(day * 86400);
    struct tm utc;
    if (gmtime_r(&seconds, &utc) == NULL || strftime(out, 16, "%Y-%m-%d", &utc) == 0)
        out[0] = '\0';
}

/* The next even digit times a power of ten, so that the line half-way up is a whole number too. */
static uint64_t round_up(uint64_t value)
{
    uint64_t power = 1;
    if (value <= 4)
        return 4;
    while (power <= UINT64_MAX / 100 && power * 10 < value)
        power *= 10;
    for (uint64_t digit = 2; digit <= 10; digit += 2) {
        if (digit * power >= value)
            return digit * power;
    }
    return value;
}

static void axis(FILE *out, uint64_t top, unsigned width, unsigned plot_height)
{
    for (unsigned i = 0; i <= 2; i++) {
        char count[32];
        unsigned y = MARGIN_TOP + plot_height * i / 2;
        (void)fprintf(out, "<line x1=\"%u\" x2=\"%u\" y1=\"%u\" y2=\"%u\"/>", MARGIN_LEFT, width, y,
                      y);
        (void)fprintf(out, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">%s</text>", MARGIN_LEFT - 8,
                      y + 4, html_count(top - top * i / 2, count));
    }
}

static void day_label(FILE *out, unsigned x, unsigned y, const char *anchor, int64_t day)
{
    char text[16];
    report_day_text(day, text);
    (void)fprintf(out, "<text x=\"%u\" y=\"%u\" text-anchor=\"%s\">%s</text>", x, y, anchor, text);
}

void report_chart_days(FILE *out, const uint32_t *values, size_t count, int64_t first_day,
                       unsigned width, unsigned height, const char *what)
{
    uint64_t max = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        if (values[i] > max)
            max = values[i];
    }
    if (count == 0)
        return;
    char from[16], to[16];
    report_day_text(first_day, from);
    report_day_text(first_day + (int64_t)count - 1, to);
    (void)fprintf(out,
                  "<svg role=\"img\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
                  "aria-label=\"%" PRIu64 " %s from %s to %s, at most %" PRIu64 " a day\">",
                  width, height, width, height, sum, what, from, to, max);
    const uint64_t top = round_up(max);
    const unsigned plot = height - MARGIN_TOP - MARGIN_BOTTOM;
    axis(out, top, width, plot);
    const double slot = (double)(width - MARGIN_LEFT) / (double)count;
    /* A few days must not become a wall of colour. */
    const double bar = slot > 60 ? 44 : slot * (slot > 4 ? 0.74 : 1.0);
    for (size_t i = 0; i < count; i++) {
        if (values[i] == 0)
            continue;
        double tall = (double)plot * (double)values[i] / (double)top;
        if (tall < 1)
            tall = 1;
        char day[16];
        report_day_text(first_day + (int64_t)i, day);
        (void)fprintf(out,
                      "<rect class=\"fill\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\">"
                      "<title>%s: %" PRIu32 "</title></rect>",
                      MARGIN_LEFT + slot * (double)i + (slot - bar) / 2,
                      (double)(MARGIN_TOP + plot) - tall, bar, tall, day, values[i]);
    }
    if (count == 1) {
        day_label(out, MARGIN_LEFT + (width - MARGIN_LEFT) / 2, height - 5, "middle", first_day);
    } else {
        day_label(out, MARGIN_LEFT, height - 5, "start", first_day);
        day_label(out, width, height - 5, "end", first_day + (int64_t)count - 1);
        if (count > 4 && width > 500)
            day_label(out, MARGIN_LEFT + (unsigned)(slot * ((double)(count / 2) + 0.5)), height - 5,
                      "middle", first_day + (int64_t)(count / 2));
    }
    html_markup(out, "</svg>\n");
}

void report_chart_bar(FILE *out, uint64_t value, uint64_t max)
{
    double width = max == 0 ? 0 : 400.0 * (double)value / (double)max;
    (void)fprintf(out,
                  "<svg width=\"400\" height=\"12\" viewBox=\"0 0 400 12\" aria-hidden=\"true\">"
                  "<rect class=\"lane\" width=\"400\" height=\"12\"/>"
                  "<rect class=\"fill\" width=\"%.1f\" height=\"12\"/></svg>",
                  width < 2 ? 2 : width);
}

/* The tokens that were ever down, in the order in which they went. */
static size_t list_lanes(const struct audit_report *report, const char *lanes[LANES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < report->outage_count && count < LANES_MAX; i++) {
        size_t at = 0;
        while (at < count && strcmp(lanes[at], report->outages[i].token) != 0)
            at++;
        if (at == count)
            lanes[count++] = report->outages[i].token;
    }
    return count;
}

static void draw_lane(FILE *out, const struct audit_report *report, const char *token, unsigned y,
                      unsigned left, unsigned width)
{
    const double period = (double)(report->last_s - report->first_s) + 1;
    (void)fprintf(out, "<rect class=\"lane\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\"/>", left,
                  y + 4, width, LANE_HEIGHT - 8);
    (void)fprintf(out, "<text x=\"0\" y=\"%u\">", y + 17);
    char name[28];
    (void)snprintf(name, sizeof name, "%.24s%s", token[0] == '\0' ? "token" : token,
                   strlen(token) > 24 ? "..." : "");
    html_text(out, name);
    html_markup(out, "</text>");
    for (size_t i = 0; i < report->outage_count; i++) {
        const struct report_outage *outage = &report->outages[i];
        if (strcmp(outage->token, token) != 0)
            continue;
        int64_t end = outage->to[0] == '\0' ? report->last_s : outage->to_s;
        double x = (double)width * (double)(outage->from_s - report->first_s) / period;
        double wide = (double)width * (double)(end - outage->from_s + 1) / period;
        if (wide < 2)
            wide = 2;
        if (x < 0 || x > width)
            continue;
        (void)fprintf(out,
                      "<rect class=\"alarm\" x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%u\">"
                      "<title>",
                      left + (x + wide > width ? width - wide : x), y + 4, wide, LANE_HEIGHT - 8);
        html_text(out, outage->from);
        html_markup(out, outage->to[0] == '\0' ? ", not over" : " to ");
        html_text(out, outage->to);
        html_markup(out, "</title></rect>");
    }
}

void report_chart_outages(FILE *out, const struct audit_report *report)
{
    const char *lanes[LANES_MAX];
    size_t count = list_lanes(report, lanes);
    if (count == 0)
        return;
    const unsigned width = 940, left = 180;
    const unsigned height = (unsigned)count * LANE_HEIGHT + 22;
    (void)fprintf(out,
                  "<svg role=\"img\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" "
                  "aria-label=\"%zu token outages over time; the table below lists them\">",
                  width, height, width, height, report->outage_count);
    for (size_t i = 0; i < count; i++)
        draw_lane(out, report, lanes[i], (unsigned)i * LANE_HEIGHT, left, width - left);
    day_label(out, left, height - 6, "start", report->first_s / 86400);
    day_label(out, width, height - 6, "end", report->last_s / 86400);
    html_markup(out, "</svg>\n");
}
