/* What a keyholder proves and signs, held against OpenSSL. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/checkpoint.h"
#include "importer/importer.h"
#include "lab.h"

static struct lab lab;
static struct door_answer answer;

static void stop(void)
{
    lab_close(&lab);
}
TestSuite(keyholder_proof, .fini = stop, .timeout = 120);

/* ---- proofs */

static void hmac(const uint8_t *key, size_t key_len, const uint8_t *text, size_t len,
                 uint8_t out[32])
{
    size_t out_len = 0;
    cr_assert_not_null(
        EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, text, len, out, 32, &out_len));
}

static struct door_request proof_request(uint8_t nonce)
{
    struct door_request request = {
        .op = DOOR_PROOF_OF,
        .proof = {.count = 4,
                  .entry = {{.kind = KEYS_PSK, .name = "plain", .generation = 1},
                            {.kind = KEYS_PSK, .name = "long", .generation = 1},
                            {.kind = KEYS_TICKET, .name = "tickets", .generation = 1},
                            {.kind = KEYS_PSK, .name = "absent", .generation = 1}}}};
    memset(request.proof.nonce, nonce, sizeof request.proof.nonce);
    return request;
}

Test(keyholder_proof, a_proof_is_an_hmac_under_a_label_of_its_own)
{
    uint8_t text[16 + DOOR_NONCE] = "mikeyd key proof", want[32], blocks[3][32], last[32] = {0};
    lab_open(&lab, LAB_ANY);
    const struct door_request request = proof_request(0xa5);
    memcpy(text + 16, request.proof.nonce, DOOR_NONCE);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.proof.count, 4);
    hmac(lab_plain, sizeof lab_plain, text, sizeof text, want);
    cr_assert_arr_eq(answer.proof.proof[0], want, 32);
    memcpy(last, lab_long + 64, 16);
    hmac(lab_long, 32, text, sizeof text, blocks[0]);
    hmac(lab_long + 32, 32, text, sizeof text, blocks[1]);
    hmac(last, 32, text, sizeof text, blocks[2]);
    cr_assert_eq(EVP_Q_digest(NULL, "SHA256", NULL, blocks, sizeof blocks, want, NULL), 1);
    cr_assert_arr_eq(answer.proof.proof[1], want, 32, "every block counts");
    hmac(lab_ticket, sizeof lab_ticket, text, sizeof text, want);
    cr_assert_arr_eq(answer.proof.proof[2], want, 32);
    cr_assert_eq(answer.proof.status[3], MIKEYD_TOKEN_DOWN, "it is not here");
    cr_assert_eq(lab_facts(&lab).uses, 0, "nothing was done for the front with it");
}

Test(keyholder_proof, an_epsk_that_may_only_derive_is_proven_by_derivation)
{
    uint8_t text[16 + DOOR_NONCE] = "mikeyd key proof", key[32], want[32];
    lab_open(&lab, LAB_DERIVES);
    struct door_request request = {
        .op = DOOR_PROOF_OF,
        .proof = {.count = 1, .entry = {{.kind = KEYS_EPSK, .name = "core", .generation = 1}}}};
    uint8_t epskx[32];
    cr_assert_eq(importer_extract(IMPORTER_SHA256, lab_epsk, sizeof lab_epsk, epskx, NULL),
                 MIKEYD_OK);
    cr_assert_eq(importer_expand(IMPORTER_SHA256, epskx, text, sizeof text, key, sizeof key, NULL),
                 MIKEYD_OK);
    hmac(key, sizeof key, text, sizeof text, want);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.proof.status[0], MIKEYD_OK);
    cr_assert_arr_eq(answer.proof.proof[0], want, 32);
}

Test(keyholder_proof, an_epskx_is_proven_by_hmac)
{
    uint8_t text[16 + DOOR_NONCE] = "mikeyd key proof", want[32];
    lab_make(&lab, lab_token_of_run(LAB_SIGNS));
    cr_assert(token_fixture_key(
        &lab.fixture,
        &(struct token_fixture_key){.label = "mikeyd/epskx/x/1", .value = lab_epsk, .len = 32}));
    lab_start(&lab);
    const struct door_request request = {
        .op = DOOR_PROOF_OF,
        .proof = {.count = 1, .entry = {{.kind = KEYS_EPSKX, .name = "x", .generation = 1}}}};
    hmac(lab_epsk, 32, text, sizeof text, want);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.proof.status[0], MIKEYD_OK);
    cr_assert_arr_eq(answer.proof.proof[0], want, 32);
}

