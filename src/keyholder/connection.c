/*
 * One connection of the front: a request, its answer, the next request. What is no request is
 * answered with SYNTAX and ends the connection: an honest front sends none.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "keyholder/holder.h"

/* A failure's answer needs no more. */
#define FAILURE_MAX (DOOR_HEADER + 256)

/* What of a message can be answered when the rest cannot be read: its operation and number. */
static void read_header(const uint8_t *message, size_t len, struct door_answer *answer)
{
    struct byte_reader r = reader_of(message, len);
    (void)reader_u8(&r);
    const uint8_t op = reader_u8(&r);
    (void)reader_u16(&r);
    answer->id = reader_u32(&r);
    answer->op = op == 0 || op >= DOOR_OP_END ? DOOR_HEALTH : (enum door_op)op;
}

static bool send_failure(int fd, struct door_answer *answer, enum mikeyd_status status,
                         const char *text)
{
    uint8_t memory[FAILURE_MAX];
    struct byte_writer out = writer_of(memory, sizeof memory);
    answer->status = status;
    (void)strncpy(answer->text, text, sizeof answer->text - 1);
    return door_write_answer(answer, &out, NULL) == MIKEYD_OK &&
           door_send(fd, &out, NULL) == MIKEYD_OK;
}

static bool send_answer(int fd, struct desk *desk)
{
    struct byte_writer out = writer_of(desk->out, DOOR_MESSAGE_MAX);
    struct error err = {0};
    enum mikeyd_status status = door_write_answer(&desk->answer, &out, &err);
    desk->out_len = out.len;
    if (status != MIKEYD_OK)
        return send_failure(fd, &desk->answer, MIKEYD_INTERNAL, err.text);
    return door_send(fd, &out, NULL) == MIKEYD_OK;
}

/* No desk in time: the request is not read, but for what its answer must repeat. */
static bool refuse_busy(struct keyholder *holder, int fd)
{
    uint8_t header[DOOR_HEADER];
    struct door_answer answer = {0};
    const ssize_t len = recv(fd, header, sizeof header, MSG_DONTWAIT);
    if (len < 0)
        return errno == EAGAIN || errno == EINTR;
    if ((size_t)len < sizeof header)
        return false;
    read_header(header, sizeof header, &answer);
    keyholder_count(holder, answer.op);
    (void)atomic_fetch_add_explicit(&holder->requests, 1, memory_order_relaxed);
    return send_failure(fd, &answer, MIKEYD_TOKEN_BUSY,
                        "the keyholder is busy with other requests");
}

static bool refuse_garbage(int fd, const struct desk *desk, const struct error *why)
{
    struct door_answer answer = {0};
    read_header(desk->in, desk->in_len, &answer);
    log_warning("a connection is closed: %s", why->text);
    (void)send_failure(fd, &answer, MIKEYD_SYNTAX, why->text);
    return false;
}

/* False when the connection is over. */
static bool serve_one(struct keyholder *holder, int fd, struct desk *desk, int64_t deadline_ms)
{
    struct error err = {0};
    enum mikeyd_status status =
        door_receive(fd, 0, desk->in, DOOR_MESSAGE_MAX, &desk->in_len, &err);
    if (status == MIKEYD_TOKEN_BUSY)
        return true; /* nothing there after all */
    if (status == MIKEYD_OK)
        status = door_read_request(desk->in, desk->in_len, &desk->request, &err);
    if (status == MIKEYD_SYNTAX)
        return refuse_garbage(fd, desk, &err);
    if (status != MIKEYD_OK)
        return false; /* the other end is gone */
    keyholder_answer(holder, desk, deadline_ms);
    return send_answer(fd, desk);
}

void keyholder_serve_connection(struct keyholder *holder, int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    bool more = true;
    while (more) {
        const int ready = poll(&waiting, 1, -1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            break;
        const int64_t deadline_ms = clock_monotonic_ms() + holder->options.wait_ms;
        struct desk *desk = desk_take(holder->desks, deadline_ms);
        if (desk == NULL) {
            more = refuse_busy(holder, fd);
            continue;
        }
        more = serve_one(holder, fd, desk, deadline_ms);
        desk_give(holder->desks, desk);
    }
    (void)close(fd);
}
