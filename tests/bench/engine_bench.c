/*
 * engine-bench: full PSK exchanges of src/mikey on OpenSSL, on one core.
 *
 * One exchange is what both ends of a call do with MIKEY when no verification message is asked for:
 * fresh RAND and TGK are drawn; the Initiator seals the I_MESSAGE (message keys by the PRF, key
 * data encrypted, MAC) and derives the session key of the stream; the Responder parses it, derives
 * the message keys again, verifies the MAC, decrypts the key data and derives the session key. The
 * session keys of both ends are compared in every exchange.
 *
 * Rates are given by the clock on the wall and by the processor time of the one thread, which is
 * the same on an idle machine and stays meaningful on a shared one.
 *
 * Usage: engine-bench [SECONDS [MINIMUM]]; exit 1 when mikey-1 stays under MINIMUM exchanges per
 * second of processor time.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/secret.h"
#include "mikey/exchange.h"

#define TGK_MAX 32
#define RAND_LEN 16
#define SALT_LEN 14
#define POOL 256 /* exchanges that share one call of the random generator */

struct fresh {
    uint8_t rand[RAND_LEN], tgk[TGK_MAX], salt[SALT_LEN];
};

/* Everything secret of both ends, in the secure heap. */
struct secrets {
    struct fresh pool[POOL];
    struct mikey_message_keys keys;
    struct mikey_plain plain;
    struct mikey_session_key initiator, responder;
};

struct bench {
    enum mikey_algorithms algorithms;
    enum mikey_prf prf;
    bool salt; /* TGK+SALT, or TGK with derived salt */
    struct mikey_stream stream;
    struct mikey_psk psk;
    struct mikey_psk_port port;
    struct mikey_key holder;
    struct mikey_init init;
    struct mikey_key_data key;
    struct secrets *secrets;
    struct mikey_message message;
    uint8_t wire[1024];
};

static void must(enum mikeyd_status status, const struct error *err)
{
    if (status != MIKEYD_OK) {
        (void)fprintf(stderr, "engine-bench: %s: %s\n", status_name(status), err->text);
        exit(1);
    }
}

static struct identity uri(const char *text)
{
    return (struct identity){
        .type = IDENTITY_URI, .len = strlen(text), .data = (const uint8_t *)text};
}

static size_t initiate(struct bench *b, const struct fresh *fresh)
{
    struct error err = {0};
    b->key.key = fresh->tgk;
    b->key.salt = b->salt ? fresh->salt : NULL;
    b->init.rand = fresh->rand;
    b->init.t++; /* unique for each message of a sender */
    struct byte_writer w = writer_of(b->wire, sizeof b->wire);
    must(mikey_seal_init(&b->init, &b->holder, &b->secrets->plain, &w, &err), &err);
    must(mikey_session_key(b->prf, &b->key, 1, b->init.csb_id, fresh->rand, RAND_LEN,
                           b->stream.suite, &b->secrets->initiator, &err),
         &err);
    return w.len;
}

static void respond(struct bench *b, size_t len)
{
    struct error err = {0};
    struct mikey_message *m = &b->message;
    struct mikey_key_data keys[MIKEY_KEY_DATA_MAX];
    size_t count = 0;
    enum srtp_suite suite;
    must(mikey_parse(b->wire, len, m, NULL, &err), &err);
    must(mikey_open_init(m, m->rand, m->rand_len, &b->holder, NULL, &b->secrets->plain, keys,
                         &count, NULL, NULL, &err),
         &err);
    must(mikey_sp_suite(mikey_find_sp(m, m->cs[0].policy), &suite, &err), &err);
    must(mikey_session_key(b->prf, &keys[0], 1, m->csb_id, m->rand, m->rand_len, suite,
                           &b->secrets->responder, &err),
         &err);
    secret_wipe(b->secrets->plain.bytes, m->encrypted_len);
}

static void exchange(struct bench *b, const struct fresh *fresh)
{
    respond(b, initiate(b, fresh));
    if (!secret_equal(&b->secrets->initiator, &b->secrets->responder,
                      sizeof b->secrets->initiator)) {
        (void)fprintf(stderr, "engine-bench: the ends derived different keys\n");
        exit(1);
    }
}

