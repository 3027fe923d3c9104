/* What defaults, pairs and meshes ask of an exchange, and the relaxations in force. */
#include <string.h>

#include "policy/rules.h"

#define SKEW_WIDE_MS (5 * 60 * 1000)

/* RFC 6043 12.1: a session key of more than 128 bits shall not travel under 128-bit algorithms. */
static void carries_suites(struct rule_run *run, const struct rule_settings *where)
{
    for (size_t i = 0; i < where->settings->suite_count; i++) {
        enum srtp_suite suite = (enum srtp_suite)where->settings->suite_order[i];
        if (!mikey_algorithms_carry(where->settings->algorithms, suite))
            rule_tell(run, where->at, "%s cannot carry %s: its key is longer than 128 bits",
                      mikey_algorithms_name(where->settings->algorithms),
                      srtp_suite_info(suite)->name);
    }
}

static void check_carry(struct rule_run *run)
{
    static const char *const fields[] = {"suites", "algorithms", NULL};
    rule_each_settings(run, fields, carries_suites);
}

static void uses_sha1(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->algorithms == MIKEY_ALGORITHMS_1)
        rule_tell(run, where->at,
                  "mikey-1 is HMAC-SHA-1 and AES-CM-128 (RFC 3830's mandatory set): for peers that "
                  "have nothing else");
}

static void check_sha1(struct rule_run *run)
{
    static const char *const fields[] = {"algorithms", NULL};
    rule_each_settings(run, fields, uses_sha1);
}

/* RFC 3711 7.5, 9.5: a tag of 32 bits is for the voice stream of a thin link, and little else. */
static void has_short_tag(struct rule_run *run, const struct rule_settings *where)
{
    for (size_t i = 0; i < where->settings->suite_count; i++) {
        const struct srtp_suite_info *info =
            srtp_suite_info((enum srtp_suite)where->settings->suite_order[i]);
        if (info->tag_len < 10)
            rule_tell(run, where->at, "%s authenticates packets with %u bits only", info->name,
                      info->tag_len * 8u);
    }
}

static void check_short_tag(struct rule_run *run)
{
    static const char *const fields[] = {"suites", NULL};
    rule_each_settings(run, fields, has_short_tag);
}

static void lacks_verification(struct rule_run *run, const struct rule_settings *where)
{
    if (!where->settings->verification_required)
        rule_tell(run, where->at,
                  "verification is not required: an initiator may take its keys without proof that "
                  "the responder has them");
}

static void check_verification(struct rule_run *run)
{
    static const char *const fields[] = {"verification", NULL};
    rule_each_settings(run, fields, lacks_verification);
}

static void is_skew_wide(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->clock_skew_ms > SKEW_WIDE_MS)
        rule_tell(run, where->at,
                  "a clock skew of %u s keeps messages acceptable, and the replay store filling, "
                  "for twice as long",
                  where->settings->clock_skew_ms / 1000);
}

static void check_skew(struct rule_run *run)
{
    static const char *const fields[] = {"clock_skew", NULL};
    rule_each_settings(run, fields, is_skew_wide);
}

static void is_mac_host(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->mac == POLICY_MAC_HOST)
        rule_tell(run, where->at,
                  "mac: host computes message MACs in the daemon: the message's authentication key "
                  "is in host memory for the length of the request");
}

static void check_mac_host(struct rule_run *run)
{
    static const char *const fields[] = {"mac", NULL};
    rule_each_settings(run, fields, is_mac_host);
}

static void is_mac_host_derive(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->mac == POLICY_MAC_HOST && where->settings->prf == POLICY_PRF_DERIVE)
        rule_tell(run, where->at,
                  "mac: host needs the authentication key that prf: derive keeps in the token");
}

static void check_mac_host_derive(struct rule_run *run)
{
    static const char *const fields[] = {"mac", "prf", NULL};
    rule_each_settings(run, fields, is_mac_host_derive);
}

static void is_prf_any(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->prf == POLICY_PRF_ANY)
        rule_tell(run, where->at,
                  "prf: any lets tokens without a key derivation of MIKEY's work by HMAC calls: "
                  "the keys of one message are then in host memory for the length of the request");
}

static void check_prf_any(struct rule_run *run)
{
    static const char *const fields[] = {"prf", NULL};
    rule_each_settings(run, fields, is_prf_any);
}

static void is_tgk_derived(struct rule_run *run, const struct rule_settings *where)
{
    if (where->settings->tgk == POLICY_TGK_DERIVED)
        rule_tell(run, where->at,
                  "tgk: derived computes the TGK from PSK and RAND: both ends must be mikeyd, and "
                  "the initiator adds no secret of its own");
}

static void check_tgk_derived(struct rule_run *run)
{
    static const char *const fields[] = {"tgk", NULL};
    rule_each_settings(run, fields, is_tgk_derived);
}

