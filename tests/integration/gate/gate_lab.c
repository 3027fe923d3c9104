#include "gate_lab.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rpc/frame.h"
#include "rpc/mikeyd.pb-c.h"

#define HOUR 3600L
#define PATIENCE_MS 30000

static void pause_ms(long milliseconds)
{
    const struct timespec pause = {.tv_nsec = milliseconds * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- the laboratory */

static void write_policy(struct gate_lab *lab)
{
    lab_write_policy(&lab->lab, "  - {name: sbc, tls_san: " GATE_CLIENT ", acts_as: [\"" LAB_A
                                "\", \"" LAB_B "\"], may: [initiate, respond]}\n"
                                "  - {name: psk-a, tls_psk: true, acts_as: [\"" LAB_A "\", \"" LAB_B
                                "\"], may: [initiate, respond]}\n"
                                "  - {name: psk-b, tls_psk: true, acts_as: [\"" LAB_A "\", \"" LAB_B
                                "\"], may: [initiate, respond]}\n");
}

void gate_lab_configure(struct gate_lab *lab, const char *settings, unsigned user)
{
    char extra[1024], proofs[512];
    (void)snprintf(proofs, sizeof proofs, ", certificate: gate.crt, ca: ca.pem, key: %s",
                   lab->key == NULL ? "gate.key" : lab->key);
    (void)snprintf(extra, sizeof extra, "gate: {user: \"%u\", listen: \"127.0.0.1:0\"%s%s%s}\n",
                   user == 0 ? (unsigned)getuid() : user, lab->no_certificates ? "" : proofs,
                   settings == NULL ? "" : ", ", settings == NULL ? "" : settings);
    lab_write_config(&lab->lab, &(struct lab_config){.extra = extra});
}

void gate_lab_make(struct gate_lab *lab, const char *settings)
{
    lab_make(&lab->lab, NULL);
    pki_make(&lab->pki, lab->lab.dir, "ca");
    lab->gate_serial = pki_issue(&lab->pki, "gate", "DNS:" GATE_NAME ",IP:127.0.0.1", -HOUR, HOUR);
    lab->client_serial = pki_issue(&lab->pki, "client", "DNS:" GATE_CLIENT, -HOUR, HOUR);
    pki_write_list(&lab->pki, HOUR);
    gate_lab_configure(lab, settings, 0);
    write_policy(lab);
    lab_start(&lab->lab);
}

void gate_lab_remove(struct gate_lab *lab)
{
    pki_free(&lab->pki);
    lab_remove(&lab->lab);
}

/* ---- gates */

static pid_t spawn(const struct gate_lab *lab, const char *log)
{
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives a test that failed */
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execl(GATE_PROGRAM, GATE_PROGRAM, "--config", lab->lab.config, NULL);
        _exit(127);
    }
    return child;
}

static int wait_end(pid_t child)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
        int status;
        if (waitpid(child, &status, WNOHANG) == child)
            return status;
        pause_ms(5);
    }
    (void)kill(child, SIGKILL);
    cr_assert(false, "the gate did not end");
    return -1;
}

static bool read_port(struct gate *gate)
{
    static const char words[] = "listening at 127.0.0.1 port ";
    char *log = access(gate->log, R_OK) == 0 ? lab_read_file(gate->log) : NULL;
    const char *at = log == NULL ? NULL : strstr(log, words);
    bool found = at != NULL && sscanf(at + strlen(words), "%7[0-9]", gate->port) == 1 &&
                 strchr(at, '\n') != NULL;
    free(log);
    return found;
}

void gate_start(struct gate_lab *lab, struct gate *gate)
{
    static unsigned number;
    (void)snprintf(gate->log, sizeof gate->log, "%s/gate-%u.log", lab->lab.dir, ++number);
    gate->pid = spawn(lab, gate->log);
    for (int waited = 0; waited < PATIENCE_MS && !read_port(gate); waited += 5) {
        int status;
        if (waitpid(gate->pid, &status, WNOHANG) == gate->pid)
            cr_assert(false, "the gate ended: %s", lab_read_file(gate->log));
        pause_ms(5);
    }
    cr_assert_neq(gate->port[0], '\0', "the gate does not listen");
}

