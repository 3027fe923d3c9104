#include "keyholder/confinement.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* The folder a file stands in: files are replaced by renaming, and a rule follows the old one. NULL
 * when memory runs out. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* The file itself, too: where a symbolic link leads. */
static bool add_file(struct confinement *c, const char *path, char **folder)
{
    *folder = folder_of(path);
    if (*folder == NULL)
        return false;
    c->readable[c->profile.readable_count++] = *folder;
    c->readable[c->profile.readable_count++] = path;
    return true;
}

enum mikeyd_status confinement_begin(const struct config *config, const struct token_config *token,
                                     struct confinement *out, struct error *err)
{
    const struct config_sandbox *more = &config->sandbox;
    struct sandbox_report report;
    *out = (struct confinement){.profile = {.writable = more->writable,
                                            .writable_count = more->writable_count,
                                            .connect_ports = more->connect,
                                            .connect_count = more->connect_count,
                                            .module = true,
                                            .late_code = more->late_code}};
    out->profile.readable = out->readable;
    if (!add_file(out, token->module, &out->folder[0]) ||
        !add_file(out, token->pin_file, &out->folder[1]))
        return error_set(err, MIKEYD_INTERNAL, "out of memory");
    for (size_t i = 0; i < more->readable_count; i++)
        out->readable[out->profile.readable_count++] = more->readable[i];
    enum mikeyd_status status = sandbox_begin(&out->profile, &report, err);
    if (status == MIKEYD_OK && report.landlock_abi == 0)
        log_warning("sandbox without Landlock (%s)", report.landlock);
    return status;
}

void confinement_clear(struct confinement *confinement)
{
    for (size_t i = 0; i < 2; i++)
        free(confinement->folder[i]);
}
