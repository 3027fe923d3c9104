#include "support/redis_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGV_MAX 64
#define PATIENCE_MS 30000
#define PORT_ATTEMPTS 10

/* Below those that the kernel gives to connections: a server that restarts finds its own free. */
#define PORT_FIRST 20000
#define PORT_COUNT 12000

uint16_t redis_free_port(void)
{
    for (;;) {
        uint16_t number = 0;
        cr_assert_eq(getrandom(&number, sizeof number, 0), (ssize_t)sizeof number);
        const uint16_t port = (uint16_t)(PORT_FIRST + number % PORT_COUNT);
        const struct sockaddr_in at = {.sin_family = AF_INET,
                                       .sin_port = htons(port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_geq(fd, 0);
        const bool is_free = bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
        (void)close(fd);
        if (is_free)
            return port;
    }
}

pid_t redis_program_start(const char *folder, const char *name, const char *const *argv)
{
    char log[192];
    (void)snprintf(log, sizeof log, "%s/%s.log", folder, name);
    const pid_t parent = getpid(), pid = fork();
    cr_assert_geq(pid, 0);
    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives a test that failed */
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(folder) != 0)
        _exit(126);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool answers(const char *path)
{
    redisContext *context = redisConnectUnix(path);
    redisReply *reply = context == NULL || context->err != 0 ? NULL : redisCommand(context, "PING");
    const bool good = reply != NULL && reply->type != REDIS_REPLY_NIL;
    if (reply != NULL)
        freeReplyObject(reply);
    if (context != NULL)
        redisFree(context);
    return good;
}

bool redis_server_is_up(struct redis_server *server)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
        if (answers(server->socket))
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            return false;
        (void)usleep(5000);
    }
    cr_assert_fail("redis-server %s does not answer", server->name);
    return false;
}

static void spawn(struct redis_server *server, const char *const *more)
{
    char port[8], dump[40];
    const char *argv[ARGV_MAX] = {"redis-server",
                                  "--port",
                                  port,
                                  "--unixsocket",
                                  server->socket,
                                  "--save",
                                  "",
                                  "--dbfilename",
                                  dump,
                                  "--bind",
                                  "127.0.0.1",
                                  "--repl-diskless-sync-delay",
                                  "0"};
    size_t argc = 13;
    (void)snprintf(port, sizeof port, "%u", server->port);
    (void)snprintf(dump, sizeof dump, "%s.rdb", server->name);
    for (; more != NULL && *more != NULL && argc < ARGV_MAX - 1; more++)
        argv[argc++] = *more;
    server->pid = redis_program_start(server->folder, server->name, argv);
}

void redis_server_start(struct redis_server *server, const char *folder, const char *name,
                        bool with_port, const char *const *more)
{
    *server = (struct redis_server){.pid = 0};
    (void)snprintf(server->folder, sizeof server->folder, "%s", folder);
    (void)snprintf(server->name, sizeof server->name, "%s", name);
    (void)snprintf(server->socket, sizeof server->socket, "%s/%s.sock", folder, name);
    for (int i = 0; i < PORT_ATTEMPTS; i++) {
        server->port = with_port ? redis_free_port() : 0;
        spawn(server, more);
        if (redis_server_is_up(server))
            break;
        cr_assert_neq(i, PORT_ATTEMPTS - 1, "redis-server %s does not start", name);
    }
    if (with_port)
        (void)snprintf(server->address, sizeof server->address, "127.0.0.1:%u", server->port);
    else
        (void)snprintf(server->address, sizeof server->address, "%s", server->socket);
}

void redis_server_restart(struct redis_server *server, const char *const *more)
{
    spawn(server, more);
    cr_assert(redis_server_is_up(server), "redis-server %s does not start again", server->name);
}

void redis_server_kill(struct redis_server *server)
{
    if (server->pid <= 0)
        return;
    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
    (void)unlink(server->socket);
    server->pid = 0;
}

/* Once more when the connection is killed: Sentinel does that to clients of a server that it makes
 * the primary. */
static redisReply *ask(const struct redis_server *server, const char *format, va_list args)
{
    redisReply *reply = NULL;
    for (int i = 0; reply == NULL && i < 10; i++) {
        va_list again;
        redisContext *context = redisConnectUnix(server->socket);
        cr_assert(context != NULL && context->err == 0, "%s", server->name);
        va_copy(again, args);
        reply = redisvCommand(context, format, again);
        va_end(again);
        redisFree(context);
    }
    cr_assert_not_null(reply, "%s: %s", server->name, format);
    cr_assert_neq(reply->type, REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
    return reply;
}

const char *redis_server_say(const struct redis_server *server, const char *format, ...)
{
    static char text[16384];
    va_list args;
    va_start(args, format);
    redisReply *reply = ask(server, format, args);
    va_end(args);
    (void)snprintf(text, sizeof text, "%s", reply->str == NULL ? "" : reply->str);
    freeReplyObject(reply);
    return text;
}

long long redis_server_count(const struct redis_server *server, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = ask(server, format, args);
    va_end(args);
    cr_assert_eq(reply->type, REDIS_REPLY_INTEGER, "%s", format);
    const long long count = reply->integer;
    freeReplyObject(reply);
    return count;
}

void redis_server_wait_for(const struct redis_server *server, const char *text)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (strstr(redis_server_say(server, "INFO replication"), text) != NULL)
            return;
        (void)usleep(10000);
    }
    cr_assert_fail("%s: no %s in INFO replication", server->name, text);
}
