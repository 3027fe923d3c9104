/* Redis servers of a test: in a folder of its own, dead when the test is. Criterion asserts. */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <hiredis/hiredis.h>

struct redis_server {
    pid_t pid;
    char folder[96], name[24];
    char socket[128];  /* of its own, always */
    uint16_t port;     /* 0: the socket alone */
    char address[128]; /* for mikeyd: 127.0.0.1:PORT, or the socket */
};

/*
 * Starts and waits until it answers. folder is the caller's; name: of the socket, log and dump in it.
 * more: arguments, NULL-terminated; NULL for none. with_port: on a free port of 127.0.0.1, too.
 */
void redis_server_start(struct redis_server *server, const char *folder, const char *name,
                        bool with_port, const char *const *more);
/* Waits until it answers; false when it died instead. */
bool redis_server_is_up(struct redis_server *server);
/* Again, with the same names and port. */
void redis_server_restart(struct redis_server *server, const char *const *more);
/* kill -9, and it is gone. */
void redis_server_kill(struct redis_server *server);
/* A port that is free at random; another program may be faster. */
uint16_t redis_free_port(void);
/* Started as program in folder (its output in NAME.log there), killed with the test. */
pid_t redis_program_start(const char *folder, const char *name, const char *const *argv);

/* A command by the server's socket; asserts that it is no error. The text or number of the answer. */
const char *redis_server_say(const struct redis_server *server, const char *format, ...);
long long redis_server_count(const struct redis_server *server, const char *format, ...);
/* Polls INFO replication until it has the text, for 30 s at most; asserts. */
void redis_server_wait_for(const struct redis_server *server, const char *text);

#endif
