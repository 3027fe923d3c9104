/*
 * Tickets. With an even first byte the rest is a ticket as a client brings it; with an odd one it
 * is what stands inside, sealed here under the key of the fuzzer's build, so that what is behind
 * the seal is reached too. What opens is written again as the same bytes.
 */
#include <string.h>

#include <openssl/evp.h>

#include "base/secret.h"
#include "exchange/ticket.h"
#include "fuzz.h"
#include "importer/importer.h"
#include "mutate.h"
#include "policy/policy.h"

#define NOW ((int64_t)1796083200)
#define SALT_AT 20

static struct ticket_cipher *cipher;
static struct ticket_scratch *scratch;
static struct bundle bundle;
static struct bundle_keys *contents;

/* The keys of ticket_key.c come from a token: here there is one, of all zeros. */
bool ticket_keys_current(struct ticket_keys *keys, int64_t now, struct ticket_key_id *id,
                         uint8_t out[TICKET_KEY_LEN])
{
    (void)keys;
    *id = (struct ticket_key_id){.generation = 1, .day = (uint32_t)(now / TICKET_DAY_SECONDS)};
    memset(out, 0, TICKET_KEY_LEN);
    return true;
}

bool ticket_keys_find(struct ticket_keys *keys, const struct ticket_key_id *id,
                      uint8_t out[TICKET_KEY_LEN])
{
    (void)keys;
    memset(out, 0, TICKET_KEY_LEN);
    return id->generation == 1 && id->day == (uint32_t)(NOW / TICKET_DAY_SECONDS);
}

static void set_up(void)
{
    struct error err = {0};
    if (cipher != NULL)
        return;
    PROMISE(ticket_cipher_make(&cipher, &err) == MIKEYD_OK);
    PROMISE(secret_heap_init(1 << 20, &err) == MIKEYD_OK);
    scratch = secret_alloc(sizeof *scratch);
    contents = secret_alloc(sizeof *contents);
    PROMISE(scratch != NULL && contents != NULL);
}

/* As ticket.h describes the form. */
static size_t seal(const uint8_t *plain, size_t len, uint8_t *out)
{
    static const uint8_t zeros[TICKET_KEY_LEN];
    static EVP_CIPHER_CTX *context;
    uint8_t key[TICKET_KEY_LEN], info[17 + 16] = "mikeyd ticket key";
    struct error err = {0};
    int done = 0, rest = 0;
    struct byte_writer w = writer_of(out, TICKET_MAX);
    writer_bytes(&w, "MKT\x05", 4);
    writer_u32(&w, 1);
    writer_u32(&w, (uint32_t)(NOW / TICKET_DAY_SECONDS));
    writer_u64(&w, NOW + 60);
    memset(writer_room(&w, TICKET_HEADER - SALT_AT), 7, TICKET_HEADER - SALT_AT);
    memcpy(info + 17, out + SALT_AT, 16);
    PROMISE(importer_expand(IMPORTER_SHA256, zeros, info, sizeof info, key, sizeof key, &err) ==
            MIKEYD_OK);
    if (context == NULL)
        context = EVP_CIPHER_CTX_new();
    PROMISE(EVP_EncryptInit_ex2(context, EVP_aes_256_gcm(), key, out + SALT_AT + 16, NULL) == 1);
    PROMISE(EVP_EncryptUpdate(context, NULL, &done, out, TICKET_HEADER) == 1);
    PROMISE(EVP_EncryptUpdate(context, out + TICKET_HEADER, &done, plain, (int)len) == 1);
    PROMISE(EVP_EncryptFinal_ex(context, out + TICKET_HEADER + len, &rest) == 1);
    PROMISE(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TICKET_TAG,
                                out + TICKET_HEADER + len) == 1);
    return TICKET_HEADER + len + TICKET_TAG;
}

static bool opens(const uint8_t *ticket, size_t len, enum bundle_use use)
{
    struct error err = {0};
    int64_t expires = 0;
    enum mikeyd_status status = ticket_open(cipher, NULL, NOW, ticket, len, "sbc", use, &bundle,
                                            contents, &expires, scratch, &err);
    PROMISE(status == MIKEYD_OK || status == MIKEYD_TICKET_INVALID ||
            status == MIKEYD_TICKET_EXPIRED);
    PROMISE(status != MIKEYD_OK || expires > NOW);
    return status == MIKEYD_OK;
}

