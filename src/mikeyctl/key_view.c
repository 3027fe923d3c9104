#include "mikeyctl/key_view.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static void append(char *text, size_t cap, const char *separator, const char *more)
{
    const size_t len = strlen(text);
    (void)snprintf(text + len, cap - len, "%s%s", len == 0 ? "" : separator, more);
}

static void flags_text(const struct provision_view *view, char *out, size_t cap)
{
    const struct {
        bool on;
        const char *name;
    } flags[] = {
        {view->sensitive, "sensitive"},
        {view->private_object, "private"},
        {view->extractable, "EXTRACTABLE"},
        {view->wrap_with_trusted, "wrap-with-trusted"},
        {view->modifiable, "MODIFIABLE"},
        {view->readable, "READABLE"},
        {view->sign, "sign"},
        {view->derive, "derive"},
        {view->wrap, "WRAP"},
        {view->unwrap, "UNWRAP"},
        {view->encrypt, "ENCRYPT"},
        {view->decrypt, "DECRYPT"},
        {view->never_left, "never-left"},
    };
    out[0] = '\0';
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (flags[i].on)
            append(out, cap, ",", flags[i].name);
    }
}

static void mechanisms_text(const struct provision_view *view, char *out, size_t cap)
{
    out[0] = '\0';
    if (!view->has_mechanisms)
        append(out, cap, "", "not kept by this token");
    else if (view->mechanism_count == 0)
        append(out, cap, "", "ANY");
    for (size_t i = 0; view->has_mechanisms && i < view->mechanism_count; i++) {
        const char *name = provision_mechanism_name(view->mechanisms[i]);
        append(out, cap, ",", strncmp(name, "CKM_", 4) == 0 ? name + 4 : name);
    }
}

enum mikeyd_status key_texts(struct ceremony *ceremony, const struct token_key *key,
                             const struct pair_names *names, struct key_text *out,
                             struct error *err)
{
    struct provision_view view = {0};
    *out = (struct key_text){0};
    /* A key that cannot be looked at (a half one) still has its findings. */
    if (key->block_count != 0) {
        enum mikeyd_status status = provision_view_key(ceremony->session, key, &view, err);
        if (status != MIKEYD_OK)
            return status;
        flags_text(&view, out->flags, sizeof out->flags);
        mechanisms_text(&view, out->mechanisms, sizeof out->mechanisms);
    }
    key_findings_text(key->findings, out->findings, sizeof out->findings);
    if (key->start_date[0] != '\0' || key->end_date[0] != '\0')
        (void)snprintf(out->dates, sizeof out->dates, "%s..%s", key->start_date, key->end_date);
    out->ends = key->kind == TOKEN_PAIR ? pair_names_find(names, key->name) : NULL;
    key_state_of(ceremony->policy, key, out->ends != NULL, clock_unix_now(), &out->state);
    return MIKEYD_OK;
}

bool key_is_wanted(const struct key_options *options, const struct token_key *key)
{
    return key->present &&
           (options->kind == NULL || strcmp(options->kind, token_kind_name(key->kind)) == 0) &&
           (options->name == NULL || strcmp(options->name, key->name) == 0);
}

json_t *key_json(const struct ceremony *ceremony, const struct token_key *key,
                 const struct key_text *text)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "token",
        ceremony->facts.label, "kind", token_kind_name(key->kind), "name", key->name, "generation",
        (json_int_t)key->generation, "bits", (json_int_t)key->bits, "objects",
        (json_int_t)key->block_count, "flags", text->flags, "mechanisms", text->mechanisms,
        "start_date", key->start_date, "end_date", key->end_date, "findings", text->findings,
        "usable", (key->findings & KEY_FINDING_FATAL) == 0, "state", text->state.name, "state_why",
        text->state.why, "not_before", text->state.not_before, "not_after", text->state.not_after);
    if (object != NULL && text->ends != NULL)
        (void)json_object_update(object, (json_t *)(uintptr_t)text->ends);
    return object;
}
