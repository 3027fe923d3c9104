#include "key_service.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *context)
{
    struct key_service *service = context;
    keyholder_serve(service->holder, service->served);
    return NULL;
}

enum mikeyd_status key_service_start(struct key_service *service, struct token *token,
                                     const struct keyholder_options *options, unsigned timeout_ms,
                                     struct error *err)
{
    const struct keyholder_options usual = {.pair_cache = 0};
    struct token_facts facts;
    int ends[2];
    *service = (struct key_service){.served = -1};
    token_get_facts(token, &facts);
    const struct keys_group_config config = {
        .members = 1, .call_timeout_ms = {timeout_ms}, .sessions = {facts.sessions}};
    enum mikeyd_status status =
        keyholder_make(token, options == NULL ? &usual : options, &service->holder, err);
    if (status == MIKEYD_OK)
        status = keys_group_make(&config, &service->group, err);
    if (status != MIKEYD_OK)
        return status;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return error_set(err, MIKEYD_INTERNAL, "socketpair");
    service->served = ends[1];
    if (pthread_create(&service->thread, NULL, serve, service) != 0)
        return error_set(err, MIKEYD_INTERNAL, "pthread_create");
    (void)keys_group_join(service->group, 0, ends[0]);
    return keys_group_wait(service->group, 1, timeout_ms, err);
}

void key_service_stop(struct key_service *service)
{
    keys_group_free(service->group);
    if (service->holder != NULL && service->served >= 0) {
        (void)pthread_join(service->thread, NULL);
        (void)close(service->served);
    }
    keyholder_free(service->holder);
    *service = (struct key_service){.served = -1};
}
