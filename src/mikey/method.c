#include "mikey/method.h"

#include <string.h>

#include "mikey/wire.h"

const struct mikey_method *const mikey_methods[] = {&mikey_method_psk, &mikey_method_psk_derived,
                                                    NULL};

static bool is_marked(const struct mikey_message *m, const char *mark)
{
    const size_t len = strlen(mark);
    for (size_t i = 0; i < m->extension_count; i++) {
        const struct mikey_extension *extension = &m->extension[i];
        if (extension->type == MIKEY_EXTENSION_VENDOR && extension->len == len &&
            memcmp(extension->data, mark, len) == 0) /* public */
            return true;
    }
    return false;
}

const struct mikey_method *mikey_marked_method(const struct mikey_message *m)
{
    for (size_t i = 0; mikey_methods[i] != NULL; i++) {
        if (mikey_methods[i]->mark != NULL && is_marked(m, mikey_methods[i]->mark))
            return mikey_methods[i];
    }
    return NULL;
}

const struct mikey_method *mikey_message_method(const struct mikey_message *m)
{
    const struct mikey_method *marked = mikey_marked_method(m);
    return marked == NULL ? &mikey_method_psk : marked;
}
