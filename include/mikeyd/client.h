/*
 * libmikeyd: MIKEY (RFC 3830) key exchange for SRTP, with the pre-shared keys in an HSM behind the
 * mikeyd daemon.
 *
 * A client asks the daemon to initiate or answer an exchange and gets back the MIKEY message to
 * send, a ticket that stands for the exchange, and, once policy allows, the SRTP master keys of the
 * streams. It never sees a pre-shared key.
 *
 *   mikeyd_client_open() ... mikeyd_initiate() -> send message, keep ticket ->
 * mikeyd_confirm(ticket, reply) -> keys mikeyd_respond(message) -> keys, send reply
 *
 * <mikeyd/sdp.h> has what SIP and RTSP need beside it: whole descriptions, hold, re-keying.
 *
 * Threads: every function may be called from any thread. Blocking calls on one client share its
 * connection and run side by side. Ownership: what a function returns through `out` is the caller's
 * until the matching free or close; strings and arrays inside are owned by that object. Keys are
 * wiped when the exchange is freed. Link with `pkg-config --libs mikeyd`.
 */
#ifndef MIKEYD_CLIENT_H
#define MIKEYD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mikeyd/status.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

typedef struct mikeyd_client mikeyd_client;
typedef struct mikeyd_exchange mikeyd_exchange;

/* ---- connection */

/*
 * Connects to "unix:/run/mikeyd/mikeyd.sock" (or a bare absolute path), or to the first gate that
 * serves of "tls://HOST:PORT[,HOST:PORT]...?ca=FILE&cert=FILE&key=FILE[&name=NAME]": libmikeyd(3).
 * MIKEYD_UNREACHABLE when no daemon or gate answers, MIKEYD_INVALID_ARGUMENT for an address of
 * another form. A connection that breaks later is made again by the next call, to the next gate.
 */
enum mikeyd_status mikeyd_client_open(const char *address, mikeyd_client **out);
/*
 * Ends pending requests with MIKEYD_UNREACHABLE (their callbacks run), frees the client. Blocking
 * calls of other threads return first; no new ones may begin. Not from a callback. NULL is allowed.
 */
void mikeyd_client_close(mikeyd_client *client);
/* "REPLAY" for MIKEYD_REPLAY; never NULL. */
const char *mikeyd_status_name(enum mikeyd_status status);
/* One sentence about this thread's last failed call on any client; "" when none. Valid until the
 * thread's next call. */
const char *mikeyd_client_error(const mikeyd_client *client);
/* How long a blocking call waits for its answer before it returns MIKEYD_UNREACHABLE; 0: the
 * default of 30,000. For pipelined requests see mikeyd_client_set_deadline(). */
void mikeyd_client_set_timeout(mikeyd_client *client, unsigned milliseconds);
/* The daemon's status as a JSON object; free() it. checks: also run the token and key health
 * checks. */
enum mikeyd_status mikeyd_client_status(mikeyd_client *client, bool checks, char **json);

/*
 * The structures below can grow: their last member is room for later versions. Zero them, as a
 * designated initializer does; zero means "not used" for every member that a program does not know.
 * A member that this library does not know is MIKEYD_INVALID_ARGUMENT, never ignored.
 */

/* ---- an exchange */

/*
 * How the ends agree on a key. By default what the pair's `forward_secrecy` says: psk where it is off,
 * psk-dhe where it is preferred or required. Both ends of psk-dhe must be mikeyd; dhhmac is RFC 4650.
 * These two need the answer: an offer without `verify` is MIKEYD_INVALID_ARGUMENT. What was offered
 * is what is confirmed: there is never a silent change to another method.
 */
enum mikeyd_method {
    MIKEYD_METHOD_BY_POLICY = 0,
    MIKEYD_DHHMAC = 1,
    MIKEYD_PSK_DHE = 2,
    MIKEYD_PSK = 3
};

