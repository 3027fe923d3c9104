#include "story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "audit/chain.h"
#include "audit/checkpoint.h"
#include "audit/record.h"
#include "base/clock.h"
#include "base/text.h"

#define DAYS 31
#define DAY_MS 86400000LL
#define BEGIN_MS 1793491200000LL /* 2026-11-01 */
#define LABEL "mikeyd/audit/main/1"

static const char *const nodes[] = {
    "sip:sbc-a.core@carrier.example", "sip:sbc-b.core@carrier.example",
    "sip:sbc-c.edge@carrier.example", "sip:sbc-d.edge@carrier.example",
    "sip:pbx@enterprise.example",     "sip:<script>alert('x')</script>@\"evil\".example",
};
#define NODES (sizeof nodes / sizeof nodes[0])
static const char *const policies[] = {
    "b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184",
    "591785b794601e212b260e25925636fd591785b794601e212b260e25925636fd"};

struct story {
    FILE *file;
    EVP_PKEY *key;
    struct audit_hasher *hasher;
    struct audit_chain chain;
    int64_t now_ms;
    struct story_totals *totals;
    unsigned seed;
};

/* {"seq":... of the next record, not sealed; its length. */
static size_t format(struct story *story, const struct audit_record *record,
                     const struct audit_internal *internal, char body[AUDIT_LINE_MAX])
{
    char fields[AUDIT_FIELDS_MAX], time[CLOCK_TEXT];
    size_t fields_len = audit_record_format(record, internal, fields);
    clock_format_utc(story->now_ms, time);
    int len = snprintf(body, AUDIT_LINE_MAX,
                       "{\"seq\":%" PRIu64 ",\"time\":\"%s\",\"boot\":\"0c0ffee0\",\"instance\":"
                       "\"5707\"%.*s",
                       story->chain.sequence + 1, time, (int)fields_len, fields);
    return (size_t)len;
}

static void write_body(struct story *story, const char *body, size_t len)
{
    char line[AUDIT_LINE_MAX];
    cr_assert_eq(audit_chain_seal(story->hasher, &story->chain, body, len, line, NULL), MIKEYD_OK);
    size_t line_len = len + AUDIT_SEAL_LEN + 1;
    cr_assert_eq(fwrite(line, 1, line_len, story->file), line_len);
    story->chain.sequence++;
    story->totals->records++;
    story->now_ms += 7;
}

static void write_record(struct story *story, const struct audit_record *record,
                         const struct audit_internal *internal)
{
    char body[AUDIT_LINE_MAX];
    write_body(story, body, format(story, record, internal, body));
}

static void checkpoint(struct story *story, bool final)
{
    char body[AUDIT_LINE_MAX], text[CHECKPOINT_TEXT_MAX], base64[256];
    struct checkpoint_claim claim = {.covers = story->chain.sequence};
    uint8_t signature[AUDIT_SIGNATURE_MAX];
    size_t signature_len = sizeof signature;
    const struct audit_record record = {.event = AUDIT_CHECKPOINT};
    const struct audit_internal internal = {.signer = LABEL,
                                            .covers = story->chain.sequence,
                                            .chain = story->chain.hash,
                                            .final = final};
    size_t len = format(story, &record, &internal, body);
    cr_assert_eq(audit_hash(story->hasher, body, len, claim.head, NULL), MIKEYD_OK);
    memcpy(claim.chain, story->chain.hash, sizeof claim.chain);
    const size_t text_len = checkpoint_text(&claim, text);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    cr_assert(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, story->key) == 1);
    cr_assert(EVP_DigestSign(context, signature, &signature_len, (const unsigned char *)text,
                             text_len) == 1);
    EVP_MD_CTX_free(context);
    base64_encode(signature, signature_len, base64);
    len += (size_t)snprintf(body + len, sizeof body - len, ",\"signature\":\"%s\"", base64);
    write_body(story, body, len);
}

