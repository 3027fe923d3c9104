#include "mikeyctl/status_summary.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define NAMED_UNUSABLE 3

/* ---- reading the report */

static json_t *part(const json_t *object, const char *name)
{
    return json_object_get(object, name);
}

static json_int_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value == NULL || value[0] == '\0' ? "-" : value;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* ---- one subject a line */

static void head(FILE *out, const char *subject)
{
    (void)fprintf(out, "%-12s ", subject);
}

/* "3 d 4 h", "4 h 12 min", "12 min", "9 s". */
static void print_duration(FILE *out, json_int_t seconds)
{
    const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    if (days > 0)
        (void)fprintf(out, "%" PRId64 " d %" PRId64 " h", days, hours % 24);
    else if (hours > 0)
        (void)fprintf(out, "%" PRId64 " h %" PRId64 " min", hours, minutes % 60);
    else if (minutes > 0)
        (void)fprintf(out, "%" PRId64 " min", minutes);
    else
        (void)fprintf(out, "%" PRId64 " s", (int64_t)seconds);
}

static void print_health(FILE *out, const json_t *report)
{
    const json_t *healthy = part(report, "healthy");
    if (healthy == NULL)
        head(out, "not checked");
    else
        head(out, json_is_true(healthy) ? "healthy" : "NOT HEALTHY");
    (void)fprintf(out, "mikeyd %s, process %" JSON_INTEGER_FORMAT ", up ", text(report, "version"),
                  number(report, "pid"));
    print_duration(out, number(report, "uptime_s"));
    (void)fputc('\n', out);
}

/* ---- what is wrong */

static void print_failed_checks(FILE *out, const json_t *report)
{
    const json_t *checks = part(report, "checks");
    const char *const names[] = {"token", "keys", "audit", "store", "clock"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *sentence = json_string_value(part(checks, names[i]));
        if (sentence == NULL || strcmp(sentence, "OK") == 0)
            continue;
        head(out, "  WRONG");
        (void)fprintf(out, "%s: %s\n", names[i], sentence);
    }
    if (checks == NULL && json_is_false(part(part(report, "token"), "up"))) {
        head(out, "  WRONG");
        (void)fputs("token: it is down\n", out);
    }
}

static void print_warnings(FILE *out, const json_t *report)
{
    size_t index;
    json_t *warning;
    json_array_foreach(part(report, "warnings"), index, warning)
    {
        head(out, "  SOON");
        (void)fprintf(out, "%s\n", json_string_value(warning));
    }
}

static void print_lost_records(FILE *out, const json_t *audit)
{
    const json_int_t lost = number(audit, "lost");
    if (lost == 0)
        return;
    head(out, "  ATTENTION");
    (void)fprintf(out,
                  "audit: %" JSON_INTEGER_FORMAT
                  " records could not be written since the start; no key was released for them\n",
                  lost);
}

static void print_unusable_keys(FILE *out, const json_t *keys)
{
    const json_int_t unusable = number(keys, "unusable");
    json_int_t named = 0;
    size_t index;
    json_t *key;
    if (unusable == 0)
        return;
    head(out, "  ATTENTION");
    (void)fprintf(out, "keys: %" JSON_INTEGER_FORMAT " unusable", unusable);
    json_array_foreach(part(keys, "named"), index, key)
    {
        if (json_is_true(part(key, "usable")) || named == NAMED_UNUSABLE)
            continue;
        (void)fprintf(out, "%s%s %s/%" JSON_INTEGER_FORMAT, named++ == 0 ? ": " : ", ",
                      text(key, "kind"), text(key, "name"), number(key, "generation"));
    }
    (void)fprintf(out, "%s (mikeyctl key check says why)\n",
                  named > 0 && named < unusable ? " ..." : "");
}

/* ---- how it is */

