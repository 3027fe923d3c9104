#include "lab_ctl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define ARGUMENTS_MAX 48

void lab_ctl_open(const struct lab *lab)
{
    cr_assert_eq(setenv("MIKEYD_SOCKET", lab->socket, 1), 0);
}

int lab_ctl(struct lab *lab, const char *const head[], va_list rest)
{
    const char *argv[ARGUMENTS_MAX + 2] = {MIKEYCTL_PROGRAM};
    size_t count = 1;
    for (; *head != NULL; head++)
        argv[count++] = *head;
    while ((argv[count] = va_arg(rest, const char *)) != NULL)
        cr_assert_leq(++count, ARGUMENTS_MAX);
    return lab_run(lab, argv);
}

char *lab_output(const struct lab *lab)
{
    char path[LAB_PATH + 8];
    (void)snprintf(path, sizeof path, "%s/out", lab->dir);
    return lab_read_file(path);
}

json_t *lab_printed(const struct lab *lab)
{
    char *text = lab_output(lab);
    json_t *object = json_loads(text, 0, NULL);
    cr_assert_not_null(object, "%s", text);
    free(text);
    return object;
}

const char *lab_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    cr_assert_not_null(text, "%s", name);
    return text;
}
