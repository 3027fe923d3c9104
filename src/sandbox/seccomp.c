/* System calls (seccomp(2)): an allow-list, some of it by an argument. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/internal.h"

/* What serving needs. One line a call: which part makes it, and for what. */
static const int serving[] = {
    /* Memory: malloc of any part, thread stacks, LMDB's map, the secure heap. */
    SCMP_SYS(brk),     /* malloc */
    SCMP_SYS(munmap),  /* malloc, LMDB */
    SCMP_SYS(mremap),  /* malloc of large blocks */
    SCMP_SYS(madvise), /* malloc gives memory back */
    SCMP_SYS(msync),   /* LMDB with a writable map */

    /* Threads: workers wait and wake. */
    SCMP_SYS(futex),             /* mutexes, conditions, semaphores */
    SCMP_SYS(set_robust_list),   /* a thread's start */
    SCMP_SYS(rseq),              /* a thread's start */
    SCMP_SYS(set_tid_address),   /* a thread's start */
    SCMP_SYS(sched_yield),       /* spinning */
    SCMP_SYS(sched_getaffinity), /* glibc counts processors */
    SCMP_SYS(gettid),            /* robust mutexes of LMDB */
    SCMP_SYS(getpid),            /* the status report; OpenSSL and modules detect a fork */
    SCMP_SYS(exit),              /* a thread's end */
    SCMP_SYS(exit_group),        /* the process's end */
    SCMP_SYS(restart_syscall),   /* resumed sleeps */

    /* Signals: SIGTERM, SIGINT, SIGHUP; abort() on a failed assertion. */
    SCMP_SYS(rt_sigaction),   /* libevent's handlers */
    SCMP_SYS(rt_sigprocmask), /* threads keep signals to the main thread */
    SCMP_SYS(rt_sigreturn),   /* a handler's return */

    /* Time. */
    SCMP_SYS(clock_gettime),   /* where the vDSO cannot answer */
    SCMP_SYS(clock_getres),    /* the same */
    SCMP_SYS(gettimeofday),    /* the same */
    SCMP_SYS(time),            /* the same */
    SCMP_SYS(clock_nanosleep), /* pauses at stop, retries of modules */
    SCMP_SYS(nanosleep),       /* the same */

    /* The main loop. */
    SCMP_SYS(epoll_wait),     /* libevent */
    SCMP_SYS(epoll_pwait),    /* libevent */
    SCMP_SYS(epoll_pwait2),   /* libevent */
    SCMP_SYS(epoll_ctl),      /* libevent: connections come and go */
    SCMP_SYS(poll),           /* evutil, glibc */
    SCMP_SYS(ppoll),          /* the same */
    SCMP_SYS(timerfd_create), /* libevent's precise timers */
    SCMP_SYS(timerfd_settime),

    /* Sockets: clients, the metrics port, sd_notify. */
    SCMP_SYS(accept4),     /* clients */
    SCMP_SYS(accept),      /* metrics */
    SCMP_SYS(getsockopt),  /* SO_PEERCRED */
    SCMP_SYS(setsockopt),  /* evhttp */
    SCMP_SYS(getsockname), /* evhttp */
    SCMP_SYS(getpeername), /* evhttp */
    SCMP_SYS(recvfrom),    /* clients */
    SCMP_SYS(recvmsg),     /* keyholders; the monitor, with descriptors */
    SCMP_SYS(sendmsg),     /* clients; connections handed to keyholders */
    SCMP_SYS(socketpair),  /* a connection to a keyholder: Unix sockets only */
    SCMP_SYS(sendto),      /* sd_notify */
    SCMP_SYS(shutdown),    /* evhttp */
    SCMP_SYS(connect),     /* sd_notify */

    /* Files: the audit log and its rotation, LMDB, the policy. */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), /* LMDB, sqlite in NSS */
    SCMP_SYS(write), SCMP_SYS(writev),                  /* audit, evhttp */
    SCMP_SYS(pwrite64),                                 /* LMDB, sqlite in NSS */
    SCMP_SYS(pwritev),                                  /* LMDB */
    SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fcntl),  /* locks: audit log, LMDB, SoftHSM, NSS */
    SCMP_SYS(flock),                                    /* locks: audit log */
    SCMP_SYS(fsync), SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate), /* an unfinished audit line is cut; LMDB's file grows */
    SCMP_SYS(fallocate), /* the same */
    SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(statfs),     /* sqlite in NSS, LMDB */
    SCMP_SYS(fstatfs),    /* the same */
    SCMP_SYS(fgetxattr),  /* who may read a PIN or password file, when it is read again */
    SCMP_SYS(access),     /* modules look for their objects */
    SCMP_SYS(faccessat),  /* the same */
    SCMP_SYS(faccessat2), /* the same */
    SCMP_SYS(getdents64), /* the audit log's older files; SoftHSM lists its objects */
    SCMP_SYS(readlink),   /* realpath() */
    SCMP_SYS(readlinkat), /* the same */
    SCMP_SYS(rename),     /* audit rotation, SoftHSM */
    SCMP_SYS(renameat),   /* the same */
    SCMP_SYS(renameat2),  /* the same */
    SCMP_SYS(link),       /* audit rotation never overwrites a file */
    SCMP_SYS(linkat),     /* the same */
    SCMP_SYS(unlink),     /* our socket at stop; lock files of modules */
    SCMP_SYS(unlinkat),   /* the same */

    /* What libraries ask about the process. */
    SCMP_SYS(getuid), SCMP_SYS(geteuid), /* operators among the clients; getenv checks */
    SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrandom), /* OpenSSL, SoftHSM */
    SCMP_SYS(sysinfo),                                        /* malloc, sqlite */
};

