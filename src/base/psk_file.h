/*
 * Pre-shared keys of clients for TLS, one "NAME:HEX" a line as GnuTLS's psktool writes them; "#"
 * begins a comment. In a file that no other user can read. What RFC 9257 6 asks of such keys and a
 * reader can see is required: one client, one key; each of at least 256 bits.
 */
#ifndef BASE_PSK_FILE_H
#define BASE_PSK_FILE_H

#include "base/secret.h"

#define PSK_NAME_MAX 64
#define PSK_BYTES_MIN 32
#define PSK_BYTES_MAX 64
#define PSK_ENTRIES_MAX 4096

struct psk_entry {
    char name[PSK_NAME_MAX + 1];
    struct secret key;
};

struct psk_file {
    struct psk_entry *entries;
    size_t count;
};

/* INVALID_ARGUMENT naming file, line and what is wrong; never a byte of a key. */
enum mikeyd_status psk_file_load(const char *path, struct psk_file *out, struct error *err);
/* Wipes. */
void psk_file_clear(struct psk_file *file);

#endif