static void check_contents(const uint8_t *plain, size_t len)
{
    static uint8_t again[BUNDLE_BYTES_MAX];
    struct byte_writer w = writer_of(again, sizeof again);
    PROMISE(bundle.stream_count >= 1 && contents->count >= 1 && contents->count <= BUNDLE_KEYS_MAX);
    PROMISE(bundle.method >= POLICY_METHOD_DHHMAC && bundle.method < POLICY_METHOD_END);
    bundle_write(&bundle, contents, &w);
    PROMISE(!w.failed && w.len == len && memcmp(again, plain, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t ticket[TICKET_MAX];
    set_up();
    if (size < 2 || size - 1 > BUNDLE_BYTES_MAX)
        return 0;
    if (data[0] % 2 == 0) {
        (void)opens(data + 1, size - 1, BUNDLE_CONFIRMS);
        return 0;
    }
    const size_t len = seal(data + 1, size - 1, ticket);
    const bool confirms = opens(ticket, len, BUNDLE_CONFIRMS);
    if (confirms)
        check_contents(data + 1, size - 1);
    /* One ticket serves one use. */
    const bool goes_on = opens(ticket, len, BUNDLE_GOES_ON);
    PROMISE(!confirms || !goes_on);
    if (goes_on)
        check_contents(data + 1, size - 1);
    ticket[TICKET_HEADER] ^= 1;
    PROMISE(!opens(ticket, len, BUNDLE_CONFIRMS) && !opens(ticket, len, BUNDLE_GOES_ON));
    return 0;
}

/* ---- the inside of a ticket with another field */

static void change(struct dice *dice)
{
    static const uint8_t groups[] = {MIKEY_GROUP_X25519, MIKEY_GROUP_OAKLEY_5};
    struct bundle_key *key = &contents->key[0];
    switch (dice_roll(dice, 9)) {
    case 0:
        bundle.role = (enum bundle_role)(1 + dice_roll(dice, 3));
        break;
    case 1:
        bundle.method = (uint8_t)(1 + dice_roll(dice, 3));
        bundle.algorithms = (enum mikey_algorithms)dice_roll(dice, 2);
        break;
    case 2:
        bundle.stream_count = 1 + dice_roll(dice, MIKEY_CS_MAX);
        break;
    case 3:
        contents->count = 1 + dice_roll(dice, BUNDLE_KEYS_MAX);
        for (size_t i = 1; i < contents->count; i++)
            contents->key[i] = *key;
        break;
    case 4:
        contents->mki_len = dice_roll(dice, BUNDLE_MKI_MAX + 1);
        break;
    case 5:
        key->key_len = 1 + dice_roll(dice, BUNDLE_TGK_MAX);
        key->salt_len = dice_roll(dice, BUNDLE_SALT_MAX + 1);
        break;
    case 6: /* a value that waits for the peer's: one key, of no bytes */
        contents->has_dh = !contents->has_dh;
        contents->dh.group = groups[dice_roll(dice, 2)];
        contents->count = 1;
        key->key_len = contents->has_dh ? 0 : 16;
        break;
    case 7:
        bundle.rand_len = 1 + dice_roll(dice, BUNDLE_RAND_MAX);
        break;
    default:
        bundle.again = !bundle.again;
        (void)snprintf(bundle.reference, sizeof bundle.reference, "call-%u", dice_roll(dice, 99));
    }
}

/* A first one, for a corpus that is empty. */
static void begin(void)
{
    static const struct identity name = {.type = 1, .len = 3, .data = (const uint8_t *)"a@b"};
    memset(&bundle, 0, sizeof bundle);
    memset(contents, 0, sizeof *contents);
    bundle.role = BUNDLE_AWAITS_REPLY;
    (void)snprintf(bundle.client, sizeof bundle.client, "sbc");
    (void)snprintf(bundle.key_name, sizeof bundle.key_name, "core");
    (void)bundle_set_identity(&bundle.initiator, &name);
    (void)bundle_set_identity(&bundle.responder, &name);
    bundle.generation = 1;
    bundle.method = POLICY_METHOD_PSK;
    bundle.t.raw_len = 8;
    bundle.rand_len = 16;
    bundle.stream_count = 1;
    contents->count = 1;
    contents->key[0].key_len = 16;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static uint8_t ticket[TICKET_MAX];
    struct dice dice = dice_of(seed);
    set_up();
    if (dice_roll(&dice, 4) == 0 || size > BUNDLE_BYTES_MAX || max < 2)
        return LLVMFuzzerMutate(data, size, max);
    struct byte_writer out = writer_of(data + 1, max - 1);
    const size_t len = size < 2 ? 0 : seal(data + 1, size - 1, ticket);
    if (len == 0 || (!opens(ticket, len, BUNDLE_CONFIRMS) && !opens(ticket, len, BUNDLE_GOES_ON)))
        begin();
    change(&dice);
    bundle_write(&bundle, contents, &out);
    if (out.failed)
        return LLVMFuzzerMutate(data, size, max);
    if (dice_roll(&dice, 16) == 0) { /* the whole ticket, which is then mutated as bytes */
        const size_t whole = seal(out.data, out.len, ticket);
        data[0] = 0;
        return whole >= max ? size : mutate_splice(data, 1, max, 1, 0, ticket, whole);
    }
    data[0] = 1;
    return 1 + out.len;
}
