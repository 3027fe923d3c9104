/* Front and keyholder together on a real token: two keyholders of it are a group that a port asks. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keys/keys.h"
#include "lab.h"

#define MEMBERS 2

static struct lab lab;
static struct keyholder *holders[MEMBERS];
static pthread_t threads[MEMBERS];
static int served[MEMBERS];
static struct keys_group *group;
static struct keys_port *port;
static struct error err;

static void *serve(void *argument)
{
    const size_t i = (size_t)(uintptr_t)argument;
    keyholder_serve(holders[i], served[i]);
    (void)close(served[i]);
    return NULL;
}

static void start(void)
{
    const struct keys_group_config config = {.members = MEMBERS, .call_timeout_ms = {4000, 4000}};
    lab_open(&lab, LAB_ANY);
    cr_assert_eq(keys_group_make(&config, &group, &err), MIKEYD_OK, "%s", err.text);
    for (size_t i = 0; i < MEMBERS; i++) {
        int control[2];
        cr_assert_eq(keyholder_make(lab.token, &lab.options, &holders[i], &err), MIKEYD_OK, "%s",
                     err.text);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
        served[i] = control[1];
        cr_assert_eq(pthread_create(&threads[i], NULL, serve, (void *)(uintptr_t)i), 0);
        (void)keys_group_join(group, i, control[0]);
    }
    cr_assert_eq(keys_group_wait(group, MEMBERS, 20000, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(keys_port_open(group, &port, &err), MIKEYD_OK, "%s", err.text);
}

static void stop(void)
{
    keys_port_close(port);
    keys_group_free(group);
    for (size_t i = 0; i < MEMBERS; i++) {
        (void)pthread_join(threads[i], NULL);
        keyholder_free(holders[i]);
    }
    lab_close(&lab);
}
TestSuite(keyholder_group, .init = start, .fini = stop, .timeout = 120);

static uint64_t uses_counted(void)
{
    uint64_t uses = 0;
    cr_assert_eq(keys_group_check_health(group, &err), MIKEYD_OK, "%s", err.text);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct keys_member_status status;
        keys_group_member_status(group, i, &status);
        uses += status.facts.uses;
    }
    return uses;
}

Test(keyholder_group, its_inventory_is_the_tokens)
{
    struct keys_inventory *inventory = keys_group_inventory(group);
    const struct keys_entry *entry = keys_inventory_find(inventory, KEYS_PSK, "long", 1);
    cr_assert_not_null(entry);
    cr_assert(entry->usable);
    cr_assert_eq(entry->block_count, 3);
    cr_assert_not_null(keys_inventory_find(inventory, KEYS_TICKET, "tickets", 1));
    keys_inventory_unref(inventory);
    cr_assert_eq(keys_group_rescan(group, &err), MIKEYD_OK, "%s", err.text);
}

Test(keyholder_group, what_is_sealed_through_it_is_the_hosts_and_opens_again)
{
    struct lab_host host;
    uint8_t covered[2048], mac[32], encrypted[sizeof lab_key_data], sealed_mac[32], plain[64];
    const struct keys_name name = lab_psk("plain");
    const struct mikey_key key = {.ops = &keys_port_ops, .port = port, .name = &name};
    lab_host_open(&host, lab_plain, sizeof lab_plain);
    const size_t len = lab_host_message(&host, MIKEY_ALGORITHMS_256, covered, mac);
    struct mikey_key_seal seal = lab_seal(&name, MIKEY_ALGORITHMS_256).seal;
    seal.encrypted = encrypted;
    seal.mac = sealed_mac;
    cr_assert_eq(key.ops->seal(&key, &seal, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_arr_eq(encrypted, covered + sizeof lab_head, sizeof lab_key_data);
    cr_assert_arr_eq(sealed_mac, mac, 32);

    struct mikey_key_open open = {.what = seal.what,
                                  .t = LAB_T,
                                  .covered = covered,
                                  .covered_len = len,
                                  .encrypted_at = sizeof lab_head,
                                  .encrypted_len = sizeof lab_key_data,
                                  .mac = mac,
                                  .plain = plain};
    cr_assert_eq(key.ops->open(&key, &open, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_eq(open.plain_len, sizeof lab_key_data);
    cr_assert_arr_eq(plain, lab_key_data, sizeof lab_key_data);
    cr_assert_eq(keys_port_take_uses(port), uses_counted());

    mac[0] ^= 1; /* forged: refused, and a use of the key all the same, to both */
    cr_assert_eq(key.ops->open(&key, &open, &err), MIKEYD_AUTH_FAILED);
    cr_assert_eq(keys_port_take_uses(port), 1);
    cr_assert_eq(uses_counted(), 3);
    lab_host_close(&host);
}

Test(keyholder_group, each_member_answers_the_same)
{
    uint8_t first[DOOR_TICKET_KEY], again[DOOR_TICKET_KEY];
    cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 20782, first, &err), MIKEYD_OK, "%s",
                 err.text);
    for (size_t i = 0; i < MEMBERS; i++) {
        keys_group_lose(group, i, 0);
        if (i + 1 == MEMBERS)
            break;
        cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 20782, again, &err), MIKEYD_OK, "%s",
                     err.text);
        cr_assert_arr_eq(again, first, sizeof first);
    }
    cr_assert_eq(keys_port_ticket_key(port, "tickets", 1, 20782, again, &err), MIKEYD_TOKEN_DOWN);
}

Test(keyholder_group, a_pair_key_is_prepared)
{
    const struct keys_name name = lab_pair(MIKEY_ALGORITHMS_256, false);
    cr_assert_eq(keys_port_prepare(port, &name, &err), MIKEYD_OK, "%s", err.text);
}