Test(keyholder_proof, tokens_with_the_same_keys_give_the_same_proofs)
{
    uint8_t first[3][32];
    lab_make(&lab, TOKEN_FIXTURE_SOFTHSM);
    lab_add_psk(&lab, "absent", 1); /* the fourth: another value there */
    lab_start(&lab);
    struct door_request request = proof_request(1);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    memcpy(first, answer.proof.proof, sizeof first);
    uint8_t other[32];
    memcpy(other, answer.proof.proof[3], sizeof other);
    lab_close(&lab);

    lab_make(&lab, TOKEN_FIXTURE_NSS);
    lab_add_psk(&lab, "absent", 9);
    lab_start(&lab);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_arr_eq(answer.proof.proof, first, sizeof first);
    cr_assert_eq(answer.proof.status[3], MIKEYD_OK);
    cr_assert_arr_neq(answer.proof.proof[3], other, 32, "same name, another key");
    request = proof_request(2);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    for (size_t i = 0; i < 3; i++)
        cr_assert_arr_neq(answer.proof.proof[i], first[i], 32, "another nonce, another proof");
}

/* ---- signatures */

static EVP_PKEY *read_pem(const char *pem, size_t len)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    cr_assert_not_null(key);
    return key;
}

static bool verifies(EVP_PKEY *key, const void *text, size_t len, const uint8_t *signature,
                     size_t signature_len)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool right = EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                       EVP_DigestVerify(context, signature, signature_len, text, len) == 1;
    EVP_MD_CTX_free(context);
    return right;
}

static EVP_PKEY *ask_public_key(void)
{
    static const char purpose[] = "mikeyd audit key proof 1\n";
    uint8_t text[sizeof purpose - 1 + DOOR_NONCE];
    struct door_request request = {.op = DOOR_PUBLIC_KEY,
                                   .audit = {.name = "log", .generation = 1, .nonce = {1, 2, 3}}};
    memcpy(text, purpose, sizeof purpose - 1);
    memcpy(text + sizeof purpose - 1, request.audit.nonce, DOOR_NONCE);
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    EVP_PKEY *key = read_pem(answer.public_key.pem, answer.public_key.pem_len);
    cr_assert(verifies(key, text, sizeof text, answer.public_key.signature,
                       answer.public_key.signature_len));
    text[sizeof text - 1] ^= 1;
    cr_assert_not(verifies(key, text, sizeof text, answer.public_key.signature,
                           answer.public_key.signature_len));
    return key;
}

Test(keyholder_proof, a_checkpoint_is_signed_with_the_keyholders_own_count_of_uses)
{
    char text[CHECKPOINT_TEXT_MAX];
    lab_make(&lab, lab_token_of_run(LAB_ANY));
    lab_add_audit_key(&lab);
    lab_start(&lab);
    EVP_PKEY *key = ask_public_key();
    const struct keys_name name = lab_psk("plain");
    const struct door_request seal = lab_seal(&name, MIKEY_ALGORITHMS_256);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(lab_ask(&lab, &seal, &answer), MIKEYD_OK, "%s", answer.text);
    struct door_request request = {
        .op = DOOR_CHECKPOINT,
        .audit = {
            .name = "log", .generation = 1, .claim = {.covers = 77, .chain = {0xab}, .head = {9}}}};
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_OK, "%s", answer.text);
    cr_assert_eq(answer.checkpoint.uses, 3);
    struct checkpoint_claim what = {
        .covers = 77, .chain = {0xab}, .head = {9}, .counted = true, .uses = 3};
    memcpy(what.holder, answer.checkpoint.incarnation, sizeof what.holder);
    cr_assert(verifies(key, text, checkpoint_text(&what, text), answer.checkpoint.signature,
                       answer.checkpoint.signature_len));
    what.uses = 2;
    cr_assert_not(verifies(key, text, checkpoint_text(&what, text), answer.checkpoint.signature,
                           answer.checkpoint.signature_len));
    EVP_PKEY_free(key);
    const struct door_facts facts = lab_facts(&lab);
    cr_assert_arr_eq(facts.incarnation, what.holder, sizeof what.holder);
    (void)snprintf(request.audit.name, sizeof request.audit.name, "other");
    cr_assert_eq(lab_ask(&lab, &request, &answer), MIKEYD_TOKEN_DOWN);
}
