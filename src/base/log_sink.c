#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * O_NONBLOCK belongs to the open file, which stderr shares with whoever started this process, and
 * so is not for us to set. A pipe or terminal is opened once more, with a flag of our own; a socket
 * takes the flag with each call; a file never waits for a reader.
 */
enum sink_kind { SINK_ASKED_FIRST, SINK_SOCKET, SINK_OWN };

static int sink_fd = STDERR_FILENO;
static enum sink_kind sink_kind;
static pthread_mutex_t sink_mutex = PTHREAD_MUTEX_INITIALIZER;

void log_sink_open(void)
{
    struct stat info;
    if (fstat(STDERR_FILENO, &info) != 0)
        return;
    if (S_ISSOCK(info.st_mode)) {
        sink_kind = SINK_SOCKET;
        return;
    }
    if (!S_ISFIFO(info.st_mode) && !S_ISCHR(info.st_mode))
        return;
    /* Refused where another user made the pipe: then it is asked before each line. */
    int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own < 0)
        return;
    sink_fd = own;
    sink_kind = SINK_OWN;
}

static ssize_t put_once(const char *line, size_t len)
{
    struct pollfd room = {.fd = sink_fd, .events = POLLOUT};
    switch (sink_kind) {
    case SINK_SOCKET:
        return send(sink_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case SINK_OWN:
        return write(sink_fd, line, len);
    case SINK_ASKED_FIRST:
    default:
        break;
    }
    /* A pipe with room takes PIPE_BUF bytes, and a line is shorter (pipe(7)). */
    if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0)
        return -1;
    return write(sink_fd, line, len);
}

bool log_sink_put(const char *line, size_t len)
{
    ssize_t put;
    /* Between the question and the write no other thread may take the room. */
    (void)pthread_mutex_lock(&sink_mutex);
    do
        put = put_once(line, len);
    while (put < 0 && errno == EINTR);
    (void)pthread_mutex_unlock(&sink_mutex);
    return put >= 0;
}
