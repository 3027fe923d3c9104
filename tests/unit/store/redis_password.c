/* What a server answers to AUTH may repeat the password: no error tells it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/fixture.h"

#define PASSWORD "tell-nobody"

static char password_file[128], address[100];
static const char *servers[1] = {address};

static void start_without_server(void)
{
    store_fixture_start();
    (void)snprintf(password_file, sizeof password_file, "%s/password", store_path);
    FILE *file = fopen(password_file, "w");
    cr_assert(file != NULL && fputs(PASSWORD "\n", file) >= 0 && fclose(file) == 0 &&
              chmod(password_file, 0600) == 0);
    redis_options.password_file = password_file;
    redis_options.servers = servers;
    redis_options.server_count = 1;
}

TestSuite(redis_password, .init = start_without_server, .fini = store_fixture_stop, .timeout = 90);

/* What the error says behind "AUTH: " or the address, and no part of the password. */
static void expect_refused(const char *why)
{
    struct replay_store *store = NULL;
    struct error err = {.text = ""};
    cr_expect_eq(redis_store_open(&redis_options, WINDOW, NULL, &store, &err), MIKEYD_STORE_DOWN);
    cr_expect_not_null(strstr(err.text, why), "%s", err.text);
    cr_expect_null(strstr(err.text, "tell"), "%s", err.text);
    cr_expect_null(strstr(err.text, "\"t\""), "%s", err.text);
    cr_expect_null(strstr(err.text, "nobody"), "%s", err.text);
}

static void start_server(const char *const *more)
{
    redis_server_start(&redis, store_path, "redis", false, more);
    (void)snprintf(address, sizeof address, "%.99s", redis.address);
}

Test(redis_password, a_server_without_the_command_is_refused_by_its_word)
{
    start_server((const char *const[]){"--rename-command", "AUTH", "", NULL});
    expect_refused("AUTH: ERR;");
}

Test(redis_password, a_wrong_password_is_told_as_such)
{
    start_server((const char *const[]){"--requirepass", "another", NULL});
    expect_refused("AUTH: WRONGPASS;");
}

/* Takes one connection, and gives this answer to whatever comes. */
static pid_t answer_once(const char *answer)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char command[256];
    (void)snprintf(address, sizeof address, "%s/listener", store_path);
    memcpy(name.sun_path, address, strlen(address) + 1);
    (void)unlink(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof name) == 0 &&
              listen(fd, 1) == 0);
    const pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        int peer = accept(fd, NULL, NULL);
        const bool done = peer >= 0 && read(peer, command, sizeof command) > 0 &&
                          write(peer, answer, strlen(answer)) == (ssize_t)strlen(answer);
        /* Until the other end has closed. */
        while (done && read(peer, command, sizeof command) > 0) {
        }
        _exit(done ? 0 : 1);
    }
    (void)close(fd);
    return pid;
}

Test(redis_password, strange_answers_are_refused_and_not_repeated)
{
    static const struct {
        const char *answer, *why;
    } cases[] = {
        {"-" PASSWORD "\r\n", "AUTH: an error of another kind;"},
        {"-ERR" PASSWORD " no\r\n", "AUTH: an error of another kind;"},
        {"-\r\n", "AUTH: an error of another kind;"},
        {"-DENIED " PASSWORD "\r\n", "AUTH: DENIED;"},
        {"+" PASSWORD "\r\n", "AUTH: an answer that is not OK;"},
        {"*2\r\n$4\r\nAUTH\r\n$11\r\n" PASSWORD "\r\n", "AUTH: an answer that is not OK;"},
        {PASSWORD "\r\n", "an answer that is none of Redis"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = 0;
        const pid_t pid = answer_once(cases[i].answer);
        expect_refused(cases[i].why);
        cr_expect_eq(waitpid(pid, &status, 0), pid);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}
