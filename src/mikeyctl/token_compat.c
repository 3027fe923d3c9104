#include "mikeyctl/token_compat.h"

#include <string.h>

/* ---- lines of mikeyd.yaml */

static void add(char *text, size_t cap, const char *more)
{
    const size_t len = strlen(text);
    (void)snprintf(text + len, cap - len, "%s", more);
}

static void switches_text(uint32_t switches, char *out, size_t cap)
{
    const char *name;
    out[0] = '\0';
    for (size_t i = 0; (name = profile_switch_at(i)) != NULL; i++) {
        if ((switches & UINT32_C(1) << i) == 0)
            continue;
        add(out, cap, out[0] == '\0' ? "" : ", ");
        add(out, cap, name);
    }
}

void compat_lines_make(const struct token_compat *found, unsigned wanted, struct compat_lines *out)
{
    const struct profile *profile = found->facts.profile;
    /* Also those that the trial was told by switches: the entry needs them again. */
    const uint32_t switches = (found->told | found->tried) & ~profile_switches(profile);
    char names[150];
    *out = (struct compat_lines){0};
    (void)snprintf(out->line[out->count++], sizeof out->line[0], "profile: %s", profile->name);
    switches_text(switches, names, sizeof names);
    if (switches != 0)
        (void)snprintf(out->line[out->count++], sizeof out->line[0], "switches: [%s]", names);
    /* It gave no more, and the health check needs one of its own. */
    if (found->sessions < wanted)
        (void)snprintf(out->line[out->count++], sizeof out->line[0], "sessions: %u",
                       found->sessions > 1 ? found->sessions - 1 : 1);
}

/* ---- what was found */

struct finding {
    const char *name;
    char text[120];
};

#define FINDINGS 10

static const char *copies_text(enum token_copying copies)
{
    switch (copies) {
    case TOKEN_COPIES_WORK:
        return "work";
    case TOKEN_COPIES_REFUSED:
        return "none: keys are used as they are";
    case TOKEN_COPIES_UNTRIED:
        break;
    }
    return "not tried: the token has no key of mikeyd that signs";
}

static void put(struct finding *finding, const char *name, const char *text)
{
    finding->name = name;
    (void)snprintf(finding->text, sizeof finding->text, "%s", text);
}

static void mechanisms_text(const struct token_compat *found, char *out, size_t cap)
{
    out[0] = '\0';
    add(out, cap, found->aes_kwp ? "aes-kwp " : "");
    add(out, cap, found->aes_kw ? "aes-kw " : "");
    add(out, cap, found->rsa_oaep ? "rsa-oaep " : "");
    if (out[0] == '\0')
        add(out, cap, "none ");
    out[strlen(out) - 1] = '\0';
}

static void least_text(const struct token_facts *facts, char *out, size_t cap)
{
    if (facts->hmac_least[HMAC_SHA1] == 0 && facts->hmac_least[HMAC_SHA256] == 0)
        (void)snprintf(out, cap, "not told");
    else
        (void)snprintf(out, cap, "%zu bytes (SHA-1), %zu bytes (SHA-256)",
                       facts->hmac_least[HMAC_SHA1], facts->hmac_least[HMAC_SHA256]);
}

static void findings_make(const struct token_compat *found, struct finding out[FINDINGS])
{
    const struct token_facts *f = &found->facts;
    char text[120];
    put(&out[0], "hmac",
        f->session_keys ? "computes the known answers of RFC 2202 and RFC 4231"
                        : "takes no key from outside: known answers could not be asked for");
    least_text(f, text, sizeof text);
    put(&out[1], "least_hmac_key", text);
    put(&out[2], "hmac_keys",
        f->hash_keys ? "one hash each (CKK_SHA_1_HMAC, CKK_SHA256_HMAC)"
                     : "both hashes each (CKK_GENERIC_SECRET)");
    put(&out[3], "sessions", f->read_write ? "have to be R/W" : "may be read-only");
    put(&out[4], "session_objects",
        !f->session_keys    ? "none: MACs are computed on the host"
        : f->shares_objects ? "serve all sessions"
                            : "serve the session alone that made them");
    put(&out[5], "copies_of_keys", copies_text(found->copies));
    put(&out[6], "pair_keys",
        f->hkdf ? "derived in the token (HKDF)" : "made by mikeyctl key derive");
    put(&out[7], "mikey_prf", f->prf_derive ? "inside the token" : "by HMAC calls");
    mechanisms_text(found, text, sizeof text);
    put(&out[8], "transport", text);
    put(&out[9], "audit_key",
        found->p256  ? "P-256"
        : found->rsa ? "RSA: mikeyctl key generate --kind audit --bits 3072"
                     : "none");
}

static const char untried[] =
    "return values of a token that is busy, memory that the module loses, parallel calls that are "
    "slower: these are the profile's word or the maker's";

void compat_print(const struct token_compat *found, const struct compat_lines *lines, FILE *out)
{
    const struct token_facts *f = &found->facts;
    struct finding findings[FINDINGS];
    char told[150];
    (void)fprintf(out, "token %s: %s, %s, serial %s\nmodule %s\nprofile %s (%s)\n", f->label,
                  f->manufacturer, f->model, f->serial, f->module, f->profile->name,
                  f->profile->source);
    switches_text(found->told, told, sizeof told);
    if (found->told != 0)
        (void)fprintf(out, "told, and not tried: %s\n", told);
    if (f->profile->limits[0] != '\0')
        (void)fprintf(out, "known limits: %s\n", f->profile->limits);
    (void)fputc('\n', out);
    findings_make(found, findings);
    for (size_t i = 0; i < FINDINGS; i++)
        (void)fprintf(out, "%-16s %s\n", findings[i].name, findings[i].text);
    (void)fprintf(out, "%-16s %s\n\nin the entry of this token in mikeyd.yaml:\n", "not tried",
                  untried);
    for (size_t i = 0; i < lines->count; i++)
        (void)fprintf(out, "    %s\n", lines->line[i]);
}

static json_t *switches_json(uint32_t switches)
{
    json_t *list = json_array();
    for (size_t i = 0; profile_switch_at(i) != NULL; i++) {
        if ((switches & UINT32_C(1) << i) != 0)
            (void)json_array_append_new(list, json_string(profile_switch_at(i)));
    }
    return list;
}

json_t *compat_json(const struct token_compat *found, const struct compat_lines *lines)
{
    const struct token_facts *f = &found->facts;
    struct finding findings[FINDINGS];
    json_t *list = json_array(), *texts = json_object();
    findings_make(found, findings);
    for (size_t i = 0; i < FINDINGS; i++)
        (void)json_object_set_new(texts, findings[i].name, json_string(findings[i].text));
    for (size_t i = 0; i < lines->count; i++)
        (void)json_array_append_new(list, json_string(lines->line[i]));
    return json_pack("{s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:b, s:s, s:o, s:o, s:o, s:o}",
                     "token", "label", f->label, "manufacturer", f->manufacturer, "model", f->model,
                     "serial", f->serial, "module", f->module, "profile", f->profile->name,
                     "source", f->profile->source, "measured", f->profile->measured, "limits",
                     f->profile->limits, "told", switches_json(found->told), "tried",
                     switches_json(found->tried), "found", texts, "lines", list);
}