/* What PKCS#11 modules need besides: helper threads, objects in files, a device or a server. */
static const int of_modules[] = {
    SCMP_SYS(mlock),       /* they lock what they hold */
    SCMP_SYS(munlock),     /* the same */
    SCMP_SYS(getppid),     /* has there been a fork? */
    SCMP_SYS(sigaltstack), /* handlers of their own */
    SCMP_SYS(select),      /* waiting for their device or server */
    SCMP_SYS(pselect6),    /* the same */
    SCMP_SYS(recvmsg),     /* their server's answers */
    SCMP_SYS(dup),         /* stdio */
    SCMP_SYS(getcwd),      /* relative paths */
    SCMP_SYS(mkdir),       /* object stores */
    SCMP_SYS(mkdirat),     /* the same */
    SCMP_SYS(umask),       /* SoftHSM, around new files */
    SCMP_SYS(pipe2),       /* wake-ups */
    SCMP_SYS(eventfd2),    /* the same */
    SCMP_SYS(uname),       /* which machine */
    SCMP_SYS(getrusage),   /* entropy gathering in NSS */
    SCMP_SYS(times),       /* the same */
};

/* A network HSM: asking name servers, choosing one's own end. */
static const int of_network[] = {SCMP_SYS(sendmmsg), SCMP_SYS(bind)};

/* Nothing honest does these here: better dead than driven. */
static const int deadly[] = {
    SCMP_SYS(execve),           SCMP_SYS(execveat), SCMP_SYS(fork),   SCMP_SYS(vfork),
    SCMP_SYS(ptrace),           SCMP_SYS(setuid),   SCMP_SYS(setgid), SCMP_SYS(setresuid),
    SCMP_SYS(process_vm_readv), SCMP_SYS(setreuid), SCMP_SYS(mount),  SCMP_SYS(process_vm_writev),
};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static int add_calls(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = seccomp_rule_add(filter, action, calls[i], 0);
    return result;
}

static int allow_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, condition);
}

/*
 * No new code: memory cannot become executable, neither written before nor read from a file that
 * this process may have written. With late_code, files may, but never memory that can be written.
 */
static int allow_memory(scmp_filter_ctx filter, bool late_code)
{
    int result = allow_if(filter, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (result == 0 && late_code)
        result = allow_if(filter, SCMP_SYS(mmap),
                          SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
    return result;
}

#define SET_IDS (S_ISUID | S_ISGID)
#define MAKES_FILE (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))

/* No file that runs as its owner (mode 4755), whoever starts it: not made so, not changed so. Only
 * a call that makes a file says a mode; otherwise anything may stand there. */
static int allow_files(scmp_filter_ctx filter)
{
    int result = allow_if(filter, SCMP_SYS(fchmod), SCMP_A1(SCMP_CMP_MASKED_EQ, SET_IDS, 0));
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(creat), SCMP_A1(SCMP_CMP_MASKED_EQ, SET_IDS, 0));
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, MAKES_FILE, 0));
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(open), SCMP_A2(SCMP_CMP_MASKED_EQ, SET_IDS, 0));
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, MAKES_FILE, 0));
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(openat), SCMP_A3(SCMP_CMP_MASKED_EQ, SET_IDS, 0));
    return result;
}

/* sd_notify, syslog of modules, servers on this host; the Internet for network HSMs alone. No
 * packet or netlink sockets. */
static int allow_sockets(scmp_filter_ctx filter, bool network)
{
    const scmp_datum_t families[] = {AF_UNIX, AF_INET, AF_INET6};
    int result = 0;
    for (size_t i = 0; i < (network ? COUNT(families) : 1) && result == 0; i++)
        result = allow_if(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, families[i]));
    return result;
}

/* Calls that are allowed in part, by an argument. */
static int allow_some(scmp_filter_ctx filter)
{
    /* Threads, not processes: CLONE_THREAD (0x10000). clone3 cannot be looked into; glibc falls
     * back to clone when it is told that there is none. */
    int result = allow_if(filter, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, 0x10000, 0x10000));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    /* Is it a terminal (stdio in modules); bytes waiting (evhttp). */
    const unsigned long requests[] = {TCGETS, FIONREAD, FIONBIO};
    for (size_t i = 0; i < COUNT(requests) && result == 0; i++)
        result = allow_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, requests[i]));
    /* abort(): signals to this process alone. */
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    /* sysconf(): descriptors, stack of new threads. Reads a limit, sets none. */
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
    /* A thread's name. */
    if (result == 0)
        result = allow_if(filter, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    return result;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox_profile *profile)
{
    const bool network = profile->connect_count != 0;
    int result = add_calls(filter, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
    if (result == 0)
        result = add_calls(filter, SCMP_ACT_ALLOW, serving, COUNT(serving));
    if (result == 0 && profile->module)
        result = add_calls(filter, SCMP_ACT_ALLOW, of_modules, COUNT(of_modules));
    if (result == 0 && network)
        result = add_calls(filter, SCMP_ACT_ALLOW, of_network, COUNT(of_network));
    if (result == 0)
        result = allow_memory(filter, profile->late_code);
    if (result == 0)
        result = allow_files(filter);
    if (result == 0)
        result = allow_sockets(filter, network);
    if (result == 0)
        result = allow_some(filter);
    return result;
}

enum mikeyd_status seccomp_confine(const struct sandbox_profile *profile, struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return error_set(err, MIKEYD_INTERNAL, "seccomp_init failed");
    /* The threads that run already shall obey it too. */
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0)
        result = add_rules(filter, profile);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result != 0) {
        return error_set(err, MIKEYD_INTERNAL, "seccomp: %s (see --no-sandbox in mikeyd(8))",
                         strerror(-result));
    }
    return MIKEYD_OK;
}
