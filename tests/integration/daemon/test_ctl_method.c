/* mikeyctl exchange with every method, from the command line to the keys, and what is refused. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab_ctl.h"

TestSuite(ctl_method, .timeout = 120);

static struct lab lab;

/* defaults and client: further entries of those maps, each beginning with a comma, or "". */
static void write_policy(const char *defaults, const char *client)
{
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "policy: 1\n"
                   "defaults: {suites: [AEAD_AES_256_GCM], algorithms: mikey-256%s}\n"
                   "keys: [ {name: pbx, kind: psk, generation: 1} ]\n"
                   "nodes: [\"" LAB_A "\", \"" LAB_B "\"]\n"
                   "pairs:\n"
                   "  - {initiator: \"" LAB_A "\", responder: \"" LAB_B "\", key: pbx}\n"
                   "  - {initiator: \"" LAB_B "\", responder: \"" LAB_A "\", key: pbx}\n"
                   "clients:\n"
                   "  - {name: lab, uid: %u, acts_as: [\"" LAB_A "\", \"" LAB_B
                   "\"], may: [initiate, respond]%s}\n",
                   defaults, (unsigned)getuid(), client);
    lab_write_file(lab.policy, text);
}

static void open_lab(const char *defaults, const char *client)
{
    lab_make(&lab, NULL);
    write_policy(defaults, client);
    lab_start(&lab);
    lab_ctl_open(&lab);
}

/* Another policy: a daemon of now has it for certain, one that is told to read it has it soon. */
static void restart_with(const char *defaults, const char *client)
{
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
    write_policy(defaults, client);
    lab_start(&lab);
}

/* Runs mikeyctl exchange with the arguments up to NULL; its exit status, its object in *out. */
static int exchange(json_t **out, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    const int result = lab_ctl(&lab, (const char *const[]){"exchange", first, NULL}, args);
    va_end(args);
    char *text = lab_output(&lab);
    json_decref(*out);
    *out = json_loads(text, 0, NULL);
    free(text);
    return result;
}

static void expect_error(const json_t *object, const char *code, const char *words)
{
    const json_t *error = json_object_get(object, "error");
    cr_assert_str_eq(lab_text(error, "code"), code);
    cr_assert_not_null(strstr(lab_text(error, "message"), words), "%s", lab_text(error, "message"));
}

static json_t *sent, *answered, *confirmed, *refused;

static void forget(void)
{
    json_t **const all[] = {&sent, &answered, &confirmed, &refused};
    for (size_t i = 0; i < 4; i++) {
        json_decref(*all[i]);
        *all[i] = NULL;
    }
    lab_remove(&lab);
}

static int initiate(const char *method)
{
    return exchange(&sent, "initiate", "--from", LAB_A, "--to", LAB_B, "--stream", "11223344",
                    "--method", method, NULL);
}

static void call(const char *method)
{
    cr_assert_eq(initiate(method), 0);
    cr_assert_eq(
        exchange(&answered, "respond", "--as", LAB_B, "--message", lab_text(sent, "message"), NULL),
        0);
    cr_assert_eq(exchange(&confirmed, "confirm", "--ticket", lab_text(sent, "ticket"), "--reply",
                          lab_text(answered, "reply"), NULL),
                 0);
    cr_assert(json_equal(json_object_get(answered, "keys"), json_object_get(confirmed, "keys")));
}

Test(ctl_method, each_gives_both_ends_the_same_keys_and_either_end_updates)
{
    static const char *const methods[] = {"psk", "psk-dhe", "dhhmac"};
    open_lab("", "");
    for (size_t i = 0; i < 3; i++) {
        char recorded[64];
        call(methods[i]);
        cr_assert_eq(exchange(&sent, "update", "--ticket", lab_text(answered, "ticket"), NULL), 0);
        json_t *update = NULL;
        cr_assert_eq(exchange(&update, "respond", "--as", LAB_A, "--message",
                              lab_text(sent, "message"), "--ticket", lab_text(confirmed, "ticket"),
                              NULL),
                     0);
        cr_assert_eq(exchange(&confirmed, "confirm", "--ticket", lab_text(sent, "ticket"),
                              "--reply", lab_text(update, "reply"), NULL),
                     0);
        cr_assert(json_equal(json_object_get(update, "keys"), json_object_get(confirmed, "keys")));
        cr_assert_not(
            json_equal(json_object_get(update, "keys"), json_object_get(answered, "keys")));
        json_decref(update);
        (void)snprintf(recorded, sizeof recorded, "\"method\":\"%s\"", methods[i]);
        cr_assert_eq(lab_count_in_file(lab.audit, recorded), 6);
    }
    forget();
}

