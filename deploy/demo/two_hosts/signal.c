#include "signal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "media.h"

static int write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len != 0) {
        const ssize_t n = write(fd, at, len);
        if (n <= 0)
            return demo_failed("signalling", "the other end is gone");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int read_all(int fd, void *data, size_t len)
{
    char *at = data;
    while (len != 0) {
        const ssize_t n = read(fd, at, len);
        if (n <= 0)
            return demo_failed("signalling", "the other end is gone");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int signal_send(int fd, char type, const char *body)
{
    const uint32_t len = htonl((uint32_t)strlen(body));
    if (write_all(fd, &type, 1) != 0 || write_all(fd, &len, sizeof len) != 0)
        return -1;
    return write_all(fd, body, strlen(body));
}

int signal_read(int fd, char body[SIGNAL_SDP_MAX])
{
    char type;
    uint32_t len;
    if (read_all(fd, &type, 1) != 0 || read_all(fd, &len, sizeof len) != 0)
        return -1;
    len = ntohl(len);
    if (len >= SIGNAL_SDP_MAX)
        return demo_failed("signalling", "a body that is too long");
    body[len] = '\0';
    return read_all(fd, body, len) == 0 ? type : -1;
}

int signal_write_sdp(char out[SIGNAL_SDP_MAX], const struct sockaddr_in *media,
                     const char *key_mgmt)
{
    char address[INET_ADDRSTRLEN];
    if (inet_ntop(AF_INET, &media->sin_addr, address, sizeof address) == NULL)
        return demo_failed("sdp", "no address");
    const int n = snprintf(out, SIGNAL_SDP_MAX,
                           "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n%s\r\n"
                           "m=audio %u RTP/SAVP 0\r\n",
                           address, address, key_mgmt, ntohs(media->sin_port));
    return n > 0 && n < SIGNAL_SDP_MAX ? 0 : demo_failed("sdp", "too long");
}

int signal_read_sdp(const char *sdp, struct sockaddr_in *media)
{
    char address[INET_ADDRSTRLEN];
    unsigned port;
    const char *c = strstr(sdp, "\nc=IN IP4 "), *m = strstr(sdp, "\nm=audio ");
    *media = (struct sockaddr_in){.sin_family = AF_INET};
    if (c == NULL || m == NULL || sscanf(c, "\nc=IN IP4 %15s", address) != 1 ||
        sscanf(m, "\nm=audio %u", &port) != 1 || port > UINT16_MAX ||
        inet_pton(AF_INET, address, &media->sin_addr) != 1)
        return demo_failed("sdp", "no address for media");
    media->sin_port = htons((uint16_t)port);
    return 0;
}
