#include "mikey/method.h"

#include <string.h>

#include "mikey/wire.h"

const struct mikey_method *const mikey_methods[] = {&mikey_method_psk, &mikey_method_psk_derived,
                                                    &mikey_method_dhhmac, &mikey_method_psk_dhe,
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

bool mikey_has_unknown_mark(const struct mikey_message *m)
{
    static const char ours[] = "mikeyd ";
    for (size_t i = 0; i < m->extension_count; i++) {
        const struct mikey_extension *extension = &m->extension[i];
        bool known = extension->type != MIKEY_EXTENSION_VENDOR ||
                     extension->len < sizeof ours - 1 ||
                     memcmp(extension->data, ours, sizeof ours - 1) != 0; /* public */
        for (size_t j = 0; !known && mikey_methods[j] != NULL; j++) {
            const char *mark = mikey_methods[j]->mark;
            known = mark != NULL && extension->len == strlen(mark) &&
                    memcmp(extension->data, mark, extension->len) == 0; /* public */
        }
        if (!known)
            return true;
    }
    return false;
}

const struct mikey_method *mikey_message_method(const struct mikey_message *m)
{
    const struct mikey_method *marked = mikey_marked_method(m);
    if (marked != NULL)
        return marked;
    const bool values = m->type == MIKEY_TYPE_DHHMAC_INIT || m->type == MIKEY_TYPE_DHHMAC_RESP;
    return values ? &mikey_method_dhhmac : &mikey_method_psk;
}
