/* The order of the layers, and the code that stays. */
#include "sandbox/sandbox.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

#include "base/log.h"
#include "sandbox/internal.h"

#ifdef MIKEYD_SANITIZED

/* The sanitizers' runtime stops and traces threads and reads /proc: never in a build for service.
 */
enum mikeyd_status sandbox_begin(const struct sandbox_profile *profile,
                                 struct sandbox_report *report, struct error *err)
{
    (void)profile;
    (void)err;
    *report = (struct sandbox_report){0};
    (void)snprintf(report->landlock, sizeof report->landlock, "off: built with sanitizers");
    return MIKEYD_OK;
}

enum mikeyd_status sandbox_enter(const struct sandbox_profile *profile, struct error *err)
{
    (void)profile;
    (void)err;
    log_warning("built with sanitizers: no sandbox");
    return MIKEYD_OK;
}

#else

enum mikeyd_status sandbox_begin(const struct sandbox_profile *profile,
                                 struct sandbox_report *report, struct error *err)
{
    *report = (struct sandbox_report){0};
    enum mikeyd_status status = privileges_drop(err);
    return status != MIKEYD_OK ? status : landlock_confine(profile, report, err);
}

/*
 * A module that is finalised and initialised again may unload its libraries and load them anew.
 * They stay where they are, so that loading finds them there and maps nothing.
 */
static int keep_library(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    if (info->dlpi_name != NULL && info->dlpi_name[0] == '/')
        (void)dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    return 0;
}

enum mikeyd_status sandbox_enter(const struct sandbox_profile *profile, struct error *err)
{
    if (profile->module)
        (void)dl_iterate_phdr(keep_library, NULL);
    return seccomp_confine(profile, err);
}

#endif
