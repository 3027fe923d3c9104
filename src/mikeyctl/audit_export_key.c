/* mikeyctl audit export-key: the public half of the key that signs checkpoints, out of the token.
 */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "mikeyctl/audit_command.h"
#include "pkcs11/token/signer.h"

static bool write_text(void *context, FILE *stream)
{
    return fputs(context, stream) >= 0;
}

static enum mikeyd_status read_key(const struct config *config, const char *name,
                                   unsigned generation, char **pem, struct error *err)
{
    struct token *token = NULL;
    struct token_signer *signer = NULL;
    if (config->token_count == 0)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "the configuration names no token");
    /* A public key is wanted, not service: findings on other keys are no reason to refuse. */
    struct token_config settings = config->tokens[0];
    settings.provisioning = true;
    enum mikeyd_status status = token_open(&settings, &token, err);
    if (status == MIKEYD_OK)
        status = token_signer_open(token, name, generation, &signer, err);
    if (status == MIKEYD_OK)
        status = token_signer_prove(signer, err);
    if (status == MIKEYD_OK) {
        *pem = token_signer_public_pem(signer);
        if (*pem == NULL)
            status = error_set(err, MIKEYD_INTERNAL, "out of memory");
    }
    if (signer != NULL)
        token_signer_close(signer);
    if (token != NULL)
        token_close(token);
    return status;
}

static int print_key(const struct audit_arguments *arguments, char *pem)
{
    struct error err = {0};
    if (arguments->out != NULL &&
        audit_write_whole(arguments->out, write_text, pem, &err) != MIKEYD_OK)
        return ctl_fail(arguments->json, &err);
    if (arguments->json)
        return ctl_print(json_pack("{s:s}", "public_key", pem));
    if (arguments->out == NULL)
        (void)fputs(pem, stdout);
    return 0;
}

int audit_command_export_key(const struct ctl *ctl, const struct audit_arguments *arguments)
{
    struct error err = {0};
    struct config *config = NULL;
    char *pem = NULL;
    enum mikeyd_status status = config_load(ctl->config, &config, &err);
    if (status != MIKEYD_OK)
        return ctl_fail(arguments->json, &err);
    const char *name = arguments->name != NULL ? arguments->name : config->audit_key_name;
    unsigned generation =
        arguments->generation != 0 ? arguments->generation : config->audit_key_generation;
    if (name == NULL)
        status =
            error_set(&err, MIKEYD_INVALID_ARGUMENT,
                      "%s: audit.sign names no key; give --name and --generation", ctl->config);
    else
        status = read_key(config, name, generation == 0 ? 1 : generation, &pem, &err);
    int result = status == MIKEYD_OK ? print_key(arguments, pem) : ctl_fail(arguments->json, &err);
    free(pem);
    config_free(config);
    return result;
}
