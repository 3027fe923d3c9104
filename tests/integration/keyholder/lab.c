#include "lab.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/secret.h"
#include "importer/importer.h"
#include "pkcs11/provision/provision.h"

/* Random, so that a run of them found somewhere is no accident. */
const uint8_t lab_plain[32] = {0x7a, 0x1f, 0xc3, 0x90, 0x4e, 0xd2, 0x8b, 0x65, 0x3d, 0xf7, 0x12,
                               0xae, 0x59, 0x80, 0xc6, 0x2b, 0x94, 0x0d, 0xe1, 0x77, 0x38, 0xba,
                               0x4c, 0xf3, 0x06, 0x9d, 0x51, 0xe8, 0x2f, 0xb4, 0x6a, 0xc9};
const uint8_t lab_long[80] = {
    0xc1, 0x5d, 0x22, 0x8e, 0x73, 0xf0, 0x49, 0xb6, 0x1a, 0x9f, 0x64, 0xd8, 0x35, 0xea, 0x07, 0xbc,
    0x50, 0xe3, 0x98, 0x2d, 0x76, 0xcb, 0x11, 0xaf, 0x44, 0xf9, 0x8a, 0x3e, 0xd7, 0x60, 0x05, 0xb3,
    0x1c, 0x81, 0xe6, 0x5b, 0xa0, 0x37, 0xdc, 0x49, 0xf2, 0x0e, 0x93, 0x68, 0xbd, 0x24, 0x7f, 0xc5,
    0x8c, 0x13, 0xd9, 0x46, 0xfb, 0x30, 0xa5, 0x6e, 0x97, 0x02, 0xcd, 0x58, 0xe1, 0x74, 0x2b, 0xb0,
    0x6d, 0x18, 0xf3, 0x8f, 0x4a, 0xd5, 0x20, 0xbe, 0x69, 0xc4, 0x3f, 0x9a, 0x05, 0xe0, 0x7b, 0x56};
const uint8_t lab_ticket[32] = {0x3b, 0xd4, 0x61, 0xfe, 0x08, 0x97, 0xaa, 0x25, 0xc0, 0x5f, 0xe2,
                                0x7d, 0x14, 0xb9, 0x86, 0x33, 0xdf, 0x4a, 0x71, 0x9c, 0x2e, 0xf5,
                                0x60, 0x8b, 0xc7, 0x12, 0xad, 0x58, 0xe4, 0x3f, 0x96, 0x01};
const uint8_t lab_epsk[32] = {0x92, 0x0b, 0xf6, 0x4d, 0x38, 0xe3, 0x7c, 0xa1, 0x5e, 0xc9, 0x14,
                              0x8f, 0xd0, 0x67, 0x2a, 0xb5, 0x01, 0xee, 0x73, 0xdc, 0x49, 0x96,
                              0x3f, 0xf8, 0x25, 0x8a, 0x5b, 0xc2, 0x17, 0xa4, 0x6f, 0xd1};
const uint8_t lab_key_data[48] = {
    0xe7, 0x42, 0x9d, 0x38, 0xb1, 0x0c, 0x67, 0xfa, 0x53, 0xce, 0x81, 0x2a, 0xf4, 0x6d, 0x90, 0x1b,
    0xc8, 0x75, 0x3e, 0xd3, 0xa6, 0x09, 0x5c, 0xbf, 0xe2, 0x87, 0x14, 0x4b, 0x76, 0x99, 0xd0, 0x2f,
    0x5a, 0xc5, 0x38, 0xe1, 0x8c, 0x03, 0x7e, 0xb9, 0x46, 0xdd, 0xa0, 0x1f, 0x62, 0x95, 0xfc, 0x30};
const uint8_t lab_head[120] = {1, 0, 5, 1, 0, 0, 0, 7};

static const uint8_t rand_bytes[16] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6};

/* ---- the token */

static void add_key(struct lab *lab, const char *label, const uint8_t *value, size_t len)
{
    cr_assert(
        token_fixture_key(&lab->fixture,
                          &(struct token_fixture_key){.label = label, .value = value, .len = len}),
        "%s", label);
}

static void add_pair(struct lab *lab, enum mikey_algorithms algorithms, bool reverse)
{
    char label[160];
    uint8_t key[32];
    struct importer_pair pair;
    const struct keys_name name = lab_pair(algorithms, reverse);
    cr_assert_eq(importer_pair(name.name, name.generation, &name.initiator, &name.responder,
                               algorithms, &pair, NULL),
                 MIKEYD_OK);
    lab_pair_key(&name, key);
    (void)snprintf(label, sizeof label, "mikeyd/pair/%s/1", pair.object_name);
    add_key(lab, label, key, sizeof key);
}

