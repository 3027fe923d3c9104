#include "lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"

const uint8_t lab_psk[32] = {0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xa9, 0xba,
                             0xcb, 0xdc, 0xed, 0xfe, 0x0f, 0x01, 0x12, 0x23, 0x34, 0x45, 0x56,
                             0x67, 0x78, 0x89, 0x9a, 0xab, 0xbc, 0xcd, 0xde, 0xef, 0xf0};
const uint8_t lab_psk_2[32] = {0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb,
                               0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
                               0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0};

/* ---- the token */

static struct token *open_token(const struct lab *lab)
{
    struct token_config config = token_fixture_config(&lab->fixture);
    struct token *token = NULL;
    struct error err = {0};
    config.call_timeout_ms = 5000;
    config.profile = lab->profile;
    if (lab->module != NULL)
        config.module = lab->module;
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    return token;
}

/* Provisioning, which never goes through p11-kit. */
struct ceremony {
    struct lab *lab;
    struct token *token;
    struct token_session *session;
};

static struct ceremony ceremony_begin(struct lab *lab)
{
    struct ceremony ceremony = {.lab = lab};
    struct token_config config = token_fixture_config(&lab->fixture);
    struct error err = {0};
    config.module = lab->fixture.module;
    config.read_write = config.provisioning = true;
    cr_assert_eq(token_open(&config, &ceremony.token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(ceremony.token, 1000, &ceremony.session, &err), MIKEYD_OK,
                 "%s", err.text);
    return ceremony;
}

static void ceremony_end(struct ceremony *ceremony)
{
    token_session_release(ceremony->session);
    token_close(ceremony->token);
    lab_token_provisioned(&ceremony->lab->fixture);
}

/* A token without HKDF holds what the extract step makes of an EPSK, as the ceremony stores it. */
static void import_key(struct ceremony *ceremony, enum token_kind kind, const char *name,
                       unsigned generation, const uint8_t *key, size_t len)
{
    struct error err = {0};
    SECRET_CLEANUP struct secret epskx = {0};
    struct provision_spec spec = {.kind = kind, .name = name, .generation = generation};
    if (kind == TOKEN_EPSK && !lab_token_derives(&ceremony->lab->fixture)) {
        cr_assert(secret_make(&epskx, 32));
        cr_assert_eq(importer_extract(IMPORTER_SHA256, key, len, epskx.data, &err), MIKEYD_OK);
        spec.kind = TOKEN_EPSKX;
        spec.bits = (unsigned)len * 8;
        key = epskx.data;
        len = epskx.len;
    }
    cr_assert_eq(provision_import(ceremony->session, &spec, key, len, &err), MIKEYD_OK, "%s: %s",
                 name, err.text);
}

void lab_import(struct lab *lab, enum token_kind kind, const char *name, unsigned generation,
                const uint8_t *key, size_t len)
{
    struct ceremony ceremony = ceremony_begin(lab);
    import_key(&ceremony, kind, name, generation, key, len);
    ceremony_end(&ceremony);
}

void lab_destroy(struct lab *lab, enum token_kind kind, const char *name, unsigned generation)
{
    struct ceremony ceremony = ceremony_begin(lab);
    const struct token_key *key = NULL;
    struct error err = {0};
    cr_assert_eq(token_key_find(ceremony.token, kind, name, generation, &key, &err), MIKEYD_OK,
                 "%s", err.text);
    cr_assert_eq(provision_destroy(ceremony.session, key, &err), MIKEYD_OK, "%s", err.text);
    ceremony_end(&ceremony);
}

static void provision(struct lab *lab)
{
    struct ceremony ceremony = ceremony_begin(lab);
    uint8_t long_key[80], epsk[32], tickets[32];
    for (size_t i = 0; i < sizeof long_key; i++)
        long_key[i] = (uint8_t)(i + 1);
    memset(epsk, 0x5a, sizeof epsk);
    memset(tickets, 0x77, sizeof tickets);
    const struct {
        enum token_kind kind;
        const char *name;
        unsigned generation;
        const uint8_t *key;
        size_t len;
    } keys[] = {
        {TOKEN_PSK, "legacy", 1, lab_psk, 32},      {TOKEN_PSK, "legacy", 2, lab_psk_2, 32},
        {TOKEN_PSK, "short", 1, lab_psk, 16},       {TOKEN_PSK, "long", 1, long_key, 80},
        {TOKEN_EPSK, "core", 1, epsk, sizeof epsk}, {TOKEN_EPSK, "core", 2, lab_psk, 32},
        {TOKEN_TICKET, "tickets", 1, tickets, 32},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        import_key(&ceremony, keys[i].kind, keys[i].name, keys[i].generation, keys[i].key,
                   keys[i].len);
    ceremony_end(&ceremony);
}

void lab_derive_pairs(struct lab *lab, const char *key, unsigned generation,
                      enum mikey_algorithms algorithms)
{
    struct ceremony ceremony = ceremony_begin(lab);
    const struct token_key *source = NULL;
    struct error err = {0};
    const enum token_kind kind = lab_token_derives(&lab->fixture) ? TOKEN_EPSK : TOKEN_EPSKX;
    cr_assert_eq(token_key_find(ceremony.token, kind, key, generation, &source, &err), MIKEYD_OK,
                 "%s", err.text);
    for (int direction = 0; direction < 2; direction++) {
        uint8_t store[2][IDENTITY_MAX];
        struct identity ends[2];
        cr_assert_eq(identity_parse(direction ? LAB_B : LAB_A, store[0], &ends[0], &err), 0);
        cr_assert_eq(identity_parse(direction ? LAB_A : LAB_B, store[1], &ends[1], &err), 0);
        struct importer_pair pair;
        cr_assert_eq(importer_pair(key, generation, &ends[0], &ends[1], algorithms, &pair, &err),
                     MIKEYD_OK, "%s", err.text);
        cr_assert_eq(provision_derive_pair(ceremony.session, source, pair.object_name, pair.info,
                                           pair.info_len, NULL, &err),
                     MIKEYD_OK, "%s", err.text);
    }
    ceremony_end(&ceremony);
}

void lab_prepare_pairs(struct lab *lab, const char *key, unsigned generation)
{
    if (!lab_token_derives(&lab->fixture))
        lab_derive_pairs(lab, key, generation, MIKEY_ALGORITHMS_256);
}

const char *lab_pair_name(const char *key, unsigned generation, const char *initiator,
                          const char *responder)
{
    static struct importer_pair pair;
    uint8_t store[2][IDENTITY_MAX];
    struct identity ends[2];
    cr_assert_eq(identity_parse(initiator, store[0], &ends[0], NULL), MIKEYD_OK);
    cr_assert_eq(identity_parse(responder, store[1], &ends[1], NULL), MIKEYD_OK);
    cr_assert_eq(
        importer_pair(key, generation, &ends[0], &ends[1], MIKEY_ALGORITHMS_256, &pair, NULL),
        MIKEYD_OK);
    return pair.object_name;
}

/* ---- the service */

const char *lab_policy_text(const char *defaults, const char *keys, const char *key)
{
    static char text[4096];
    (void)snprintf(
        text, sizeof text,
        "policy: 1\n"
        "defaults: {provisioning: plaintext-allowed, %s}\n"
        "keys:\n%s\n"
        "nodes: [\"" LAB_A "\", \"" LAB_B "\", \"" LAB_C "\"]\n"
        "pairs:\n"
        "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: %s}\n"
        "  - {initiator: \"" LAB_B "\", responder: \"" LAB_A "\", key: %s}\n"
        "clients:\n"
        "  - {name: sbc-a, uid: 1001, acts_as: [\"" LAB_A "\"], may: [initiate, respond]}\n"
        "  - {name: sbc-b, uid: 1002, acts_as: [\"" LAB_B "\"], may: [initiate, respond]}\n"
        "  - {name: sbc-c, uid: 1003, acts_as: [\"" LAB_C "\"], may: [respond]}\n",
        defaults == NULL ? "suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80]" : defaults, keys,
        key, key);
    return text;
}

static struct policy *load_policy(const char *text)
{
    struct policy *policy = NULL;
    struct error err = {0};
    cr_assert_eq(policy_load_text(text, strlen(text), "policy.yaml", &policy, &err), MIKEYD_OK,
                 "%s", err.text);
    return policy;
}

void lab_start_workers(struct lab *lab)
{
    struct error err = {0};
    cr_assert_eq(exchange_worker_open(lab->service, &lab->a, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(exchange_worker_open(lab->service, &lab->b, &err), MIKEYD_OK, "%s", err.text);
}

void lab_open_token(struct lab *lab, enum lab_token need)
{
    struct error err = {0};
    char path[128];
    const enum token_fixture_kind kind = lab_token_of_run(need);
    log_open("test", LOG_LEVEL_ERROR);
    *lab = (struct lab){.dir = "/tmp/mikeyd-exchange-XXXXXX"};
    cr_assert_not_null(mkdtemp(lab->dir));
    cr_assert_eq(secret_heap_init(4 << 20, &err), MIKEYD_OK, "%s", err.text);
    lab_token_make(&lab->fixture, kind);
    provision(lab);
    (void)snprintf(path, sizeof path, "%s/replay", lab->dir);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(lmdb_store_open(path, 120, NULL, &lab->store, &err), MIKEYD_OK, "%s", err.text);
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", lab->dir);
    const struct audit_options options = {.path = path, .insecure_no_sync = true};
    cr_assert_eq(audit_open(&options, &lab->audit, &err), MIKEYD_OK, "%s", err.text);
    lab->budget = policy_budget_make();
    cr_assert_not_null(lab->budget);
}

static void start_keys(struct lab *lab)
{
    struct error err = {0};
    lab->token = open_token(lab);
    cr_assert_eq(key_service_start(&lab->keys, lab->token, &lab->options, 5000, &err), MIKEYD_OK,
                 "%s", err.text);
    lab->config.keys = lab->keys.group;
    lab->config.request_ms = 5000;
}

static void stop_keys(struct lab *lab)
{
    if (lab->token != NULL)
        key_service_stop(&lab->keys);
    token_close(lab->token);
}

enum mikeyd_status lab_start_service(struct lab *lab, const char *policy, struct error *err)
{
    if (lab->token == NULL)
        start_keys(lab);
    lab->config.store = lab->store;
    lab->config.audit = lab->audit;
    lab->config.budget = lab->budget;
    struct policy *loaded = load_policy(policy);
    enum mikeyd_status status = exchange_service_open(&lab->config, loaded, &lab->service, err);
    if (status != MIKEYD_OK) {
        policy_unref(loaded);
        return status;
    }
    policy_unref(lab->policy);
    lab->policy = loaded;
    return MIKEYD_OK;
}

void lab_open_policy(struct lab *lab, enum lab_token need, const char *policy)
{
    struct error err = {0};
    lab_open_token(lab, need);
    cr_assert_eq(lab_start_service(lab, policy, &err), MIKEYD_OK, "%s", err.text);
    lab_start_workers(lab);
}

void lab_open(struct lab *lab, enum lab_token need, const char *defaults)
{
    lab_open_policy(lab, need,
                    lab_policy_text(defaults, "  - {name: legacy, kind: psk}", "legacy"));
}

enum mikeyd_status lab_reload(struct lab *lab, const char *policy, struct error *err)
{
    struct policy *loaded = load_policy(policy);
    cr_assert_eq(keys_group_rescan(lab->keys.group, err), MIKEYD_OK, "%s", err->text);
    enum mikeyd_status status = exchange_service_set_policy(lab->service, loaded, err);
    if (status != MIKEYD_OK) {
        policy_unref(loaded);
        return status;
    }
    policy_unref(lab->policy);
    lab->policy = loaded;
    return MIKEYD_OK;
}

void lab_stop_service(struct lab *lab)
{
    exchange_worker_close(lab->a);
    exchange_worker_close(lab->b);
    exchange_service_close(lab->service);
    lab->a = lab->b = NULL;
    lab->service = NULL;
}

void lab_restart(struct lab *lab)
{
    struct error err = {0};
    lab_stop_service(lab);
    stop_keys(lab);
    start_keys(lab);
    cr_assert_eq(exchange_service_open(&lab->config, lab->policy, &lab->service, &err), MIKEYD_OK,
                 "%s", err.text);
    lab_start_workers(lab);
}

struct door_facts lab_facts(struct lab *lab)
{
    struct keys_member_status status;
    struct error err = {0};
    cr_assert_eq(keys_group_check_health(lab->keys.group, &err), MIKEYD_OK, "%s", err.text);
    keys_group_member_status(lab->keys.group, 0, &status);
    return status.facts;
}

void lab_close(struct lab *lab)
{
    lab_stop_service(lab);
    stop_keys(lab);
    audit_close(lab->audit);
    store_close(lab->store);
    policy_unref(lab->policy);
    policy_budget_free(lab->budget);
    token_fixture_remove(&lab->fixture);
    char command[96];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", lab->dir);
    cr_assert_eq(system(command), 0);
}

/* ---- requests */

static void keep_bytes(struct lab_bytes *out, const uint8_t *data, size_t len)
{
    cr_assert_leq(len, sizeof out->data);
    if (len != 0)
        memcpy(out->data, data, len);
    out->len = len;
}

enum mikeyd_status lab_serve(struct exchange_worker *w, uid_t uid, struct exchange_request *request,
                             struct lab_result *out)
{
    struct exchange_result result;
    struct error err = {0};
    request->caller.has_uid = true;
    request->caller.uid = uid;
    enum mikeyd_status status = exchange_serve(w, request, &result, &err);
    memset(out, 0, sizeof *out);
    out->err = err;
    keep_bytes(&out->message, result.message, result.message_len);
    keep_bytes(&out->ticket, result.ticket, result.ticket_len);
    out->key_count = result.key_count;
    out->suite_count = result.suite_count;
    memcpy(out->suites, result.suites, sizeof out->suites);
    out->csb_id = result.csb_id;
    out->audit_sequence = result.audit_sequence;
    for (size_t i = 0; i < result.key_count; i++) {
        out->keys[i] = result.keys[i];
        if (result.keys[i].mki_len != 0)
            memcpy(out->mki[i], result.keys[i].mki, result.keys[i].mki_len);
        out->keys[i].mki = NULL;
    }
    exchange_result_wipe(w);
    return status;
}

enum mikeyd_status lab_initiate(struct lab *lab, const struct exchange_stream *streams,
                                size_t count, bool verify, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_INITIATE,
                                       .from = LAB_A,
                                       .to = LAB_B,
                                       .streams = streams,
                                       .stream_count = count,
                                       .verify = verify};
    return lab_serve(lab->a, LAB_UID_A, &request, out);
}

enum mikeyd_status lab_respond(struct lab *lab, const struct lab_bytes *message,
                               const struct lab_bytes *ticket, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_RESPOND,
                                       .as = LAB_B,
                                       .message = message->data,
                                       .message_len = message->len,
                                       .ticket = ticket == NULL ? NULL : ticket->data,
                                       .ticket_len = ticket == NULL ? 0 : ticket->len};
    return lab_serve(lab->b, LAB_UID_B, &request, out);
}

enum mikeyd_status lab_confirm(struct lab *lab, const struct lab_bytes *ticket,
                               const struct lab_bytes *reply, struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_CONFIRM,
                                       .ticket = ticket->data,
                                       .ticket_len = ticket->len,
                                       .message = reply->data,
                                       .message_len = reply->len};
    return lab_serve(lab->a, LAB_UID_A, &request, out);
}

enum mikeyd_status lab_update(struct lab *lab, const struct lab_bytes *ticket,
                              const struct exchange_stream *streams, size_t count,
                              struct lab_result *out)
{
    struct exchange_request request = {.operation = EXCHANGE_UPDATE,
                                       .ticket = ticket->data,
                                       .ticket_len = ticket->len,
                                       .streams = streams,
                                       .stream_count = count,
                                       .verify = true};
    return lab_serve(lab->a, LAB_UID_A, &request, out);
}

/* ---- a peer of another make */

struct mikey_init lab_peer_offer(void)
{
    static uint8_t rand[16], tgk[32], store[2][IDENTITY_MAX];
    static struct mikey_stream stream;
    static struct mikey_key_data key;
    stream = (struct mikey_stream){.ssrc = 0x99, .suite = SRTP_AEAD_AES_256_GCM};
    key = (struct mikey_key_data){.type = MIKEY_KEY_TGK, .key = tgk, .key_len = sizeof tgk};
    memset(rand, 0xa5, sizeof rand);
    memset(tgk, 0x3c, sizeof tgk);
    struct mikey_init init = {
        .algorithms = MIKEY_ALGORITHMS_256,
        .verify = true,
        .csb_id = 0x12345678,
        .t = clock_ntp_now(),
        .rand = rand,
        .rand_len = sizeof rand,
        .streams = &stream,
        .stream_count = 1,
        .keys = &key,
        .key_count = 1,
    };
    cr_assert_eq(identity_parse(LAB_A, store[0], &init.idi, NULL), MIKEYD_OK);
    cr_assert_eq(identity_parse(LAB_B, store[1], &init.idr, NULL), MIKEYD_OK);
    return init;
}

void lab_seal(const struct mikey_init *init, const uint8_t *psk, size_t psk_len,
              struct lab_bytes *out)
{
    struct mikey_psk key;
    struct error err = {0};
    cr_assert_eq(mikey_host_psk(psk, psk_len, &key, &err), MIKEYD_OK, "%s", err.text);
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    struct mikey_psk_port port = {.psk = key, .keys = keys};
    const struct mikey_key holder = {.ops = &mikey_key_by_psk, .port = &port};
    struct mikey_plain plain;
    struct byte_writer w = writer_of(out->data, sizeof out->data);
    cr_assert_eq(mikey_seal_init(init, &holder, &plain, &w, &err), MIKEYD_OK, "%s", err.text);
    out->len = w.len;
    secret_release(keys, sizeof *keys);
    mikey_host_psk_clear(&key);
}

void lab_remac(struct lab_bytes *message, const struct mikey_init *init, const uint8_t *psk,
               size_t psk_len)
{
    struct mikey_psk key;
    struct error err = {0};
    static struct mikey_message m;
    cr_assert_eq(mikey_parse(message->data, message->len, &m, NULL, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(mikey_host_psk(psk, psk_len, &key, &err), MIKEYD_OK, "%s", err.text);
    struct mikey_message_keys *keys = secret_alloc(sizeof *keys);
    const struct mikey_derivation what = {.prf = (enum mikey_prf)m.prf,
                                          .csb_id = m.csb_id,
                                          .rand = init->rand,
                                          .rand_len = init->rand_len,
                                          .encryption = m.encryption,
                                          .mac = m.mac_alg};
    cr_assert_eq(key.ops->derive(&key, &what, keys, &err), MIKEYD_OK, "%s", err.text);
    const uint8_t *covered = message->data;
    cr_assert_eq(key.ops->mac(&key, keys, &covered, &m.mac_at, 1, message->data + m.mac_at, &err),
                 MIKEYD_OK, "%s", err.text);
    key.ops->release(&key, keys);
    secret_release(keys, sizeof *keys);
    mikey_host_psk_clear(&key);
}

size_t lab_audit_count(struct lab *lab, const char *text)
{
    char path[128];
    uint64_t sequence = 0;
    const struct audit_record record = {.event = AUDIT_RELOAD};
    cr_assert_eq(audit_append(lab->audit, &record, &sequence, NULL), MIKEYD_OK);
    cr_assert_eq(audit_wait(lab->audit, sequence, NULL), MIKEYD_OK);
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", lab->dir);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    static char line[65536];
    size_t count = 0;
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, text) != NULL;
    (void)fclose(file);
    return count;
}

bool lab_same_keys(const struct lab_result *x, const struct lab_result *y)
{
    if (x->key_count != y->key_count || x->key_count == 0 || x->csb_id != y->csb_id)
        return false;
    for (size_t i = 0; i < x->key_count; i++) {
        const struct exchange_key *a = &x->keys[i], *b = &y->keys[i];
        if (a->cs != b->cs || a->ssrc != b->ssrc || a->roc != b->roc || a->suite != b->suite ||
            a->mki_len != b->mki_len || memcmp(x->mki[i], y->mki[i], a->mki_len) != 0 ||
            memcmp(&a->value, &b->value, sizeof a->value) != 0)
            return false;
    }
    return true;
}

bool lab_is_empty(const struct lab_result *r)
{
    return r->message.len == 0 && r->ticket.len == 0 && r->key_count == 0 && r->audit_sequence == 0;
}
