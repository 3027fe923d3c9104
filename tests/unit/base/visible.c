/* What a person cannot see is shown; what can be seen stays. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/log.h"
#include "base/output.h"
#include "base/visible.h"

static const char *shown(const char *text)
{
    static char out[256];
    (void)visible_text(text, strlen(text), out, sizeof out);
    return out;
}

Test(visible, plain_text_stays)
{
    cr_assert_str_eq(shown("sip:sbc-a@carrier.example \\ \"\u00e9\u4e2d\U0001f511\""),
                     "sip:sbc-a@carrier.example \\ \"\u00e9\u4e2d\U0001f511\"");
}

Test(visible, control_characters_and_escape_sequences_are_shown)
{
    cr_assert_str_eq(shown("a\033[2Jb\nc\td\x7f"), "a\\u{1b}[2Jb\\u{a}c\\u{9}d\\u{7f}");
    cr_assert_str_eq(shown("\xc2\x9b"
                           "31m"),
                     "\\u{9b}31m");
}

Test(visible, zero_width_and_bidirectional_marks_are_shown)
{
    cr_assert_str_eq(shown("a\u200bb\u202ec\u2066d\ufeffe\u00adf\u00a0g\U000e0041"),
                     "a\\u{200b}b\\u{202e}c\\u{2066}d\\u{feff}e\\u{ad}f\\u{a0}g\\u{e0041}");
}

Test(visible, bytes_that_are_no_text_are_shown_one_by_one)
{
    cr_assert_str_eq(shown("a\x9b\xff\xc3"), "a\\x9b\\xff\\xc3");
    cr_assert_str_eq(shown("\xc0\x80"), "\\xc0\\x80", "overlong forms are no text");
}

Test(visible, form_is_never_cut_in_the_middle)
{
    char out[8];
    cr_assert_eq(visible_text("ab\u202ec", 6, out, sizeof out), 2);
    cr_assert_str_eq(out, "ab");
}

/* Runs `act` in a process of its own whose stdout and stderr are one pipe. */
static const char *output_of(void (*act)(void))
{
    static char text[512];
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    (void)close(ends[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(ends[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    (void)close(ends[0]);
    (void)waitpid(pid, NULL, 0);
    return text;
}

static void print_in_pieces(void)
{
    output_make_visible();
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    for (const char *c = "a\u202e\u00e9\033b\n\xe2\x80"; *c != '\0'; c++)
        (void)fwrite(c, 1, 1, stdout);
    (void)output_finish(NULL);
}

Test(visible, stream_shows_characters_that_arrive_in_pieces)
{
    cr_assert_str_eq(output_of(print_in_pieces), "a\\u{202e}\u00e9\\u{1b}b\n\\xe2\\x80");
}

static void log_a_forged_line(void)
{
    log_open("mikeyd", LOG_LEVEL_INFO);
    log_notice("token %s", "lab\nmikeyd: policy \033[32mok");
}

Test(visible, newline_in_a_label_begins_no_log_line)
{
    cr_assert_str_eq(output_of(log_a_forged_line),
                     "mikeyd: token lab\\u{a}mikeyd: policy \\u{1b}[32mok\n");
}