void lab_add_psk(struct lab *lab, const char *name, uint8_t first)
{
    char label[64];
    const uint8_t value[32] = {first, 2, 3};
    (void)snprintf(label, sizeof label, "mikeyd/psk/%s/1", name);
    add_key(lab, label, value, sizeof value);
}

void lab_add_audit_key(struct lab *lab)
{
    struct token_config config = token_fixture_config(&lab->fixture);
    struct token *token = NULL;
    struct token_session *session = NULL;
    struct error err = {0};
    config.read_write = config.provisioning = true;
    cr_assert_eq(token_open(&config, &token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(token_session_acquire(token, 2000, &session, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(provision_generate_audit_key(session, "log", 1, 256, &err), MIKEYD_OK, "%s",
                 err.text);
    token_session_release(session);
    token_close(token);
}

void lab_make(struct lab *lab, enum token_fixture_kind kind)
{
    *lab = (struct lab){.control = -1, .door = -1, .options = {.wait_ms = 2000}};
    cr_assert_eq(secret_heap_init((size_t)1 << 22, NULL), MIKEYD_OK);
    lab_token_make(&lab->fixture, kind);
    cr_assert(token_fixture_psk(&lab->fixture, "plain", lab_plain, sizeof lab_plain));
    cr_assert(token_fixture_psk(&lab->fixture, "long", lab_long, sizeof lab_long));
    add_key(lab, "mikeyd/ticket/tickets/1", lab_ticket, sizeof lab_ticket);
    if (lab_token_derives(&lab->fixture)) {
        add_key(lab, "mikeyd/epsk/core/1", lab_epsk, sizeof lab_epsk);
    } else {
        for (int reverse = 0; reverse < 2; reverse++) {
            add_pair(lab, MIKEY_ALGORITHMS_1, reverse != 0);
            add_pair(lab, MIKEY_ALGORITHMS_256, reverse != 0);
        }
    }
    lab->config = token_fixture_config(&lab->fixture);
}

static void *serve(void *argument)
{
    struct lab *lab = argument;
    keyholder_serve(lab->holder, lab->served);
    (void)close(lab->served);
    return NULL;
}

void lab_start(struct lab *lab)
{
    struct error err = {0};
    int control[2];
    lab_token_provisioned(&lab->fixture);
    cr_assert_eq(token_open(&lab->config, &lab->token, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(keyholder_make(lab->token, &lab->options, &lab->holder, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    lab->control = control[0];
    lab->served = control[1];
    cr_assert_eq(pthread_create(&lab->thread, NULL, serve, lab), 0);
    lab->door = lab_connect(lab);
}

void lab_open(struct lab *lab, enum lab_token need)
{
    lab_make(lab, lab_token_of_run(need));
    lab_start(lab);
}

void lab_stop(struct lab *lab)
{
    if (lab->holder == NULL)
        return;
    (void)close(lab->control);
    (void)close(lab->door);
    cr_assert_eq(pthread_join(lab->thread, NULL), 0);
    keyholder_free(lab->holder);
    token_close(lab->token);
    lab->holder = NULL;
}

void lab_close(struct lab *lab)
{
    lab_stop(lab);
    token_fixture_remove(&lab->fixture);
}

/* ---- the door */

int lab_connect(struct lab *lab)
{
    int ends[2];
    struct error err = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(door_attach(lab->control, ends[1], &err), MIKEYD_OK, "%s", err.text);
    (void)close(ends[1]);
    return ends[0];
}

enum mikeyd_status lab_ask_over(struct lab *lab, int door, const struct door_request *request,
                                struct door_answer *answer)
{
    static uint32_t next_id = 1000;
    static _Thread_local uint8_t memory[DOOR_MESSAGE_MAX];
    struct error err = {0};
    struct door_request numbered = *request;
    struct byte_writer out = writer_of(memory, sizeof memory);
    numbered.id = __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
    cr_assert_eq(door_write_request(&numbered, &out, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(door_send(door, &out, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(door_receive(door, LAB_WAIT_MS, lab->in, sizeof lab->in, &lab->in_len, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(door_read_answer(lab->in, lab->in_len, lab->entry, answer, &err), MIKEYD_OK, "%s",
                 err.text);
    cr_assert_eq(answer->id, numbered.id);
    cr_assert_eq(answer->op, request->op);
    return answer->status;
}

enum mikeyd_status lab_ask(struct lab *lab, const struct door_request *request,
                           struct door_answer *answer)
{
    return lab_ask_over(lab, lab->door, request, answer);
}

struct door_facts lab_facts(struct lab *lab)
{
    const struct door_request request = {.op = DOOR_FACTS};
    struct door_answer answer;
    cr_assert_eq(lab_ask(lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    return answer.facts;
}

/* ---- names and messages */

struct keys_name lab_psk(const char *name)
{
    return (struct keys_name){
        .kind = KEYS_PSK, .name = name, .generation = 1, .algorithms = MIKEY_ALGORITHMS_256};
}

struct keys_name lab_pair(enum mikey_algorithms algorithms, bool reverse)
{
    const struct identity a = {IDENTITY_URI, sizeof LAB_A - 1, (const uint8_t *)LAB_A};
    const struct identity b = {IDENTITY_URI, sizeof LAB_B - 1, (const uint8_t *)LAB_B};
    return (struct keys_name){.kind = KEYS_EPSK,
                              .name = "core",
                              .generation = 1,
                              .algorithms = algorithms,
                              .initiator = reverse ? b : a,
                              .responder = reverse ? a : b};
}

void lab_pair_key(const struct keys_name *name, uint8_t out[32])
{
    uint8_t epskx[32];
    struct importer_pair pair;
    cr_assert_eq(importer_pair(name->name, name->generation, &name->initiator, &name->responder,
                               name->algorithms, &pair, NULL),
                 MIKEYD_OK);
    cr_assert_eq(importer_extract(IMPORTER_SHA256, lab_epsk, sizeof lab_epsk, epskx, NULL),
                 MIKEYD_OK);
    cr_assert_eq(importer_expand(IMPORTER_SHA256, epskx, pair.info, pair.info_len, out, 32, NULL),
                 MIKEYD_OK);
}

struct mikey_derivation lab_derivation(enum mikey_algorithms algorithms, bool encrypts)
{
    const bool is_256 = algorithms == MIKEY_ALGORITHMS_256;
    const uint8_t encryption = is_256 ? 3 : 1; /* AES-CM of the set */
    return (struct mikey_derivation){.prf = is_256 ? MIKEY_PRF_HMAC_SHA256 : MIKEY_PRF_1,
                                     .csb_id = 0x11223344,
                                     .rand = rand_bytes,
                                     .rand_len = sizeof rand_bytes,
                                     .encryption = encrypts ? encryption : 0,
                                     .mac = is_256 ? 2 : 1};
}

struct door_request lab_seal(const struct keys_name *name, enum mikey_algorithms algorithms)
{
    return (struct door_request){.op = DOOR_SEAL,
                                 .name = *name,
                                 .seal = {.what = lab_derivation(algorithms, true),
                                          .t = LAB_T,
                                          .head = lab_head,
                                          .head_len = sizeof lab_head,
                                          .plain = lab_key_data,
                                          .plain_len = sizeof lab_key_data}};
}

/* ---- the host */

void lab_host_open(struct lab_host *host, const uint8_t *psk, size_t len)
{
    *host = (struct lab_host){0};
    cr_assert_eq(mikey_host_psk(psk, len, &host->port.psk, NULL), MIKEYD_OK);
    host->port.keys = secret_alloc(sizeof *host->port.keys);
    cr_assert_not_null(host->port.keys);
    host->key = (struct mikey_key){.ops = &mikey_key_by_psk, .port = &host->port};
}

void lab_host_close(struct lab_host *host)
{
    mikey_host_psk_clear(&host->port.psk);
    secret_release(host->port.keys, sizeof *host->port.keys);
}

size_t lab_host_message(struct lab_host *host, enum mikey_algorithms algorithms, uint8_t *covered,
                        uint8_t mac[32])
{
    const struct keys_name nobody = {0};
    struct door_request request = lab_seal(&nobody, algorithms);
    struct mikey_key_seal *job = &request.seal;
    memcpy(covered, job->head, job->head_len);
    job->encrypted = covered + job->head_len;
    job->mac = mac;
    cr_assert_eq(host->key.ops->seal(&host->key, job, NULL), MIKEYD_OK);
    covered[job->head_len + job->plain_len] = job->what.mac;
    return job->head_len + job->plain_len + 1;
}

bool lab_holds(const uint8_t *data, size_t len, const uint8_t *what, size_t what_len)
{
    return memmem(data, len, what, what_len) != NULL;
}