static double processor_seconds(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct rates {
    double wall, processor;
};

static struct rates run(struct bench *b, int64_t milliseconds)
{
    double used = processor_seconds();
    int64_t start = clock_monotonic_us(), now = start;
    double done = 0;
    while (now - start < milliseconds * 1000) {
        if (RAND_priv_bytes((unsigned char *)b->secrets->pool, sizeof b->secrets->pool) != 1)
            exit(1);
        for (size_t i = 0; i < POOL; i++)
            exchange(b, &b->secrets->pool[i]);
        done += POOL;
        now = clock_monotonic_us();
    }
    return (struct rates){.wall = done * 1e6 / (double)(now - start),
                          .processor = done / (processor_seconds() - used)};
}

static double measure(enum mikey_algorithms algorithms, bool salt, int64_t milliseconds)
{
    bool large = algorithms == MIKEY_ALGORITHMS_256;
    struct error err = {0};
    struct bench *b = calloc(1, sizeof *b);
    uint8_t psk[32];
    if (b == NULL || RAND_priv_bytes(psk, sizeof psk) != 1)
        exit(1);
    b->algorithms = algorithms;
    b->prf = large ? MIKEY_PRF_HMAC_SHA256 : MIKEY_PRF_1;
    b->salt = salt;
    b->stream = (struct mikey_stream){
        .ssrc = 0x11223344, .suite = large ? SRTP_AEAD_AES_256_GCM : SRTP_AES_CM_128_HMAC_SHA1_80};
    b->secrets = secret_alloc(sizeof *b->secrets);
    must(mikey_host_psk(psk, sizeof psk, &b->psk, &err), &err);
    secret_wipe(psk, sizeof psk);
    b->port = (struct mikey_psk_port){.psk = b->psk, .keys = &b->secrets->keys};
    b->holder = (struct mikey_key){.ops = &mikey_key_by_psk, .port = &b->port};
    b->key = (struct mikey_key_data){.type = salt ? MIKEY_KEY_TGK_SALT : MIKEY_KEY_TGK,
                                     .key_len = large ? 32 : 16,
                                     .salt_len = salt ? SALT_LEN : 0};
    b->init = (struct mikey_init){.algorithms = algorithms,
                                  .csb_id = 0x12345678,
                                  .t = clock_ntp_now(),
                                  .rand_len = RAND_LEN,
                                  .idi = uri("sip:sbc-a@carrier.example"),
                                  .idr = uri("sip:sbc-b@carrier.example"),
                                  .streams = &b->stream,
                                  .stream_count = 1,
                                  .keys = &b->key,
                                  .key_count = 1};
    (void)run(b, milliseconds / 10); /* warm */
    struct rates rates = run(b, milliseconds);
    (void)printf("%-10s %-8s %-24s %8.0f /s  %8.0f /processor s  %5.2f us\n",
                 mikey_algorithms_name(algorithms), salt ? "TGK+SALT" : "TGK",
                 srtp_suite_info(b->stream.suite)->name, rates.wall, rates.processor,
                 1e6 / rates.processor);
    mikey_host_psk_clear(&b->psk);
    secret_release(b->secrets, sizeof *b->secrets);
    free(b);
    return rates.processor;
}

/* One core means one core: the scheduler does not move the bench around. */
static void pin(void)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    int cpu = sched_getcpu();
    CPU_SET(cpu < 0 ? 0u : (unsigned)cpu, &cpus);
    (void)sched_setaffinity(0, sizeof cpus, &cpus);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    double minimum = argc > 2 ? strtod(argv[2], NULL) : 0;
    struct error err = {0};
    if (seconds <= 0 || seconds > 600) {
        (void)fprintf(stderr, "usage: engine-bench [SECONDS [MINIMUM]]\n");
        return 1;
    }
    must(secret_heap_init(1 << 20, &err), &err);
    pin();
    int64_t milliseconds = (int64_t)(seconds * 1000);
    (void)printf("full exchanges on one core:\n");
    double salted = measure(MIKEY_ALGORITHMS_1, true, milliseconds);
    (void)measure(MIKEY_ALGORITHMS_1, false, milliseconds);
    (void)measure(MIKEY_ALGORITHMS_256, true, milliseconds);
    (void)measure(MIKEY_ALGORITHMS_256, false, milliseconds);
    if (salted < minimum) {
        (void)fprintf(stderr, "engine-bench: mikey-1 under %.0f exchanges a second\n", minimum);
        return 1;
    }
    return 0;
}
