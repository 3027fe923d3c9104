/* The auditor's page as a reader sees it: rendered by a browser, measured for contrast, and free of
 * anything that a log could smuggle into it. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <png.h>

#include "story.h"

TestSuite(audit_report, .timeout = 120);

static char folder[64];
static struct story_totals totals;

static void enter(void)
{
    (void)strcpy(folder, "/tmp/mikeyd-report-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    story_write(folder, &totals);
}

/* MIKEYD_KEEP_REPORT=1 leaves the page and its picture for people to look at. */
static void leave(void)
{
    char command[128];
    if (getenv("MIKEYD_KEEP_REPORT") != NULL)
        return;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    (void)!system(command);
}

/* Runs a command line in the folder; its standard output goes to FOLDER/out. */
static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char command[2048], whole[2560];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    (void)snprintf(whole, sizeof whole, "cd %s && export HOME=%s && { %s; } >out 2>err </dev/null",
                   folder, folder, command);
    int status = system(whole);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *read_text(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *text = calloc(1, (size_t)size + 1);
    cr_assert_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    (void)fclose(file);
    return text;
}

static void make_report(void)
{
    cr_assert_eq(run(MIKEYCTL_PROGRAM " audit report audit.jsonl --html report.html --public-key "
                                      "key.pem --keys keys.json --policy " SOURCE_DIR
                                      "/policy/carrier.yaml"),
                 0);
}

static void expect_count(const char *page, uint64_t value, const char *label)
{
    char digits[32], grouped[48], expected[160];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, value);
    char *at = grouped;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    (void)snprintf(expected, sizeof expected, ">%s</b><span>%s</span>", grouped, label);
    cr_assert_not_null(strstr(page, expected), "not on the page: %s", expected);
}

Test(audit_report, shows_the_totals_of_the_log, .init = enter, .fini = leave)
{
    make_report();
    char *page = read_text("report.html");
    expect_count(page, totals.exchanges, "key exchanges");
    expect_count(page, totals.keys, "session keys released");
    expect_count(page, totals.refusals, "requests refused");
    expect_count(page, totals.outages, "token outages");
    expect_count(page, totals.records, "records");
    cr_assert_not_null(strstr(page, "intact and signed"));
    cr_assert_not_null(strstr(page, "RFC 9257"));
    free(page);
}

Test(audit_report, names_calls_pairs_and_states, .init = enter, .fini = leave)
{
    make_report();
    char *page = read_text("report.html");
    cr_assert_not_null(strstr(page, ">a84b4c76e66710@pc33 &quot;&lt;x&gt;&quot;</td>"),
                       "the call's reference");
    cr_assert_not_null(strstr(page, "<span class=\"tag good\">active</span>"));
    cr_assert_not_null(strstr(page, "<span class=\"tag plain\">deactivated</span>"));
    const char *step = strstr(page, ">key_destroy</td>");
    cr_assert_not_null(step);
    const char *pair = strstr(step, "sip:sbc-a@carrier.example &rarr; sip:sbc-b@carrier.example");
    cr_assert(pair != NULL && pair < strstr(step, "</tr>"), "the pair of a destroyed pair key");
    free(page);
}

Test(audit_report, fetches_and_runs_nothing, .init = enter, .fini = leave)
{
    make_report();
    char *page = read_text("report.html");
    static const char *const forbidden[] = {"<script",  "<img", "<link",   "<iframe",  "http://",
                                            "https://", "url(", "@import", "<b>no end"};
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        cr_assert_null(strstr(page, forbidden[i]), "%s is on the page", forbidden[i]);
    cr_assert_not_null(strstr(page, "&lt;script&gt;"), "the hostile name is shown as text");
    free(page);
}

Test(audit_report, says_first_that_a_changed_log_does_not_verify, .init = enter, .fini = leave)
{
    cr_assert_eq(run("sed -i '100s/2026/2025/' audit.jsonl"), 0);
    cr_assert_eq(
        run(MIKEYCTL_PROGRAM " audit report audit.jsonl --html report.html --public-key key.pem"),
        2);
    char *page = read_text("report.html");
    cr_assert_not_null(strstr(page, "The log does not verify"));
    cr_assert_not_null(strstr(page, "record 100 was changed"));
    free(page);
}

