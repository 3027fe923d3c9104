/*
 * The PRF as HMAC calls on a keyed service (RFC 3830 4.1.2, RFC 6043 6.1): strategy "sign".
 *
 *   A_0 = label, A_i = HMAC(s, A_(i-1)), P_i = HMAC(s, A_i || label), key = XOR over the blocks s
 * of P_1 || P_2 ...
 *
 * All keys and blocks go together: round 1 is every A_1, round 2 every P_1 and every A_2 that is
 * needed, and so on. Both algorithm sets need one P_i a key: 2 rounds and 6 HMACs for a PSK of one
 * block.
 */
#include "base/bytes.h"
#include "base/secret.h"
#include "mikey/host_crypto.h"
#include "mikey/label.h"
#include "mikey/psk.h"

#define KEYS 3
#define P_MAX 2 /* 32 bytes by SHA-1, the longest output here */
#define SLOTS ((size_t)2 * P_MAX)

struct wanted {
    uint8_t *out;
    size_t len;
    uint8_t label[MIKEY_LABEL_MAX];
    size_t label_len;
};

struct prf_run {
    const struct mikey_psk *psk;
    struct mikey_message_keys *keys;
    enum hmac_hash hash;
    struct wanted wanted[KEYS];
    size_t wanted_count;
    struct hmac_job jobs[MIKEY_PSK_BLOCKS_MAX * KEYS * 2];
    size_t job_count;
};

/* Scratch of one block and key: A_1, A_2, P_1, P_2. */
static uint8_t *slot(struct prf_run *run, size_t block, size_t key, size_t index)
{
    return run->keys->scratch[(block * KEYS + key) * SLOTS + index];
}

static uint8_t *slot_a(struct prf_run *run, size_t block, size_t key, size_t i)
{
    return slot(run, block, key, i - 1);
}

static uint8_t *slot_p(struct prf_run *run, size_t block, size_t key, size_t i)
{
    return slot(run, block, key, P_MAX + i - 1);
}

static struct hmac_job *add_job(struct prf_run *run, size_t block, uint8_t *tag)
{
    struct hmac_job *job = &run->jobs[run->job_count++];
    *job = (struct hmac_job){.key = run->psk->blocks[block], .hash = run->hash, .tag = tag};
    return job;
}

/* A_round, and P_(round - 1), of one block and key. */
static void add_round(struct prf_run *run, size_t block, size_t key, size_t round)
{
    const struct wanted *wanted = &run->wanted[key];
    size_t outputs = (wanted->len + hmac_tag_len(run->hash) - 1) / hmac_tag_len(run->hash);
    if (round <= outputs) {
        struct hmac_job *job = add_job(run, block, slot_a(run, block, key, round));
        if (round == 1) {
            job->data[0] = wanted->label;
            job->len[0] = wanted->label_len;
        } else {
            job->data[0] = slot_a(run, block, key, round - 1);
            job->len[0] = hmac_tag_len(run->hash);
        }
    }
    if (round > 1 && round - 1 <= outputs) {
        struct hmac_job *job = add_job(run, block, slot_p(run, block, key, round - 1));
        job->data[0] = slot_a(run, block, key, round - 1);
        job->len[0] = hmac_tag_len(run->hash);
        job->data[1] = wanted->label;
        job->len[1] = wanted->label_len;
    }
}

static enum mikeyd_status run_rounds(struct prf_run *run, struct error *err)
{
    for (size_t round = 1; round <= P_MAX + 1; round++) {
        run->job_count = 0;
        for (size_t block = 0; block < run->psk->block_count; block++) {
            for (size_t key = 0; key < run->wanted_count; key++)
                add_round(run, block, key, round);
        }
        if (run->job_count == 0)
            continue;
        enum mikeyd_status status =
            run->psk->hmac->hmac_batch(run->psk->service, run->jobs, run->job_count, err);
        if (status != MIKEYD_OK)
            return status;
    }
    return MIKEYD_OK;
}

/* P_1 || P_2 of each key, cut to its length; XOR over the blocks. */
static void fold_blocks(struct prf_run *run)
{
    size_t tag_len = hmac_tag_len(run->hash);
    for (size_t key = 0; key < run->wanted_count; key++) {
        const struct wanted *wanted = &run->wanted[key];
        secret_wipe(wanted->out, wanted->len);
        for (size_t block = 0; block < run->psk->block_count; block++) {
            for (size_t at = 0, i = 1; at < wanted->len; at += tag_len, i++) {
                const uint8_t *p = slot_p(run, block, key, i);
                size_t len = wanted->len - at < tag_len ? wanted->len - at : tag_len;
                for (size_t j = 0; j < len; j++)
                    wanted->out[at + j] ^= p[j];
            }
        }
    }
}

static void want(struct prf_run *run, const struct mikey_derivation *what, uint32_t constant,
                 uint8_t *out, size_t len)
{
    struct wanted *wanted = &run->wanted[run->wanted_count++];
    wanted->out = out;
    wanted->len = len;
    wanted->label_len = mikey_label_write(wanted->label, constant, MIKEY_LABEL_PSK_CS_ID,
                                          what->csb_id, what->rand, what->rand_len);
}

static void prf_run_begin(struct prf_run *run, const struct mikey_psk *psk,
                          struct mikey_message_keys *keys, enum mikey_prf prf)
{
    run->psk = psk;
    run->keys = keys;
    run->hash = mikey_prf_hash(prf);
    run->wanted_count = 0;
}

