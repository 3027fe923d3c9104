/*
 * Audit files from strangers: the tail that is read at start, verification, and the report made of
 * what was read. Raw bytes, and, since no fuzzer guesses SHA-256, lines that are sealed here so
 * that what is behind the hashes is reached too.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/chain.h"
#include "audit/report/report.h"
#include "audit/tail.h"
#include "audit/verify/verify.h"
#include "fuzz.h"
#include "mutate.h"

static struct audit_hasher *hasher;
static struct audit_verdict verdict;

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* Each line becomes {"seq":N,"time":...<line> and its seal. */
static char *seal_lines(const char *text, size_t size, size_t *out_len)
{
    char *out = NULL;
    FILE *stream = open_memstream(&out, out_len);
    struct audit_chain chain = {0};
    check(stream != NULL);
    while (size > 0) {
        static char body[AUDIT_LINE_MAX], line[AUDIT_LINE_MAX];
        const char *end = memchr(text, '\n', size);
        size_t len = end == NULL ? size : (size_t)(end - text);
        size_t kept = len > 8000 ? 8000 : len;
        int head =
            snprintf(body, sizeof body, "{\"seq\":%llu,\"time\":\"2026-11-01T00:00:00.000Z\",",
                     (unsigned long long)++chain.sequence);
        memcpy(body + head, text, kept);
        check(audit_chain_seal(hasher, &chain, body, (size_t)head + kept, line, NULL) == MIKEYD_OK);
        check(fwrite(line, 1, (size_t)head + kept + AUDIT_SEAL_LEN + 1, stream) > 0);
        size -= end == NULL ? len : len + 1;
        text += end == NULL ? len : len + 1;
    }
    check(fclose(stream) == 0);
    return out;
}

static void read_tail(const char *text, size_t size)
{
    int fd = memfd_create("tail", MFD_CLOEXEC);
    struct audit_tail tail;
    check(fd >= 0 && write(fd, text, size) == (ssize_t)size);
    if (audit_tail_read(fd, size, hasher, &tail, NULL) == MIKEYD_OK)
        check(tail.complete + tail.cut_bytes == size);
    (void)close(fd);
}

static void verify_and_report(char *text, size_t size)
{
    struct audit_report *report = audit_report_make();
    FILE *stream = fmemopen(text, size, "r");
    char *page = NULL;
    size_t page_len = 0;
    FILE *out = open_memstream(&page, &page_len);
    check(report != NULL && stream != NULL && out != NULL);
    const struct audit_verify_options options = {.visit = audit_report_add,
                                                 .visit_context = report};
    (void)audit_verify_stream(&options, stream, &verdict, NULL);
    const struct audit_report_input input = {
        .verdict = &verdict, .log_name = "log", .generated = "2026-11-01T00:00:00.000Z"};
    check(audit_report_write(report, &input, out));
    check(fclose(out) == 0);
    check(memmem(page, page_len, "<script", 7) == NULL);
    free(page);
    (void)fclose(stream);
    audit_report_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (hasher == NULL)
        hasher = audit_hasher_make();
    if (size < 2 || size > 65536)
        return 0;
    size_t len = size - 1;
    char *text;
    if (data[0] % 2 == 0) {
        text = malloc(len);
        check(text != NULL);
        memcpy(text, data + 1, len);
    } else {
        text = seal_lines((const char *)data + 1, size - 1, &len);
    }
    read_tail(text, len);
    verify_and_report(text, len);
    free(text);
    return 0;
}

/* The first byte says whether the lines are sealed here: mostly they are. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    if (size < 2)
        return LLVMFuzzerMutate(data, size, max);
    data[0] = dice_roll(&dice, 8) != 0;
    return 1 + mutate_lines(data + 1, size - 1, max - 1, &dice);
}
