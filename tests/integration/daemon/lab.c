#include "lab.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(long milliseconds)
{
    const struct timespec pause = {.tv_sec = milliseconds / 1000,
                                   .tv_nsec = milliseconds % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- files ---- */

static void put_path(char out[LAB_PATH], const struct lab *lab, const char *name)
{
    int len = snprintf(out, LAB_PATH, "%s/%s", lab->dir, name);
    cr_assert(len > 0 && len < LAB_PATH);
}

void lab_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    cr_assert(fputs(text, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

char *lab_read_file(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = fopen(path, "r");
    FILE *memory = open_memstream(&text, &len);
    cr_assert(file != NULL && memory != NULL, "%s: %s", path, strerror(errno));
    int c;
    while ((c = fgetc(file)) != EOF)
        (void)fputc(c, memory);
    (void)fclose(file);
    (void)fclose(memory);
    return text;
}

size_t lab_count_in_file(const char *path, const char *text)
{
    char *content = lab_read_file(path);
    size_t count = 0;
    for (const char *at = strstr(content, text); at != NULL; at = strstr(at + 1, text))
        count++;
    free(content);
    return count;
}

bool lab_file_gets(const char *path, const char *text)
{
    for (int i = 0; i < 1500; i++) {
        if (lab_count_in_file(path, text) > 0)
            return true;
        pause_ms(20);
    }
    return false;
}

/* ---- programs ---- */

static pid_t spawn_to(const char *const argv[], int fd)
{
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives a test that failed */
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return child;
}

static pid_t spawn(struct lab *lab, const char *const argv[], const char *output)
{
    char path[LAB_PATH];
    put_path(path, lab, output);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    pid_t child = spawn_to(argv, fd);
    (void)close(fd);
    return child;
}

static int wait_end(pid_t child, int timeout_ms)
{
    for (int waited = 0; waited < timeout_ms; waited += 5) {
        int status;
        pid_t ended = waitpid(child, &status, WNOHANG);
        cr_assert(ended >= 0);
        if (ended == child)
            return status;
        pause_ms(5);
    }
    (void)kill(child, SIGKILL);
    cr_assert(false, "process %d did not end in %d ms", (int)child, timeout_ms);
    return -1;
}

int lab_run(struct lab *lab, const char *const argv[])
{
    char path[LAB_PATH];
    put_path(path, lab, "out");
    (void)unlink(path);
    int status = wait_end(spawn(lab, argv, "out"), 60000);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int lab_key(struct lab *lab, const char *const arguments[])
{
    const char *argv[24] = {MIKEYCTL_PROGRAM, "--config", lab->ceremony, "key"};
    for (size_t i = 4; arguments[i - 4] != NULL; i++) {
        cr_assert_lt(i, 23);
        argv[i] = arguments[i - 4];
    }
    int status = lab_run(lab, argv);
    lab_token_provisioned(&lab->token);
    return status;
}

void lab_key_must(struct lab *lab, const char *const arguments[])
{
    char path[LAB_PATH];
    int status = lab_key(lab, arguments);
    put_path(path, lab, "out");
    char *output = lab_read_file(path);
    cr_assert_eq(status, 0, "key %s: exit status %d: %s", arguments[0], status, output);
    free(output);
}

void lab_key_import(struct lab *lab, const char *kind, const char *name, const char *hex)
{
    char path[LAB_PATH];
    put_path(path, lab, "hex");
    lab_write_file(path, hex);
    cr_assert_eq(chmod(path, 0600), 0);
    lab_key_must(lab, (const char *const[]){"import", "--kind", kind, "--name", name, "--hex-file",
                                            path, "--insecure-plaintext", NULL});
    cr_assert_eq(unlink(path), 0);
}

int lab_verify_audit(struct lab *lab)
{
    return lab_run(lab,
                   (const char *const[]){MIKEYCTL_PROGRAM, "audit", "verify", lab->audit, NULL});
}

void lab_sign_audit(struct lab *lab, const char *more)
{
    static const char is[] = "file: audit.jsonl}";
    char *text = lab_read_file(lab->config), *signed_text = NULL;
    char *at = strstr(text, is);
    cr_assert_not_null(at);
    cr_assert_gt(asprintf(&signed_text,
                          "%.*sfile: audit.jsonl, sign: {key: lab, seconds: 1, records: 20}%s}%s",
                          (int)(at - text), text, more, at + strlen(is)),
                 0);
    lab_write_file(lab->config, signed_text);
    free(signed_text);
    free(text);
}

static void run_must(struct lab *lab, const char *const argv[])
{
    char path[LAB_PATH];
    int status = lab_run(lab, argv);
    put_path(path, lab, "out");
    char *output = lab_read_file(path);
    cr_assert_eq(status, 0, "%s %s: exit status %d: %s", argv[0], argv[1], status, output);
    free(output);
}

char *lab_verdict(struct lab *lab)
{
    char key[LAB_PATH], out[LAB_PATH];
    put_path(key, lab, "key.pem");
    put_path(out, lab, "out");
    run_must(lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", lab->ceremony, "audit",
                                        "export-key", "--name", "lab", "--out", key, NULL});
    run_must(lab, (const char *const[]){MIKEYCTL_PROGRAM, "--json", "audit", "verify", lab->audit,
                                        "--public-key", key, "--strict", NULL});
    return lab_read_file(out);
}

/* ---- the folder ---- */

void lab_write_policy(struct lab *lab, const char *more)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults:\n"
                   "  suites: [AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80]\n"
                   "  algorithms: mikey-256\n"
                   "  verification: allowed\n"
                   "  clock_skew: 60s\n"
                   "keys:\n"
                   "  - {name: pbx, kind: psk, generation: 1}\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "pairs:\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B
                   "\", key: pbx, error_messages: sent}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n"
                   "%s",
                   (unsigned)getuid(), more);
    lab_write_file(lab->policy, text);
}

void lab_write_config(struct lab *lab, const struct lab_config *with)
{
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "tokens:\n"
                   "  - module: %s\n"
                   "    uri: \"%s\"\n"
                   "    pin_file: %s\n"
                   "    init_args: \"%s\"\n"
                   "    sessions: %u\n"
                   "%s"
                   "policy: policy.yaml\n"
                   "listen: [ {unix: run/s, mode: \"0666\"} ]\n"
                   "replay: {lmdb: replay}\n"
                   "audit: {file: audit.jsonl}\n"
                   "sandbox: {writable: [\"%s\"%s]}\n"
                   "%s",
                   with->module == NULL ? token_fixture_module(&lab->token) : with->module,
                   lab->token.uri, lab->token.pin_file, lab->token.init_args,
                   with->sessions == 0 ? 3 : with->sessions,
                   with->token_extra == NULL ? "" : with->token_extra, lab->token.dir,
                   lab->token.writable, with->extra == NULL ? "" : with->extra);
    lab_write_file(lab->config, text);
}

static void make_folder(struct lab *lab)
{
    char path[LAB_PATH];
    *lab = (struct lab){.dir = "/tmp/mikeyd-lab-XXXXXX"};
    cr_assert_not_null(mkdtemp(lab->dir));
    cr_assert_eq(chmod(lab->dir, 0755), 0);
    put_path(lab->config, lab, "mikeyd.yaml");
    put_path(lab->ceremony, lab, "ceremony.yaml");
    put_path(lab->policy, lab, "policy.yaml");
    put_path(lab->audit, lab, "audit.jsonl");
    put_path(lab->socket, lab, "run/s");
    put_path(lab->log, lab, "log");
    (void)snprintf(lab->address, sizeof lab->address, "unix:%s", lab->socket);
    put_path(path, lab, "run");
    cr_assert_eq(mkdir(path, 0755), 0);
}

void lab_make_on(struct lab *lab, enum token_fixture_kind kind, const char *extra)
{
    make_folder(lab);
    lab_token_make(&lab->token, kind);
    lab_write_policy(lab, "");
    lab_write_config(lab, &(struct lab_config){0});
    cr_assert_eq(rename(lab->config, lab->ceremony), 0);
    lab_key_must(lab, (const char *const[]){"generate", "--kind", "ticket", "--name", "lab", NULL});
    lab_key_must(lab, (const char *const[]){"generate", "--kind", "psk", "--name", "pbx", NULL});
    lab_write_config(lab, &(struct lab_config){.extra = extra});
}

void lab_make(struct lab *lab, const char *extra)
{
    lab_make_on(lab, lab_token_of_run(LAB_ANY), extra);
}

/* Another build of the daemon can be put under the same tests: Criterion itself does not run under
 * ThreadSanitizer, the daemon does. */
static const char *daemon_under_test(void)
{
    return getenv("MIKEYD_UNDER_TEST");
}

bool lab_daemon_is_sanitized(void)
{
#ifdef MIKEYD_SANITIZED
    return true;
#else
    return daemon_under_test() != NULL;
#endif
}

static const char *daemon_program(void)
{
    const char *other = daemon_under_test();
    return other == NULL ? MIKEYD_PROGRAM : other;
}

/* Processes whose parent has died become this one's, to be waited for. */
static pid_t spawn_daemon(struct lab *lab)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return spawn(lab, (const char *const[]){daemon_program(), "--config", lab->config, NULL},
                 "log");
}