/*
 * One SRTP stream with its SRTCP: a crypto session. ssrc 0: the responder chooses; suite NULL: the
 * policy's first. roc: the rollover counter of a stream that runs already (RFC 3830 6.1.1); in an
 * update, a stream of the bundle with a roc is that stream, and none is added.
 */
struct mikeyd_stream {
    uint32_t ssrc;
    const char *suite;
    uint32_t roc;
    const void *reserved[2];
};

struct mikeyd_offer {
    const char *from, *to; /* identities: "sip:…", any URI, "user@host", "hex:…", or
                              "uri:…" and "nai:…" where the type is not the usual one */
    const struct mikeyd_stream *streams;
    size_t stream_count;
    enum mikeyd_method method;
    bool verify; /* ask for a verification message; the policy may require it */
    bool sdp;    /* message goes into SDP: carry and protect the key-mgmt protocol list (RFC
                    4567 4.1.4) */
    const char *reference; /* the call's name elsewhere, such as its Call-ID, for the audit records
                              of this exchange, its confirmation and its updates; at most 127 bytes */
    const char
        *protocols; /* with sdp: all that SDP offers, in its order, "mikey;keyp1"; NULL: mikey
                              alone. mikeyd_sdp_offer_protocols() makes it */
    const void *reserved[5];
};

struct mikeyd_answer {
    const char *as;      /* who answers */
    const void *message; /* the I_MESSAGE: its bytes, or text that holds it: what
                            mikeyd_exchange_sdp() gives, an a=acap line, a whole SDP, a KeyMgmt
                            header, base64 */
    size_t message_len;
    const uint32_t *ssrcs; /* for the streams whose SSRC the initiator left open, in their order;
                              missing ones are random */
    size_t ssrc_count;
    const void *ticket; /* of this end's last exchange in it, to answer an update; else NULL */
    size_t ticket_len;
    bool sdp; /* message came in SDP: its key-mgmt protocol list must be protected (RFC 4567
                 4.1.4) */
    bool error_message;   /* a refusal may come with an error message for the peer (RFC 3830 5.1.2),
                              where the policy says so: see mikeyd_respond() */
    const char *from;     /* who calls, as SIP or RTSP say: must be the message's initiator, and
                              takes its place where the policy lets a peer leave it out */
    const uint32_t *rocs; /* NULL, or ssrc_count rollover counters of streams that run already; an
                              SSRC that the message names itself may stand in ssrcs with its ROC */
    const char *reference; /* as in struct mikeyd_offer */
    const char
        *protocols; /* with sdp: all that the offer names (mikeyd_sdp_protocols()); NULL: what
                              the text in message says, and mikey alone for bytes */
    size_t media;   /* of a whole SDP in message: the m= line (1 ...) that is answered; 0: the
                              only message there is */
    const void *reserved[4];
};

/* Makes an I_MESSAGE (RFC 3830 3.1). Keys are there at once only when no verification was asked
 * for. */
enum mikeyd_status mikeyd_initiate(mikeyd_client *client, const struct mikeyd_offer *offer,
                                   mikeyd_exchange **out);
/*
 * Answers an I_MESSAGE: keys, and the R_MESSAGE when one was asked for. A peer may send several
 * keys for each stream, which differ by MKI. With answer->error_message, *out may be set although
 * the status is not MIKEYD_OK: it holds the error message to send, and nothing else; free it.
 */
enum mikeyd_status mikeyd_respond(mikeyd_client *client, const struct mikeyd_answer *answer,
                                  mikeyd_exchange **out);
/* Checks the R_MESSAGE (bytes or text, as in struct mikeyd_answer) against the ticket of the
 * exchange (once) and gives its keys. */
enum mikeyd_status mikeyd_confirm(mikeyd_client *client, const void *ticket, size_t ticket_len,
                                  const void *reply, size_t reply_len, mikeyd_exchange **out);
