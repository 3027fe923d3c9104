/* demo-sbc: a session border controller that has its SRTP keys from mikeyd. See settings.c for its options. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "call.h"

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
    (void)number;
    asked_to_end = 1;
}

/* Keys are in this process: no core file, no swap, no look from outside. */
static void protect_memory(void)
{
#ifndef __SANITIZE_ADDRESS__ /* which looks from outside, and maps more than can be locked */
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        perror("demo-sbc: memory is not locked (ulimit -l)");
#endif
}

static void print_counts(const struct sbc *sbc)
{
    const struct media_counts *packets = &sbc->packets;
    printf("calls=%lu answered=%lu refused=%lu open=%u rekeyed=%lu updates=%lu "
           "failed_updates=%lu\n",
           sbc->calls, sbc->answered, sbc->refused, sbc->open, sbc->rekeyed, sbc->updates,
           sbc->failed_updates);
    printf("plain_in=%lu protected_out=%lu authentic_in=%lu plain_out=%lu by_new_key=%lu "
           "refused_packets=%lu not_sent=%lu\n",
           packets->plain_in, packets->protected_out, packets->authentic_in, packets->plain_out,
           packets->by_new_key, packets->refused, packets->not_sent);
}

static bool open_sbc(struct sbc *sbc)
{
    const struct settings *settings = &sbc->settings;
    sbc->plain =
        (struct sip_side){.sbc = sbc, .own = settings->plain, .next = settings->plain_next};
    sbc->secure = (struct sip_side){
        .sbc = sbc, .own = settings->secure, .next = settings->secure_next, .secure = true};
    sbc->root = su_root_create(NULL);
    if (sbc->root == NULL || su_root_threading(sbc->root, 0) < 0) /* all in this thread */
        return false;
    return mikeyd_loop_open(&sbc->mikeyd, sbc->root, settings->mikeyd) &&
           sip_open(&sbc->plain, sbc->root) && sip_open(&sbc->secure, sbc->root);
}

/* Calls that are up get a BYE by nua, and are freed as their legs end. */
static void close_sbc(struct sbc *sbc)
{
    sip_shut_down(&sbc->plain);
    sip_shut_down(&sbc->secure);
    while (!sbc->plain.closed || !sbc->secure.closed)
        (void)su_root_step(sbc->root, 100);
    sip_close(&sbc->plain);
    sip_close(&sbc->secure);
    mikeyd_loop_close(&sbc->mikeyd);
    su_root_destroy(sbc->root);
}

int main(int argc, char **argv)
{
    static struct sbc sbc;
    const struct sigaction action = {.sa_handler = on_signal};
    if (!settings_read(argc, argv, &sbc.settings))
        return 1;
    protect_memory();
    if (su_init() != 0 || srtp_init() != srtp_err_status_ok || !open_sbc(&sbc))
        return 1;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    while (!asked_to_end)
        (void)su_root_step(sbc.root, 100);
    print_counts(&sbc);
    close_sbc(&sbc);
    (void)srtp_shutdown();
    su_deinit();
    return 0;
}
