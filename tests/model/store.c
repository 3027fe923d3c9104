/*
 * The replay store on LMDB (store/store.h), in every order of what can befall it: the real code on a
 * real directory, with clocks that are set. No message and no ticket is accepted twice.
 *
 *   model-store [--depth 4] [FIRST ACTION ...]
 *
 * Every sequence of --depth actions after a first message and ticket. After each action everything
 * that was ever accepted is offered again, as exchange/respond.c and confirm.c do: the clock's check
 * first, then store_insert(). A sequence that breaks the rule is printed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "guarded.h"
#include "store/store.h"
#include "store/store_clock.h"

#define SKEW 50 /* seconds */
#define WINDOW ((unsigned)(2 * SKEW))
#define TICKET_LIFE 300
#define START_MS ((int64_t)1796083200 * 1000)
#define DEPTH_MAX 8
#define ITEMS_MAX 64

/* ---- the clocks, by --wrap */

static int64_t wall_ms, boottime_ms;
int64_t __wrap_clock_unix_ms(void);
int64_t __wrap_clock_unix_now(void);
uint64_t __wrap_clock_ntp_now(void);
int64_t __wrap_store_clock_boottime_ms(void);

int64_t __wrap_clock_unix_ms(void)
{
    return wall_ms;
}

int64_t __wrap_clock_unix_now(void)
{
    return wall_ms / 1000;
}

uint64_t __wrap_clock_ntp_now(void)
{
    return clock_ntp_of_unix(wall_ms / 1000, (uint32_t)(wall_ms % 1000) * 1000000);
}

int64_t __wrap_store_clock_boottime_ms(void)
{
    return boottime_ms;
}

/* ---- the directory, and copies of it in memory */

#define FILES_MAX 8
struct image {
    size_t count;
    struct {
        char name[256];
        size_t len;
        uint8_t *bytes;
    } file[FILES_MAX];
};

static char folder[64];

static void image_drop(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->file[i].bytes);
    image->count = 0;
}

static void image_take(struct image *image)
{
    image_drop(image);
    DIR *dir = opendir(folder);
    HOLDS(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        HOLDS(image->count < FILES_MAX);
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        const off_t len = lseek(fd, 0, SEEK_END);
        uint8_t *bytes = malloc((size_t)len + 1);
        HOLDS(fd >= 0 && bytes != NULL && pread(fd, bytes, (size_t)len, 0) == len);
        (void)close(fd);
        (void)snprintf(image->file[image->count].name, sizeof image->file[0].name, "%s",
                       entry->d_name);
        image->file[image->count].len = (size_t)len;
        image->file[image->count++].bytes = bytes;
    }
    (void)closedir(dir);
}

static void folder_empty(void)
{
    DIR *dir = opendir(folder);
    HOLDS(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
}

static void image_put(const struct image *image)
{
    folder_empty();
    for (size_t i = 0; i < image->count; i++) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", folder, image->file[i].name);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        HOLDS(fd >= 0 &&
              write(fd, image->file[i].bytes, image->file[i].len) == (ssize_t)image->file[i].len);
        (void)close(fd);
    }
}

/* ---- what was accepted */

struct item {
    struct store_time time;
    uint8_t digest[1][STORE_DIGEST];
    int64_t expires; /* of a ticket, Unix seconds */
};

static struct item accepted[ITEMS_MAX];
static size_t accepted_count;
static struct replay_store *store;
static unsigned window_s;
static char mark[STORE_MARK]; /* the latest in the audit log, which is on another disk */
static struct image backup, on_disk;
static uint64_t next_number;
static unsigned long offers, acceptances, sequences;

static void open_store(void)
{
    struct error err = {0};
    struct store_witness witness = {.log_sequence = next_number};
    (void)snprintf(witness.mark, sizeof witness.mark, "%s", mark);
    if (lmdb_store_open(folder, window_s, &witness, &store, &err) != MIKEYD_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        HOLDS(!"the store opens");
    }
    image_take(&on_disk);
}

/* As the exchange does it; true when it is accepted. */
static bool offer(const struct item *item)
{
    struct error err = {0};
    const int64_t now = wall_ms / 1000;
    const bool ticket = item->time.series == STORE_SERIES_TICKETS;
    offers++;
    if (ticket && item->expires <= now)
        return false;
    const int64_t off_ms = clock_ntp_difference_ms(item->time.t, __wrap_clock_ntp_now());
    if (!ticket && (off_ms > SKEW * 1000 || off_ms < -SKEW * 1000))
        return false;
    if (store_lookup(store, &item->time, item->digest[0], &err) != MIKEYD_OK)
        return false;
    return store_insert(store, &item->time, (const uint8_t(*)[STORE_DIGEST])item->digest, 1,
                        ticket ? item->expires + 1 : now + window_s, NULL, &err) == MIKEYD_OK;
}

static void offer_new(enum store_series series, int64_t ahead_s)
{
    HOLDS(accepted_count < ITEMS_MAX);
    struct item *item = &accepted[accepted_count];
    const uint64_t number = ++next_number;
    const void *data[] = {&number};
    const size_t len[] = {sizeof number};
    item->time = (struct store_time){series, __wrap_clock_ntp_now() + ((uint64_t)ahead_s << 32)};
    item->expires = wall_ms / 1000 + TICKET_LIFE;
    store_digest(series == STORE_SERIES_TICKETS ? STORE_TICKET : STORE_MESSAGE, data, len, 1,
                 item->digest[0]);
    if (!offer(item))
        return;
    accepted_count++;
    acceptances++;
    /* What the audit record of an acceptance says; it is on the disk before a key is released. */
    store_get_mark(store, mark);
}

/* ---- what can happen */

static void act_message(void)
{
    offer_new(STORE_SERIES_MESSAGES, 0);
}

