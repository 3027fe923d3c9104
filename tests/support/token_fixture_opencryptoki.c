/*
 * opencryptoki's software token. It keeps its objects in /var/lib/opencryptoki, locks and a socket
 * in /run, shared memory in /dev/shm and in System V segments, all under fixed names: each test
 * process has its own of all these.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/token_fixture_internal.h"

#define SLOT "3" /* of the software token, in Debian's opencryptoki.conf */
/* The token takes 4 to 8 characters, and wants both changed from those of the factory. */
#define FACTORY_SO_PIN "87654321"
#define FIRST_PIN "11223344"
#define SO_PIN "76543210"
#define PIN "417-unit"
#define SLOT_DAEMON_TRIES 1500 /* about 30 s */

static const char *const own_folders[] = {"/run", "/dev/shm", "/var/lib/opencryptoki"};

static bool enter_namespaces(void)
{
    /* Private first: what is mounted here must not show outside. */
    if (unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return false;
    for (size_t i = 0; i < sizeof own_folders / sizeof own_folders[0]; i++) {
        if (mount("tmpfs", own_folders[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0)
            return false;
    }
    /* pkcsslotd needs a System V segment, which a container may not give. */
    const int segment = shmget(IPC_PRIVATE, 4096, 0600);
    return segment >= 0 && shmctl(segment, IPC_RMID, NULL) == 0;
}

const char *token_fixture_opencryptoki_lacks(void)
{
    static bool entered;
    if (entered)
        return NULL;
    if (geteuid() != 0)
        return "not root";
    if (access(OPENCRYPTOKI_MODULE, R_OK) != 0)
        return "the Debian package opencryptoki is not installed";
    if (!enter_namespaces())
        return strerror(errno);
    entered = true;
    return NULL;
}

static bool make_folders(void)
{
    return token_fixture_run(
        "for d in swtok tpm; do "
        "mkdir -p /var/lib/opencryptoki/$d/TOK_OBJ /run/lock/opencryptoki/$d || exit 1; done; "
        "mkdir -p /run/opencryptoki && "
        "chgrp -R pkcs11 /var/lib/opencryptoki /run/lock/opencryptoki && "
        "chmod -R 770 /var/lib/opencryptoki /run/lock/opencryptoki");
}

/* What it complains of goes to the test's own stderr. */
static _Noreturn void run_slot_daemon(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && freopen("/dev/null", "r", stdin) != NULL &&
        dup2(STDERR_FILENO, STDOUT_FILENO) == STDOUT_FILENO)
        (void)execlp("pkcsslotd", "pkcsslotd", "-f", (char *)NULL);
    _exit(127);
}

static bool slot_daemon_answers(void)
{
    return system("pkcsconf -t -c " SLOT " >/dev/null 2>&1 || { sleep 0.02; exit 1; }") == 0;
}

/* Now and then it ends by itself while it starts: it is started again. */
static bool start_slot_daemon(struct token_fixture *f)
{
    for (int tries = 0; tries < SLOT_DAEMON_TRIES; tries++) {
        if (f->slot_daemon == 0)
            f->slot_daemon = fork();
        if (f->slot_daemon == 0)
            run_slot_daemon();
        if (f->slot_daemon < 0)
            return false;
        if (slot_daemon_answers())
            return true;
        int status;
        if (waitpid(f->slot_daemon, &status, WNOHANG) == f->slot_daemon) {
            (void)fprintf(stderr, "pkcsslotd ended while it started (%d)\n", status);
            f->slot_daemon = 0;
        }
    }
    return false;
}

static bool initialise(void)
{
    return token_fixture_run(
        "{ echo lab | pkcsconf -I -c " SLOT " -S " FACTORY_SO_PIN " && pkcsconf -P -c " SLOT
        " -S " FACTORY_SO_PIN " -n " SO_PIN " && pkcsconf -u -c " SLOT " -S " SO_PIN
        " -n " FIRST_PIN " && pkcsconf -p -c " SLOT " -U " FIRST_PIN " -n " PIN "; } >/dev/null");
}

bool token_fixture_opencryptoki(struct token_fixture *f)
{
    if (!token_fixture_begin(f, TOKEN_FIXTURE_OPENCRYPTOKI, PIN))
        return false;
    (void)snprintf(f->module, sizeof f->module, OPENCRYPTOKI_MODULE);
    (void)snprintf(f->uri, sizeof f->uri, "pkcs11:token=lab");
    for (size_t i = 0; i < sizeof own_folders / sizeof own_folders[0]; i++) {
        const size_t len = strlen(f->writable);
        (void)snprintf(f->writable + len, sizeof f->writable - len, ", \"%s\"", own_folders[i]);
    }
    if (token_fixture_opencryptoki_lacks() != NULL || !make_folders())
        return false;
    return start_slot_daemon(f) && initialise();
}
