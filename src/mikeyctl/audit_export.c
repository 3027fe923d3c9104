/* mikeyctl audit export: a log as CEF, OCSF or syslog lines, verified on the way. */
#include <stdlib.h>
#include <string.h>

#include "mikeyctl/audit_command.h"

struct exporting {
    struct audit_export how;
    struct audit_verdict verdict;
    bool failed;
};

static void put(void *context, const json_t *record, bool verifies)
{
    struct exporting *exporting = context;
    size_t len = 0;
    if (exporting->failed)
        return;
    char *line = audit_export_line(&exporting->how, record, verifies, &len);
    exporting->failed =
        line == NULL || fwrite(line, 1, len, stdout) != len || fputc('\n', stdout) == EOF;
    free(line);
}

enum mikeyd_status audit_export_how(const struct audit_arguments *arguments,
                                    struct audit_export *out, struct error *err)
{
    *out = (struct audit_export){.host = arguments->host, .version = MIKEYD_VERSION};
    if (arguments->format == NULL || !audit_format_by_name(arguments->format, &out->format))
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "--format: expected cef, ocsf or syslog%s%s",
                         arguments->format == NULL ? "" : ": ",
                         arguments->format == NULL ? "" : arguments->format);
    return MIKEYD_OK;
}

int audit_command_export(const struct audit_arguments *arguments)
{
    struct error err = {0};
    struct exporting *exporting = calloc(1, sizeof *exporting);
    if (exporting == NULL) {
        (void)error_set(&err, MIKEYD_INTERNAL, "out of memory");
        return ctl_fail(arguments->json, &err);
    }
    enum mikeyd_status status = audit_export_how(arguments, &exporting->how, &err);
    int result = status_exit_code(status);
    if (status == MIKEYD_OK) {
        struct audit_verify_options options = audit_verify_options_of(arguments);
        options.visit = put;
        options.visit_context = exporting;
        status = audit_verify(&options, &exporting->verdict, &err);
        result = audit_exit_code(arguments, &exporting->verdict, status);
        if (exporting->failed && status == MIKEYD_OK) {
            status = error_set(&err, MIKEYD_INTERNAL, "not all lines could be written");
            result = status_exit_code(status);
        }
    }
    /* stdout holds lines of another format: what went wrong goes to stderr. */
    if (status != MIKEYD_OK)
        (void)ctl_fail(false, &err);
    free(exporting);
    return result;
}
