/*
 * How each requirement is met: RFC 9257 (external PSKs), and what RFC 3830 and RFC 6043 ask of a
 * user of pre-shared keys. One row each, in the order of the texts. "Enforced" means refused by the
 * loader, the daemon or the ceremony, or impossible by construction; "reported" means that a
 * finding tells and the operator decides.
 */
#include "policy/findings.h"

static const struct policy_coverage rows[] = {
    {"RFC9257-1", "RFC 9257 5.2", "SHOULD",
     "Where a PSK must be shared, use the accommodations of section 6", POLICY_ENFORCED,
     "a psk used directly by more than one pair of nodes is refused; a group uses an epsk, whose "
     "pair keys the importer binds to both identities",
     "RFC9257-6-2 RFC9257-6-3-GROUP RFC9257-5-2-GROUP", "policy/rules_keys.c",
     "tests/unit/policy/rules_keys.c"},
    {"RFC9257-2", "RFC 9257 6 (1)", "SHOULD", "A PSK comes from at least 128 bits of entropy",
     POLICY_REPORTED,
     "keys generated in the token come from its random generator; of imported ones only the length "
     "can be seen, so import in clear needs a policy that says so and a finding tells",
     "PROVISIONING", "policy/rules_settings.c pkcs11/provision/provision.c",
     "tests/unit/policy/rules_settings.c"},
    {"RFC9257-3", "RFC 9257 6 (1)", "MUST", "A PSK is at least 128 bits long", POLICY_ENFORCED,
     "min_psk_bits below 128 is refused; keys in the token are held against min_psk_bits",
     "RFC9257-6-1-LENGTH RFC9257-6-1-TOKEN", "policy/rules_keys.c policy/rules_token.c",
     "tests/unit/policy/rules_keys.c tests/unit/policy/rules_token.c"},
    {"RFC9257-4", "RFC 9257 6 (1)", "SHOULD", "Combine the PSK with an ephemeral exchange",
     POLICY_ENFORCED,
     "where forward_secrecy: required: method psk is refused in both roles, psk-dhe and dhhmac "
     "serve; elsewhere it is told, and with preferred psk-dhe is what is offered",
     "RFC9257-6-1-EPHEMERAL DH-GROUP",
     "policy/decide.c policy/rules_usage.c src/mikey/method_psk_dhe.c src/mikey/method_dhhmac.c",
     "tests/unit/policy/decide.c tests/unit/policy/rules_usage.c tests/integration/exchange/dhe.c"},
    {"RFC9257-5", "RFC 9257 6 (1)", "SHOULD", "Avoid low-entropy PSKs", POLICY_ENFORCED,
     "keys are random bytes of 128 bits or more; passwords are no kind of key here",
     "RFC9257-6-1-LENGTH PROVISIONING", "policy/rules_keys.c", "tests/unit/policy/rules_keys.c"},
    {"RFC9257-6", "RFC 9257 6 (1)", "SHOULD",
     "If only low entropy is available, use a mechanism such as a PAKE", POLICY_NOT_APPLICABLE,
     "low-entropy secrets are not accepted, and MIKEY has no PAKE", "", "", ""},
    {"RFC9257-7", "RFC 9257 6 (2)", "MUST",
     "A PSK is limited to one client-role and one server-role logical node, unless accommodated",
     POLICY_ENFORCED,
     "one psk, one unordered pair of nodes; a node is never its own peer; groups by the importer "
     "only",
     "RFC9257-6-2 RFC9257-4-1-SELFIE RFC9257-6-3-GROUP", "policy/rules_keys.c policy/decide.c",
     "tests/unit/policy/rules_keys.c tests/unit/policy/decide.c"},
    {"RFC9257-8", "RFC 9257 6 (2)", "MAY", "The two logical nodes may be one node in two roles",
     POLICY_REPORTED,
     "a psk that serves both directions between two nodes is told; an imported key has one "
     "direction, since its context is initiator, then responder",
     "RFC9257-4-1-ROLES", "policy/rules_keys.c src/importer/importer_pair.c",
     "tests/unit/policy/rules_keys.c"},
    {"RFC9257-9", "RFC 9257 6 (2)", "one of two ways",
     "Exchange both identifiers over the connection, or put both into the importer's context",
     POLICY_ENFORCED,
     "both: messages carry the identities under the MAC and the verification value covers them, "
     "and "
     "the context of an imported key is both identities; the interop relaxation of the former is "
     "told",
     "INTEROP", "src/importer/importer_pair.c src/mikey", "tests/unit/importer tests/unit/mikey"},
    {"RFC9257-10", "RFC 9257 6 (3)", "SHOULD", "Pairs use the importer of RFC 9258",
     POLICY_REPORTED, "kind epsk does; a psk used directly, for peers that cannot import, is told",
     "RFC9257-6-3", "policy/rules_keys.c", "tests/unit/policy/rules_keys.c"},
    {"RFC9257-11", "RFC 9257 6 (4)", "SHOULD", "Delete the main PSK after importing",
     POLICY_REPORTED,
     "delete_main asks for it, \"key derive --delete-main\" does it, and the comparison with the "
     "token tells when the key is still there; groups that grow need to keep it",
     "RFC9257-6-4 RFC9257-6-4-TOKEN", "policy/rules_keys.c policy/rules_token.c",
     "tests/unit/policy/rules_keys.c tests/unit/policy/rules_token.c"},
    {"RFC9257-12", "RFC 9257 6.1.1", "MAY", "An identity may be a string that a user configures",
     POLICY_ENFORCED, "identities are configured: nodes, as URI, user@host or bytes",
     "RFC9257-6-1-1-IDENTITY", "policy/load_lists.c src/base/identity.c",
     "tests/unit/policy/load.c"},
    {"RFC9257-13", "RFC 9257 6.1.1", "MAY", "An identity may have a domain suffix", POLICY_ENFORCED,
     "URIs and user@host have one; byte strings need none", "", "src/base/identity.c",
     "tests/unit/base/identity.c"},
    {"RFC9257-14", "RFC 9257 6.1.1", "NOT RECOMMENDED",
     "No domain suffix where it is sensitive for privacy", POLICY_REPORTED,
     "identities travel in clear in MIKEY and are told to be visible; hex: identities carry none",
     "RFC9257-7-PRIVACY", "policy/rules_identity.c", "tests/unit/policy/rules_identity.c"},
    {"RFC9257-15", "RFC 9257 6.1.1", "guidance",
     "Identities compare byte by byte; beware of look-alike encodings", POLICY_ENFORCED,
     "look-up is by bytes and type; nodes that differ only by Unicode form are refused, those that "
     "look alike or differ only by type are told",
     "RFC9257-6-1-1-NORMALISATION RFC9257-6-1-1-TYPE RFC9257-6-1-1-CONFUSABLE RFC9257-6-1-1-FORM",
     "policy/model.c policy/rules_identity.c",
     "tests/unit/policy/rules_identity.c tests/unit/policy/decide.c"},
    {"RFC9257-16", "RFC 9257 6.1.1", "guidance", "Identities are long enough not to collide",
     POLICY_ENFORCED,
     "every node stands once; an identity is a full URI, user@host or at least one byte, at most "
     "255",
     "POLICY-DUPLICATE RFC9257-6-1-1-IDENTITY", "policy/rules_structure.c",
     "tests/unit/policy/rules_structure.c"},
    {"RFC9257-17", "RFC 9257 6.1.2", "RECOMMENDED",
     "Identities of resumption are distinguishable from external ones", POLICY_NOT_APPLICABLE,
     "MIKEY has no resumption; tickets of the daemon are sealed values of another format and never "
     "identities",
     "", "", ""},
    {"RFC9257-18", "RFC 9257 8", "NOT RECOMMENDED",
     "One PSK shared between more than one client and one server", POLICY_ENFORCED,
     "refused for a psk; for an epsk group the residual risk is told",
     "RFC9257-6-2 "
     "RFC9257-5-2-GROUP",
     "policy/rules_keys.c", "tests/unit/policy/rules_keys.c"},
    {"RFC9257-19", "RFC 9257 8", "SHOULD", "A node knows its peer's identifier", POLICY_ENFORCED,
     "a request names or carries both identities; without a pair of exactly these the daemon "
     "refuses",
     "POLICY-REFERENCE", "policy/decide.c", "tests/unit/policy/decide.c"},
    {"RFC9257-20", "RFC 9257 8", "SHOULD",
     "Compare the identifier with the one in the imported identity's context", POLICY_ENFORCED,
     "by construction: the context is made from the two identities of the message, so another "
     "identity means another key and the MAC fails",
     "", "src/importer/importer_pair.c src/exchange/keyring.c", "tests/unit/importer"},
    {"RFC9257-21", "RFC 9257 8", "note",
     "Early data under a reused PSK relies on the client's random numbers", POLICY_NOT_APPLICABLE,
     "MIKEY has no early data; RAND and TGK come from OpenSSL's random generator for every bundle "
     "(with `tgk: derived` RAND alone, 256 bits of it)",
     "", "", ""},
    {"RFC9257-22", "RFC 9257 7, 8", "note",
     "Identities are visible and linkable; persistent ones cost privacy", POLICY_REPORTED,
     "told for every policy with nodes", "RFC9257-7-PRIVACY", "policy/rules_identity.c",
     "tests/unit/policy/rules_identity.c"},
    {"RFC9257-TLS-LENGTH", "RFC 9257 6 (1)", "MUST",
     "A client's PSK for TLS is at least 128 bits long, and combined with an ephemeral exchange",
     POLICY_ENFORCED,
     "the gate's list and a client's file are refused with a key under 256 bits or of zeros; "
     "OpenSSL offers and takes psk_dhe_ke alone",
     "", "src/base/psk_file.c src/gate/psk.c",
     "tests/unit/base/psk_file.c tests/integration/gate/test_gate_psk.c"},
    {"RFC9257-TLS-UNIQUE", "RFC 9257 6 (2)", "MUST",
     "A client's PSK for TLS is one client's and one server's", POLICY_ENFORCED,
     "a list with a name or a key twice is refused; all gates of a fleet are one server; the "
     "context of the imported key names client and server in their roles",
     "", "src/base/psk_file.c src/importer/importer_tls.c",
     "tests/unit/base/psk_file.c tests/unit/importer/tls.c tests/integration/gate/test_gate_psk.c"},
    {"RFC9257-TLS-USE", "RFC 9257 6 (3)", "SHOULD",
     "A client's PSK for TLS has one use, by the importer of RFC 9258", POLICY_ENFORCED,
     "it is never used itself: what TLS gets is imported for TLS 1.3 and SHA-384, and a client of "
     "the policy is known by it where `tls_psk: true` says so alone; keys in the token are never "
     "read, so they cannot serve here",
     "", "src/importer/importer_tls.c policy/model.c",
     "tests/unit/importer/tls.c tests/integration/gate/test_gate_psk.c"},

    {"RFC3830-9-1-TRANSPORT", "RFC 3830 9.1", "MUST",
     "What protects keys in transport is at least as strong as the keys", POLICY_REPORTED,
     "256-bit session keys under 128-bit algorithms are refused (RFC 6043 12.1); a min_psk_bits "
     "below the suites' key length is told",
     "RFC6043-12-1 RFC3830-9-1-STRENGTH", "policy/rules_settings.c policy/rules_keys.c",
     "tests/unit/policy/rules_settings.c tests/unit/policy/rules_keys.c"},
    {"RFC6043-12-1", "RFC 6043 12.1", "SHALL NOT",
     "The 256-bit algorithms are not mixed with smaller ones; session keys of more than 128 bits "
     "do "
     "not travel under 128-bit algorithms",
     POLICY_ENFORCED, "algorithms are chosen as a set; suites that a set cannot carry are refused",
     "RFC6043-12-1 RFC6043-12-1-SHA1", "policy/rules_settings.c src/base/suite.c",
     "tests/unit/policy/rules_settings.c"},
    {"RFC3830-9-1-SECRECY", "RFC 3830 9.1", "note", "PSK mode gives no forward secrecy",
     POLICY_REPORTED, "told; pairs can refuse it; lifetimes and exchanges per key are bounded",
     "RFC9257-6-1-EPHEMERAL KEY-LIFETIME KEY-EXCHANGES", "policy/rules_usage.c",
     "tests/unit/policy/rules_usage.c"},
    {"RFC3830-4-3-2", "RFC 3830 4.3.2", "MUST NOT",
     "Received keys are not passed on; having a PSK means being authorised", POLICY_ENFORCED,
     "session keys go to the client that acts as the node and to nobody else; which client may act "
     "as which node is listed, and too wide a list is told",
     "CLIENT-SCOPE CLIENT-ROOT CLIENT-OVERFLOW-UID CLIENT-BOTH-ENDS",
     "policy/decide.c policy/rules_clients.c",
     "tests/unit/policy/decide.c tests/unit/policy/rules_clients.c"},
    {"RFC3830-5-4-CLOCK", "RFC 3830 5.4, 9.3", "guidance",
     "Clocks are synchronised and the window for replays is small", POLICY_ENFORCED,
     "messages outside clock_skew are refused; a wide one is told", "CLOCK-SKEW",
     "policy/rules_settings.c", "tests/unit/policy/rules_settings.c"},
    {"RFC3830-9-5", "RFC 3830 3.1, 9.5", "SHOULD",
     "The responder's identity is in the message, and the exchange is verified", POLICY_REPORTED,
     "both identities are required; verification is required unless the policy says otherwise, "
     "which is told",
     "VERIFICATION INTEROP", "policy/rules_settings.c policy/decide.c",
     "tests/unit/policy/rules_settings.c"},
};

const struct policy_coverage *policy_coverage_at(size_t index)
{
    return index < sizeof rows / sizeof rows[0] ? &rows[index] : NULL;
}

const char *policy_coverage_status_name(enum policy_coverage_status status)
{
    switch (status) {
    case POLICY_ENFORCED:
        return "enforced";
    case POLICY_REPORTED:
        return "reported";
    case POLICY_NOT_APPLICABLE:
        break;
    }
    return "not-applicable";
}