static void print_token(FILE *out, const json_t *token)
{
    head(out, "token");
    const json_t *up = part(token, "up");
    (void)fprintf(out, "%s, %s: %s, serial %s, module %s\n", text(token, "label"),
                  json_is_true(up)    ? "up"
                  : json_is_false(up) ? "DOWN"
                                      : "-",
                  text(token, "model"), text(token, "serial"), base_name(text(token, "module")));
    head(out, "");
    (void)fprintf(out,
                  "%" JSON_INTEGER_FORMAT " us an HMAC, %" JSON_INTEGER_FORMAT " sessions, "
                  "MIKEY's PRF %s",
                  number(token, "hmac_us"), number(token, "sessions"),
                  strcmp(text(token, "prf"), "derive") == 0 ? "inside the token" : "by HMAC calls");
    const json_int_t again = number(token, "generation") - 1;
    if (again > 0)
        (void)fprintf(out, ", connected anew %" JSON_INTEGER_FORMAT " times", again);
    (void)fputc('\n', out);
}

/* By what the keyholder uses its module; nothing is known of one that never answered. */
static void print_profile(FILE *out, const json_t *token)
{
    size_t index;
    json_t *name;
    if (strcmp(text(token, "profile"), "-") == 0)
        return;
    (void)fprintf(out, ", profile %s", text(token, "profile"));
    json_array_foreach(part(token, "switches"), index, name)
    {
        (void)fprintf(out, "%s%s", index == 0 ? " and " : ", ", json_string_value(name));
    }
}

/* A line for each token of the group: is its keyholder serving, and why not? */
static void print_keyholders(FILE *out, const json_t *tokens)
{
    size_t index;
    json_t *token;
    json_array_foreach(tokens, index, token)
    {
        char subject[40];
        const json_int_t pid = number(token, "pid");
        const bool serves = strcmp(text(token, "state"), "closed") == 0;
        (void)snprintf(subject, sizeof subject, "keyholder %zu", index);
        head(out, subject);
        if (serves)
            (void)fputs("serves", out);
        else
            (void)fprintf(out, "DOES NOT SERVE (%s)", text(token, "state"));
        if (pid != 0)
            (void)fprintf(out, ", process %" JSON_INTEGER_FORMAT, pid);
        else
            (void)fputs(", no process", out);
        (void)fprintf(out,
                      ", %" JSON_INTEGER_FORMAT " us a request, %" JSON_INTEGER_FORMAT
                      " failures: %s, serial %s",
                      number(token, "latency_us"), number(token, "failures"), text(token, "label"),
                      text(token, "serial"));
        print_profile(out, token);
        if (!serves)
            (void)fprintf(out, ": %s", text(token, "why"));
        (void)fputc('\n', out);
    }
}

static void print_isolation(FILE *out, const json_t *report)
{
    head(out, "isolation");
    (void)fprintf(out, "front and keyholders are processes of %s; seccomp %s, Landlock %s\n",
                  text(report, "isolation"), text(part(report, "sandbox"), "seccomp"),
                  text(part(report, "sandbox"), "landlock"));
}

static void print_keys(FILE *out, const json_t *keys, const json_t *token)
{
    const json_int_t unusable = number(keys, "unusable");
    /* A daemon of before lists them all and does not count them. */
    const json_int_t named = json_object_get(keys, "named_in_all") != NULL
                                 ? number(keys, "named_in_all")
                                 : (json_int_t)json_array_size(part(keys, "named"));
    head(out, "keys");
    (void)fprintf(out, "%" JSON_INTEGER_FORMAT " by name, %" JSON_INTEGER_FORMAT " of pairs", named,
                  number(keys, "pairs"));
    if (json_is_false(part(token, "up")))
        (void)fputs(", NONE USABLE while the token is down\n", out);
    else if (unusable == 0)
        (void)fputs(", all usable\n", out);
    else
        (void)fprintf(out, ", %" JSON_INTEGER_FORMAT " UNUSABLE\n", unusable);
}

