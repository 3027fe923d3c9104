#include "mikeyd/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/log.h"

/* What serving needs. One line a call: which part makes it, and for what. */
static const int allowed[] = {
    /* Memory: malloc of any part, thread stacks, LMDB's map, the secure heap. */
    SCMP_SYS(brk),     /* malloc */
    SCMP_SYS(munmap),  /* malloc, LMDB */
    SCMP_SYS(mremap),  /* malloc of large blocks */
    SCMP_SYS(madvise), /* malloc gives memory back */
    SCMP_SYS(mlock),   /* modules lock what they hold */
    SCMP_SYS(munlock), /* the same */
    SCMP_SYS(msync),   /* LMDB with a writable map */

    /* Threads: workers wait and wake; modules start helpers when they recover. */
    SCMP_SYS(futex),             /* mutexes, conditions, semaphores */
    SCMP_SYS(set_robust_list),   /* a thread's start */
    SCMP_SYS(rseq),              /* a thread's start */
    SCMP_SYS(set_tid_address),   /* a thread's start */
    SCMP_SYS(sched_yield),       /* spinning in modules */
    SCMP_SYS(sched_getaffinity), /* glibc and modules count processors */
    SCMP_SYS(gettid),            /* robust mutexes of LMDB */
    SCMP_SYS(getpid),            /* the status report; OpenSSL and modules detect a fork */
    SCMP_SYS(getppid),           /* the same in some modules */
    SCMP_SYS(exit),              /* a thread's end */
    SCMP_SYS(exit_group),        /* the process's end */
    SCMP_SYS(restart_syscall),   /* resumed sleeps */

    /* Signals: SIGTERM, SIGINT, SIGHUP; abort() on a failed assertion. */
    SCMP_SYS(rt_sigaction),   /* libevent's handlers */
    SCMP_SYS(rt_sigprocmask), /* threads keep signals to the main thread */
    SCMP_SYS(rt_sigreturn),   /* a handler's return */
    SCMP_SYS(sigaltstack),    /* modules with handlers of their own */
    SCMP_SYS(tgkill),         /* abort() */

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
    SCMP_SYS(poll),           /* modules waiting for their device or server */
    SCMP_SYS(ppoll),          /* the same */
    SCMP_SYS(select),         /* the same */
    SCMP_SYS(pselect6),       /* the same */
    SCMP_SYS(timerfd_create), /* libevent's precise timers */
    SCMP_SYS(timerfd_settime),

    /* Sockets: clients, the metrics port, sd_notify; network HSMs make their connections anew. */
    SCMP_SYS(accept4),     /* clients */
    SCMP_SYS(accept),      /* metrics */
    SCMP_SYS(getsockopt),  /* SO_PEERCRED; connect results of modules */
    SCMP_SYS(setsockopt),  /* evhttp, modules */
    SCMP_SYS(getsockname), /* evhttp, modules */
    SCMP_SYS(getpeername), /* evhttp */
    SCMP_SYS(recvfrom),    /* clients */
    SCMP_SYS(recvmsg),     /* modules */
    SCMP_SYS(sendmsg),     /* clients, sd_notify */
    SCMP_SYS(sendto),      /* sd_notify, modules */
    SCMP_SYS(sendmmsg),    /* glibc asks name servers so: a module finds its HSM again */
    SCMP_SYS(shutdown),    /* evhttp, modules */
    SCMP_SYS(connect),     /* sd_notify; modules that reach their HSM or server again */
    SCMP_SYS(bind),        /* modules that choose their end */

    /* Files: the audit log and its rotation, LMDB, the policy, SoftHSM's and NSS's objects. */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), /* LMDB, sqlite in NSS */
    SCMP_SYS(write), SCMP_SYS(writev),                  /* audit, evhttp */
    SCMP_SYS(pwrite64),                                 /* LMDB, sqlite in NSS */
    SCMP_SYS(pwritev),                                  /* LMDB */
    SCMP_SYS(lseek), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(creat), SCMP_SYS(close),
    SCMP_SYS(dup),   /* stdio in modules */
    SCMP_SYS(fcntl), /* locks: audit log, LMDB, SoftHSM, NSS */
    SCMP_SYS(flock), /* locks: audit log */
    SCMP_SYS(fsync), SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate), /* an unfinished audit line is cut; LMDB's file grows */
    SCMP_SYS(fallocate), /* the same */
    SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
    SCMP_SYS(fgetxattr),  /* who may read the PIN file, in a recovery */
    SCMP_SYS(statfs),     /* sqlite in NSS, LMDB */
    SCMP_SYS(fstatfs),    /* the same */
    SCMP_SYS(access),     /* modules look for their objects */
    SCMP_SYS(faccessat),  /* the same */
    SCMP_SYS(faccessat2), /* the same */
    SCMP_SYS(getdents64), /* SoftHSM lists its objects */
    SCMP_SYS(readlink),   /* realpath() */
    SCMP_SYS(readlinkat), /* the same */
    SCMP_SYS(getcwd),     /* relative paths in modules */
    SCMP_SYS(rename),     /* audit rotation, SoftHSM */
    SCMP_SYS(renameat),   /* the same */
    SCMP_SYS(renameat2),  /* the same */
    SCMP_SYS(link),       /* audit rotation never overwrites a file */
    SCMP_SYS(linkat),     /* the same */
    SCMP_SYS(unlink),     /* our socket at stop; lock files of modules */
    SCMP_SYS(unlinkat),   /* the same */
    SCMP_SYS(mkdir),      /* modules' object stores */
    SCMP_SYS(mkdirat),    /* the same */
    SCMP_SYS(fchmod),     /* the mode of a new audit file */
    SCMP_SYS(umask),      /* SoftHSM, around new files */
    SCMP_SYS(pipe2),      /* modules' wake-ups */
    SCMP_SYS(eventfd2),   /* the same */

    /* What libraries ask about the process. */
    SCMP_SYS(getuid), SCMP_SYS(geteuid), /* operators among the clients; getenv checks */
    SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getrandom), /* OpenSSL, SoftHSM */
    SCMP_SYS(uname),                                          /* modules */
    SCMP_SYS(sysinfo),                                        /* malloc, sqlite */
    SCMP_SYS(getrusage),                                      /* entropy gathering in NSS */
    SCMP_SYS(times),                                          /* the same */
};

