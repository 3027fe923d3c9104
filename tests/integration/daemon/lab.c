#include "lab.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rpc/frame.h"
#include "rpc/mikeyd.pb-c.h"

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
    for (int i = 0; i < 250; i++) {
        if (lab_count_in_file(path, text) > 0)
            return true;
        pause_ms(20);
    }
    return false;
}

/* ---- programs ---- */

static pid_t spawn(struct lab *lab, const char *const argv[], const char *output)
{
    char path[LAB_PATH];
    put_path(path, lab, output);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
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

static void run_or_fail(struct lab *lab, const char *const argv[])
{
    int status = lab_run(lab, argv);
    if (status != 0) {
        char path[LAB_PATH];
        put_path(path, lab, "out");
        char *output = lab_read_file(path);
        cr_assert(false, "%s %s: exit status %d: %s", argv[0], argv[1], status, output);
    }
}

int lab_verify_audit(struct lab *lab)
{
    return lab_run(lab,
                   (const char *const[]){MIKEYCTL_PROGRAM, "audit", "verify", lab->audit, NULL});
}

/* ---- the folder ---- */

static const char *module_path(void)
{
    static const char *const places[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                         "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                                         "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], R_OK) == 0)
            return places[i];
    }
    cr_assert(false, "libsofthsm2.so not found");
    return NULL;
}

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
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: pbx}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]}\n"
                   "%s",
                   (unsigned)getuid(), more);
    lab_write_file(lab->policy, text);
}

static void write_config(struct lab *lab, const char *extra)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "tokens:\n"
                   "  - module: %s\n"
                   "    uri: \"pkcs11:token=lab\"\n"
                   "    pin_file: pin\n"
                   "    sessions: 3\n"
                   "policy: policy.yaml\n"
                   "listen: [ {unix: run/s, mode: \"0666\"} ]\n"
                   "replay: {lmdb: replay}\n"
                   "audit: {file: audit.jsonl}\n"
                   "%s",
                   module_path(), extra == NULL ? "" : extra);
    lab_write_file(lab->config, text);
}

static void make_token(struct lab *lab)
{
    char text[512], path[LAB_PATH];
    put_path(path, lab, "token");
    cr_assert_eq(mkdir(path, 0700), 0);
    (void)snprintf(text, sizeof text,
                   "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
                   path);
    put_path(path, lab, "softhsm2.conf");
    lab_write_file(path, text);
    cr_assert_eq(setenv("SOFTHSM2_CONF", path, 1), 0);
    run_or_fail(lab, (const char *const[]){"softhsm2-util", "--init-token", "--free", "--label",
                                           "lab", "--pin", "123456", "--so-pin", "654321", NULL});
    lab_write_file(lab->pin, "123456\n");
    cr_assert_eq(chmod(lab->pin, 0600), 0);
}

void lab_make(struct lab *lab, const char *extra)
{
    char path[LAB_PATH];
    *lab = (struct lab){.dir = "/tmp/mikeyd-lab-XXXXXX"};
    cr_assert_not_null(mkdtemp(lab->dir));
    cr_assert_eq(chmod(lab->dir, 0755), 0);
    put_path(lab->config, lab, "mikeyd.yaml");
    put_path(lab->policy, lab, "policy.yaml");
    put_path(lab->audit, lab, "audit.jsonl");
    put_path(lab->socket, lab, "run/s");
    put_path(lab->log, lab, "log");
    put_path(lab->pin, lab, "pin");
    (void)snprintf(lab->address, sizeof lab->address, "unix:%s", lab->socket);
    put_path(path, lab, "run");
    cr_assert_eq(mkdir(path, 0755), 0);
    make_token(lab);
    lab_write_policy(lab, "");
    write_config(lab, extra);
    run_or_fail(lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", lab->config, "key",
                                           "generate", "--kind", "ticket", "--name", "lab", NULL});
    run_or_fail(lab, (const char *const[]){MIKEYCTL_PROGRAM, "--config", lab->config, "key",
                                           "generate", "--kind", "psk", "--name", "pbx", NULL});
}

/* Another build of the daemon can be put under the same tests: Criterion itself does not run under
 * ThreadSanitizer, the daemon does. */
static pid_t spawn_daemon(struct lab *lab)
{
    const char *program = getenv("MIKEYD_UNDER_TEST");
    if (program == NULL)
        program = MIKEYD_PROGRAM;
    return spawn(lab, (const char *const[]){program, "--config", lab->config, NULL}, "log");
}

void lab_start(struct lab *lab)
{
    lab->daemon = spawn_daemon(lab);
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
    char *log = lab_read_file(lab->log);
    cr_assert(false, "the daemon does not answer: %s", log);
}

