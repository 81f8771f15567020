/* SPDX-License-Identifier: Apache-2.0
 *
 * See queue.h.
 */
#include "local/queue.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/status.h"
#include "local/files.h"
#include "local/process.h"

struct watch {
    GArray *polls; /* struct pollfd; the first is inotify, a reader's the last */
    bool reader;
};

static void add(struct watch *w, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (fd >= 0)
        g_array_append_val(w->polls, p);
}

static void watch_slice(struct watch *w, int inotify, const struct ledger_slice *s)
{
    add(w, process_open(&s->holder));
    add(w, process_open(&s->main));
    if (!s->cgroup[0])
        return;
    g_autofree char *events = g_build_filename(s->cgroup, "cgroup.events", NULL);
    inotify_add_watch(inotify, events, IN_MODIFY | IN_DELETE_SELF);
}

struct watch *watch_open(struct broker *b, int64_t ticket, GError **error)
{
    g_autoptr(Watch) w = g_new0(struct watch, 1);
    g_autofree char *bell = files_bell(b->paths);
    w->polls = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    add(w, inotify);
    if (!g_file_test(bell, G_FILE_TEST_EXISTS))
        files_put(bell, 0600, "x", 1, NULL);
    if (inotify < 0 || inotify_add_watch(inotify, bell, IN_MODIFY) < 0) {
        g_set_error(error, STATUS_ERROR, STATUS_FAILED, "watching %s: %s", bell, g_strerror(errno));
        return NULL;
    }
    g_autoptr(GArray) slices = ledger_slices(b->ledger, true, error);
    g_autoptr(GArray) waiters = slices ? ledger_waiters(b->ledger, error) : NULL;
    if (!waiters)
        return NULL;
    for (guint i = 0; i < slices->len; i++)
        watch_slice(w, inotify, &g_array_index(slices, struct ledger_slice, i));
    for (guint i = 0; i < waiters->len; i++) {
        struct ledger_waiter *other = &g_array_index(waiters, struct ledger_waiter, i);
        if (other->ticket < ticket)
            add(w, process_open(&other->process));
    }
    return g_steal_pointer(&w);
}

void watch_close(struct watch *w)
{
    if (!w)
        return;
    for (guint i = 0; w->polls && i < w->polls->len - w->reader; i++)
        close(g_array_index(w->polls, struct pollfd, i).fd);
    g_array_unref(w->polls);
    g_free(w);
}

/* No event is asked for: POLLERR and POLLHUP come by themselves, for a file or a terminal neither does. */
void watch_reader(struct watch *w, int fd)
{
    struct pollfd p = {.fd = fd};
    g_array_append_val(w->polls, p);
    w->reader = true;
}

bool watch_reader_gone(const struct watch *w)
{
    return w->reader && g_array_index(w->polls, struct pollfd, w->polls->len - 1).revents != 0;
}

bool watch_wait(struct watch *w, gint64 deadline_us)
{
    for (;;) {
        gint64 left_us = deadline_us - g_get_monotonic_time();
        int timeout_ms = -1;
        if (deadline_us)
            timeout_ms = left_us <= 0 ? 0 : (int)MIN((left_us + 999) / 1000, G_MAXINT);
        int ready = poll((struct pollfd *)(void *)w->polls->data, w->polls->len, timeout_ms);
        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

bool queue_is_head(struct broker *b, int64_t ticket, bool *ret, GError **error)
{
    g_autoptr(GArray) waiters = ledger_waiters(b->ledger, error);
    if (!waiters)
        return false;
    *ret = true;
    for (guint i = 0; i < waiters->len; i++) {
        struct ledger_waiter *w = &g_array_index(waiters, struct ledger_waiter, i);
        if (w->ticket < ticket && process_alive(&w->process))
            *ret = false;
    }
    return true;
}

bool queue_join(struct broker *b, int64_t *ret_ticket, GError **error)
{
    struct ledger_process self = process_of(getpid());
    if (!ledger_begin(b->ledger, error))
        return false;
    if (ledger_enqueue(b->ledger, &self, ret_ticket, error))
        return ledger_commit(b->ledger, error);
    ledger_rollback(b->ledger);
    return false;
}

void queue_leave(struct broker *b, int64_t ticket)
{
    if (ledger_begin(b->ledger, NULL) &&
        (!ledger_dequeue(b->ledger, ticket, NULL) || !ledger_commit(b->ledger, NULL)))
        ledger_rollback(b->ledger);
    files_ring(b->paths);
}
