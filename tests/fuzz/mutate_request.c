/* Requests of clients: unpacked, a field changed, packed (rpc/mikeyd.proto). */
#include <string.h>

#include "mutate.h"
#include "rpc/arena.h"

#define STREAMS 4

static struct rpc_arena arena;
static Mikeyd__Request request;
static Mikeyd__Initiate initiate;
static Mikeyd__Respond respond;
static Mikeyd__Confirm confirm;
static Mikeyd__Update update;
static Mikeyd__Status status;
static Mikeyd__Channel channel;
static Mikeyd__Stream stream[STREAMS];
static Mikeyd__Stream *streams[STREAMS];
static uint32_t numbers[STREAMS];
static uint8_t bytes[4096];

static char *text(struct dice *dice)
{
    static char words[][40] = {"",
                               "sip:sbc-a@carrier.example",
                               "sip:sbc-b@carrier.example",
                               "AEAD_AES_256_GCM",
                               "AES_CM_128_HMAC_SHA1_80",
                               "mikey sdes",
                               "call-1",
                               "\xff\xfe",
                               "sbc.lab.example"};
    return words[dice_roll(dice, sizeof words / sizeof words[0])];
}

static ProtobufCBinaryData mutated(ProtobufCBinaryData of)
{
    const size_t len = of.len < sizeof bytes ? of.len : sizeof bytes;
    if (len != 0)
        memcpy(bytes, of.data, len);
    return (ProtobufCBinaryData){.len = LLVMFuzzerMutate(bytes, len, sizeof bytes), .data = bytes};
}

static size_t some_streams(struct dice *dice)
{
    const size_t count = dice_roll(dice, STREAMS + 1);
    for (size_t i = 0; i < count; i++) {
        mikeyd__stream__init(&stream[i]);
        stream[i].ssrc = dice_roll(dice, 5) * 0x11111111u;
        stream[i].roc = dice_roll(dice, 3);
        stream[i].suite = text(dice);
        streams[i] = &stream[i];
        numbers[i] = stream[i].ssrc;
    }
    return count;
}

static void change_initiate(Mikeyd__Initiate *of, struct dice *dice)
{
    char **const texts[] = {&of->from, &of->to, &of->reference, &of->protocols};
    switch (dice_roll(dice, 4)) {
    case 0:
        *texts[dice_roll(dice, 4)] = text(dice);
        break;
    case 1:
        of->n_streams = some_streams(dice);
        of->streams = streams;
        break;
    case 2:
        of->method = dice_roll(dice, 6);
        break;
    default:
        of->verify = (protobuf_c_boolean)dice_roll(dice, 2);
        of->sdp = (protobuf_c_boolean)dice_roll(dice, 2);
        of->again = (protobuf_c_boolean)dice_roll(dice, 2);
    }
}

static void change_respond(Mikeyd__Respond *of, struct dice *dice)
{
    char **const texts[] = {&of->as, &of->from, &of->reference, &of->protocols};
    switch (dice_roll(dice, 5)) {
    case 0:
        *texts[dice_roll(dice, 4)] = text(dice);
        break;
    case 1:
        of->message = mutated(of->message);
        break;
    case 2:
        of->ticket = mutated(of->ticket);
        break;
    case 3:
        of->n_ssrcs = some_streams(dice);
        of->ssrcs = numbers;
        break;
    default:
        of->n_rocs = dice_roll(dice, STREAMS + 1);
        of->rocs = numbers;
        of->error_message = (protobuf_c_boolean)dice_roll(dice, 2);
    }
}

static void change_operation(struct dice *dice)
{
    request.op_case = (Mikeyd__Request__OpCase)(MIKEYD__REQUEST__OP_INITIATE + dice_roll(dice, 5));
    mikeyd__initiate__init(&initiate);
    mikeyd__respond__init(&respond);
    mikeyd__confirm__init(&confirm);
    mikeyd__update__init(&update);
    mikeyd__status__init(&status);
    switch (request.op_case) {
    case MIKEYD__REQUEST__OP_INITIATE:
        request.initiate = &initiate;
        break;
    case MIKEYD__REQUEST__OP_RESPOND:
        request.respond = &respond;
        break;
    case MIKEYD__REQUEST__OP_CONFIRM:
        request.confirm = &confirm;
        break;
    case MIKEYD__REQUEST__OP_UPDATE:
        request.update = &update;
        break;
    default:
        request.status = &status;
    }
}

static void change_field(struct dice *dice)
{
    switch (request.op_case) {
    case MIKEYD__REQUEST__OP_INITIATE:
        change_initiate(request.initiate, dice);
        break;
    case MIKEYD__REQUEST__OP_RESPOND:
        change_respond(request.respond, dice);
        break;
    case MIKEYD__REQUEST__OP_CONFIRM:
        if (dice_roll(dice, 2) == 0)
            request.confirm->ticket = mutated(request.confirm->ticket);
        else
            request.confirm->reply = mutated(request.confirm->reply);
        break;
    case MIKEYD__REQUEST__OP_UPDATE:
        if (dice_roll(dice, 2) == 0)
            request.update->ticket = mutated(request.update->ticket);
        else {
            request.update->n_streams = some_streams(dice);
            request.update->streams = streams;
        }
        break;
    default:
        change_operation(dice);
    }
}

static void change_claims(struct dice *dice)
{
    mikeyd__channel__init(&channel);
    channel.bits = dice_roll(dice, 3) * 128;
    channel.psk = (protobuf_c_boolean)dice_roll(dice, 2);
    request.channel = dice_roll(dice, 2) == 0 ? NULL : &channel;
    request.on_behalf = text(dice);
}

size_t mutate_request(uint8_t *data, size_t size, size_t max, struct dice *dice)
{
    rpc_arena_init(&arena);
    const Mikeyd__Request *old = rpc_request_unpack(&arena, data, size);
    if (dice_roll(dice, 8) == 0)
        return LLVMFuzzerMutate(data, size, max);
    if (old == NULL)
        mikeyd__request__init(&request);
    else
        request = *old;
    switch (dice_roll(dice, 8)) {
    case 0:
        change_operation(dice);
        break;
    case 1:
        change_claims(dice);
        break;
    case 2:
        request.id = dice_roll(dice, 1000);
        break;
    default:
        change_field(dice);
    }
    if (mikeyd__request__get_packed_size(&request) > max)
        return LLVMFuzzerMutate(data, size, max);
    return mikeyd__request__pack(&request, data);
}
