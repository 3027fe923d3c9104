#include "audit/report/style.h"

#include "audit/report/report.h"

const struct audit_report_colour audit_report_palette[] = {
    {"--paper", 0xffffff},     {"--ink", 0x1b2733},       {"--soft", 0x485767},
    {"--wash", 0xf3f6f8},      {"--line", 0xd5dde4},      {"--head", 0x14364f},
    {"--head-soft", 0xc9dae6}, {"--accent", 0x1f628e},    {"--good", 0x17633a},
    {"--good-wash", 0xe6f4eb}, {"--bad", 0x971b1b},       {"--bad-wash", 0xfcebea},
    {"--warn", 0x734500},      {"--warn-wash", 0xfff4dc}, {NULL, 0},
};

/* WCAG 2.1 1.4.3 asks for 4.5:1; a test computes it for each. */
const struct audit_report_pair audit_report_pairs[] = {
    {"--ink", "--paper"},      {"--soft", "--paper"},
    {"--accent", "--paper"},   {"--good", "--paper"},
    {"--bad", "--paper"},      {"--warn", "--paper"},
    {"--ink", "--wash"},       {"--soft", "--wash"},
    {"--good", "--wash"},      {"--bad", "--wash"},
    {"--warn", "--wash"},      {"--paper", "--head"},
    {"--head-soft", "--head"}, {"--good", "--good-wash"},
    {"--bad", "--bad-wash"},   {"--warn", "--warn-wash"},
    {"--ink", "--good-wash"},  {"--ink", "--bad-wash"},
    {"--ink", "--warn-wash"},  {NULL, NULL},
};

