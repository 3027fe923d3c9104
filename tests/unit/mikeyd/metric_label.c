/* Whatever a token is called, the line stays one line with one value. */
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <string.h>

#include "mikeyd/metric_label.h"

static void expect(const char *value, const char *text)
{
    struct evbuffer *out = evbuffer_new();
    cr_assert_not_null(out);
    metric_label_put(out, "token", value);
    cr_assert_eq(evbuffer_add(out, "", 1), 0);
    cr_assert_str_eq((const char *)evbuffer_pullup(out, -1), text);
    evbuffer_free(out);
}

Test(metric_label, quotes_backslashes_and_line_ends_are_escaped)
{
    expect("", "token=\"\"");
    expect("site 1 {a=b}", "token=\"site 1 {a=b}\"");
    expect("a\"} 1\nmikeyd_healthy 1", "token=\"a\\\"} 1\\nmikeyd_healthy 1\"");
    expect("\\", "token=\"\\\\\"");
}
