/*
 * The process that holds one token: serves the door (keys/door.h) by PKCS#11. This interface is the
 * program's (main.c) and that of tests that serve a door in a thread of theirs.
 */
#ifndef KEYHOLDER_KEYHOLDER_H
#define KEYHOLDER_KEYHOLDER_H

#include "keys/door.h"
#include "pkcs11/token/token.h"

struct keyholder_options {
    unsigned connections; /* served at once, a thread each; 0: 512 */
    size_t pair_cache;    /* pair keys at hand; 0: 4096 */
    unsigned wait_ms;    /* a request waits so long for a token session, then TOKEN_BUSY; 0: 1000 */
    unsigned recycle_kb; /* growth of resident memory that asks for a successor; 0: 64 MB */
    size_t heap_least;   /* so does a secure heap with less left; 0: 256 kB */
};

struct keyholder;

/* Resident memory of this process in kB; 0 when the system does not tell. The first call opens what
 * a sandbox may put out of reach. */
uint32_t keyholder_rss_kb(void);

/*
 * Bytes of secure heap that a keyholder over this token needs, for secret_heap_init() before
 * token_open(), and what of it must be left. However many connections there are.
 */
size_t keyholder_heap(const struct token_config *token, size_t *least);

/* The token stays the caller's and must outlive the keyholder. */
enum mikeyd_status keyholder_make(struct token *token, const struct keyholder_options *options,
                                  struct keyholder **out, struct error *err);
/*
 * Takes connections from the control socket and answers what comes over them. Returns when the
 * control socket and every connection have ended at the other side. The control socket stays the
 * caller's.
 */
void keyholder_serve(struct keyholder *holder, int control);
/* After keyholder_serve() has returned. NULL is allowed. */
void keyholder_free(struct keyholder *holder);

#endif