Test(audit_report, keeps_the_old_page_when_it_cannot_be_written, .init = enter, .fini = leave)
{
    cr_assert_eq(run("mkdir -p kept && echo old > kept/report.html"), 0);
    cr_assert_neq(run(MIKEYCTL_PROGRAM " audit report missing.jsonl --html kept/report.html"), 0);
    char *page = read_text("kept/report.html");
    cr_assert_str_eq(page, "old\n");
    free(page);
    cr_assert_eq(run("test \"$(ls kept)\" = report.html"), 0, "no temporary file is left");
}

/* ---- in a browser ---- */

static void browse(const char *options, const char *page)
{
    cr_assert_eq(run("timeout 90 chromium --headless --no-sandbox --disable-gpu "
                     "--disable-dev-shm-usage --no-first-run --user-data-dir=%s/profile %s "
                     "file://%s/%s",
                     folder, options, folder, page),
                 0, "chromium failed");
}

struct picture {
    png_image image;
    uint8_t *pixels; /* RGB */
};

static void load_picture(struct picture *picture, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    memset(picture, 0, sizeof *picture);
    picture->image.version = PNG_IMAGE_VERSION;
    cr_assert(png_image_begin_read_from_file(&picture->image, path), "%s", picture->image.message);
    picture->image.format = PNG_FORMAT_RGB;
    picture->pixels = malloc(PNG_IMAGE_SIZE(picture->image));
    cr_assert(png_image_finish_read(&picture->image, NULL, picture->pixels, 0, NULL));
}

/* Pixels of exactly this colour. */
static size_t count_colour(const struct picture *picture, unsigned rgb)
{
    size_t count = 0, pixels = (size_t)picture->image.width * picture->image.height;
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *p = picture->pixels + 3 * i;
        count += ((unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2]) == rgb;
    }
    return count;
}

Test(audit_report, is_drawn_by_a_browser, .init = enter, .fini = leave)
{
    make_report();
    browse("--hide-scrollbars --window-size=1100,5000 --screenshot=report.png", "report.html");
    struct picture picture;
    load_picture(&picture, "report.png");
    cr_assert_eq(picture.image.width, 1100);
    size_t pixels = (size_t)picture.image.width * picture.image.height;
    /* Paper, the head's band, the good banner and the bars of the charts are all there. */
    cr_assert_gt(count_colour(&picture, 0xffffff), pixels / 3);
    cr_assert_lt(count_colour(&picture, 0xffffff), pixels * 98 / 100);
    cr_assert_gt(count_colour(&picture, 0x14364f), 1100 * 60);
    cr_assert_gt(count_colour(&picture, 0xe6f4eb), 5000);
    cr_assert_gt(count_colour(&picture, 0x1f628e), 20000);
    free(picture.pixels);
}

Test(audit_report, prints_on_paper, .init = enter, .fini = leave)
{
    make_report();
    browse("--no-pdf-header-footer --print-to-pdf=report.pdf", "report.html");
    char *pdf = read_text("report.pdf");
    cr_assert_eq(strncmp(pdf, "%PDF-", 5), 0);
    free(pdf);
}

/* Runs in a copy of the page: the contrast (WCAG 2.1) of every text with what is really behind it,
 * the smallest font, and whether anything runs out of the page. */
