/* A laboratory (daemon/lab.h) with a certification authority and gates before its daemon. */
#ifndef TESTS_GATE_LAB_H
#define TESTS_GATE_LAB_H

#include <openssl/ssl.h>

#include "lab.h"
#include "support/pki.h"

#define GATE_NAME "gate.lab.example"
#define GATE_CLIENT "sbc.lab.example"

struct gate {
    pid_t pid; /* 0: none */
    char port[8], log[LAB_PATH + 24];
};

struct gate_lab {
    struct lab lab;
    struct pki pki;
    long gate_serial, client_serial;
    const char *key;      /* in place of gate.key: the rest of that line of `gate:`; or NULL */
    bool no_certificates; /* to be set before: the section `gate:` names none */
};

/*
 * Certificates "gate" and "client", a policy with GATE_CLIENT as the client of both nodes, and the
 * section `gate:` of this user's; the daemon runs. settings: more of that section ("crl: ca.crl,
 * limits: {...}"), or NULL.
 */
void gate_lab_make(struct gate_lab *lab, const char *settings);
void gate_lab_remove(struct gate_lab *lab);
/* Writes mikeyd.yaml anew. user: of the gate; 0: this one. */
void gate_lab_configure(struct gate_lab *lab, const char *settings, unsigned user);

/* Starts one and waits until it listens. */
void gate_start(struct gate_lab *lab, struct gate *gate);
/* Starts one that must refuse to serve: its exit status. */
int gate_start_refused(struct gate_lab *lab);
/* Sends the signal and waits for the end: the status as of waitpid(). */
int gate_stop(struct gate *gate, int signal);

/* "tls://127.0.0.1:PORT?..." with DIR/NAME.crt and .key. */
const char *gate_address(const struct gate_lab *lab, const struct gate *gate, const char *name);
/* A client with that certificate, which must be served. */
mikeyd_client *gate_client(const struct gate_lab *lab, const struct gate *gate, const char *name);
/* What the same gives when it is refused; its error holds the text. */
enum mikeyd_status gate_refuses(const struct gate_lab *lab, const struct gate *gate,
                                const char *name, const char *text);

/* A TCP connection to the gate, without TLS. */
int gate_connect(const struct gate *gate);
/* TLS without libmikeyd: at most this version, with these suites (NULL: all), as DIR/NAME, or
 * without a certificate (NULL). NULL when the handshake fails. */
SSL *gate_handshake(const struct gate_lab *lab, const struct gate *gate, int version,
                    const char *suites, const char *name);
/* The status of the next response, as lab_read_response(). */
int gate_read_response(SSL *tls, int timeout_ms, uint64_t *id);
void gate_hang_up(SSL *tls);
/* True when the file holds the text within half a minute. */
bool gate_file_gets(const char *path, const char *text);
/* True when the peer closes the connection by then. */
bool gate_closes(int fd, int timeout_ms);

#endif
