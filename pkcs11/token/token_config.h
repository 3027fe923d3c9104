/* Which token, through which module, with which PIN: what a configuration says of a token. */
#ifndef PKCS11_TOKEN_CONFIG_H
#define PKCS11_TOKEN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

enum token_copies { TOKEN_COPIES_AUTO, TOKEN_COPIES_ON, TOKEN_COPIES_OFF };

#define TOKEN_ENVIRONMENT_MAX 8

struct token_config {
    const char *module; /* path of the PKCS#11 module */
    const char *uri; /* RFC 7512, names the token by label or serial; slot numbers and pin-value are
                        refused */
    const char *pin_file;  /* one line, in a file that no other user can read (private_file.h) */
    const char *init_args; /* LibraryParameters for NSS softokn; NULL or "" for others */
    /* Variables that the module reads, such as SOFTHSM2_CONF: set before it is loaded, so that two
     * tokens of one vendor can have two configurations. */
    struct {
        const char *name, *value;
    } environment[TOKEN_ENVIRONMENT_MAX];
    unsigned environment_count;
    unsigned sessions; /* 1 .. 256 */
    enum token_copies session_copies;
    unsigned call_timeout_ms;
    const char *profile; /* of profile.h; NULL or "auto": by what the token says of itself */
    uint32_t switches;   /* of profile.h, on whatever the profile says */
    bool read_write;   /* ceremony: sessions are R/W; the daemon's are not (session objects need no
                          R/W) */
    bool provisioning; /* ceremony: keys with fatal findings keep their handles, to be looked at,
                          wrapped or destroyed; no log lines about them */
};

#endif
