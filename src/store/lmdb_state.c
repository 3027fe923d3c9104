#include "store/lmdb_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/text.h"

#define STATE_FILE "state"
#define STATE_TEMPORARY "state.new"
#define STATE_HEAD "mikeyd replay store 3"
#define STATE_TIMES_TEXT (2 * STORE_TIMES_BYTES + 1)
#define STATE_TEXT_MAX (256 + STORE_SERIES_COUNT * STATE_TIMES_TEXT)

static const char *const left_names[] = {
    [STORE_LEFT_ABSENT] = "",   [STORE_LEFT_UNKNOWN] = "",      [STORE_LEFT_CLEAN] = "clean",
    [STORE_LEFT_OPEN] = "open", [STORE_LEFT_CLOSED] = "closed",
};

/* Reads a small file whole; false when it is absent, empty or longer than cap - 1. */
static bool state_read_text(int dir, const char *name, char *text, size_t cap)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < cap) {
        got = read(fd, text + len, cap - len);
        if (got > 0)
            len += (size_t)got;
    }
    (void)close(fd);
    if (got < 0 || len == 0 || len == cap)
        return false;
    text[len] = '\0';
    return true;
}

enum mikeyd_status store_state_boot_id(char out[STORE_BOOT_ID], struct error *err)
{
    if (!state_read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", out, STORE_BOOT_ID))
        return error_set(err, MIKEYD_STORE_DOWN,
                         "replay store: the kernel's boot id is unreadable");
    out[strcspn(out, "\n")] = '\0';
    return MIKEYD_OK;
}

enum mikeyd_status store_state_lock(const char *path, int *dir, int *lock, struct error *err)
{
    *dir = *lock = -1;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", path, strerror(errno));
    int d = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d < 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", path, strerror(errno));
    struct stat stat;
    int l = -1;
    enum mikeyd_status status = MIKEYD_OK;
    if (fstat(d, &stat) != 0)
        status = error_set(err, MIKEYD_STORE_DOWN, "replay store %s: %s", path, strerror(errno));
    else if (stat.st_uid != geteuid())
        status =
            error_set(err, MIKEYD_STORE_DOWN, "replay store %s: belongs to another user", path);
    else if ((stat.st_mode & 0777) != 0700 && fchmod(d, 0700) != 0)
        status = error_set(err, MIKEYD_STORE_DOWN, "replay store %s: mode 0700: %s", path,
                           strerror(errno));
    if (status == MIKEYD_OK) {
        l = openat(d, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (l < 0)
            status = error_set(err, MIKEYD_STORE_DOWN, "replay store %s/lock: %s", path,
                               strerror(errno));
        else if (flock(l, LOCK_EX | LOCK_NB) != 0)
            status = error_set(err, MIKEYD_STORE_DOWN, "replay store %s: in use by another process",
                               path);
    }
    if (status != MIKEYD_OK) {
        if (l >= 0)
            (void)close(l);
        (void)close(d);
        return status;
    }
    *dir = d;
    *lock = l;
    return MIKEYD_OK;
}

enum mikeyd_status store_state_identify(char out[STORE_IDENTITY], struct error *err)
{
    uint8_t random[(STORE_IDENTITY - 1) / 2];
    if (RAND_bytes(random, sizeof random) != 1)
        return error_set(err, MIKEYD_INTERNAL, "replay store: no random bytes");
    hex_encode(random, sizeof random, out);
    return MIKEYD_OK;
}

/* A set of times in hexadecimal; "-" when it is empty. */
static void state_format_times(const struct store_times *times, char out[STATE_TIMES_TEXT])
{
    uint8_t bytes[STORE_TIMES_BYTES];
    struct byte_writer w = writer_of(bytes, sizeof bytes);
    store_times_write(times, &w);
    if (w.len == 0)
        (void)snprintf(out, STATE_TIMES_TEXT, "-");
    else
        hex_encode(bytes, w.len, out);
}

static bool state_parse_times(const char *text, struct store_times *out)
{
    uint8_t bytes[STORE_TIMES_BYTES];
    size_t len = 0;
    *out = (struct store_times){.count = 0};
    if (strcmp(text, "-") == 0)
        return true;
    if (hex_decode(text, strlen(text), bytes, sizeof bytes, &len, NULL) != MIKEYD_OK)
        return false;
    struct byte_reader r = reader_of(bytes, len);
    return store_times_read(&r, out);
}

/* Leaves *out as it was when the text is not ours. */
static void state_parse(const char *text, struct store_state *out)
{
    struct store_state state = {.left = STORE_LEFT_UNKNOWN};
    char word[8], times[STORE_SERIES_COUNT][STATE_TIMES_TEXT], end;
    if (sscanf(text,
               STATE_HEAD "\n%7s\nboot %39s\nstore %32[0-9a-f]\nlane %4u\n"
                          "messages %512[0-9a-f-]\ntickets %512[0-9a-f-]%c",
               word, state.boot_id, state.identity, &state.lane, times[STORE_SERIES_MESSAGES],
               times[STORE_SERIES_TICKETS], &end) != 7 ||
        end != '\n')
        return;
    for (int i = 0; i < STORE_SERIES_COUNT; i++) {
        if (!state_parse_times(times[i], &state.reached[i]))
            return;
    }
    for (int left = STORE_LEFT_CLEAN; left <= STORE_LEFT_CLOSED; left++) {
        if (strcmp(word, left_names[left]) == 0)
            state.left = (enum store_left)left;
    }
    *out = state;
}

void store_state_read(int dir, struct store_state *out)
{
    *out = (struct store_state){.left = STORE_LEFT_UNKNOWN};
    char text[STATE_TEXT_MAX];
    if (faccessat(dir, STATE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        out->left = STORE_LEFT_ABSENT;
    else if (state_read_text(dir, STATE_FILE, text, sizeof text))
        state_parse(text, out);
}

static bool state_write_file(int dir, const char *text, size_t len)
{
    int fd =
        openat(dir, STATE_TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    ssize_t done = write(fd, text, len);
    bool written = done >= 0 && (size_t)done == len;
    if (done >= 0 && !written)
        errno = ENOSPC;
    written = written && fsync(fd) == 0;
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return written;
}

enum mikeyd_status store_state_write(int dir, const struct store_state *state, struct error *err)
{
    char text[STATE_TEXT_MAX], times[STORE_SERIES_COUNT][STATE_TIMES_TEXT];
    for (int i = 0; i < STORE_SERIES_COUNT; i++)
        state_format_times(&state->reached[i], times[i]);
    int len = snprintf(text, sizeof text,
                       STATE_HEAD "\n%s\nboot %s\nstore %s\nlane %u\nmessages %s\ntickets %s\n",
                       left_names[state->left], state->boot_id, state->identity, state->lane,
                       times[STORE_SERIES_MESSAGES], times[STORE_SERIES_TICKETS]);
    if (!state_write_file(dir, text, (size_t)len) ||
        renameat(dir, STATE_TEMPORARY, dir, STATE_FILE) != 0 || fsync(dir) != 0)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: writing its state: %s",
                         strerror(errno));
    return MIKEYD_OK;
}

enum mikeyd_status store_state_lose_counters(int dir, struct error *err)
{
    int fd = openat(dir, STORE_COUNTERS_LOST, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool made = fd >= 0 && fsync(fd) == 0 && fsync(dir) == 0;
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    if (made)
        return MIKEYD_OK;
    return error_set(err, MIKEYD_STORE_DOWN, "replay store: making " STORE_COUNTERS_LOST ": %s",
                     strerror(saved));
}

bool store_state_counters_lost(int dir)
{
    return faccessat(dir, STORE_COUNTERS_LOST, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

bool store_state_has_database(int dir)
{
    return faccessat(dir, "data.mdb", F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

enum mikeyd_status store_state_move_aside(int dir, struct error *err)
{
    if (renameat(dir, "data.mdb", dir, "data.mdb.lost") != 0 && errno != ENOENT)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: moving a lost database aside: %s",
                         strerror(errno));
    if (unlinkat(dir, "lock.mdb", 0) != 0 && errno != ENOENT)
        return error_set(err, MIKEYD_STORE_DOWN, "replay store: removing lock.mdb: %s",
                         strerror(errno));
    return MIKEYD_OK;
}
