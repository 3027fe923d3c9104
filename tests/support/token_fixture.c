#include "support/token_fixture_internal.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool token_fixture_run(const char *format, ...)
{
    char command[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    if (status != 0)
        (void)fprintf(stderr, "token fixture: failed (%d): %s\n", status, command);
    return status == 0;
}

static bool write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    const size_t len = strlen(text);
    bool ok = write(fd, text, len) == (ssize_t)len;
    return close(fd) == 0 && ok;
}

/* ---- making */

bool token_fixture_begin(struct token_fixture *f, enum token_fixture_kind kind, const char *pin)
{
    char line[sizeof f->pin + 1];
    *f = (struct token_fixture){.kind = kind};
    (void)snprintf(f->pin, sizeof f->pin, "%s", pin);
    (void)snprintf(line, sizeof line, "%s\n", pin);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/mikeyd-token-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return false;
    (void)snprintf(f->pin_file, sizeof f->pin_file, "%s/pin", f->dir);
    return write_file(f->pin_file, line, 0600);
}

bool token_fixture_softhsm(struct token_fixture *f, const char *label)
{
    if (!token_fixture_begin(f, TOKEN_FIXTURE_SOFTHSM, TOKEN_FIXTURE_PIN))
        return false;
    char text[400], tokens[96];
    (void)snprintf(f->conf, sizeof f->conf, "%s/softhsm2.conf", f->dir);
    (void)snprintf(tokens, sizeof tokens, "%s/tokens", f->dir);
    (void)snprintf(text, sizeof text,
                   "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n"
                   "library.reset_on_fork = true\n",
                   tokens);
    if (mkdir(tokens, 0700) != 0 || !write_file(f->conf, text, 0600) ||
        setenv("SOFTHSM2_CONF", f->conf, 1) != 0)
        return false;
    (void)snprintf(f->module, sizeof f->module, SOFTHSM_MODULE);
    (void)snprintf(f->uri, sizeof f->uri, "pkcs11:token=%s", label);
    return token_fixture_run(
        "softhsm2-util --init-token --free --label '%s' --pin '" TOKEN_FIXTURE_PIN
        "' --so-pin '" TOKEN_FIXTURE_SO_PIN "' >/dev/null",
        label);
}

bool token_fixture_nss(struct token_fixture *f)
{
    if (!token_fixture_begin(f, TOKEN_FIXTURE_NSS, TOKEN_FIXTURE_PIN))
        return false;
    (void)snprintf(f->module, sizeof f->module, SOFTOKN_MODULE);
    (void)snprintf(f->uri, sizeof f->uri, "pkcs11:token=NSS%%20Certificate%%20DB");
    (void)snprintf(f->init_args, sizeof f->init_args,
                   "configdir='sql:%s/nss' certPrefix='' keyPrefix='' secmod='secmod.db' "
                   "flags=noModDB",
                   f->dir);
    return token_fixture_run(
        "mkdir -m 700 '%s/nss' && certutil -N -d 'sql:%s/nss' -f '%s' >/dev/null", f->dir, f->dir,
        f->pin_file);
}

bool token_fixture_make(struct token_fixture *f, enum token_fixture_kind kind)
{
    bool made = kind == TOKEN_FIXTURE_NSS            ? token_fixture_nss(f)
                : kind == TOKEN_FIXTURE_OPENCRYPTOKI ? token_fixture_opencryptoki(f)
                                                     : token_fixture_softhsm(f, "lab");
    f->kind = kind;
    return made;
}

/* ---- behind p11-kit */

/* In the child: a process group of its own, because p11-kit forks for every connection, and an end
 * that comes with the test's, whatever becomes of that. Becoming another user resets the latter. */
static _Noreturn void run_server(const struct token_fixture *f, const char *socket_path,
                                 const struct passwd *user)
{
    char uri[128];
    const struct passwd *caller = getpwuid(geteuid());
    (void)snprintf(uri, sizeof uri, "%s?write-protected=yes", f->uri);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (caller == NULL || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0 || setpgid(0, 0) != 0)
        _exit(126);
    if (user != NULL &&
        (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(126);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        _exit(126);
    (void)execlp("p11-kit", "p11-kit", "server", "-f", "-n", socket_path, "-u", caller->pw_name,
                 "--provider", f->module, uri, (char *)NULL);
    _exit(127);
}

static bool server_answers(const char *socket_path)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    for (int i = 0; i < 500; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool answers = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
        (void)close(fd);
        if (answers)
            return true;
        (void)nanosleep(&pause, NULL);
    }
    (void)fprintf(stderr, "token fixture: p11-kit server does not answer at %s\n", socket_path);
    return false;
}

bool token_fixture_serve(struct token_fixture *f, const char *user_name)
{
    char path[96], address[128];
    (void)snprintf(path, sizeof path, "%s/serve", f->dir);
    const struct passwd *user = user_name == NULL ? NULL : getpwnam(user_name);
    if ((user == NULL) != (user_name == NULL) || mkdir(path, 0755) != 0)
        return false;
    if (user != NULL) {
        f->owner = user->pw_uid;
        if (chmod(f->dir, 0711) != 0 || chmod(f->conf, 0644) != 0 ||
            chown(path, user->pw_uid, user->pw_gid) != 0 || !token_fixture_hand_over(f))
            return false;
    }
    (void)snprintf(path, sizeof path, "%s/serve/socket", f->dir);
    (void)snprintf(address, sizeof address, "unix:path=%s", path);
    f->server = fork();
    if (f->server == 0)
        run_server(f, path, user);
    /* p11-kit itself lets in only the user it is told. */
    return f->server > 0 && server_answers(path) && chmod(path, 0666) == 0 &&
           setenv("P11_KIT_SERVER_ADDRESS", address, 1) == 0;
}

bool token_fixture_hand_over(const struct token_fixture *f)
{
    return f->owner == 0 ||
           token_fixture_run("chown -R %u '%s/tokens'", (unsigned)f->owner, f->dir);
}

/* ---- use and end */

const char *token_fixture_module(const struct token_fixture *f)
{
    return f->server > 0 ? P11_KIT_CLIENT : f->module;
}

struct token_config token_fixture_config(const struct token_fixture *f)
{
    return (struct token_config){.module = token_fixture_module(f),
                                 .uri = f->uri,
                                 .pin_file = f->pin_file,
                                 .init_args = f->init_args,
                                 .sessions = 4,
                                 .session_copies = TOKEN_COPIES_AUTO,
                                 .call_timeout_ms = 2000};
}

void token_fixture_remove(struct token_fixture *f)
{
    if (f->server > 0) {
        (void)kill(-f->server, SIGKILL);
        (void)waitpid(f->server, NULL, 0);
        f->server = 0;
    }
    if (f->slot_daemon > 0) {
        (void)kill(f->slot_daemon, SIGKILL);
        (void)waitpid(f->slot_daemon, NULL, 0);
        f->slot_daemon = 0;
    }
    if (strncmp(f->dir, "/tmp/mikeyd-token-", 18) == 0)
        (void)token_fixture_run("rm -rf '%s'", f->dir);
    f->dir[0] = '\0';
}
