/*
 * wire-tap: counts what really passes over a wire, by libpcap: it knows nothing of the SBCs.
 *
 *   wire-tap DEVICE ADDRESS FILE
 *
 * Until SIGTERM; then writes to FILE one line of the form
 *   to=N from=N marked=N other=N lost=N
 * to, from:  RTP packets to ADDRESS and from it, protected or not: by port and header they look the same
 * marked:    those of them in which the payload that the demo plays stands in clear
 * other:     UDP packets that are neither RTP nor SIP
 * lost:      packets that the tap itself did not see (its buffer was full): then the counts prove nothing
 * An empty FILE says that it listens.
 */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rtp_rewrite.h"

#define BUFFER (32 * 1024 * 1024)
#define SNAP 2048
#define SIP_PORT 5060
#define DRAIN_ROUNDS 5 /* of TIMEOUT_MS: what the kernel still has */
#define TIMEOUT_MS 100

static const char marker[] = "in clear"; /* stands in each payload that the demo plays */

struct counts {
    struct in_addr address;
    unsigned long to, from, marked, other;
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
    (void)number;
    asked_to_end = 1;
}

static void count(unsigned char *user, const struct pcap_pkthdr *header, const unsigned char *frame)
{
    struct counts *counts = (struct counts *)user;
    struct ip ip;
    struct udphdr udp;
    if (header->caplen < ETHER_HDR_LEN + sizeof ip)
        return;
    memcpy(&ip, frame + ETHER_HDR_LEN, sizeof ip);
    const size_t udp_at = ETHER_HDR_LEN + 4u * ip.ip_hl, at = udp_at + sizeof udp;
    if (header->caplen < at)
        return;
    memcpy(&udp, frame + udp_at, sizeof udp);
    if (ntohs(udp.uh_sport) == SIP_PORT || ntohs(udp.uh_dport) == SIP_PORT)
        return;
    if (!rtp_is_packet(frame + at, header->caplen - at)) {
        counts->other++;
        return;
    }
    if (ip.ip_dst.s_addr == counts->address.s_addr)
        counts->to++;
    else if (ip.ip_src.s_addr == counts->address.s_addr)
        counts->from++;
    else
        counts->other++;
    if (memmem(frame + at, header->caplen - at, marker, sizeof marker - 1) != NULL)
        counts->marked++;
}

static pcap_t *open_tap(const char *device)
{
    char why[PCAP_ERRBUF_SIZE] = "";
    struct bpf_program udp;
    pcap_t *tap = pcap_create(device, why);
    if (tap == NULL || pcap_set_snaplen(tap, SNAP) != 0 || pcap_set_buffer_size(tap, BUFFER) != 0 ||
        pcap_set_timeout(tap, TIMEOUT_MS) != 0 || pcap_activate(tap) != 0 ||
        pcap_setnonblock(tap, 1, why) != 0 ||
        pcap_compile(tap, &udp, "udp", 1, PCAP_NETMASK_UNKNOWN) != 0 ||
        pcap_setfilter(tap, &udp) != 0) {
        fprintf(stderr, "wire-tap: %s: %s\n", device, tap != NULL ? pcap_geterr(tap) : why);
        if (tap != NULL)
            pcap_close(tap);
        return NULL;
    }
    pcap_freecode(&udp);
    return tap;
}

/* All that is there now. */
static bool take(pcap_t *tap, struct counts *counts)
{
    int taken;
    do
        taken = pcap_dispatch(tap, -1, count, (unsigned char *)counts);
    while (taken > 0);
    return taken == 0;
}

static bool watch(pcap_t *tap, struct counts *counts)
{
    struct pollfd wait = {.fd = pcap_get_selectable_fd(tap), .events = POLLIN};
    int rounds = DRAIN_ROUNDS;
    while (!asked_to_end || rounds-- > 0) {
        (void)poll(&wait, 1, TIMEOUT_MS);
        if (!take(tap, counts))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct counts counts = {{0}, 0, 0, 0, 0};
    struct pcap_stat stat;
    if (argc != 4 || inet_pton(AF_INET, argv[2], &counts.address) != 1) {
        fprintf(stderr, "usage: wire-tap DEVICE IPV4 FILE\n");
        return 1;
    }
    (void)sigaction(SIGTERM, &action, NULL);
    pcap_t *tap = open_tap(argv[1]);
    FILE *out = tap != NULL ? fopen(argv[3], "w") : NULL;
    if (out == NULL) {
        perror(argv[3]);
        return 1;
    }
    const bool seen = watch(tap, &counts) && pcap_stats(tap, &stat) == 0;
    if (seen)
        fprintf(out, "to=%lu from=%lu marked=%lu other=%lu lost=%u\n", counts.to, counts.from,
                counts.marked, counts.other, stat.ps_drop + stat.ps_ifdrop);
    else
        pcap_perror(tap, "wire-tap");
    const bool written = fclose(out) == 0;
    pcap_close(tap);
    return seen && written ? 0 : 1;
}