Test(ctl_method, without_one_the_policy_says)
{
    open_lab(", forward_secrecy: preferred", "");
    cr_assert_eq(exchange(&sent, "initiate", "--from", LAB_A, "--to", LAB_B, NULL), 0);
    cr_assert_eq(lab_count_in_file(lab.audit, "\"method\":\"psk-dhe\""), 1);
    forget();
}

Test(ctl_method, what_is_no_method_or_has_no_place_is_a_mistake_of_usage)
{
    open_lab("", "");
    cr_assert_eq(initiate("rsa"), 1);
    cr_assert_eq(initiate(""), 1);
    call("psk-dhe");
    cr_assert_eq(exchange(&refused, "update", "--ticket", lab_text(confirmed, "ticket"), "--method",
                          "psk", NULL),
                 1);
    cr_assert_eq(exchange(&refused, "respond", "--as", LAB_B, "--message",
                          lab_text(sent, "message"), "--method", "psk", NULL),
                 1);
    /* Keys at once are not to be had with an exchange of values. */
    cr_assert_eq(exchange(&refused, "initiate", "--from", LAB_A, "--to", LAB_B, "--method",
                          "psk-dhe", "--no-verify", NULL),
                 3); /* the policy asks for verification first */
    restart_with(", verification: allowed", "");
    cr_assert_eq(exchange(&refused, "initiate", "--from", LAB_A, "--to", LAB_B, "--method",
                          "psk-dhe", "--no-verify", NULL),
                 1);
    expect_error(refused, "INVALID_ARGUMENT", "no keys before the answer");
    forget();
}

/* Both ends have a policy of their own: what the caller may offer, the called may refuse. */
Test(ctl_method, psk_is_refused_where_forward_secrecy_is_required)
{
    open_lab("", "");
    cr_assert_eq(initiate("psk"), 0);
    restart_with(", forward_secrecy: required", "");
    cr_assert_eq(
        exchange(&refused, "respond", "--as", LAB_B, "--message", lab_text(sent, "message"), NULL),
        3);
    expect_error(refused, "POLICY", "forward secrecy");
    cr_assert_null(json_object_get(refused, "keys"));
    cr_assert_eq(initiate("psk"), 3);
    expect_error(sent, "POLICY", "forward secrecy");
    call("psk-dhe");
    call("dhhmac");
    forget();
}

Test(ctl_method, one_that_the_client_may_not_use_is_refused)
{
    open_lab("", ", methods: [psk, dhhmac]");
    cr_assert_eq(initiate("psk-dhe"), 3);
    expect_error(sent, "NOT_ENTITLED", "psk-dhe");
    call("dhhmac");
    forget();
}

/* The offset of the group in the message's DH payload. */
static size_t group_at(const char *message)
{
    json_t *decoded = NULL;
    char path[LAB_PATH + 8];
    cr_assert_eq(
        lab_run(&lab, (const char *const[]){MIKEYCTL_PROGRAM, "--json", "decode", message, NULL}),
        0);
    (void)snprintf(path, sizeof path, "%s/out", lab.dir);
    char *text = lab_read_file(path);
    decoded = json_loads(text, 0, NULL);
    free(text);
    size_t index, at = 0;
    const json_t *payload;
    json_array_foreach(json_object_get(decoded, "payloads"), index, payload)
    {
        if (strcmp(lab_text(payload, "payload"), "DH") == 0)
            at = (size_t)json_integer_value(json_object_get(payload, "offset")) + 1;
    }
    json_decref(decoded);
    cr_assert_neq(at, 0);
    return at;
}

Test(ctl_method, another_group_is_refused)
{
    open_lab(", dh_group: oakley-5", "");
    cr_assert_eq(initiate("dhhmac"), 0);
    restart_with("", "");
    cr_assert_eq(
        exchange(&refused, "respond", "--as", LAB_B, "--message", lab_text(sent, "message"), NULL),
        3);
    expect_error(refused, "POLICY", "oakley-5");
    /* And one that nobody knows: its value has no length. */
    cr_assert_eq(initiate("dhhmac"), 0);
    uint8_t bytes[4096];
    char text[sizeof bytes * 2];
    const char *message = lab_text(sent, "message");
    const int len = EVP_DecodeBlock(bytes, (const unsigned char *)message, (int)strlen(message));
    cr_assert_gt(len, 0);
    bytes[group_at(message)] = 77;
    (void)EVP_EncodeBlock((unsigned char *)text, bytes, len);
    cr_assert_eq(exchange(&refused, "respond", "--as", LAB_B, "--message", text, NULL), 2);
    expect_error(refused, "UNSUPPORTED", "group 77");
    forget();
}
