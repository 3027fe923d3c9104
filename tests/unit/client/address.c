/* Addresses of daemons and gates, as people write them. */
#include <criterion/criterion.h>
#include <string.h>

#include "client/address.h"

#define FILES "?ca=/a&cert=/b&key=/c"

Test(client_address, unix_sockets)
{
    struct address address;
    struct error err = {0};
    cr_assert_eq(address_parse("unix:/run/s", &address, &err), MIKEYD_OK);
    cr_assert_str_eq(address.path, "/run/s");
    address_clear(&address);
    cr_assert_eq(address_parse("/run/s", &address, &err), MIKEYD_OK);
    cr_assert_str_eq(address.path, "/run/s");
    address_clear(&address);
}

Test(client_address, several_hosts_and_options)
{
    struct address address;
    struct error err = {0};
    cr_assert_eq(address_parse("tls://a.example:7443,[2001:db8::1]:7444,10.0.0.1:1?key=/k%20y&ca=/"
                               "a&cert=/b&name=g.example",
                               &address, &err),
                 MIKEYD_OK, "%s", err.text);
    cr_assert_null(address.path);
    cr_assert_eq(address.host_count, 3);
    cr_assert_str_eq(address.hosts[0].host, "a.example");
    cr_assert_str_eq(address.hosts[0].port, "7443");
    cr_assert_str_eq(address.hosts[1].host, "2001:db8::1");
    cr_assert_str_eq(address.hosts[1].port, "7444");
    cr_assert_str_eq(address.hosts[2].host, "10.0.0.1");
    cr_assert_str_eq(address.ca, "/a");
    cr_assert_str_eq(address.cert, "/b");
    cr_assert_str_eq(address.key, "/k y");
    cr_assert_str_eq(address.name, "g.example");
    cr_assert_null(strchr(address.text, '?'));
    address_clear(&address);
}

Test(client_address, key_in_place_of_certificates)
{
    struct address address;
    struct error err = {0};
    cr_assert_eq(address_parse("tls://a:1?psk=/own", &address, &err), MIKEYD_OK, "%s", err.text);
    cr_assert_str_eq(address.psk, "/own");
    address_clear(&address);
}

Test(client_address, other_forms_are_refused)
{
    static const char *const wrong[] = {
        "",
        "run/s",
        "unix:run/s",
        "http://a:1",
        "tls://",
        "tls://" FILES,
        "tls://a" FILES,
        "tls://a:" FILES,
        "tls://:1" FILES,
        "tls://a:x" FILES,
        "tls://a:1," FILES,
        "tls://a:1",
        "tls://a:1?ca=/a&cert=/b",
        "tls://a:1" FILES "&ca=/d",
        "tls://a:1" FILES "&verify=no",
        "tls://a:1" FILES "&psk=/own",
        "tls://a:1?psk=/own&name=g",
        "tls://a:1?psk=/own&ca=/a",
        "tls://a:1" FILES "&name=",
        "tls://a:1" FILES "&name=%0",
        "tls://a:1" FILES "&name=%00",
        "tls://a:1" FILES "&name=%zz",
        "tls://a:1" FILES "&name=a%",
        "tls://a:1" FILES "&name=a%4",
        "tls://a:1" FILES "&name=a%4g",
        "tls://a:1" FILES "&name=a%00b",
        "tls://a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11,a:12,a:13,a:14,a:15,a:16,a:17" FILES,
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct address address;
        struct error err = {0};
        cr_expect_eq(address_parse(wrong[i], &address, &err), MIKEYD_INVALID_ARGUMENT, "%s",
                     wrong[i]);
        cr_expect_neq(err.text[0], '\0');
        address_clear(&address);
    }
}