static void event(struct story *story, enum audit_event what, enum mikeyd_status status,
                  const char *key, const char *detail)
{
    const bool step = what >= AUDIT_KEY_GENERATE && what <= AUDIT_KEY_CHECK;
    const struct audit_record record = {.event = what,
                                        .status = status,
                                        .client = step ? "ceremony uid 1000"
                                                  : what == AUDIT_RELOAD
                                                      ? "SIGHUP by uid 0, process 7"
                                                      : NULL,
                                        .key = key,
                                        .detail = detail};
    write_record(story, &record, NULL);
}

static struct identity identity_of(const char *text)
{
    return (struct identity){IDENTITY_URI, strlen(text), (const uint8_t *)text};
}

static void exchange(struct story *story, size_t from, size_t to, int day)
{
    const struct audit_record record = {.event =
                                            story->seed % 3 == 0 ? AUDIT_INITIATE : AUDIT_RESPOND,
                                        .client = "sbc-a",
                                        .from = identity_of(nodes[from]),
                                        .to = identity_of(nodes[to]),
                                        .has_csb_id = true,
                                        .csb_id = story->seed,
                                        .key = "core/1",
                                        .method = "psk",
                                        .algorithms = "mikey-256",
                                        .suites = "AEAD_AES_256_GCM",
                                        .prf = "sign",
                                        .keys = 2,
                                        .reference = "a84b4c76e66710@pc33 \"<x>\"",
                                        .policy_sha256 = policies[day >= 17]};
    write_record(story, &record, NULL);
    story->totals->exchanges++;
    story->totals->keys += 2;
}

static void refuse(struct story *story, const char *client, enum mikeyd_status status,
                   uint64_t suppressed, int day)
{
    const struct audit_record record = {.event = suppressed == 0 ? AUDIT_REFUSED : AUDIT_SUPPRESSED,
                                        .status = status,
                                        .client = client,
                                        .operation = suppressed == 0 ? "respond" : NULL,
                                        .count = suppressed,
                                        .policy_sha256 = policies[day >= 17]};
    write_record(story, &record, NULL);
    story->totals->refusals += suppressed == 0 ? 1 : suppressed;
}

static unsigned next(struct story *story, unsigned below)
{
    return (unsigned)rand_r(&story->seed) % below;
}

static void tell_day(struct story *story, int day)
{
    story->now_ms = BEGIN_MS + day * DAY_MS;
    /* Less at the weekend: 2026-11-01 is a Sunday. */
    unsigned calls = (day % 7 == 0 || day % 7 == 6 ? 30 : 90) + next(story, 30);
    for (unsigned i = 0; i < calls; i++) {
        size_t from = next(story, 4), to = (from + 1 + next(story, i % 5 == 0 ? 4 : 2)) % 5;
        story->now_ms += 86000000 / calls / 2;
        exchange(story, from, to, day);
        if (i % 11 == 0)
            refuse(story, "sbc-c", i % 3 == 0 ? MIKEYD_CLOCK_SKEW : MIKEYD_REPLAY, 0, day);
    }
    for (int i = 0; day % 4 == 1 && i < 40; i++)
        exchange(story, 5, 0, day);
    if (day == 9)
        refuse(story, "<img src=x onerror=alert(1)>", MIKEYD_NOT_ENTITLED, 740, day);
    if (day == 12 || day == 23) {
        event(story, AUDIT_TOKEN_DOWN, MIKEYD_TOKEN_DOWN, NULL, "hsm-1");
        story->now_ms += day == 12 ? 95000 : 19800000;
        event(story, AUDIT_TOKEN_UP, MIKEYD_OK, NULL, "hsm-1");
        story->totals->outages++;
    }
    if (day == 17)
        event(story, AUDIT_RELOAD, MIKEYD_OK, NULL, "pairs: 2 added");
    checkpoint(story, false);
}