static void act_message_ahead(void)
{
    offer_new(STORE_SERIES_MESSAGES, SKEW - 1);
}

static void act_ticket(void)
{
    offer_new(STORE_SERIES_TICKETS, 0);
}

static void act_restart(void)
{
    store_close(store);
    open_store();
}

/* kill -9: what was written is there, closed or not. */
static void act_kill(void)
{
    static struct image left;
    image_take(&left);
    store_close(store);
    image_put(&left);
    open_store();
}

/* The state file as it is, which is flushed with each change; but of another boot. */
static void put_state(const struct image *from)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/state", folder);
    for (size_t i = 0; i < from->count; i++) {
        if (strcmp(from->file[i].name, "state") != 0)
            continue;
        char *at = memmem(from->file[i].bytes, from->file[i].len, "boot ", 5);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        HOLDS(fd >= 0 && at != NULL);
        at[5] = 'Z';
        HOLDS(write(fd, from->file[i].bytes, from->file[i].len) == (ssize_t)from->file[i].len);
        (void)close(fd);
    }
}

/* The machine stops; of the database all that was written since the store was opened is lost. It
 * starts with another boot id, and its steady clock at 0. */
static void act_power_loss(void)
{
    static struct image left;
    image_take(&left);
    store_close(store);
    image_put(&on_disk);
    put_state(&left);
    boottime_ms = 5000;
    open_store();
}

static void pass(int64_t seconds)
{
    wall_ms += seconds * 1000;
    boottime_ms += seconds * 1000;
}

static void act_time(void)
{
    pass(WINDOW / 2 + 1);
}

/* Long, and with so many messages that what has expired is discarded. */
static void act_long_time(void)
{
    pass(2 * WINDOW + TICKET_LIFE);
    for (uint64_t i = 0; i < 70; i++) {
        struct item filler = {.time = {STORE_SERIES_MESSAGES, __wrap_clock_ntp_now()}};
        const uint64_t number = ++next_number;
        memcpy(filler.digest[0], &number, sizeof number);
        (void)offer(&filler);
    }
    store_get_mark(store, mark);
}

static void act_clock_forward(void)
{
    wall_ms += (int64_t)(2 * WINDOW + TICKET_LIFE) * 1000;
}

static void act_clock_back(void)
{
    wall_ms -= (int64_t)(2 * WINDOW + TICKET_LIFE) * 1000;
}

/* The policy's skew has changed: the store is opened with another window. */
static void act_other_window(void)
{
    store_close(store);
    window_s = window_s == WINDOW ? WINDOW * 2 : WINDOW;
    open_store();
}

static void act_backup(void)
{
    image_take(&backup);
}

/* The backup comes back; the audit log does not. */
static void act_restore(void)
{
    if (backup.count == 0)
        return;
    store_close(store);
    image_put(&backup);
    open_store();
}

static const struct {
    const char *name;
    void (*act)(void);
} actions[] = {{"message", act_message},
               {"message-ahead", act_message_ahead},
               {"ticket", act_ticket},
               {"restart", act_restart},
               {"kill", act_kill},
               {"power-loss", act_power_loss},
               {"time", act_time},
               {"long-time", act_long_time},
               {"clock-forward", act_clock_forward},
               {"clock-back", act_clock_back},
               {"other-window", act_other_window},
               {"backup", act_backup},
               {"restore", act_restore}};
#define ACTIONS (sizeof actions / sizeof actions[0])

/* ---- every sequence */

static size_t sequence[DEPTH_MAX], length;

static void explain(void)
{
    for (size_t i = 0; i < length; i++)
        (void)fprintf(stderr, "%s ", actions[sequence[i]].name);
    (void)fprintf(stderr, "\n");
}

static void check(void)
{
    for (size_t i = 0; i < accepted_count; i++)
        HOLDS(!offer(&accepted[i])); /* it would be accepted twice */
}

static void run_sequence(void)
{
    folder_empty();
    image_drop(&backup);
    accepted_count = 0;
    mark[0] = '\0';
    window_s = WINDOW;
    wall_ms = START_MS;
    boottime_ms = 100000000;
    open_store();
    act_message();
    act_ticket();
    HOLDS(accepted_count == 2);
    for (size_t i = 0; i < length; i++) {
        actions[sequence[i]].act();
        check();
    }
    store_close(store);
    sequences++;
}

int main(int argc, char **argv)
{
    length = 3;
    size_t fixed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--depth") == 0 && i + 1 < argc) {
            length = strtoul(argv[++i], NULL, 10);
            continue;
        }
        if (strcmp(argv[i], "--filter") == 0) { /* tests/mutation/run says that to all tests */
            i++;
            continue;
        }
        size_t action = 0;
        while (action < ACTIONS && strcmp(actions[action].name, argv[i]) != 0)
            action++;
        HOLDS(action < ACTIONS && fixed < DEPTH_MAX);
        sequence[fixed++] = action;
    }
    length = length < fixed ? fixed : length > DEPTH_MAX ? DEPTH_MAX : length;
    model_explain = explain;
    log_open("model", LOG_LEVEL_ERROR - 1);
    /* Nothing here is about the disk: memory is faster, and a crash is a copy of the files. */
    (void)snprintf(folder, sizeof folder, "%s/mikeyd-model-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    HOLDS(mkdtemp(folder) != NULL);
    for (bool more = true; more;) {
        run_sequence();
        size_t at = length;
        while (at > fixed && ++sequence[at - 1] == ACTIONS)
            sequence[--at] = 0;
        more = at > fixed;
    }
    folder_empty();
    (void)rmdir(folder);
    (void)printf("%lu sequences of %zu; %lu accepted, %lu offers in all\n", sequences, length,
                 acceptances, offers);
    return 0;
}