/*
 * mikeyd_confirm(), and where the peer refused the offer's suites and says which it would take: one
 * further offer, of the first of them that the policy allows (RFC 3830 5.1.1).
 *
 *      A                                               B
 *      mikeyd_initiate()      I_MESSAGE, suite 1 --->  mikeyd_respond(): MIKEYD_POLICY,
 *        ticket a0            <--- error, suites 2, 3    and the error message (error_message)
 *      mikeyd_confirm_or_retry(offer, a0)
 *        MIKEYD_UNSUPPORTED,
 *        and an exchange:     I_MESSAGE, suite 2 --->  mikeyd_respond(): keys
 *        ticket a1            <--- R_MESSAGE
 *      mikeyd_confirm(a1): keys
 *
 * offer is the one that mikeyd_initiate() had. When the status is MIKEYD_UNSUPPORTED and *out is
 * set, *out has the new I_MESSAGE to send and its ticket, and no keys; free it. Only an error message
 * that the peer has proven its own counts, so nobody else can choose the suite; an error of the
 * second offer brings no third.
 */
enum mikeyd_status mikeyd_confirm_or_retry(mikeyd_client *client, const struct mikeyd_offer *offer,
                                           const void *ticket, size_t ticket_len, const void *reply,
                                           size_t reply_len, mikeyd_exchange **out);
/*
 * A new TGK, and more streams if given, in the same crypto session bundle (RFC 3830 4.5): new keys
 * for a call that runs. verify and sdp as in struct mikeyd_offer; the method is the bundle's.
 *
 * Either end may do it, also the one that was called, as often as it likes, on any daemon of its
 * site. It takes the ticket of its last exchange in the bundle, the other end answers with the
 * ticket of its own last one:
 *
 *      A, which called                                 B, which was called
 *      mikeyd_initiate()            I_MESSAGE
 *        ticket a0          ------------------------>  mikeyd_respond()
 *                                   R_MESSAGE            ticket b1, keys 1
 *      mikeyd_confirm(a0)   <------------------------
 *        ticket a1, keys 1
 *                     ====  SRTP under keys 1  ====
 *                                   I_MESSAGE          mikeyd_update(b1)
 *      mikeyd_respond(a1)   <------------------------    ticket b2
 *        ticket a3, keys 2          R_MESSAGE
 *      receives by either   ------------------------>  mikeyd_confirm(b2)
 *                                                        ticket b3, keys 2
 *                                                      sends by keys 2
 *      sees the new MKI,                               receives by either
 *      sends by keys 2
 *                     ====  SRTP under keys 2  ====
 *      mikeyd_update(a3) ... or again mikeyd_update(b3)
 *
 * The old keys stay good until the switch: nothing takes them away but the program itself. Whoever
 * has the new ones adds them to what it receives by; it sends by them once the other end has them
 * too, which is after mikeyd_confirm() or when a packet with the new MKI arrives (RFC 3711 3.2.1,
 * RFC 3830 A.1); it drops the old ones when none of their packets can be under way any more. A
 * policy with `mki_bytes` gives every key an MKI of one length. Without one the switch has to be
 * agreed otherwise.
 *
 * streams: the bundle's streams need not be named, and keep their place and so their cs. One that
 * runs should be named with its roc if that is not 0; the other end states those of the streams that
 * it sends in its answer. When both ends update at once both succeed: go on with one of them, as SIP
 * does with colliding offers. What is not newer than the ticket is refused (MIKEYD_REPLAY); with
 * clocks that differ an update may be MIKEYD_CLOCK_SKEW so long after the other end's message as its
 * clock is ahead.
 */
enum mikeyd_status mikeyd_update(mikeyd_client *client, const void *ticket, size_t ticket_len,
                                 const struct mikeyd_stream *streams, size_t stream_count,
                                 bool verify, bool sdp, mikeyd_exchange **out);

/* ---- its results */

struct mikeyd_srtp_key {
    uint8_t cs; /* crypto session ID, from 1 in the order of the streams */
    uint32_t ssrc, roc;
    const char *suite;
    uint8_t key[32], salt[14], mki[255];
    uint8_t key_len, salt_len, mki_len;
    uint64_t reserved[4]; /* 0 */
};

