#include "mikeyd/job.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/secret.h"
#include "rpc/frame.h"
#include "rpc/mikeyd.pb-c.h"

/* RFC 3830 6.1: the number of crypto sessions is one byte. */
#define KEYS_MAX 255

void job_list_append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    if (list->head == NULL)
        list->head = job;
    else
        list->tail->next = job;
    job->previous = list->tail;
    list->tail = job;
    list->count++;
}

struct job *job_list_take(struct job_list *list)
{
    struct job *job = list->head;
    if (job == NULL)
        return NULL;
    list->head = job->next;
    list->count--;
    job->next = NULL;
    return job;
}

struct job *job_list_take_last(struct job_list *list)
{
    struct job *job = list->tail;
    if (list->head == NULL || list->head == job)
        return job_list_take(list);
    list->tail = job->previous;
    list->tail->next = NULL;
    list->count--;
    return job;
}

void job_list_join(struct job_list *to, struct job_list *from)
{
    if (from->head == NULL)
        return;
    if (to->head == NULL)
        to->head = from->head;
    else
        to->tail->next = from->head;
    from->head->previous = to->tail;
    to->tail = from->tail;
    to->count += from->count;
    *from = (struct job_list){0};
}

struct job *job_make(struct job_spare *spare, size_t frame_len)
{
    const bool lent = frame_len > sizeof((struct job *)0)->frame_inline;
    if (lent && (frame_len > JOB_FRAMES_MAX || spare->frame_bytes > JOB_FRAMES_MAX - frame_len))
        return NULL;
    struct job *job = job_list_take(&spare->list);
    if (job == NULL) {
        job = calloc(1, sizeof *job);
        if (job == NULL)
            return NULL;
    }
    job->frame = lent ? malloc(frame_len) : job->frame_inline;
    if (job->frame == NULL) {
        job_list_append(&spare->list, job);
        return NULL;
    }
    job->frame_len = frame_len;
    spare->frame_bytes += lent ? frame_len : 0;
    job->connection = NULL;
    job->account = NULL;
    job->id = 0;
    job->hang_up = false;
    job->is_exchange = false;
    job->status = MIKEYD_OK;
    job->audit_sequence = 0;
    atomic_store(&job->state, JOB_QUEUED);
    return job;
}

void job_drop_reply(struct job *job)
{
    secret_release(job->reply, job->reply_len);
    job->reply = NULL;
    job->reply_len = 0;
    job->reply_sent = 0;
}

void job_drop_frame(struct job_spare *spare, struct job *job)
{
    if (job->frame != NULL && job->frame != job->frame_inline) {
        free(job->frame);
        spare->frame_bytes -= job->frame_len;
    }
    job->frame = NULL;
    job->frame_len = 0;
}

void job_recycle(struct job_spare *spare, struct job *job)
{
    job_drop_reply(job);
    job_drop_frame(spare, job);
    job->connection = NULL;
    if (spare->list.count < JOB_SPARE_MAX)
        job_list_append(&spare->list, job);
    else
        free(job);
}

void job_list_free(struct job_list *list)
{
    struct job *job;
    while ((job = job_list_take(list)) != NULL) {
        job_drop_reply(job);
        if (job->frame != job->frame_inline)
            free(job->frame);
        free(job);
    }
}

/* ---- replies ---- */

static enum mikeyd_status pack(struct job *job, const Mikeyd__Response *response, bool secret,
                               struct error *err)
{
    size_t len = mikeyd__response__get_packed_size(response);
    if (len > RPC_FRAME_MAX)
        return error_set(err, MIKEYD_INTERNAL, "the reply is longer than a frame");
    job_drop_reply(job);
    /* secret_release() takes either. */
    uint8_t *reply = secret ? secret_alloc(RPC_HEADER + len) : OPENSSL_malloc(RPC_HEADER + len);
    if (reply == NULL)
        return error_set(err, MIKEYD_OVERLOADED, "no memory left for the reply");
    rpc_frame_put_length(reply, (uint32_t)len);
    (void)mikeyd__response__pack(response, reply + RPC_HEADER);
    job->reply = reply;
    job->reply_len = RPC_HEADER + len;
    return MIKEYD_OK;
}

