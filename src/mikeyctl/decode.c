/* mikeyctl decode: what is in a MIKEY message, without a daemon and without a key. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mikey/dissect.h"
#include "mikeyctl/ctl.h"

static const char synopsis[] = "mikeyctl decode [--json] B64|HEX|SDP|@FILE";

static void print_scalar(const json_t *value)
{
    if (json_is_string(value))
        (void)printf("%s", json_string_value(value));
    else if (json_is_integer(value))
        (void)printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        (void)printf("%s", json_is_true(value) ? "yes" : "no");
    else
        (void)printf("-");
}

/* "name: value" lines; a nested object or list is indented below its name. */
static void print_tree(json_t *value, int indent)
{
    const char *name;
    json_t *member;
    size_t index;
    if (json_is_object(value)) {
        json_object_foreach(value, name, member)
        {
            (void)printf("%*s%s:", indent, "", name);
            if (json_is_object(member) || json_is_array(member)) {
                (void)printf("\n");
                print_tree(member, indent + 2);
            } else {
                (void)printf(" ");
                print_scalar(member);
                (void)printf("\n");
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, member)
        {
            if (json_is_object(member) || json_is_array(member)) {
                (void)printf("%*s- %zu\n", indent, "", index + 1);
                print_tree(member, indent + 2);
            } else {
                (void)printf("%*s- ", indent, "");
                print_scalar(member);
                (void)printf("\n");
            }
        }
    }
}

static const char *string_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static void print_payload(json_t *payload)
{
    (void)printf("%5" JSON_INTEGER_FORMAT "  %s, %" JSON_INTEGER_FORMAT " bytes\n",
                 json_integer_value(json_object_get(payload, "offset")),
                 string_member(payload, "payload"),
                 json_integer_value(json_object_get(payload, "length")));
    (void)json_object_del(payload, "payload");
    (void)json_object_del(payload, "offset");
    (void)json_object_del(payload, "length");
    print_tree(payload, 9);
}

static void print_dissection(json_t *dissection)
{
    json_t *member;
    size_t index;
    (void)printf("%s, %" JSON_INTEGER_FORMAT " bytes, %s\n", string_member(dissection, "type"),
                 json_integer_value(json_object_get(dissection, "length")),
                 json_is_true(json_object_get(dissection, "valid")) ? "well-formed"
                                                                    : "NOT well-formed");
    (void)printf("    0  common header\n");
    print_tree(json_object_get(dissection, "header"), 9);
    json_array_foreach(json_object_get(dissection, "payloads"), index, member)
    {
        print_payload(member);
    }
    json_array_foreach(json_object_get(dissection, "findings"), index, member)
    {
        (void)printf("%s: %s: %s\n", string_member(member, "severity"),
                     string_member(member, "where"), string_member(member, "text"));
    }
}

static int decode(const char *argument, bool as_json)
{
    struct error err = {0};
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (ctl_argument_bytes(argument, &bytes, &len, &err) != MIKEYD_OK)
        return ctl_fail(as_json, &err);
    json_t *dissection = mikey_dissect(bytes, len);
    free(bytes);
    if (dissection == NULL) {
        (void)error_set(&err, MIKEYD_INTERNAL, "out of memory");
        return ctl_fail(as_json, &err);
    }
    /* The dissection is printed whatever it finds; the exit status tells scripts. */
    const bool valid = json_is_true(json_object_get(dissection, "valid"));
    if (as_json) {
        int printed = ctl_print(dissection);
        if (printed != 0)
            return printed;
    } else {
        print_dissection(dissection);
        json_decref(dissection);
    }
    return valid ? 0 : status_exit_code(MIKEYD_SYNTAX);
}

int ctl_decode(struct ctl *ctl, int argc, char **argv)
{
    enum { OPTION_JSON = 1000, OPTION_HELP };
    static const struct option options[] = {
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    bool as_json = ctl->json;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_JSON:
            as_json = true;
            break;
        case OPTION_HELP:
            (void)printf("usage: %s\n", synopsis);
            return 0;
        default:
            return ctl_usage(synopsis, "bad option");
        }
    }
    if (optind != argc - 1)
        return ctl_usage(synopsis, "decode takes one message");
    return decode(argv[optind], as_json);
}
