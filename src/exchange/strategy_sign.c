#include "exchange/strategy.h"

#include "pkcs11/token.h"

static enum mikeyd_status batch_in_token(void *service, struct hmac_job *jobs, size_t count,
                                         struct error *err)
{
    return token_hmac_batch(service, jobs, count, err);
}

static enum mikeyd_status message_in_token(void *service, enum hmac_hash hash, const uint8_t *key,
                                           size_t key_len, const uint8_t *const data[],
                                           const size_t len[], size_t parts, uint8_t *tag,
                                           struct error *err)
{
    return token_hmac_bytes(service, hash, key, key_len, data, len, parts, tag, err);
}

static enum mikeyd_status message_on_host(void *service, enum hmac_hash hash, const uint8_t *key,
                                          size_t key_len, const uint8_t *const data[],
                                          const size_t len[], size_t parts, uint8_t *tag,
                                          struct error *err)
{
    (void)service;
    return mikey_host_hmac.hmac_message(NULL, hash, key, key_len, data, len, parts, tag, err);
}

const struct mikey_hmac_ops exchange_hmac_token = {batch_in_token, message_in_token};
const struct mikey_hmac_ops exchange_hmac_mac_on_host = {batch_in_token, message_on_host};
