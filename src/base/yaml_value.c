/* Typed readers of YAML scalars. Numbers and booleans stand without quotes, in one spelling each.
 */
#include "base/yaml.h"

#include <string.h>
#include <time.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits up to the first other character; false on none or on overflow. */
static bool read_digits(const char **at, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = *at;
    if (!is_digit(*p))
        return false;
    for (; is_digit(*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *at = p;
    *out = value;
    return true;
}

static bool is_number(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool is_word(const char *text, const char *const words[])
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0)
            return true;
    }
    return false;
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_word(text, words);
}

static bool is_boolean(const char *text)
{
    static const char *const words[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    return is_word(text, words);
}

/* The scalar's text, or an error that says what was expected instead of a list, map or nothing. */
static enum mikeyd_status need_scalar(const struct yaml_node *node, const char *expected,
                                      const char **text, bool *plain, struct error *err)
{
    *text = yaml_scalar(node, plain);
    if (*text == NULL)
        return yaml_fail(node, err, "expected %s, found a %s", expected,
                         yaml_kind(node) == YAML_LIST ? "list" : "map");
    if (*plain && is_null(*text))
        return yaml_fail(node, err, "expected %s, found nothing", expected);
    return MIKEYD_OK;
}

enum mikeyd_status yaml_string(const struct yaml_node *node, const char **out, struct error *err)
{
    bool plain;
    const char *text;
    enum mikeyd_status status = need_scalar(node, "text", &text, &plain, err);
    if (status != MIKEYD_OK)
        return status;
    if (plain && is_number(text))
        return yaml_fail(node, err, "expected text, found a number (put it in quotes)");
    if (plain && is_boolean(text))
        return yaml_fail(node, err, "expected text, found a boolean (put it in quotes)");
    *out = text;
    return MIKEYD_OK;
}

enum mikeyd_status yaml_unsigned(const struct yaml_node *node, uint64_t min, uint64_t max,
                                 uint64_t *out, struct error *err)
{
    bool plain;
    const char *text;
    enum mikeyd_status status = need_scalar(node, "a number", &text, &plain, err);
    if (status != MIKEYD_OK)
        return status;
    if (!plain || !is_number(text))
        return yaml_fail(node, err, "expected a number, found \"%.40s\"", text);
    uint64_t value;
    const char *at = text;
    /* No leading zeros: YAML 1.1 readers take them for octal. */
    bool one_spelling = text[0] != '0' || text[1] == '\0';
    if (!one_spelling || !read_digits(&at, &value) || *at != '\0' || value < min || value > max)
        return yaml_fail(node, err, "expected a number from %llu to %llu, found \"%.40s\"",
                         (unsigned long long)min, (unsigned long long)max, text);
    *out = value;
    return MIKEYD_OK;
}

enum mikeyd_status yaml_bool(const struct yaml_node *node, bool *out, struct error *err)
{
    bool plain;
    const char *text;
    enum mikeyd_status status = need_scalar(node, "true or false", &text, &plain, err);
    if (status != MIKEYD_OK)
        return status;
    bool is_true = strcmp(text, "true") == 0;
    if (!plain || (!is_true && strcmp(text, "false") != 0))
        return yaml_fail(node, err, "expected true or false, found \"%.40s\"", text);
    *out = is_true;
    return MIKEYD_OK;
}

enum mikeyd_status yaml_duration_ms(const struct yaml_node *node, uint64_t min_ms, uint64_t max_ms,
                                    uint64_t *out, struct error *err)
{
    static const struct {
        const char *suffix;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

    bool plain;
    const char *text;
    enum mikeyd_status status = need_scalar(node, "a duration such as 60s", &text, &plain, err);
    if (status != MIKEYD_OK)
        return status;
    uint64_t value;
    uint64_t unit = 0;
    const char *at = text;
    bool read = read_digits(&at, &value);
    for (size_t i = 0; read && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(at, units[i].suffix) == 0)
            unit = units[i].ms;
    }
    if (unit == 0)
        return yaml_fail(node, err, "expected a duration such as 60s, found \"%.40s\"", text);
    if (value > UINT64_MAX / unit || value * unit < min_ms || value * unit > max_ms)
        return yaml_fail(node, err, "expected a duration from %llums to %llums, found \"%.40s\"",
                         (unsigned long long)min_ms, (unsigned long long)max_ms, text);
    *out = value * unit;
    return MIKEYD_OK;
}

/* ---- dates */

/* Exactly `count` digits as a number. */
static bool take_digits(const char **at, size_t count, int *out)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit((*at)[i]))
            return false;
        value = value * 10 + ((*at)[i] - '0');
    }
    *at += count;
    *out = value;
    return true;
}

static bool take(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_date(const char **at, struct tm *tm)
{
    int year, month, day;
    if (!take_digits(at, 4, &year) || !take(at, '-') || !take_digits(at, 2, &month) ||
        !take(at, '-') || !take_digits(at, 2, &day))
        return false;
    *tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    /* timegm turns 31 June into 1 July: a date that does not survive is no date. */
    struct tm copy = *tm;
    (void)timegm(&copy);
    return copy.tm_year == tm->tm_year && copy.tm_mon == tm->tm_mon && copy.tm_mday == tm->tm_mday;
}

/* "Z" or "+hh:mm" / "-hh:mm"; seconds east of UTC. */
static bool take_zone(const char **at, int *offset)
{
    *offset = 0;
    if (take(at, 'Z'))
        return true;
    int sign = take(at, '-') ? -1 : 1;
    if (sign > 0 && !take(at, '+'))
        return false;
    int hours, minutes;
    if (!take_digits(at, 2, &hours) || !take(at, ':') || !take_digits(at, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *offset = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* RFC 3339 5.6 without fractions and leap seconds; the date alone means 00:00 UTC. */
static bool read_date(const char *at, int64_t *out)
{
    struct tm tm;
    if (!take_date(&at, &tm))
        return false;
    int offset = 0;
    if (*at != '\0') {
        if (!take(&at, 'T') || !take_digits(&at, 2, &tm.tm_hour) || !take(&at, ':') ||
            !take_digits(&at, 2, &tm.tm_min) || !take(&at, ':') ||
            !take_digits(&at, 2, &tm.tm_sec) || tm.tm_hour > 23 || tm.tm_min > 59 ||
            tm.tm_sec > 59 || !take_zone(&at, &offset) || *at != '\0')
            return false;
    }
    *out = (int64_t)timegm(&tm) - offset;
    return true;
}

enum mikeyd_status yaml_date(const struct yaml_node *node, int64_t *out, struct error *err)
{
    bool plain;
    const char *text;
    enum mikeyd_status status = need_scalar(node, "a date such as 2027-06-01", &text, &plain, err);
    if (status != MIKEYD_OK)
        return status;
    if (!read_date(text, out))
        return yaml_fail(node, err,
                         "expected a date such as 2027-06-01 or 2027-06-01T12:00:00Z, found "
                         "\"%.40s\"",
                         text);
    return MIKEYD_OK;
}