static void check_provisioning(struct rule_run *run)
{
    if (run->policy->provisioning == POLICY_PLAINTEXT_ALLOWED)
        rule_tell(run, rule_defaults(run, "provisioning"),
                  "keys may be imported in clear (laboratory): their entropy and secrecy before "
                  "the import cannot be vouched for");
}

static void check_session_copies(struct rule_run *run)
{
    if (!run->policy->session_copies_forbidden)
        rule_tell(run, rule_defaults(run, "session_copies"),
                  "hot keys may be used as session-object copies, sensitive and not extractable "
                  "like their originals, which live until the daemon closes the token");
}

static void check_interop(struct rule_run *run)
{
    for (size_t i = 0; i < run->policy->interop_count; i++) {
        const struct policy_interop_entry *entry = &run->policy->interops[i];
        bool plain;
        const char *peer = yaml_scalar(yaml_map_get(entry->at, "peer"), &plain);
        if (entry->interop.reply_timestamp_any)
            rule_tell(run, yaml_map_get(entry->at, "reply_timestamp"),
                      "%.100s: a reply may carry another timestamp than the request (RFC 3830 5.4)",
                      peer);
        if (entry->interop.v_covers_t_only)
            rule_tell(run, yaml_map_get(entry->at, "v_covers_ids"),
                      "%.100s: verification without the identities, so a reply is not bound to the "
                      "pair (RFC 3830 5.2)",
                      peer);
        if (entry->interop.sdp_ids_optional)
            rule_tell(run, yaml_map_get(entry->at, "sdp_ids"),
                      "%.100s: no protection against bidding down of key management (RFC 4567 "
                      "4.1.4)",
                      peer);
        if (entry->interop.ids_optional)
            rule_tell(run, yaml_map_get(entry->at, "ids"),
                      "%.100s: its messages need not name initiator and responder; who calls is "
                      "what the client says, and nothing under the MAC binds it (RFC 3830 9.5)",
                      peer);
        if (entry->interop.sp_optional)
            rule_tell(run, yaml_map_get(entry->at, "sp"),
                      "%.100s: a message without SP gets AES_CM_128_HMAC_SHA1_80 where the pair "
                      "allows that suite",
                      peer);
        if (entry->interop.counter_timestamps)
            rule_tell(run, yaml_map_get(entry->at, "counter_timestamps"),
                      "%.100s: its messages may carry a COUNTER instead of a time, so one that is "
                      "held back stays fresh until the peer sends another (RFC 3830 5.4)",
                      peer);
    }
}

const struct policy_rule policy_rules_settings[] = {
    {"RFC6043-12-1", POLICY_ERROR, RULE_NEEDS_FILE,
     "Session keys of 256 bits do not travel under 128-bit algorithms",
     "defaults pairs mesh: suites algorithms", check_carry},
    {"RFC6043-12-1-SHA1", POLICY_NOTE, RULE_NEEDS_FILE, "Messages use the 256-bit algorithm set",
     "defaults pairs mesh: algorithms", check_sha1},
    {"SUITE-SHORT-TAG", POLICY_WARNING, RULE_NEEDS_FILE,
     "Suites authenticate packets with 80 bits or more", "defaults pairs mesh: suites",
     check_short_tag},
    {"VERIFICATION", POLICY_WARNING, RULE_NEEDS_FILE, "Exchanges are verified",
     "defaults pairs mesh: verification", check_verification},
    {"CLOCK-SKEW", POLICY_WARNING, RULE_NEEDS_FILE, "Clocks agree within five minutes",
     "defaults pairs mesh: clock_skew", check_skew},
    {"MAC-HOST", POLICY_WARNING, RULE_NEEDS_FILE, "The token computes the MACs of messages",
     "defaults pairs mesh: mac", check_mac_host},
    {"MAC-HOST-DERIVE", POLICY_ERROR, RULE_NEEDS_FILE, "mac: host goes with prf: any only",
     "defaults pairs mesh: mac prf", check_mac_host_derive},
    {"PRF-HOST", POLICY_NOTE, RULE_NEEDS_FILE, "The keys of a message stay in the token",
     "defaults pairs mesh: prf", check_prf_any},
    {"TGK-DERIVED", POLICY_NOTE, RULE_NEEDS_FILE, "The TGK is random and transported",
     "defaults pairs mesh: tgk", check_tgk_derived},
    {"PROVISIONING", POLICY_WARNING, RULE_NEEDS_FILE, "Keys come into the token wrapped",
     "defaults.provisioning", check_provisioning},
    {"SESSION-COPIES", POLICY_NOTE, RULE_NEEDS_FILE, "Keys are used as the objects they are",
     "defaults.session_copies", check_session_copies},
    {"INTEROP", POLICY_WARNING, RULE_NEEDS_FILE, "No peer needs a relaxation of the protocol",
     "interop", check_interop},
    {0},
};