/* I_MESSAGE or R_MESSAGE to send; NULL (and 0) when there is none. */
const uint8_t *mikeyd_exchange_message(const mikeyd_exchange *exchange, size_t *len);
/* The sealed ticket to hand to mikeyd_confirm() or mikeyd_update(). Holds no secret in clear, but
 * treat it as private. */
const uint8_t *mikeyd_exchange_ticket(const mikeyd_exchange *exchange, size_t *len);
/* Number of keys; *keys points to the first. */
size_t mikeyd_exchange_keys(const mikeyd_exchange *exchange, const struct mikeyd_srtp_key **keys);
/* Who is at each end, as text; "" when not known. */
const char *mikeyd_exchange_from(const mikeyd_exchange *exchange);
const char *mikeyd_exchange_to(const mikeyd_exchange *exchange);
uint32_t mikeyd_exchange_csb_id(const mikeyd_exchange *exchange);
/* The "a=key-mgmt:mikey …" attribute line of the message, without CRLF; NULL when there is no
 * message. */
const char *mikeyd_exchange_sdp(const mikeyd_exchange *exchange);
/* Wipes the keys and frees. NULL is allowed. */
void mikeyd_exchange_free(mikeyd_exchange *exchange);

/* ---- pipelined, for event loops */

/*
 * Many requests in flight on one connection. Callbacks run inside mikeyd_client_dispatch() or
 * mikeyd_client_close(), in the thread that calls it, once for each accepted submission. exchange
 * is NULL unless status is MIKEYD_OK, or has the error message of mikeyd_respond() or the
 * further offer of mikeyd_confirm_or_retry(), and else the callback's to free.
 */
typedef void mikeyd_done(void *user, enum mikeyd_status status, mikeyd_exchange *exchange);
enum mikeyd_status mikeyd_submit_initiate(mikeyd_client *client, const struct mikeyd_offer *offer,
                                          mikeyd_done *done, void *user);
enum mikeyd_status mikeyd_submit_respond(mikeyd_client *client, const struct mikeyd_answer *answer,
                                         mikeyd_done *done, void *user);
enum mikeyd_status mikeyd_submit_confirm(mikeyd_client *client, const void *ticket,
                                         size_t ticket_len, const void *reply, size_t reply_len,
                                         mikeyd_done *done, void *user);
enum mikeyd_status mikeyd_submit_confirm_or_retry(mikeyd_client *client,
                                                  const struct mikeyd_offer *offer,
                                                  const void *ticket, size_t ticket_len,
                                                  const void *reply, size_t reply_len,
                                                  mikeyd_done *done, void *user);
enum mikeyd_status mikeyd_submit_update(mikeyd_client *client, const void *ticket,
                                        size_t ticket_len, const struct mikeyd_stream *streams,
                                        size_t stream_count, bool verify, bool sdp,
                                        mikeyd_done *done, void *user);
/*
 * Pipelined requests submitted from now on end with MIKEYD_UNREACHABLE when there is no answer after
 * so many milliseconds; 0, as at first: they have no limit. Set it anew between two submissions for
 * limits of their own.
 */
void mikeyd_client_set_deadline(mikeyd_client *client, unsigned milliseconds);
/*
 * Gives up every pending request that was submitted with these two: its callback never runs, its
 * answer is dropped, wiped, when it comes. What the daemon does with the request does not change: a
 * message that it has answered is answered. Returns how many there were. Also from a callback.
 */
size_t mikeyd_cancel(mikeyd_client *client, mikeyd_done *done, void *user);
/* To poll: the descriptor, the same for the client's whole life, and the events wanted now (POLLIN,
 * POLLOUT). */
int mikeyd_client_fd(const mikeyd_client *client);
short mikeyd_client_events(const mikeyd_client *client);
/* Sends and receives what it can without blocking. MIKEYD_UNREACHABLE when the connection broke
 * (callbacks have run) or there is none until the next request. One thread at a time. */
enum mikeyd_status mikeyd_client_dispatch(mikeyd_client *client);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
