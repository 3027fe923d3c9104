#include "door_samples.h"

#include <stdio.h>
#include <string.h>

#include "mikey/wire.h"

static const uint8_t bytes[256] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
static const uint8_t alice[] = "sip:sbc-a@carrier.example", bob[] = "sip:sbc-b@carrier.example";

static const struct mikey_derivation derivation = {.prf = MIKEY_PRF_HMAC_SHA256,
                                                   .csb_id = 0xcafe0001,
                                                   .rand = bytes,
                                                   .rand_len = 16,
                                                   .encryption = MIKEY_ENCR_AES_CM_256,
                                                   .mac = MIKEY_MAC_SHA256};

static void name_of(struct keys_name *name)
{
    *name = (struct keys_name){.kind = KEYS_EPSK,
                               .name = "core",
                               .generation = 1,
                               .algorithms = MIKEY_ALGORITHMS_256,
                               .initiator = {IDENTITY_URI, sizeof alice - 1, alice},
                               .responder = {IDENTITY_URI, sizeof bob - 1, bob},
                               .how = KEYS_MAC_HOST};
}

static void covered(struct mikey_covered *out)
{
    *out = (struct mikey_covered){
        .data = {bytes, bytes + 3, bytes + 9}, .len = {40, 0, 17}, .parts = 3};
}

static void proof_request(struct door_request *out)
{
    memset(out->proof.nonce, 0x5a, DOOR_NONCE);
    out->proof.count = 3;
    for (unsigned i = 0; i < 3; i++) {
        out->proof.entry[i].kind = (enum keys_kind)(KEYS_PSK + i);
        out->proof.entry[i].generation = i + 1;
        (void)snprintf(out->proof.entry[i].name, KEYS_NAME_MAX, "key-%u", i);
    }
}

void door_sample_request(enum door_op op, struct door_request *out)
{
    memset(out, 0, sizeof *out);
    out->op = op;
    out->id = 0x11223344;
    name_of(&out->name);
    switch (op) {
    case DOOR_SEAL:
        out->seal = (struct mikey_key_seal){.what = derivation,
                                            .t = 77,
                                            .head = bytes,
                                            .head_len = 120,
                                            .plain = bytes + 16,
                                            .plain_len = 33};
        return;
    case DOOR_OPEN:
        covered(&out->reply);
        out->open = (struct mikey_key_open){.what = derivation,
                                            .t = 78,
                                            .covered = bytes,
                                            .covered_len = 200,
                                            .encrypted_at = 150,
                                            .encrypted_len = 33,
                                            .mac = bytes + 32,
                                            .reply = &out->reply,
                                            .purpose = MIKEY_TGK_DHE};
        return;
    case DOOR_TAG:
    case DOOR_CHECK:
        out->tag.job.what = derivation;
        out->tag.job.what.encryption = MIKEY_ENCR_NULL;
        covered(&out->tag.job.covered);
        out->tag.tag = op == DOOR_CHECK ? bytes : NULL;
        return;
    case DOOR_TGK:
        out->tgk.what = derivation;
        out->tgk.purpose = MIKEY_TGK_DERIVED;
        out->tgk.len = 16;
        return;
    case DOOR_TICKET_KEY_OF_DAY:
        (void)snprintf(out->ticket.name, KEYS_NAME_MAX, "tickets");
        out->ticket.generation = 2;
        out->ticket.day = 20782;
        return;
    case DOOR_CHECKPOINT:
    case DOOR_PUBLIC_KEY:
        (void)snprintf(out->audit.name, KEYS_NAME_MAX, "audit");
        out->audit.generation = 1;
        out->audit.claim.covers = op == DOOR_CHECKPOINT ? 123456789012 : 0;
        return;
    case DOOR_CLAIM:
        (void)snprintf(out->claim.store, sizeof out->claim.store,
                       "0123456789abcdef0123456789abcdef");
        return;
    case DOOR_KEYS:
        out->keys.first = 128;
        return;
    case DOOR_PROOF_OF:
        proof_request(out);
        return;
    default:
        return;
    }
}