static const char measure[] =
    "<script>addEventListener('load',()=>{"
    "const lum=c=>{const f=c.map(v=>{v/=255;return v<=.03928?v/12.92:((v+.055)/1.055)**2.4});"
    "return .2126*f[0]+.7152*f[1]+.0722*f[2]};"
    "const rgb=s=>(s.match(/[\\d.]+/g)||[]).map(Number);"
    "const back=e=>{for(;e;e=e.parentElement){const c=rgb(getComputedStyle(e).backgroundColor);"
    "if(c.length==3||c[3]>0)return c.slice(0,3)}return[255,255,255]};"
    "let worst=99,where='',texts=0,small=99;"
    "const walk=document.createTreeWalker(document.body,NodeFilter.SHOW_TEXT);"
    "while(walk.nextNode()){const t=walk.currentNode,e=t.parentElement;"
    "if(!t.data.trim()||['SCRIPT','STYLE','title'].includes(e.tagName))continue;"
    "const s=getComputedStyle(e),svg=e.namespaceURI.endsWith('svg');"
    "const a=lum(rgb(svg?s.fill:s.color)),b=lum(back(svg?e.closest('svg').parentElement:e));"
    "const r=(Math.max(a,b)+.05)/(Math.min(a,b)+.05);texts++;"
    "small=Math.min(small,parseFloat(s.fontSize));"
    "if(r<worst){worst=r;where=t.data.trim().slice(0,40)}}"
    "const d=document.documentElement;"
    "document.body.textContent='MEASURED texts='+texts+' worst='+worst.toFixed(2)+' small='+small+"
    "' overflow='+(d.scrollWidth-d.clientWidth)+' at '+where})</script>";

/* Draws the page in a window of this width and asks it how its texts are. */
static void measure_page(int width, unsigned *texts, float *worst, float *small, int *overflow)
{
    char path[256], options[96];
    char *page = read_text("report.html");
    (void)snprintf(path, sizeof path, "%s/measured.html", folder);
    FILE *copy = fopen(path, "w");
    cr_assert_not_null(copy);
    char *end = strstr(page, "</body>");
    cr_assert_not_null(end);
    (void)fprintf(copy, "%.*s%s%s", (int)(end - page), page, measure, end);
    cr_assert_eq(fclose(copy), 0);
    free(page);
    /* A window is at least 500 wide; a frame in it can be narrower. */
    (void)snprintf(path, sizeof path, "%s/frame.html", folder);
    FILE *frame = fopen(path, "w");
    (void)fprintf(frame,
                  "<body><iframe id=f width=%d height=1400 src=measured.html></iframe><script>"
                  "addEventListener('load',()=>{setTimeout(()=>{const t=document.getElementById("
                  "'f').contentDocument.body.textContent;document.body.textContent=t},500)})"
                  "</script></body>",
                  width);
    cr_assert_eq(fclose(frame), 0);
    (void)snprintf(options, sizeof options,
                   "--allow-file-access-from-files --virtual-time-budget=5000 --dump-dom");
    browse(options, "frame.html");
    char *dom = read_text("out");
    const char *result = strstr(dom, "<body>MEASURED ");
    cr_assert_not_null(result, "the page was not measured: %.200s", dom);
    cr_assert_eq(sscanf(result, "<body>MEASURED texts=%u worst=%f small=%f overflow=%d", texts,
                        worst, small, overflow),
                 4);
    free(dom);
}

static void expect_readable(int width)
{
    unsigned texts;
    float worst, small;
    int overflow;
    measure_page(width, &texts, &worst, &small, &overflow);
    cr_assert_gt(texts, 200);
    cr_assert_geq(worst, 4.5F);
    cr_assert_geq(small, 12.0F);
    cr_assert_eq(overflow, 0, "%d pixels too wide for %d", overflow, width);
}

Test(audit_report, text_is_readable, .init = enter, .fini = leave)
{
    make_report();
    expect_readable(1100);
}

/* A telephone: each row of a table is a card, each value under the name of its column. */
Test(audit_report, text_is_readable_on_a_narrow_screen, .init = enter, .fini = leave)
{
    make_report();
    expect_readable(390);
    char *page = read_text("report.html");
    cr_assert_not_null(strstr(page, "<td class=\"t\" data-column=\"Time\">"));
    cr_assert_not_null(strstr(page, "data-column=\"Findings\""));
    free(page);
}

Test(audit_report, says_who_did_it_and_whose_a_key_is, .init = enter, .fini = leave)
{
    make_report();
    char *page = read_text("report.html");
    cr_assert_not_null(strstr(page, "data-column=\"By\">ceremony uid 1000<"));
    cr_assert_not_null(strstr(page, "data-column=\"By\">SIGHUP by uid 0, process 7<"));
    cr_assert_not_null(strstr(page, "data-column=\"Client\">sbc-a<"));
    cr_assert_not_null(strstr(page, "sip:sbc-a@carrier.example &rarr; sip:sbc-b@carrier.example"));
    free(page);
}
