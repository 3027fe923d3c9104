/* What the engine and the daemon ask of a port: request in, result out, nothing left behind. */
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "keys/port.h"
#include "mikey/wire.h"

static size_t tag_len(const struct mikey_derivation *what)
{
    return what->mac == MIKEY_MAC_SHA256 ? 32 : 20;
}

static bool open_fits(const struct mikey_key_open *asked, const struct door_answer *answer)
{
    const size_t v_len = asked->reply != NULL ? tag_len(&asked->what) : 0;
    const size_t psk_key_len = asked->purpose != MIKEY_TGK_NONE ? MIKEY_PSK_KEY_LEN : 0;
    return answer->open.plain_len <= asked->encrypted_len && answer->open.v_len == v_len &&
           answer->open.psk_key_len == psk_key_len;
}

bool keys_port_answer_fits(const struct door_request *request, const struct door_answer *answer)
{
    switch (request->op) {
    case DOOR_SEAL:
        return answer->seal.encrypted_len == request->seal.plain_len &&
               answer->seal.mac_len == tag_len(&request->seal.what);
    case DOOR_OPEN:
        return open_fits(&request->open, answer);
    case DOOR_TAG:
        return answer->bytes.len == tag_len(&request->tag.job.what);
    case DOOR_TGK:
        return answer->bytes.len == request->tgk.len;
    default:
        return true; /* the form has one length */
    }
}

/* The port of a key, with a request begun for it. */
static struct keys_port *begin(const struct mikey_key *key, enum door_op op)
{
    struct keys_port *port = key->port;
    const struct keys_name *name = key->name;
    port->request.op = op;
    port->request.name = *name;
    return port;
}

static void copy_out(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len != 0)
        memcpy(to, from, len);
}

/* ---- the engine's calls */

static enum mikeyd_status port_seal(const struct mikey_key *key, struct mikey_key_seal *job,
                                    struct error *err)
{
    struct keys_port *port = begin(key, DOOR_SEAL);
    port->request.seal = *job;
    enum mikeyd_status status = keys_port_request(port, err);
    if (status == MIKEYD_OK) {
        copy_out(job->encrypted, port->answer.seal.encrypted, job->plain_len);
        copy_out(job->mac, port->answer.seal.mac, port->answer.seal.mac_len);
    } else {
        if (job->plain_len != 0)
            secret_wipe(job->encrypted, job->plain_len);
        secret_wipe(job->mac, tag_len(&job->what));
    }
    keys_port_end(port);
    return status;
}

static enum mikeyd_status port_open(const struct mikey_key *key, struct mikey_key_open *job,
                                    struct error *err)
{
    struct keys_port *port = begin(key, DOOR_OPEN);
    port->request.open = *job;
    job->plain_len = 0;
    enum mikeyd_status status = keys_port_request(port, err);
    if (status == MIKEYD_OK) {
        job->plain_len = port->answer.open.plain_len;
        copy_out(job->plain, port->answer.open.plain, job->plain_len);
        copy_out(job->v, port->answer.open.v, port->answer.open.v_len);
        copy_out(job->psk_key, port->answer.open.psk_key, port->answer.open.psk_key_len);
    } else {
        if (job->encrypted_len != 0)
            secret_wipe(job->plain, job->encrypted_len);
        if (job->reply != NULL)
            secret_wipe(job->v, tag_len(&job->what));
        if (job->purpose != MIKEY_TGK_NONE)
            secret_wipe(job->psk_key, MIKEY_PSK_KEY_LEN);
    }
    keys_port_end(port);
    return status;
}

static enum mikeyd_status port_tag(const struct mikey_key *key, const struct mikey_key_tag *job,
                                   uint8_t *tag, struct error *err)
{
    struct keys_port *port = begin(key, DOOR_TAG);
    port->request.tag.job = *job;
    port->request.tag.tag = NULL;
    enum mikeyd_status status = keys_port_request(port, err);
    if (status == MIKEYD_OK)
        copy_out(tag, port->answer.bytes.data, port->answer.bytes.len);
    else
        secret_wipe(tag, tag_len(&job->what));
    keys_port_end(port);
    return status;
}

