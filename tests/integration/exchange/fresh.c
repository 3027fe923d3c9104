/*
 * Numbers that must never come twice, over a thousand whole exchanges, and where they come from: what
 * OpenSSL's generator gives is written down on its way (--wrap).
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/secret.h"
#include "exchange/service.h"
#include "lab.h"

TestSuite(fresh, .timeout = 240);

/* ---- what OpenSSL gave */

struct draws {
    uint8_t data[16384];
    size_t len;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct draws public, private;

int __real_RAND_bytes(unsigned char *out, int len);
int __real_RAND_priv_bytes(unsigned char *out, int len);
int __wrap_RAND_bytes(unsigned char *out, int len);
int __wrap_RAND_priv_bytes(unsigned char *out, int len);

static void write_down(struct draws *to, const unsigned char *drawn, int len)
{
    (void)pthread_mutex_lock(&lock);
    cr_assert_leq(to->len + (size_t)len, sizeof to->data);
    memcpy(to->data + to->len, drawn, (size_t)len);
    to->len += (size_t)len;
    (void)pthread_mutex_unlock(&lock);
}

int __wrap_RAND_bytes(unsigned char *out, int len)
{
    const int result = __real_RAND_bytes(out, len);
    write_down(&public, out, len);
    return result;
}

int __wrap_RAND_priv_bytes(unsigned char *out, int len)
{
    const int result = __real_RAND_priv_bytes(out, len);
    write_down(&private, out, len);
    return result;
}

static void forget_draws(void)
{
    (void)pthread_mutex_lock(&lock);
    public.len = private.len = 0;
    (void)pthread_mutex_unlock(&lock);
}

static void expect_drawn(const struct draws *from, const void *bytes, size_t len, const char *what)
{
    (void)pthread_mutex_lock(&lock);
    cr_assert_not_null(memmem(from->data, from->len, bytes, len),
                       "%s is not what OpenSSL's generator gave", what);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- what a thousand exchanges are made of */

#define EXCHANGES 1000
#define TICKETS 3 /* of the offer, of the answer, of its confirmation */
#define SSRC 0x11223344

struct fresh {
    uint8_t csb_id[EXCHANGES][4], rand[EXCHANGES][16], tgk[EXCHANGES][32];
    uint8_t values[2 * EXCHANGES][32];
    uint8_t salts[TICKETS * EXCHANGES][16], nonces[TICKETS * EXCHANGES][12];
    uint8_t master_keys[2 * EXCHANGES][32], master_salts[2 * EXCHANGES][12];
};

static struct fresh fresh;
static struct lab_result offer, answer, got;
static struct mikey_message m;

static size_t compared;
static int compare(const void *a, const void *b)
{
    return memcmp(a, b, compared);
}

static void expect_distinct(void *items, size_t count, size_t size, const char *what)
{
    compared = size;
    qsort(items, count, size, compare);
    for (size_t i = 1; i < count; i++)
        cr_assert(compare((uint8_t *)items + (i - 1) * size, (uint8_t *)items + i * size) != 0,
                  "%s came twice", what);
}

/* Its random part; the salt makes the key that it is sealed with, so it is what names a ticket. */
static void take_ticket(const struct lab_bytes *ticket, size_t at)
{
    const uint8_t *random = ticket->data + TICKET_HEADER - 12 - 16;
    expect_drawn(&public, random, 16 + 12, "salt and nonce of a ticket");
    memcpy(fresh.salts[at], random, 16);
    memcpy(fresh.nonces[at], random + 16, 12);
}

/* The TGK, which stands in the offer's ticket. */
static void take_tgk(struct lab *lab, size_t i)
{
    static struct bundle bundle;
    struct error err = {0};
    int64_t expires;
    struct ticket_scratch *scratch = secret_alloc(sizeof *scratch);
    struct bundle_keys *keys = secret_alloc(sizeof *keys);
    cr_assert_eq(ticket_open(lab->a->cipher, lab->service->ticket_keys, clock_unix_now(),
                             offer.ticket.data, offer.ticket.len, "sbc-a", BUNDLE_CONFIRMS, &bundle,
                             keys, &expires, scratch, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_eq(keys->key[0].key_len, 32);
    memcpy(fresh.tgk[i], keys->key[0].key, 32);
    secret_release(keys, sizeof *keys);
    secret_release(scratch, sizeof *scratch);
}

static void take_message(const struct lab_bytes *message, size_t i)
{
    struct byte_writer id = writer_of(fresh.csb_id[i], 4);
    cr_assert_eq(mikey_parse(message->data, message->len, &m, NULL, NULL), MIKEYD_OK);
    writer_u32(&id, m.csb_id);
    expect_drawn(&public, fresh.csb_id[i], 4, "a CSB ID");
    cr_assert_geq(m.rand_len, 16);
    memcpy(fresh.rand[i], m.rand, 16);
    expect_drawn(&public, m.rand, m.rand_len, "a RAND");
}

/* One stream each way, of which the responder chooses the second SSRC. */
static void exchange(struct lab *lab, size_t i)
{
    static const struct exchange_stream streams[] = {{.ssrc = SSRC}, {.ssrc = 0}};
    forget_draws();
    lab_must(lab_initiate(lab, streams, 2, true, &offer), offer);
    take_message(&offer.message, i);
    if (lab->a->call.method->exchanges)
        memcpy(fresh.values[2 * i], m.dh[0].value, 32);
    take_ticket(&offer.ticket, TICKETS * i);
    if (lab->a->call.method->transports) {
        take_tgk(lab, i);
        expect_drawn(&private, fresh.tgk[i], 32, "a TGK");
    }

    forget_draws();
    lab_must(lab_respond(lab, &offer.message, NULL, &answer), answer);
    if (lab->a->call.method->exchanges) {
        cr_assert_eq(mikey_parse(answer.message.data, answer.message.len, &m, NULL, NULL),
                     MIKEYD_OK);
        memcpy(fresh.values[2 * i + 1], m.dh[0].value, 32);
    }
    take_ticket(&answer.ticket, TICKETS * i + 1);
    cr_assert_eq(answer.keys[0].ssrc, SSRC);
    expect_drawn(&public, &answer.keys[1].ssrc, sizeof answer.keys[1].ssrc, "an SSRC");

    forget_draws();
    lab_must(lab_confirm(lab, &offer.ticket, &answer.message, &got), got);
    take_ticket(&got.ticket, TICKETS * i + 2);

    cr_assert(lab_same_keys(&got, &answer));
    cr_assert_eq(got.key_count, 2);
    for (size_t k = 0; k < 2; k++) {
        const struct mikey_session_key *key = &got.keys[k].value;
        cr_assert_eq(got.keys[k].suite, SRTP_AEAD_AES_256_GCM);
        memcpy(fresh.master_keys[2 * i + k], key->key, 32);
        memcpy(fresh.master_salts[2 * i + k], key->salt, 12);
    }
}

static void thousand(const char *defaults, bool transported, bool exchanged)
{
    struct lab lab;
    lab_open(&lab, LAB_ANY, defaults);
    for (size_t i = 0; i < EXCHANGES; i++)
        exchange(&lab, i);
    expect_distinct(fresh.csb_id, EXCHANGES, 4, "a CSB ID");
    expect_distinct(fresh.rand, EXCHANGES, 16, "a RAND");
    expect_distinct(fresh.salts, TICKETS * EXCHANGES, 16, "a ticket's salt");
    expect_distinct(fresh.nonces, TICKETS * EXCHANGES, 12, "a ticket's nonce");
    expect_distinct(fresh.master_keys, 2 * EXCHANGES, 32, "a master key");
    expect_distinct(fresh.master_salts, 2 * EXCHANGES, 12, "a master salt");
    if (transported)
        expect_distinct(fresh.tgk, EXCHANGES, 32, "a TGK");
    if (exchanged)
        expect_distinct(fresh.values, 2 * EXCHANGES, 32, "a Diffie-Hellman value");
    lab_close(&lab);
}

Test(fresh, a_thousand_exchanges_share_no_random_number)
{
    thousand(NULL, true, false);
}

Test(fresh, a_thousand_exchanges_with_a_derived_tgk_share_no_random_number)
{
    thousand("tgk: derived", false, false);
}

Test(fresh, a_thousand_exchanges_of_values_share_no_random_number)
{
    thousand("forward_secrecy: required", false, true);
}