static ProtobufCBinaryData binary(const uint8_t *data, size_t len)
{
    /* protobuf-c packs from it and does not write to it. */
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

void job_set_refusal(struct job *job, enum mikeyd_status status, const char *text,
                     const struct exchange_result *result)
{
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    Mikeyd__Exchange exchange = MIKEYD__EXCHANGE__INIT;
    char *suites[SRTP_SUITE_COUNT];
    char sentence[sizeof((struct error *)0)->text];
    (void)strncpy(sentence, text, sizeof sentence - 1);
    sentence[sizeof sentence - 1] = '\0';
    response.id = job->id;
    response.status = (uint32_t)status;
    response.error = sentence;
    if (result != NULL) {
        for (size_t i = 0; i < result->suite_count; i++)
            suites[i] = (char *)(uintptr_t)srtp_suite_info(result->suites[i])->name;
        exchange.message = binary(result->message, result->message_len);
        exchange.suites = suites;
        exchange.n_suites = result->suite_count;
        response.exchange = &exchange;
    }
    job_drop_reply(job);
    job->status = status;
    job->audit_sequence = 0;
    /* Without memory even for this, the reply stays empty and the connection is closed. */
    (void)pack(job, &response, false, NULL);
}

void job_set_failure(struct job *job, enum mikeyd_status status, const char *text)
{
    job_set_refusal(job, status, text, NULL);
}

static void describe_key(const struct exchange_key *key, Mikeyd__Key *out)
{
    const struct srtp_suite_info *suite = srtp_suite_info(key->suite);
    mikeyd__key__init(out);
    out->cs = key->cs;
    out->ssrc = key->ssrc;
    out->roc = key->roc;
    out->suite = (char *)(uintptr_t)suite->name;
    out->master_key = binary(key->value.key, suite->key_len);
    out->master_salt = binary(key->value.salt, suite->salt_len);
    out->mki = binary(key->mki, key->mki_len);
}

enum mikeyd_status job_set_result(struct job *job, const struct exchange_result *result,
                                  struct error *err)
{
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    Mikeyd__Exchange exchange = MIKEYD__EXCHANGE__INIT;
    Mikeyd__Key keys[KEYS_MAX];
    Mikeyd__Key *key_pointers[KEYS_MAX];
    char from[IDENTITY_TEXT_MAX], to[IDENTITY_TEXT_MAX];

    if (result->key_count > KEYS_MAX)
        return error_set(err, MIKEYD_INTERNAL, "%zu keys in one exchange", result->key_count);
    for (size_t i = 0; i < result->key_count; i++) {
        describe_key(&result->keys[i], &keys[i]);
        key_pointers[i] = &keys[i];
    }
    exchange.message = binary(result->message, result->message_len);
    exchange.ticket = binary(result->ticket, result->ticket_len);
    exchange.keys = key_pointers;
    exchange.n_keys = result->key_count;
    exchange.csb_id = result->csb_id;
    if (result->from.len != 0) {
        identity_format(&result->from, from);
        exchange.from = from;
    }
    if (result->to.len != 0) {
        identity_format(&result->to, to);
        exchange.to = to;
    }
    response.id = job->id;
    response.status = MIKEYD_OK;
    response.exchange = &exchange;
    return pack(job, &response, true, err);
}

enum mikeyd_status job_set_report(struct job *job, char *report, struct error *err)
{
    Mikeyd__Response response = MIKEYD__RESPONSE__INIT;
    response.id = job->id;
    response.status = MIKEYD_OK;
    response.report = report;
    return pack(job, &response, false, err);
}