int lab_start_refused(struct lab *lab)
{
    int status = wait_end(spawn_daemon(lab), 10000);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int lab_stop(struct lab *lab, int signal)
{
    cr_assert_eq(kill(lab->daemon, signal), 0);
    int status = wait_end(lab->daemon, 20000);
    lab->daemon = 0;
    return status;
}

void lab_remove(struct lab *lab)
{
    if (lab->daemon != 0)
        (void)lab_stop(lab, SIGTERM);
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("rm", "rm", "-rf", lab->dir, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, NULL, 0);
}

/* ---- clients ---- */

mikeyd_client *lab_client(const struct lab *lab)
{
    mikeyd_client *client = NULL;
    cr_assert_eq(mikeyd_client_open(lab->address, &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    return client;
}

int lab_connect(const struct lab *lab)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)strcpy(address.sun_path, lab->socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0, "%s",
                 strerror(errno));
    return fd;
}

enum mikeyd_status lab_initiate(mikeyd_client *client, mikeyd_exchange **out)
{
    static const struct mikeyd_stream stream = {.ssrc = 0x11223344};
    const struct mikeyd_offer offer = {
        .from = LAB_A, .to = LAB_B, .streams = &stream, .stream_count = 1, .verify = true};
    return mikeyd_initiate(client, &offer, out);
}

void lab_exchange(mikeyd_client *client)
{
    mikeyd_exchange *initiated = NULL, *responded = NULL, *confirmed = NULL;
    size_t message_len, reply_len, ticket_len;
    cr_assert_eq(lab_initiate(client, &initiated), MIKEYD_OK, "%s", mikeyd_client_error(client));
    const uint8_t *message = mikeyd_exchange_message(initiated, &message_len);
    const struct mikeyd_answer answer = {
        .as = LAB_B, .message = message, .message_len = message_len};
    cr_assert_eq(mikeyd_respond(client, &answer, &responded), MIKEYD_OK, "%s",
                 mikeyd_client_error(client));
    const uint8_t *reply = mikeyd_exchange_message(responded, &reply_len);
    const uint8_t *ticket = mikeyd_exchange_ticket(initiated, &ticket_len);
    cr_assert_eq(mikeyd_confirm(client, ticket, ticket_len, reply, reply_len, &confirmed),
                 MIKEYD_OK, "%s", mikeyd_client_error(client));
    const struct mikeyd_srtp_key *theirs, *ours;
    cr_assert_eq(mikeyd_exchange_keys(responded, &theirs), 1);
    cr_assert_eq(mikeyd_exchange_keys(confirmed, &ours), 1);
    cr_assert_arr_eq(theirs->key, ours->key, sizeof ours->key);
    cr_assert_arr_eq(theirs->salt, ours->salt, sizeof ours->salt);
    mikeyd_exchange_free(initiated);
    mikeyd_exchange_free(responded);
    mikeyd_exchange_free(confirmed);
}

/* ---- frames ---- */

static size_t frame(const Mikeyd__Request *request, uint8_t *out, size_t cap)
{
    size_t len = mikeyd__request__get_packed_size(request);
    cr_assert(RPC_HEADER + len <= cap);
    rpc_frame_put_length(out, (uint32_t)len);
    (void)mikeyd__request__pack(request, out + RPC_HEADER);
    return RPC_HEADER + len;
}

size_t lab_frame_initiate(uint64_t id, const char *on_behalf, uint8_t *out, size_t cap)
{
    Mikeyd__Stream stream = MIKEYD__STREAM__INIT;
    Mikeyd__Stream *streams[1] = {&stream};
    Mikeyd__Initiate initiate = MIKEYD__INITIATE__INIT;
    Mikeyd__Request request = MIKEYD__REQUEST__INIT;
    char from[] = LAB_A, to[] = LAB_B, behalf[64];
    stream.ssrc = 0x11223344;
    initiate.from = from;
    initiate.to = to;
    initiate.streams = streams;
    initiate.n_streams = 1;
    initiate.verify = true;
    request.id = id;
    request.op_case = MIKEYD__REQUEST__OP_INITIATE;
    request.initiate = &initiate;
    if (on_behalf != NULL) {
        (void)snprintf(behalf, sizeof behalf, "%s", on_behalf);
        request.on_behalf = behalf;
    }
    return frame(&request, out, cap);
}

size_t lab_frame_status(uint64_t id, uint8_t *out, size_t cap)
{
    Mikeyd__Status status = MIKEYD__STATUS__INIT;
    Mikeyd__Request request = MIKEYD__REQUEST__INIT;
    request.id = id;
    request.op_case = MIKEYD__REQUEST__OP_STATUS;
    request.status = &status;
    return frame(&request, out, cap);
}

/* 1: all read; 0: the connection ended; -2: nothing came in time. */
static int read_all(int fd, uint8_t *out, size_t len, int timeout_ms)
{
    size_t at = 0;
    while (at < len) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, timeout_ms) <= 0)
            return -2;
        ssize_t got = read(fd, out + at, len - at);
        if (got <= 0)
            return 0;
        at += (size_t)got;
    }
    return 1;
}

int lab_read_response(int fd, int timeout_ms, uint64_t *id)
{
    uint8_t header[RPC_HEADER];
    int result = read_all(fd, header, sizeof header, timeout_ms);
    if (result != 1)
        return result == 0 ? -1 : result;
    size_t len = rpc_frame_length(header);
    cr_assert(len <= RPC_FRAME_MAX);
    uint8_t *body = malloc(len + 1);
    result = read_all(fd, body, len, timeout_ms);
    if (result == 1) {
        Mikeyd__Response *response = mikeyd__response__unpack(NULL, len, body);
        cr_assert_not_null(response);
        result = (int)response->status;
        if (id != NULL)
            *id = response->id;
        mikeyd__response__free_unpacked(response, NULL);
    } else if (result == 0) {
        result = -1;
    }
    free(body);
    return result;
}
