/*
 * Which replay store belongs to a token. Two daemons with one token and a store each would answer a
 * message twice, so the token holds a mark that names the store: it outlives crashes, and whoever
 * shares the store shares the mark.
 *
 * The mark is a secret key of no use (random, sensitive, no operation allowed; every token that
 * holds our keys can hold it) with the label mikeyd-store/IDENTITY and a CKA_ID of its own. Only
 * private objects count: others could be made by anybody who reaches the token, without a PIN.
 */
#ifndef PKCS11_STORE_MARK_H
#define PKCS11_STORE_MARK_H

#include "pkcs11/token/token.h"

#define TOKEN_STORE_IDENTITY 32 /* hexadecimal digits */

/*
 * Finds the mark of that store, or makes it when there is none. POLICY when the token has another
 * store's. *marked is false when there is none and the token takes none, err then says why (and the
 * status is OK): a daemon with another store would not be noticed.
 */
enum mikeyd_status token_claim_for_store(struct token *token, const char *identity, bool *marked,
                                         struct error *err);
/* Destroys every mark: the next store that asks gets the token. For the ceremony: the token is open
 * read_write. */
enum mikeyd_status token_release_store(struct token_session *session, size_t *released,
                                       struct error *err);

#endif