int gate_start_refused(struct gate_lab *lab)
{
    char log[LAB_PATH + 24];
    (void)snprintf(log, sizeof log, "%s/gate-refused.log", lab->lab.dir);
    int status = wait_end(spawn(lab, log));
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int gate_stop(struct gate *gate, int signal)
{
    cr_assert_eq(kill(gate->pid, signal), 0);
    int status = wait_end(gate->pid);
    gate->pid = 0;
    return status;
}

/* ---- clients */

const char *gate_address(const struct gate_lab *lab, const struct gate *gate, const char *name)
{
    static char address[1024];
    const char *dir = lab->lab.dir;
    (void)snprintf(address, sizeof address,
                   "tls://127.0.0.1:%s?ca=%s/ca.pem&cert=%s/%s.crt&key=%s/%s.key", gate->port, dir,
                   dir, name, dir, name);
    return address;
}

mikeyd_client *gate_client(const struct gate_lab *lab, const struct gate *gate, const char *name)
{
    mikeyd_client *client = NULL;
    cr_assert_eq(mikeyd_client_open(gate_address(lab, gate, name), &client), MIKEYD_OK, "%s",
                 mikeyd_client_error(NULL));
    return client;
}

enum mikeyd_status gate_refuses(const struct gate_lab *lab, const struct gate *gate,
                                const char *name, const char *text)
{
    mikeyd_client *client = NULL;
    enum mikeyd_status status = mikeyd_client_open(gate_address(lab, gate, name), &client);
    cr_assert_null(client);
    cr_assert_not_null(strstr(mikeyd_client_error(NULL), text), "%s", mikeyd_client_error(NULL));
    return status;
}

int gate_connect(const struct gate *gate)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(gate->port)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0, "%s",
                 strerror(errno));
    return fd;
}

static void use_files(const struct gate_lab *lab, SSL_CTX *context, const char *name)
{
    char path[LAB_PATH + 32];
    (void)snprintf(path, sizeof path, "%s/%s.crt", lab->lab.dir, name);
    cr_assert_eq(SSL_CTX_use_certificate_chain_file(context, path), 1);
    (void)snprintf(path, sizeof path, "%s/%s.key", lab->lab.dir, name);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM), 1);
}

SSL *gate_handshake(const struct gate_lab *lab, const struct gate *gate, int version,
                    const char *suites, const char *name)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    cr_assert_not_null(context);
    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(SSL_CTX_set_max_proto_version(context, version), 1);
    if (suites != NULL)
        cr_assert_eq(SSL_CTX_set_ciphersuites(context, suites), 1);
    if (name != NULL)
        use_files(lab, context, name);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    cr_assert_not_null(tls);
    cr_assert_eq(SSL_set_fd(tls, gate_connect(gate)), 1);
    if (SSL_connect(tls) == 1)
        return tls;
    gate_hang_up(tls);
    return NULL;
}

void gate_hang_up(SSL *tls)
{
    int fd = SSL_get_fd(tls);
    SSL_free(tls);
    (void)close(fd);
}

static int read_all(SSL *tls, uint8_t *out, int len, int timeout_ms)
{
    for (int at = 0; at < len;) {
        struct pollfd wait = {.fd = SSL_get_fd(tls), .events = POLLIN};
        if (SSL_pending(tls) == 0 && poll(&wait, 1, timeout_ms) <= 0)
            return -2;
        int got = SSL_read(tls, out + at, len - at);
        if (got <= 0)
            return -1;
        at += got;
    }
    return 0;
}

int gate_read_response(SSL *tls, int timeout_ms, uint64_t *id)
{
    uint8_t header[RPC_HEADER];
    int result = read_all(tls, header, RPC_HEADER, timeout_ms);
    if (result != 0)
        return result;
    const uint32_t len = rpc_frame_length(header);
    cr_assert(len <= RPC_FRAME_MAX);
    uint8_t *body = malloc(len + 1);
    result = read_all(tls, body, (int)len, timeout_ms);
    if (result == 0) {
        Mikeyd__Response *response = mikeyd__response__unpack(NULL, len, body);
        cr_assert_not_null(response);
        result = (int)response->status;
        if (id != NULL)
            *id = response->id;
        mikeyd__response__free_unpacked(response, NULL);
    }
    free(body);
    return result;
}

bool gate_file_gets(const char *path, const char *text)
{
    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        if (lab_count_in_file(path, text) > 0)
            return true;
        pause_ms(20);
    }
    return false;
}

bool gate_closes(int fd, int timeout_ms)
{
    uint8_t bytes[512];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, timeout_ms) > 0) {
        if (read(fd, bytes, sizeof bytes) <= 0)
            return true;
    }
    return false;
}