static void ceremony(struct story *story)
{
    event(story, AUDIT_KEY_GENERATE, MIKEYD_OK, "core/1", "epsk, 256 bits, hsm-1");
    event(story, AUDIT_KEY_DERIVE, MIKEYD_OK, "core/1", "12 pair keys");
    event(story, AUDIT_KEY_IMPORT, MIKEYD_POLICY, "legacy-pbx/1",
          "the policy allows wrapped keys only");
    event(story, AUDIT_KEY_DESTROY, MIKEYD_OK, "core.b97aae2dcbeec3bd9e3ac7fe496efb57/1",
          "pair, hsm-1");
    event(story, AUDIT_KEY_CHECK, MIKEYD_OK, NULL, "13 keys, no finding");
}

static void write_side_files(const char *folder, EVP_PKEY *key)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/key.pem", folder);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && PEM_write_PUBKEY(file, key) == 1 && fclose(file) == 0);
    (void)snprintf(path, sizeof path, "%s/keys.json", folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    static const char format[] =
        "{\"token\":\"hsm-1\",\"kind\":\"%s\",\"name\":\"%s\",\"generation\":1,\"bits\":%d,"
        "\"objects\":1,\"flags\":\"sensitive private %s\",\"mechanisms\":\"%s\","
        "\"start_date\":\"2026-06-01\",\"end_date\":\"%s\",\"findings\":\"%s\",\"usable\":%s,"
        "\"state\":\"%s\",\"state_why\":\"by its dates\"}";
    (void)fprintf(file, "{\"clean\":false,\"keys\":[");
    (void)fprintf(file, format, "epsk", "core", 256, "derive", "HKDF", "2027-06-01", "", "true",
                  "active");
    (void)fputc(',', file);
    (void)fprintf(file,
                  "{\"token\":\"hsm-1\",\"kind\":\"pair\",\"name\":\"core."
                  "b97aae2dcbeec3bd9e3ac7fe496efb57\",\"generation\":1,\"bits\":256,\"flags\":"
                  "\"sensitive private sign\",\"mechanisms\":\"SHA256-HMAC\",\"start_date\":\"\","
                  "\"end_date\":\"\",\"findings\":\"\",\"usable\":true,\"initiator\":"
                  "\"sip:sbc-a@carrier.example\",\"responder\":\"sip:sbc-b@carrier.example\"},");
    (void)fprintf(file, format, "psk", "legacy-pbx", 112, "sign", "SHA1-HMAC, SHA256-HMAC", "",
                  "<b>no end date</b>", "false", "deactivated");
    (void)fprintf(file, "],\"findings\":[{\"token\":\"hsm-1\",\"rule\":\"RFC9257-6-1-LENGTH\","
                        "\"severity\":\"error\",\"text\":\"legacy-pbx/1 has 112 bits\"}]}\n");
    cr_assert_eq(fclose(file), 0);
}

void story_write(const char *folder, struct story_totals *totals)
{
    char path[256];
    memset(totals, 0, sizeof *totals);
    struct story story = {.now_ms = BEGIN_MS,
                          .totals = totals,
                          .seed = 20261101,
                          .key = EVP_EC_gen("P-256"),
                          .hasher = audit_hasher_make()};
    (void)snprintf(path, sizeof path, "%s/audit.jsonl", folder);
    story.file = fopen(path, "w");
    cr_assert(story.file != NULL && story.key != NULL && story.hasher != NULL);
    ceremony(&story);
    event(&story, AUDIT_START, MIKEYD_OK, NULL, "mikeyd");
    event(&story, AUDIT_LOGIN, MIKEYD_OK, NULL, "hsm-1");
    for (int day = 0; day < DAYS; day++)
        tell_day(&story, day);
    event(&story, AUDIT_STOP, MIKEYD_OK, NULL, NULL);
    checkpoint(&story, true);
    cr_assert_eq(fclose(story.file), 0);
    write_side_files(folder, story.key);
    audit_hasher_free(story.hasher);
    EVP_PKEY_free(story.key);
}