static void wait_until_it_answers(struct lab *lab)
{
    for (int i = 0; i < 1000; i++) {
        mikeyd_client *client = NULL;
        if (mikeyd_client_open(lab->address, &client) == MIKEYD_OK) {
            mikeyd_client_close(client);
            return;
        }
        int status;
        if (waitpid(lab->daemon, &status, WNOHANG) == lab->daemon)
            break;
        pause_ms(10);
    }
    char *log = access(lab->log, F_OK) == 0 ? lab_read_file(lab->log) : NULL;
    cr_assert(false, "the daemon does not answer: %s", log == NULL ? "" : log);
}

void lab_start_unwatched(struct lab *lab)
{
    lab->daemon = spawn_daemon(lab);
}

void lab_start(struct lab *lab)
{
    lab_start_unwatched(lab);
    wait_until_it_answers(lab);
}

void lab_start_speaking_to(struct lab *lab, int fd)
{
    lab->daemon =
        spawn_to((const char *const[]){daemon_program(), "--config", lab->config, NULL}, fd);
    wait_until_it_answers(lab);
}

int lab_start_refused(struct lab *lab)
{
    int status = wait_end(spawn_daemon(lab), 10000);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- the monitor's children ---- */

#define CHILDREN_MAX 16

static size_t children_of(pid_t parent, pid_t out[CHILDREN_MAX])
{
    char path[64];
    size_t count = 0;
    int pid;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "r");
    while (file != NULL && count < CHILDREN_MAX && fscanf(file, "%d", &pid) == 1)
        out[count++] = pid;
    if (file != NULL)
        (void)fclose(file);
    return count;
}

