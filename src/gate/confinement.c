#include "gate/confinement.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>

#include "base/log.h"
#include "sandbox/sandbox.h"
#include "tls/token_key.h"

#define FILES_MAX 8

/* The files, and the folders they stand in: files are replaced by renaming, and a rule follows the
 * old one. A symbolic link leads to a file of its own. */
struct paths {
    const char *path[2 * FILES_MAX + CONFIG_SANDBOX_MAX];
    char folder[FILES_MAX][PATH_MAX];
    size_t files, count;
};

static void add_file(struct paths *paths, const char *path)
{
    if (path == NULL || paths->files == FILES_MAX)
        return;
    char *folder = paths->folder[paths->files++];
    (void)snprintf(folder, PATH_MAX, "%s", path);
    paths->path[paths->count++] = path;
    paths->path[paths->count++] = dirname(folder);
}

static struct sandbox_profile profile_of(const struct config *config, struct paths *paths)
{
    const struct config_gate *gate = config->gate;
    const struct config_sandbox *module = &config->sandbox;
    const bool in_token = token_key_is_uri(gate->key);
    const char *const files[] = {gate->certificate, in_token ? gate->pin_file : gate->key, gate->ca,
                                 gate->crl, gate->psk_file};
    paths->files = paths->count = 0;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        add_file(paths, files[i]);
    struct sandbox_profile profile = {
        .readable = paths->path, .bind_ports = &gate->port, .bind_count = 1};
    /* Then a module lives here, as in a keyholder. */
    if (in_token) {
        for (size_t i = 0; i < module->readable_count; i++)
            paths->path[paths->count++] = module->readable[i];
        profile.writable = module->writable;
        profile.writable_count = module->writable_count;
        profile.connect_ports = module->connect;
        profile.connect_count = module->connect_count;
        profile.module = true;
        profile.late_code = module->late_code;
    }
    profile.readable_count = paths->count;
    return profile;
}

enum mikeyd_status confinement_begin(const struct config *config, bool wanted, struct error *err)
{
    static struct paths paths;
    struct sandbox_report report;
    if (!wanted) {
        log_warning("no sandbox: --no-sandbox is given");
        return MIKEYD_OK;
    }
    const struct sandbox_profile profile = profile_of(config, &paths);
    enum mikeyd_status status = sandbox_begin(&profile, &report, err);
    if (status == MIKEYD_OK)
        log_write(report.landlock_abi == 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE,
                  "sandbox: Landlock %s", report.landlock);
    return status;
}

enum mikeyd_status confinement_enter(const struct config *config, bool wanted, struct error *err)
{
    static struct paths paths;
    const struct sandbox_profile profile = profile_of(config, &paths);
    return wanted ? sandbox_enter(&profile, err) : MIKEYD_OK;
}
