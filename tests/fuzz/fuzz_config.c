/*
 * mikeyd.yaml: whatever stands in it is read, or refused with the line. Files are not touched:
 * yaml_file_load() is replaced by one that parses the input (linked with --wrap).
 */
#include <string.h>

#include "base/yaml.h"
#include "config/config.h"
#include "fuzz.h"
#include "mutate.h"

static const char *input;
static size_t input_len;

enum mikeyd_status __wrap_yaml_file_load(const char *path, struct yaml_file **out,
                                         struct error *err);
enum mikeyd_status __wrap_yaml_file_load(const char *path, struct yaml_file **out,
                                         struct error *err)
{
    return yaml_file_parse(input, input_len, path, out, err);
}

static void check_loaded(const struct config *config)
{
    PROMISE(config->token_count >= 1 && config->policy != NULL && config->listen_count >= 1);
    PROMISE((config->replay_lmdb == NULL) != (config->replay_redis == NULL));
    PROMISE(config->audit_file != NULL && config->workers >= 1 && config->queue >= 1);
    PROMISE((config->front_user == NULL) == (config->keyholder_user == NULL));
    PROMISE(config->sandbox.connect_count <= CONFIG_SANDBOX_MAX);
    for (size_t i = 0; i < config->token_count; i++) {
        const struct token_config *token = &config->tokens[i];
        PROMISE(token->module != NULL && token->uri != NULL && token->sessions >= 1);
        for (size_t n = 0; config_token_switch(token, n) != NULL; n++)
            PROMISE(n < 100);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct error err = {0};
    input = (const char *)data;
    input_len = size;
    if (config_load("/etc/mikeyd/mikeyd.yaml", &config, &err) == MIKEYD_OK) {
        check_loaded(config);
        config_free(config);
    } else {
        PROMISE(err.text[0] != '\0');
    }
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct dice dice = dice_of(seed);
    return mutate_lines(data, size, max, &dice);
}
