/* Who may put a socket where one is already. */
#include "mikeyd/unix_socket.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_SIZE 64

static char dir[PATH_SIZE], path[PATH_SIZE + 8], lock[PATH_SIZE + 16];
static struct unix_socket ours;
static struct error err;

static void make_folder(void)
{
    (void)strcpy(dir, "/tmp/mikeyd-socket-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s", dir);
    (void)snprintf(lock, sizeof lock, "%s.lock", path);
}

static void remove_folder(void)
{
    unix_socket_close(&ours);
    (void)unlink(path);
    (void)unlink(lock);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(unix_socket, .init = make_folder, .fini = remove_folder, .timeout = 20);

static enum mikeyd_status listen_as(struct unix_socket *self)
{
    err.text[0] = '\0';
    return unix_socket_listen(self, path, 0600, (gid_t)-1, &err);
}

/* A program that knows no lock. */
static int serve_without_lock(int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    cr_assert_eq(listen(fd, backlog), 0);
    return fd;
}

static bool answers(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const bool connected = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return connected;
}

Test(unix_socket, what_a_dead_process_left_is_replaced)
{
    struct unix_socket dead;
    cr_assert_eq(listen_as(&dead), MIKEYD_OK, "%s", err.text);
    /* As the kernel closes them: the files stay. */
    (void)close(dead.fd);
    (void)close(dead.lock_fd);
    cr_assert_not(answers());
    cr_assert_eq(listen_as(&ours), MIKEYD_OK, "%s", err.text);
    cr_assert(answers());
}

Test(unix_socket, second_process_is_refused_and_the_first_goes_on)
{
    struct unix_socket second;
    cr_assert_eq(listen_as(&ours), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(listen_as(&second), MIKEYD_INTERNAL);
    cr_assert_not_null(strstr(err.text, "another process serves"), "%s", err.text);
    unix_socket_close(&second);
    cr_assert(answers());
}

/* The lock decides, also before anybody could connect: between bind and listen, and while the mode
 * lets nobody in. */
Test(unix_socket, lock_alone_keeps_others_away)
{
    struct unix_socket second;
    cr_assert_eq(listen_as(&ours), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(shutdown(ours.fd, SHUT_RDWR), 0);
    cr_assert_not(answers());
    cr_assert_eq(listen_as(&second), MIKEYD_INTERNAL);
    unix_socket_close(&second);
    cr_assert_eq(access(path, F_OK), 0);
}

Test(unix_socket, live_socket_without_a_lock_is_not_removed)
{
    int fd = serve_without_lock(1);
    cr_assert_eq(listen_as(&ours), MIKEYD_INTERNAL);
    cr_assert_not_null(strstr(err.text, "another process answers"), "%s", err.text);
    cr_assert(answers());
    (void)close(fd);
}

/* Its user lets us not connect: no proof that it is dead. */
Test(unix_socket, live_socket_of_another_user_is_not_removed)
{
    if (geteuid() != 0)
        cr_skip_test("only root can become another user");
    int fd = serve_without_lock(1);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(chown(dir, 1, 1), 0);
    cr_assert_eq(seteuid(1), 0);
    enum mikeyd_status status = listen_as(&ours);
    cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(status, MIKEYD_INTERNAL);
    cr_assert_not_null(strstr(err.text, "Permission denied"), "%s", err.text);
    cr_assert(answers());
    (void)close(fd);
}

Test(unix_socket, socket_of_another_in_our_place_stays_at_the_end)
{
    cr_assert_eq(listen_as(&ours), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(unlink(path), 0);
    int fd = serve_without_lock(1);
    unix_socket_close(&ours);
    cr_assert(answers());
    (void)close(fd);
}

Test(unix_socket, our_own_is_gone_at_the_end)
{
    cr_assert_eq(listen_as(&ours), MIKEYD_OK, "%s", err.text);
    unix_socket_close(&ours);
    cr_assert_eq(access(path, F_OK), -1);
}

Test(unix_socket, link_in_place_of_the_lock_is_not_followed)
{
    char target[PATH_SIZE + 8];
    (void)snprintf(target, sizeof target, "%s/t", dir);
    cr_assert_eq(symlink(target, lock), 0);
    cr_assert_eq(listen_as(&ours), MIKEYD_INTERNAL);
    cr_assert_eq(access(target, F_OK), -1);
}
