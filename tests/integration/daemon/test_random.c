/* A daemon whose OpenSSL is configured to have a broken random number generator does not start. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lab.h"

/* How the monitor calls its children. */
#define FRONT "mikeyd: front"
#define KEYHOLDER "mikeyd-keyholder"

static struct lab lab;

static void make_lab(void)
{
    lab_make(&lab, NULL);
}

static void remove_lab(void)
{
    lab_remove(&lab);
}

TestSuite(random_start, .init = make_lab, .fini = remove_lab, .timeout = 120);

/* From here on, in this program of the daemon alone; the others get numbers from the same provider
 * that are as they should be. */
static void break_generator(const char *generator, const char *program)
{
    char path[LAB_PATH + 16], text[1024];
    (void)snprintf(path, sizeof path, "%s/openssl.cnf", lab.dir);
    (void)snprintf(text, sizeof text,
                   "openssl_conf = all\n"
                   "[all]\nproviders = providers\nrandom = random\n"
                   "[providers]\ndefault = usual\nfaulty = faulty\n"
                   "[usual]\nactivate = 1\n"
                   "[faulty]\nmodule = %s\nactivate = 1\n"
                   "[random]\nrandom = %s\n",
                   FAULTY_RANDOM, generator);
    lab_write_file(path, text);
    cr_assert_eq(setenv("OPENSSL_CONF", path, 1), 0);
    cr_assert_eq(setenv("MIKEYD_FAULTY_RANDOM", program, 1), 0);
}

static void expect_refusal(const char *generator, const char *program, const char *line)
{
    break_generator(generator, program);
    cr_assert_eq(lab_start_refused(&lab), 6);
    cr_assert_gt(lab_count_in_file(lab.log, line), 0, "%s", lab_read_file(lab.log));
}

Test(random_start, a_generator_of_another_provider_serves)
{
    break_generator("ONE-BYTE", "none");
    lab_start(&lab);
    mikeyd_client *client = lab_client(&lab);
    lab_exchange(client);
    mikeyd_client_close(client);
    cr_assert_eq(lab_stop(&lab, SIGTERM), 0);
}

Test(random_start, a_front_with_one_byte_again_and_again_does_not_start)
{
    expect_refusal("ONE-BYTE", FRONT,
                   "OpenSSL's random number generator gives one byte again and again");
}

Test(random_start, a_front_with_the_same_bytes_each_time_does_not_start)
{
    expect_refusal("SAME-BYTES", FRONT,
                   "OpenSSL's random number generator gave the same 32 bytes twice");
}

Test(random_start, a_front_without_a_generator_does_not_start)
{
    expect_refusal("NOT-UP", FRONT, "OpenSSL's random number generator is not up");
}

Test(random_start, a_keyholder_with_the_same_bytes_each_time_does_not_start)
{
    expect_refusal("SAME-BYTES", KEYHOLDER,
                   "OpenSSL's random number generator gave the same 32 bytes twice");
}

Test(random_start, the_check_refuses_what_the_start_refuses)
{
    break_generator("SAME-BYTES", FRONT);
    cr_assert_eq(lab_run(&lab, (const char *const[]){MIKEYD_PROGRAM, "--config", lab.config,
                                                     "--check", NULL}),
                 6);
}