/* Is the argument among those of the process, followed by that one (NULL: any)? */
static bool has_argument(pid_t pid, const char *argument, const char *following)
{
    char path[64], line[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    const size_t len = fread(line, 1, sizeof line - 1, file);
    (void)fclose(file);
    line[len] = '\0';
    for (size_t at = 0; at < len; at += strlen(line + at) + 1) {
        const char *next = line + at + strlen(line + at) + 1;
        if (strcmp(line + at, argument) == 0 && (following == NULL || strcmp(next, following) == 0))
            return true;
    }
    return false;
}

static pid_t find_child(const struct lab *lab, const char *argument, const char *following)
{
    pid_t children[CHILDREN_MAX];
    const size_t count = children_of(lab->daemon, children);
    for (size_t i = 0; i < count; i++) {
        if (has_argument(children[i], argument, following))
            return children[i];
    }
    return 0;
}

pid_t lab_front(const struct lab *lab)
{
    return find_child(lab, "--front", NULL);
}

pid_t lab_keyholder(const struct lab *lab, unsigned token)
{
    char index[16];
    (void)snprintf(index, sizeof index, "%u", token);
    return find_child(lab, "--token", index);
}

void lab_kill(struct lab *lab)
{
    pid_t children[CHILDREN_MAX];
    const size_t count = children_of(lab->daemon, children);
    cr_assert_eq(kill(lab->daemon, SIGKILL), 0);
    (void)waitpid(lab->daemon, NULL, 0);
    for (size_t i = 0; i < count; i++)
        (void)waitpid(children[i], NULL, 0);
    lab->daemon = 0;
}

int lab_stop(struct lab *lab, int signal)
{
    if (signal == SIGKILL) {
        lab_kill(lab);
        return SIGKILL;
    }
    cr_assert_eq(kill(lab->daemon, signal), 0);
    int status = wait_end(lab->daemon, 20000);
    lab->daemon = 0;
    return status;
}

void lab_remove(struct lab *lab)
{
    if (lab->daemon != 0)
        (void)lab_stop(lab, SIGTERM);
    token_fixture_remove(&lab->token);
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("rm", "rm", "-rf", lab->dir, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, NULL, 0);
}