static enum mikeyd_status port_check(const struct mikey_key *key, const struct mikey_key_tag *job,
                                     const uint8_t *tag, struct error *err)
{
    struct keys_port *port = begin(key, DOOR_CHECK);
    port->request.tag.job = *job;
    port->request.tag.tag = tag;
    enum mikeyd_status status = keys_port_request(port, err);
    keys_port_end(port);
    return status;
}

static enum mikeyd_status port_tgk(const struct mikey_key *key, const struct mikey_derivation *what,
                                   enum mikey_tgk_purpose purpose, uint8_t *tgk, size_t len,
                                   struct error *err)
{
    struct keys_port *port = begin(key, DOOR_TGK);
    port->request.tgk.what = *what;
    port->request.tgk.purpose = purpose;
    port->request.tgk.len = len;
    enum mikeyd_status status = keys_port_request(port, err);
    if (status == MIKEYD_OK)
        copy_out(tgk, port->answer.bytes.data, len);
    else
        secret_wipe(tgk, len);
    keys_port_end(port);
    return status;
}

const struct mikey_key_ops keys_port_ops = {
    .seal = port_seal,
    .open = port_open,
    .tag = port_tag,
    .check = port_check,
    .tgk = port_tgk,
};

/* ---- the daemon's calls */

/* Never a part of a name: that would be another key's. */
static enum mikeyd_status take_name(const char *name, char out[KEYS_NAME_MAX], struct error *err)
{
    const int len = snprintf(out, KEYS_NAME_MAX, "%s", name);
    if (len > 0 && len < KEYS_NAME_MAX)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_INVALID_ARGUMENT, "name of a key: 1 to %d characters, not %d",
                     KEYS_NAME_MAX - 1, len);
}

enum mikeyd_status keys_port_prepare(struct keys_port *port, const struct keys_name *name,
                                     struct error *err)
{
    port->request.op = DOOR_PREPARE;
    port->request.name = *name;
    enum mikeyd_status status = keys_port_request_everywhere(port, err);
    keys_port_end(port);
    return status;
}

enum mikeyd_status keys_port_ticket_key(struct keys_port *port, const char *name,
                                        unsigned generation, uint32_t day, uint8_t *out,
                                        struct error *err)
{
    port->request.op = DOOR_TICKET_KEY_OF_DAY;
    port->request.ticket.generation = generation;
    port->request.ticket.day = day;
    enum mikeyd_status status = take_name(name, port->request.ticket.name, err);
    if (status == MIKEYD_OK)
        status = keys_port_request(port, err);
    if (status == MIKEYD_OK)
        copy_out(out, port->answer.bytes.data, DOOR_TICKET_KEY);
    else
        secret_wipe(out, DOOR_TICKET_KEY);
    keys_port_end(port);
    return status;
}

enum mikeyd_status keys_port_checkpoint(struct keys_port *port, const struct keys_checkpoint *what,
                                        uint8_t *signature, size_t *len, uint64_t *uses,
                                        uint8_t incarnation[16], struct error *err)
{
    const size_t cap = *len;
    *len = 0;
    port->request.op = DOOR_CHECKPOINT;
    port->request.audit.generation = what->generation;
    port->request.audit.claim = what->claim;
    port->preferred = what->member;
    enum mikeyd_status status = take_name(what->key_name, port->request.audit.name, err);
    if (status == MIKEYD_OK)
        status = keys_port_request(port, err);
    if (status == MIKEYD_OK && port->answer.checkpoint.signature_len > cap)
        status = error_set(err, MIKEYD_INVALID_ARGUMENT,
                           "a checkpoint's signature of %zu bytes does not fit into %zu",
                           port->answer.checkpoint.signature_len, cap);
    if (status == MIKEYD_OK) {
        *len = port->answer.checkpoint.signature_len;
        copy_out(signature, port->answer.checkpoint.signature, *len);
        *uses = port->answer.checkpoint.uses;
        memcpy(incarnation, port->answer.checkpoint.incarnation, 16);
    }
    keys_port_end(port);
    return status;
}