static void facts(struct door_facts *out)
{
    *out = (struct door_facts){.label = "mikeyd-lab",
                               .serial = "0123456789abcdef",
                               .manufacturer = "SoftHSM project",
                               .model = "SoftHSM v2",
                               .module = "/usr/lib/softhsm/libsofthsm2.so",
                               .profile = "softhsm",
                               .hkdf = true,
                               .prf_derive = true,
                               .session_copies = true,
                               .up = true,
                               .sessions = 8,
                               .sessions_used = 3,
                               .hmac_us = 17,
                               .generation = 101,
                               .calls = 102,
                               .hmacs = 103,
                               .derives = 104,
                               .objects_created = 105,
                               .uses = 106,
                               .pair_hits = 107,
                               .pair_misses = 108,
                               .pair_evictions = 109,
                               .pair_entries = 110,
                               .inventory = 5,
                               .incarnation = {1, 2, 3},
                               .key_count = 4,
                               .requests = 111,
                               .rss_kb = 20000,
                               .recycle = true};
}

static void keys_page(struct keys_entry *page, struct door_answer *out)
{
    out->keys.inventory = 5;
    out->keys.total = 300;
    out->keys.first = 128;
    out->keys.count = DOOR_KEYS_PER_PAGE;
    out->keys.entry = page;
    for (unsigned i = 0; i < DOOR_KEYS_PER_PAGE; i++) {
        page[i] = (struct keys_entry){.kind = KEYS_PSK,
                                      .generation = i + 1,
                                      .bits = 256,
                                      .block_count = 1,
                                      .findings = 1u << 10,
                                      .usable = true,
                                      .start_date = "2026-11-21"};
        (void)snprintf(page[i].name, KEYS_NAME_MAX, "key-%u", i);
        if (i == 1) {
            page[i].kind = KEYS_OTHER;
            (void)snprintf(page[i].name, KEYS_NAME_MAX, "mikeyd/what is this");
        }
    }
}

static void proof_answer(struct door_answer *out)
{
    out->proof.count = 3;
    memset(out->proof.proof[0], 0xa5, DOOR_PROOF);
    out->proof.status[1] = MIKEYD_TOKEN_DOWN;
    memset(out->proof.proof[2], 0x3c, DOOR_PROOF);
}

void door_sample_answer(enum door_op op, struct keys_entry *page, struct door_answer *out)
{
    memset(out, 0, sizeof *out);
    out->op = op;
    out->id = 0x11223344;
    if (op <= DOOR_TGK)
        out->prf = op == DOOR_SEAL ? "derive" : "sign";
    switch (op) {
    case DOOR_SEAL:
        out->seal.encrypted = bytes;
        out->seal.encrypted_len = 33;
        out->seal.mac = bytes + 40;
        out->seal.mac_len = 32;
        return;
    case DOOR_OPEN:
        out->open.plain = bytes;
        out->open.plain_len = 33;
        out->open.v = bytes + 40;
        out->open.v_len = 20;
        out->open.psk_key = bytes + 60;
        out->open.psk_key_len = MIKEY_PSK_KEY_LEN;
        return;
    case DOOR_CLAIM:
        (void)snprintf(out->claim.why, sizeof out->claim.why, "token lab is write-protected");
        return;
    case DOOR_TAG:
    case DOOR_TGK:
    case DOOR_TICKET_KEY_OF_DAY:
        out->bytes.data = bytes;
        out->bytes.len = 32;
        return;
    case DOOR_CHECKPOINT:
        out->checkpoint.signature = bytes;
        out->checkpoint.signature_len = 72;
        out->checkpoint.uses = 99;
        return;
    case DOOR_PUBLIC_KEY:
        out->public_key.signature = bytes;
        out->public_key.signature_len = 72;
        out->public_key.pem = "-----BEGIN PUBLIC KEY-----\n";
        out->public_key.pem_len = strlen(out->public_key.pem);
        return;
    case DOOR_FACTS:
        facts(&out->facts);
        return;
    case DOOR_KEYS:
        keys_page(page, out);
        return;
    case DOOR_PROOF_OF:
        proof_answer(out);
        return;
    default:
        return;
    }
}
