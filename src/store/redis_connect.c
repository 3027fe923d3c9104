/* A connection whose server has the password. */
#include <string.h>
#include <unistd.h>

#include "base/private_file.h"
#include "base/secret.h"
#include "store/redis_internal.h"

#define PASSWORD_MAX 512

/* Without what ends the line. */
static enum mikeyd_status read_password(const char *path, struct secret *out, struct error *err)
{
    int fd = -1;
    struct stat st;
    enum mikeyd_status status = private_file_open("password file", path, &fd, &st, err);
    if (status != MIKEYD_OK)
        return status;
    ssize_t got = -1;
    if (secret_make(out, PASSWORD_MAX))
        got = read(fd, out->data, PASSWORD_MAX);
    (void)close(fd);
    while (got > 0 && (out->data[got - 1] == '\n' || out->data[got - 1] == '\r'))
        got--;
    if (got <= 0 || got == PASSWORD_MAX)
        return error_set(err, MIKEYD_INVALID_ARGUMENT,
                         "password file %s: empty, unreadable or longer than %d bytes", path,
                         PASSWORD_MAX - 1);
    out->len = (size_t)got;
    return MIKEYD_OK;
}

/* The kind of an error of Redis, in a text of ours. The rest of what it says may repeat the
 * password: a server without AUTH answers with the arguments of the command. */
static const char *error_word(const redisReply *reply)
{
    static const char *const words[] = {"WRONGPASS", "NOAUTH",     "NOPERM", "DENIED",
                                        "LOADING",   "MASTERDOWN", "BUSY",   "ERR"};
    const size_t len = strcspn(reply->str, " ");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (len == strlen(words[i]) && strncmp(reply->str, words[i], len) == 0)
            return words[i];
    }
    return "an error of another kind";
}

static enum mikeyd_status judge_answer(const struct redis_wire *wire, const redisReply *reply,
                                       struct error *err)
{
    if (reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0)
        return MIKEYD_OK;
    return error_set(
        err, MIKEYD_STORE_DOWN, "replay store: Redis %s: AUTH: %s; see user and password_file",
        redis_wire_address(wire),
        reply->type == REDIS_REPLY_ERROR ? error_word(reply) : "an answer that is not OK");
}

static enum mikeyd_status put_password(struct redis_store *store, struct redis_wire *wire,
                                       struct error *err)
{
    struct secret password = {0};
    const char *argv[3] = {"AUTH"};
    size_t len[3] = {4};
    int argc = 1;
    enum mikeyd_status status = read_password(store->password_file, &password, err);
    if (status == MIKEYD_OK) {
        if (store->user != NULL) {
            argv[argc] = store->user;
            len[argc++] = strlen(store->user);
        }
        argv[argc] = (const char *)password.data;
        len[argc++] = password.len;
        if (!redis_wire_put(wire, argc, argv, len))
            status = error_set(err, MIKEYD_INTERNAL, "replay store: out of memory");
    }
    password.len = password.data == NULL ? 0 : PASSWORD_MAX;
    secret_clear(&password);
    return status;
}

static enum mikeyd_status say_password(struct redis_store *store, struct redis_wire *wire,
                                       int64_t deadline_ms, struct error *err)
{
    redisReply *reply = NULL;
    enum mikeyd_status status = put_password(store, wire, err);
    if (status == MIKEYD_OK)
        status = redis_wire_talk(wire, deadline_ms, &reply, 1, err);
    if (status == MIKEYD_OK)
        status = judge_answer(wire, reply, err);
    if (reply != NULL && reply->str != NULL)
        secret_wipe(reply->str, reply->len);
    redis_free_all(&reply, 1);
    return status;
}

enum mikeyd_status redis_connect(struct redis_store *store, const char *address, bool with_password,
                                 int64_t deadline_ms, struct redis_wire **out, struct error *err)
{
    enum mikeyd_status status = redis_wire_open(address, store->tls, deadline_ms, out, err);
    if (status != MIKEYD_OK || !with_password || store->password_file == NULL)
        return status;
    status = say_password(store, *out, deadline_ms, err);
    if (status != MIKEYD_OK) {
        redis_wire_close(*out);
        *out = NULL;
    }
    return status;
}
