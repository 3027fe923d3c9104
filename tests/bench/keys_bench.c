/*
 * keys-bench: a token full of keys, for tests/bench/many-keys.
 *
 *   keys-bench fill CONFIG COUNT   makes psk k1 to kCOUNT in the first token of the configuration
 *   keys-bench read CONFIG         the module's own time: loads it bare, logs in, finds every secret
 *                                  key and reads its label and ID; prints milliseconds
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "bench/floor.h"
#include "config/config.h"
#include "pkcs11/provision/provision.h"

#define HEAP ((size_t)4 << 20)
#define SESSION_WAIT_MS 5000

static enum mikeyd_status make_keys(struct token_session *session, unsigned count,
                                    struct error *err)
{
    enum mikeyd_status status = MIKEYD_OK;
    for (unsigned i = 1; i <= count && status == MIKEYD_OK; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        const struct provision_spec spec = {
            .kind = TOKEN_PSK, .name = name, .generation = 1, .bits = 256};
        status = provision_generate(session, &spec, err);
    }
    return status;
}

static enum mikeyd_status fill(const struct token_config *config, unsigned count, struct error *err)
{
    struct token_config settings = *config;
    struct token *token = NULL;
    struct token_session *session = NULL;
    settings.read_write = settings.provisioning = true;
    settings.sessions = 1;
    enum mikeyd_status status = token_open(&settings, &token, err);
    if (status == MIKEYD_OK)
        status = token_session_acquire(token, SESSION_WAIT_MS, &session, err);
    if (status == MIKEYD_OK)
        status = make_keys(session, count, err);
    if (session != NULL)
        token_session_release(session);
    if (token != NULL)
        token_close(token);
    return status;
}

static enum mikeyd_status read_bare(const struct token_config *config, struct error *err)
{
    double seconds = 0;
    size_t keys = 0;
    enum mikeyd_status status = floor_read_keys(config, &seconds, &keys, err);
    if (status == MIKEYD_OK)
        printf("%.0f\n", seconds * 1000);
    return status;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct config *config = NULL;
    const bool fills = argc == 4 && strcmp(argv[1], "fill") == 0;
    if (!fills && (argc != 3 || strcmp(argv[1], "read") != 0)) {
        fprintf(stderr, "usage: keys-bench fill CONFIG COUNT | read CONFIG\n");
        return 1;
    }
    enum mikeyd_status status = secret_heap_init(HEAP, &err);
    if (status == MIKEYD_OK)
        status = config_load(argv[2], &config, &err);
    if (status == MIKEYD_OK)
        status = fills ? fill(&config->tokens[0], (unsigned)strtoul(argv[3], NULL, 10), &err)
                       : read_bare(&config->tokens[0], &err);
    if (status != MIKEYD_OK)
        fprintf(stderr, "keys-bench: %s\n", err.text);
    config_free(config);
    return status == MIKEYD_OK ? 0 : 1;
}
