#include "mikeyd/mailbox.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum mikeyd_status mailbox_open(struct mailbox *mailbox, struct error *err)
{
    *mailbox = (struct mailbox){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (mailbox->fd < 0)
        return error_set(err, MIKEYD_INTERNAL, "eventfd: %s", strerror(errno));
    if (pthread_mutex_init(&mailbox->mutex, NULL) != 0) {
        (void)close(mailbox->fd);
        mailbox->fd = -1;
        return error_set(err, MIKEYD_INTERNAL, "pthread_mutex_init failed");
    }
    return MIKEYD_OK;
}

void mailbox_close(struct mailbox *mailbox)
{
    if (mailbox->fd < 0)
        return;
    job_list_free(&mailbox->ready);
    (void)pthread_mutex_destroy(&mailbox->mutex);
    (void)close(mailbox->fd);
    mailbox->fd = -1;
}

/* The counter of an eventfd cannot overflow here: one write between two reads. */
static void ring(struct mailbox *mailbox)
{
    const uint64_t one = 1;
    ssize_t ignored = write(mailbox->fd, &one, sizeof one);
    (void)ignored;
}

void mailbox_post(struct mailbox *mailbox, struct job_list *list)
{
    (void)pthread_mutex_lock(&mailbox->mutex);
    const bool must_ring = !mailbox->woken;
    mailbox->woken = true;
    job_list_join(&mailbox->ready, list);
    (void)pthread_mutex_unlock(&mailbox->mutex);
    if (must_ring)
        ring(mailbox);
}

void mailbox_post_one(struct mailbox *mailbox, struct job *job)
{
    struct job_list list = {0};
    job_list_append(&list, job);
    mailbox_post(mailbox, &list);
}

void mailbox_wake(struct mailbox *mailbox)
{
    struct job_list nothing = {0};
    mailbox_post(mailbox, &nothing);
}

void mailbox_collect(struct mailbox *mailbox, struct job_list *out)
{
    uint64_t count;
    ssize_t ignored = read(mailbox->fd, &count, sizeof count);
    (void)ignored;
    *out = (struct job_list){0};
    (void)pthread_mutex_lock(&mailbox->mutex);
    job_list_join(out, &mailbox->ready);
    mailbox->woken = false;
    (void)pthread_mutex_unlock(&mailbox->mutex);
}