static const char rules[] =
    "*{box-sizing:border-box}\n"
    "html{font:15px/1.5 system-ui,'Segoe UI','Liberation Sans','DejaVu Sans',sans-serif;"
    "color:var(--ink);background:var(--paper);font-variant-numeric:tabular-nums}\n"
    "body{margin:0}\n"
    "header{background:var(--head);color:var(--paper);padding:34px 0 28px}\n"
    "header h1{font-size:29px;line-height:1.2;font-weight:600;margin:0 0 6px;"
    "letter-spacing:-.01em}\n"
    "header p{margin:0;color:var(--head-soft)}\n"
    ".page{max-width:1000px;margin:0 auto;padding:0 28px}\n"
    "main{padding:26px 0 46px}\n"
    "section{margin:0 0 40px}\n"
    "h2{font-size:20px;line-height:1.3;font-weight:600;margin:0 0 10px;padding-top:16px;"
    "border-top:2px solid var(--head)}\n"
    "h3{font-size:15px;font-weight:600;margin:24px 0 8px}\n"
    "p{margin:0 0 12px;max-width:74ch}\n"
    "p,h1,h3{overflow-wrap:anywhere}\n"
    ".soft{color:var(--soft)}\n"
    ".banner{border-left:6px solid;border-radius:3px;padding:16px 20px;margin:0 0 24px}\n"
    ".banner strong{display:block;font-size:18px;line-height:1.35}\n"
    ".banner p{margin:4px 0 0;color:var(--ink)}\n"
    ".good{color:var(--good)}\n.bad{color:var(--bad)}\n.warn{color:var(--warn)}\n"
    ".banner.good{background:var(--good-wash);border-color:var(--good)}\n"
    ".banner.bad{background:var(--bad-wash);border-color:var(--bad)}\n"
    ".banner.warn{background:var(--warn-wash);border-color:var(--warn)}\n"
    ".tiles{display:grid;grid-template-columns:repeat(6,1fr);gap:10px;margin:0 0 34px}\n"
    ".tile{background:var(--wash);border-radius:4px;padding:12px 14px}\n"
    ".tile b{display:block;font-size:23px;line-height:1.25;font-weight:600}\n"
    ".tile span{color:var(--soft);font-size:13px;line-height:1.3;display:block}\n"
    "table{border-collapse:collapse;width:100%;margin:8px 0 16px;font-size:14px}\n"
    "th,td{text-align:left;vertical-align:top;padding:7px 14px 7px 0;"
    "border-bottom:1px solid var(--line);overflow-wrap:anywhere}\n"
    "th{font-weight:600;color:var(--soft);font-size:13px;white-space:nowrap}\n"
    "td.n,th.n{text-align:right}\n"
    "td.t{white-space:nowrap}\n"
    "td.m{font-family:ui-monospace,'Liberation Mono','DejaVu Sans Mono',monospace;"
    "font-size:12.5px}\n"
    "td.bar{width:46%;padding-top:10px}\n"
    "table.facts th{width:190px;white-space:normal;font-size:14px}\n"
    ".tag{display:inline-block;font-size:12.5px;font-weight:600;line-height:1.4;border-radius:3px;"
    "padding:1px 8px;white-space:nowrap}\n"
    ".tag.good{background:var(--good-wash)}\n.tag.bad{background:var(--bad-wash)}\n"
    ".tag.warn{background:var(--warn-wash)}\n"
    ".tag.plain{background:var(--wash);color:var(--soft)}\n"
    ".pairs{display:grid;grid-template-columns:1fr 1fr;gap:14px 22px;margin:0 0 14px}\n"
    ".pair{border:1px solid var(--line);border-radius:4px;padding:12px 14px 8px;"
    "break-inside:avoid;min-width:0}\n"
    ".pair h4{margin:0;font-size:13.5px;line-height:1.4;font-weight:600;overflow-wrap:anywhere}\n"
    ".pair p{margin:0 0 6px;font-size:13px;color:var(--soft)}\n"
    "svg{display:block;max-width:100%;height:auto}\n"
    "svg text{font:12px system-ui,'Segoe UI','Liberation Sans','DejaVu Sans',sans-serif;"
    "fill:var(--soft)}\n"
    "svg .fill{fill:var(--accent)}\nsvg .alarm{fill:var(--bad)}\nsvg .lane{fill:var(--wash)}\n"
    "svg line{stroke:var(--line)}\n"
    "footer{border-top:1px solid var(--line);padding:14px 0 34px;color:var(--soft);"
    "font-size:13px}\n"
    "@media screen and (max-width:760px){.tiles{grid-template-columns:repeat(3,1fr)}"
    ".pairs{grid-template-columns:1fr}}\n"
    /* A row of a table becomes a card, in which each value stands under the name of its column. */
    "@media screen and (max-width:600px){.page{padding:0 14px}header{padding:22px 0 18px}"
    "header h1{font-size:23px}.tiles{grid-template-columns:repeat(2,1fr)}"
    "table.cards,.cards tbody,.cards tr,.cards td,.facts,.facts tbody,.facts tr,.facts th,"
    ".facts td{display:block;width:auto}.cards thead{display:none}"
    ".cards tr{border:1px solid var(--line);border-radius:4px;padding:8px 12px;margin:0 0 10px}"
    ".cards td{border:0;padding:2px 0 2px 104px;position:relative;min-height:25px}"
    ".cards td::before{content:attr(data-column);position:absolute;left:0;top:3px;"
    "color:var(--soft);font-size:12px}"
    ".cards td:empty{display:none}.cards td.n{text-align:left}.cards td.t{white-space:normal}"
    ".cards td.bar{width:auto}.facts th{border:0;padding:2px 0}.facts td{padding:0 0 8px}"
    "table.facts th{width:auto}}\n"
    "@page{size:A4;margin:16mm 14mm}\n"
    "@media print{html{font-size:10.5pt}*{-webkit-print-color-adjust:exact;"
    "print-color-adjust:exact}.page{max-width:none;padding:0}header{padding:18px 20px}"
    "main{padding:18px 0}section{margin-bottom:22px}h2,h3{break-after:avoid}"
    ".tiles{grid-template-columns:repeat(3,1fr)}tr,.tile,.banner,svg{break-inside:avoid}thead{"
    "display:table-header-group}"
    "table{font-size:9pt}td.m{font-size:8pt}}\n";

void report_style_write(FILE *out)
{
    (void)fputs("<style>\n:root{", out);
    for (const struct audit_report_colour *colour = audit_report_palette; colour->name != NULL;
         colour++)
        (void)fprintf(out, "%s:#%06x;", colour->name, colour->rgb);
    (void)fputs("}\n", out);
    (void)fputs(rules, out);
    (void)fputs("</style>\n", out);
}