/* Nothing honest does these here: better dead than driven. */
static const int deadly[] = {
    SCMP_SYS(execve),           SCMP_SYS(execveat), SCMP_SYS(fork),   SCMP_SYS(vfork),
    SCMP_SYS(ptrace),           SCMP_SYS(setuid),   SCMP_SYS(setgid), SCMP_SYS(setresuid),
    SCMP_SYS(process_vm_readv), SCMP_SYS(setreuid), SCMP_SYS(mount),  SCMP_SYS(process_vm_writev),
};

static int allow_calls(scmp_filter_ctx filter)
{
    int result = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0] && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
    return result;
}

/* Calls that are allowed in part, by an argument. */
static int allow_some(scmp_filter_ctx filter)
{
    /*
     * No memory that can be written and run: code comes from files only (a module that recovers
     * may load its libraries again).
     */
    int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* Threads, not processes: CLONE_THREAD (0x10000). clone3 cannot be looked into; glibc falls
     * back to clone when it is told that there is none. */
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, 0x10000, 0x10000));
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    /* sd_notify, syslog of modules; network HSMs. No packet or netlink sockets. */
    const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    for (size_t i = 0; i < sizeof families / sizeof families[0] && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    }
    /* Is it a terminal (stdio in modules); bytes waiting (evhttp). */
    const unsigned long requests[] = {TCGETS, FIONREAD, FIONBIO};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0] && result == 0; i++) {
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, requests[i]));
    }
    /* sysconf(): descriptors, stack of new threads. Reads a limit, sets none. */
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                                  SCMP_A2(SCMP_CMP_EQ, 0));
    /* A thread's name. */
    if (result == 0)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    return result;
}

enum mikeyd_status sandbox_enter(struct error *err)
{
#ifdef MIKEYD_SANITIZED
    /* The sanitizers' runtime stops and traces threads: never in a build for service. */
    log_warning("built with sanitizers: no sandbox");
    (void)err;
    (void)allow_calls;
    (void)allow_some;
    return MIKEYD_OK;
#else
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return error_set(err, MIKEYD_INTERNAL, "seccomp_init failed");
    /* The threads that run already shall obey it too. */
    int result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (result == 0)
        result = allow_calls(filter);
    if (result == 0)
        result = allow_some(filter);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result != 0) {
        return error_set(err, MIKEYD_INTERNAL, "seccomp: %s (see --no-sandbox in mikeyd(8))",
                         strerror(-result));
    }
    return MIKEYD_OK;
#endif
}
