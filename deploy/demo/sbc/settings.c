#include "settings.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: demo-sbc --mikeyd ADDRESS --own ID --peer ID\n"
    "                --plain SIP-URI --plain-next SIP-URI --plain-media IPV4\n"
    "                --secure SIP-URI --secure-next SIP-URI --secure-media IPV4\n"
    "                [--rekey-every MILLISECONDS] [--first-sequence NUMBER]\n"
    "\n"
    "Passes calls between a plain side (SIP, RTP) and a secure side (SIP with a=key-mgmt:mikey, "
    "SRTP).\n"
    "SIGTERM: prints the counts and ends.\n";

static bool read_number(const char *name, const char *text, unsigned long highest,
                        unsigned long *out)
{
    char *end;
    *out = strtoul(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= highest)
        return true;
    fprintf(stderr, "demo-sbc: --%s: %s is not a number up to %lu\n", name, text, highest);
    return false;
}

static bool read_address(const char *name, const char *text, struct in_addr *out)
{
    if (inet_pton(AF_INET, text, out) == 1)
        return true;
    fprintf(stderr, "demo-sbc: --%s: %s is not an IPv4 address\n", name, text);
    return false;
}

bool settings_read(int argc, char **argv, struct settings *out)
{
    enum {
        MIKEYD,
        OWN,
        PEER,
        PLAIN,
        PLAIN_NEXT,
        PLAIN_MEDIA,
        SECURE,
        SECURE_NEXT,
        SECURE_MEDIA,
        REKEY,
        FIRST
    };
    static const struct option options[] = {
        [MIKEYD] = {"mikeyd", required_argument, NULL, MIKEYD},
        [OWN] = {"own", required_argument, NULL, OWN},
        [PEER] = {"peer", required_argument, NULL, PEER},
        [PLAIN] = {"plain", required_argument, NULL, PLAIN},
        [PLAIN_NEXT] = {"plain-next", required_argument, NULL, PLAIN_NEXT},
        [PLAIN_MEDIA] = {"plain-media", required_argument, NULL, PLAIN_MEDIA},
        [SECURE] = {"secure", required_argument, NULL, SECURE},
        [SECURE_NEXT] = {"secure-next", required_argument, NULL, SECURE_NEXT},
        [SECURE_MEDIA] = {"secure-media", required_argument, NULL, SECURE_MEDIA},
        [REKEY] = {"rekey-every", required_argument, NULL, REKEY},
        [FIRST] = {"first-sequence", required_argument, NULL, FIRST},
        {NULL, 0, NULL, 0},
    };
    const char *text[FIRST + 1] = {NULL};
    unsigned long rekey = 0, first = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option < 0 || option > FIRST) {
            fputs(usage, stderr);
            return false;
        }
        text[option] = optarg;
    }
    for (int i = MIKEYD; i <= SECURE_MEDIA; i++) {
        if (text[i] == NULL || optind != argc) {
            fprintf(stderr, "demo-sbc: --%s is missing\n%s", options[i].name, usage);
            return false;
        }
    }
    *out = (struct settings){.mikeyd = text[MIKEYD],
                             .own = text[OWN],
                             .peer = text[PEER],
                             .plain = text[PLAIN],
                             .secure = text[SECURE],
                             .plain_next = text[PLAIN_NEXT],
                             .secure_next = text[SECURE_NEXT],
                             .first_sequence = -1};
    if (!read_address("plain-media", text[PLAIN_MEDIA], &out->plain_media) ||
        !read_address("secure-media", text[SECURE_MEDIA], &out->secure_media) ||
        (text[REKEY] != NULL && !read_number("rekey-every", text[REKEY], 86400000, &rekey)) ||
        (text[FIRST] != NULL && !read_number("first-sequence", text[FIRST], UINT16_MAX, &first)))
        return false;
    out->rekey_every_ms = (unsigned)rekey;
    if (text[FIRST] != NULL)
        out->first_sequence = (int)first;
    return true;
}