/* Computes what is wanted and wipes what it used of the scratch, whatever happens. */
static enum mikeyd_status prf_run_finish(struct prf_run *run, struct error *err)
{
    enum mikeyd_status status = run_rounds(run, err);
    if (status == MIKEYD_OK)
        fold_blocks(run);
    secret_wipe(run->keys->scratch, run->psk->block_count * KEYS * SLOTS * HMAC_TAG_MAX);
    return status;
}

static enum mikeyd_status check_blocks(const struct mikey_psk *psk, struct error *err)
{
    if (psk->block_count == 0 || psk->block_count > MIKEY_PSK_BLOCKS_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT, "a PSK of %zu blocks", psk->block_count);
    return MIKEYD_OK;
}

static void release(const struct mikey_psk *psk, struct mikey_message_keys *keys)
{
    (void)psk;
    /* The scratch is not among these: a run wipes what it used of it. */
    secret_wipe(keys->encr, sizeof keys->encr);
    secret_wipe(keys->salt, sizeof keys->salt);
    secret_wipe(keys->auth, sizeof keys->auth);
    keys->what = (struct mikey_derivation){0};
    keys->encr_len = keys->salt_len = keys->auth_len = 0;
}

/* Encr alg 0 leaves the lengths of encryption and salting key at 0: they are not computed. */
static enum mikeyd_status run_keys(const struct mikey_psk *psk, const struct mikey_derivation *what,
                                   bool with_auth, struct mikey_message_keys *keys,
                                   struct error *err)
{
    struct mikey_key_sizes sizes;
    if (!mikey_key_sizes(what, &sizes))
        return error_set(err, MIKEYD_UNSUPPORTED, "no such message keys");
    enum mikeyd_status status = check_blocks(psk, err);
    if (status != MIKEYD_OK)
        return status;
    keys->what = *what;
    keys->encr_len = (uint8_t)sizes.encr;
    keys->salt_len = (uint8_t)sizes.salt;
    keys->auth_len = (uint8_t)sizes.auth;
    struct prf_run run;
    prf_run_begin(&run, psk, keys, what->prf);
    want(&run, what, MIKEY_LABEL_PSK_ENCR, keys->encr, sizes.encr);
    want(&run, what, MIKEY_LABEL_PSK_SALT, keys->salt, sizes.salt);
    if (with_auth)
        want(&run, what, MIKEY_LABEL_PSK_AUTH, keys->auth, sizes.auth);
    status = prf_run_finish(&run, err);
    if (status != MIKEYD_OK)
        psk->ops->release(psk, keys);
    keys->what.rand = NULL; /* a view of the message, which may go before the keys do */
    return status;
}

static enum mikeyd_status derive(const struct mikey_psk *psk, const struct mikey_derivation *what,
                                 struct mikey_message_keys *keys, struct error *err)
{
    return run_keys(psk, what, true, keys, err);
}

static enum mikeyd_status extend(const struct mikey_psk *psk, const struct mikey_derivation *what,
                                 struct mikey_message_keys *keys, struct error *err)
{
    return run_keys(psk, what, false, keys, err);
}

/* 0: nothing comes out for that. */
static uint32_t purpose_label(enum mikey_tgk_purpose purpose)
{
    switch (purpose) {
    case MIKEY_TGK_DERIVED:
        return MIKEY_LABEL_PSK_TGK;
    case MIKEY_TGK_DHE:
        return MIKEY_LABEL_PSK_DHE;
    case MIKEY_TGK_NONE:
        break;
    }
    return 0;
}

static enum mikeyd_status tgk(const struct mikey_psk *psk, const struct mikey_derivation *what,
                              enum mikey_tgk_purpose purpose, struct mikey_message_keys *keys,
                              uint8_t *out, size_t len, struct error *err)
{
    struct mikey_key_sizes sizes;
    const uint32_t label = purpose_label(purpose);
    if (label == 0 || !mikey_key_sizes(what, &sizes) || len == 0 || len > HMAC_TAG_MAX)
        return error_set(err, MIKEYD_UNSUPPORTED, "no such TGK");
    enum mikeyd_status status = check_blocks(psk, err);
    if (status != MIKEYD_OK)
        return status;
    struct prf_run run;
    prf_run_begin(&run, psk, keys, what->prf);
    want(&run, what, label, out, len);
    return prf_run_finish(&run, err);
}

static enum mikeyd_status mac(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                              const uint8_t *const data[], const size_t len[], size_t parts,
                              uint8_t *tag, struct error *err)
{
    if (keys->auth_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no authentication key");
    return psk->hmac->hmac_message(psk->service, mikey_mac_hash(keys->what.mac), keys->auth,
                                   keys->auth_len, data, len, parts, tag, err);
}

static enum mikeyd_status aes_cm(const struct mikey_psk *psk, struct mikey_message_keys *keys,
                                 const uint8_t iv[16], uint8_t *data, size_t len, struct error *err)
{
    (void)psk;
    if (keys->encr_len == 0)
        return error_set(err, MIKEYD_UNSUPPORTED, "no encryption key");
    return host_aes_ctr(keys->encr, keys->encr_len, iv, data, len, err);
}

const struct mikey_psk_ops mikey_psk_by_hmac = {
    .name = "sign",
    .derive = derive,
    .extend = extend,
    .mac = mac,
    .aes_cm = aes_cm,
    .tgk = tgk,
    .release = release,
};
