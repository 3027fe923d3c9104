#include "client/address.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define TLS_SCHEME "tls://"
#define UNIX_SCHEME "unix:"

static enum mikeyd_status no_memory(struct error *err)
{
    return error_set(err, MIKEYD_INTERNAL, "out of memory");
}

static enum mikeyd_status take_path(const char *path, struct address *out, struct error *err)
{
    if (path[0] != '/')
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "the address is neither unix:/absolute/path nor tls://host:port");
    out->path = strdup(path);
    out->text = strdup(path);
    return out->path == NULL || out->text == NULL ? no_memory(err) : MIKEYD_OK;
}

/* "HOST:PORT" or "[HOST]:PORT", of this length. */
static enum mikeyd_status take_host(const char *text, size_t len, struct address *out,
                                    struct error *err)
{
    const char *colon = memrchr(text, ':', len);
    const size_t host_len = colon == NULL ? 0 : (size_t)(colon - text);
    const size_t port_len = colon == NULL ? 0 : len - host_len - 1;
    const bool bracketed = host_len > 2 && text[0] == '[' && text[host_len - 1] == ']';
    if (host_len == 0 || port_len == 0 || strspn(colon + 1, "0123456789") < port_len)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "\"%.*s\" is not HOST:PORT", (int)len, text);
    if (out->host_count == ADDRESS_HOSTS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "more than %d hosts", ADDRESS_HOSTS_MAX);
    struct address_host *host = &out->hosts[out->host_count++];
    host->host = bracketed ? strndup(text + 1, host_len - 2) : strndup(text, host_len);
    host->port = strndup(colon + 1, port_len);
    return host->host == NULL || host->port == NULL ? no_memory(err) : MIKEYD_OK;
}

static enum mikeyd_status take_hosts(const char *text, size_t len, struct address *out,
                                     struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (size_t at = 0; status == MIKEYD_OK && at <= len;) {
        const char *comma = memchr(text + at, ',', len - at);
        const size_t end = comma == NULL ? len : (size_t)(comma - text);
        status = take_host(text + at, end - at, out, err);
        at = end + 1;
    }
    return status;
}

/* "%XX" in place; false for one that is none, or a zero byte. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (*from != '%') {
            *to = *from++;
            continue;
        }
        uint8_t byte = 0;
        size_t decoded = 0;
        (void)hex_decode(from + 1, strnlen(from + 1, 2), &byte, 1, &decoded, NULL);
        if (decoded != 1 || byte == 0)
            return false;
        *to = (char)byte;
        from += 3;
    }
    *to = '\0';
    return true;
}

static enum mikeyd_status take_option(const char *text, size_t len, struct address *out,
                                      struct error *err)
{
    const struct {
        const char *name;
        char **value;
    } options[] = {{"ca=", &out->ca},
                   {"cert=", &out->cert},
                   {"key=", &out->key},
                   {"name=", &out->name},
                   {"psk=", &out->psk}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        const size_t name_len = strlen(options[i].name);
        if (len <= name_len || strncmp(text, options[i].name, name_len) != 0 ||
            *options[i].value != NULL)
            continue;
        *options[i].value = strndup(text + name_len, len - name_len);
        if (*options[i].value == NULL)
            return no_memory(err);
        if (decode(*options[i].value))
            return MIKEYD_OK;
        break;
    }
    return error_set(err, MIKEYD_INVALID_ARGUMENT,
                     "\"%.*s\" is no option of a tls:// address, or stands twice",
                     len > 100 ? 100 : (int)len, text);
}

static enum mikeyd_status take_options(const char *text, struct address *out, struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    while (status == MIKEYD_OK && *text != '\0') {
        const size_t len = strcspn(text, "&");
        status = take_option(text, len, out, err);
        text += len + (text[len] == '&');
    }
    if (status != MIKEYD_OK)
        return status;
    const bool all = out->ca != NULL && out->cert != NULL && out->key != NULL;
    const bool any = out->ca != NULL || out->cert != NULL || out->key != NULL || out->name != NULL;
    if (out->psk == NULL ? !all : any)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "a tls:// address needs ?ca=FILE&cert=FILE&key=FILE or ?psk=FILE");
    return status;
}

enum mikeyd_status address_parse(const char *text, struct address *out, struct error *err)
{
    *out = (struct address){0};
    if (strncmp(text, TLS_SCHEME, strlen(TLS_SCHEME)) != 0)
        return take_path(strncmp(text, UNIX_SCHEME, strlen(UNIX_SCHEME)) == 0
                             ? text + strlen(UNIX_SCHEME)
                             : text,
                         out, err);
    const size_t len = strcspn(text, "?");
    out->text = strndup(text, len);
    if (out->text == NULL)
        return no_memory(err);
    enum mikeyd_status status =
        take_hosts(text + strlen(TLS_SCHEME), len - strlen(TLS_SCHEME), out, err);
    if (status == MIKEYD_OK)
        status = take_options(text[len] == '?' ? text + len + 1 : "", out, err);
    return status;
}

void address_clear(struct address *address)
{
    for (size_t i = 0; i < address->host_count; i++) {
        free(address->hosts[i].host);
        free(address->hosts[i].port);
    }
    free(address->text);
    free(address->path);
    free(address->ca);
    free(address->cert);
    free(address->key);
    free(address->name);
    free(address->psk);
    *address = (struct address){0};
}