static void print_policy(FILE *out, const json_t *policy)
{
    head(out, "policy");
    (void)fprintf(out, "%.16s %s, %" JSON_INTEGER_FORMAT " reloads", text(policy, "sha256"),
                  text(policy, "file"), number(policy, "reloads"));
    const json_int_t refused = number(policy, "reloads_refused");
    if (refused > 0)
        (void)fprintf(out, ", %" JSON_INTEGER_FORMAT " REFUSED: see the daemon's log", refused);
    (void)fputc('\n', out);
}

static void print_exchanges(FILE *out, const json_t *exchanges)
{
    json_t *refused = part(exchanges, "refused");
    const char *name;
    json_t *count;
    const char *separator = "";
    head(out, "exchanges");
    (void)fprintf(out,
                  "%" JSON_INTEGER_FORMAT " initiated, %" JSON_INTEGER_FORMAT
                  " responded, %" JSON_INTEGER_FORMAT " confirmed, %" JSON_INTEGER_FORMAT
                  " updated; %" JSON_INTEGER_FORMAT " keys released\n",
                  number(exchanges, "initiated"), number(exchanges, "responded"),
                  number(exchanges, "confirmed"), number(exchanges, "updated"),
                  number(exchanges, "keys_released"));
    head(out, "refused");
    json_object_foreach(refused, name, count)
    {
        (void)fprintf(out, "%s%" JSON_INTEGER_FORMAT " %s", separator, json_integer_value(count),
                      name);
        separator = ", ";
    }
    (void)fputs(separator[0] == '\0' ? "none\n" : "\n", out);
}

static void print_requests(FILE *out, const json_t *requests)
{
    head(out, "queue");
    (void)fprintf(out,
                  "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
                  " waiting, %" JSON_INTEGER_FORMAT " in work, %" JSON_INTEGER_FORMAT
                  " waiting for the disk; %" JSON_INTEGER_FORMAT " clients connected",
                  number(requests, "queued"), number(requests, "queue"),
                  number(requests, "in_flight"), number(requests, "waiting_for_disk"),
                  number(requests, "connections"));
    static const struct {
        const char *name, *text;
    } troubles[] = {{"overloaded", "refused for a full queue"},
                    {"turned_away", "connections turned away"},
                    {"malformed", "malformed"},
                    {"stalled", "stalled"}};
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        const json_int_t count = number(requests, troubles[i].name);
        if (count > 0)
            (void)fprintf(out, ", %" JSON_INTEGER_FORMAT " %s", count, troubles[i].text);
    }
    (void)fputc('\n', out);
}

static void print_records(FILE *out, const json_t *store, const json_t *audit)
{
    head(out, "store");
    (void)fprintf(
        out, "%" JSON_INTEGER_FORMAT " entries, %" JSON_INTEGER_FORMAT " seen again and refused\n",
        number(store, "entries"), number(store, "refused"));
    head(out, "audit");
    (void)fprintf(out,
                  "%" JSON_INTEGER_FORMAT " records, %" JSON_INTEGER_FORMAT
                  " signed checkpoints, %" JSON_INTEGER_FORMAT " failed writes\n",
                  number(audit, "records"), number(audit, "checkpoints"),
                  number(audit, "failures"));
}

void status_summary_print(const json_t *report, FILE *out)
{
    print_health(out, report);
    print_failed_checks(out, report);
    print_warnings(out, report);
    print_unusable_keys(out, part(report, "keys"));
    print_lost_records(out, part(report, "audit"));
    print_token(out, part(report, "token"));
    print_keyholders(out, part(report, "tokens"));
    print_isolation(out, report);
    print_keys(out, part(report, "keys"), part(report, "token"));
    print_policy(out, part(report, "policy"));
    print_exchanges(out, part(report, "exchanges"));
    print_requests(out, part(report, "requests"));
    print_records(out, part(report, "store"), part(report, "audit"));
}
