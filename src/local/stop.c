/* SPDX-License-Identifier: Apache-2.0
 *
 * See stop.h.
 */
#include "local/stop.h"

#include <signal.h>
#include <string.h>

#include "base/status.h"
#include "local/files.h"
#include "local/process.h"
#include "local/queue.h"
#include "region/region.h"

/* A live slice, or STATUS_NO_SLICE. */
static bool find_live(struct broker *b, const char *word, struct ledger_slice *ret, GError **error)
{
    if (!ledger_find(b->ledger, word, ret, error))
        return false;
    if (ret->state != LEDGER_ENDED)
        return true;
    g_set_error(error, STATUS_ERROR, STATUS_NO_SLICE, "slice %s has ended with exit status %d", ret->id,
                ret->exit_status);
    return false;
}

static bool wait_ended(struct broker *b, const char *id, gint64 deadline_us, struct ledger_slice *ret,
                       bool *ret_ended, GError **error)
{
    for (;;) {
        g_autoptr(Watch) watch = watch_open(b, 0, error);
        if (!watch || !broker_settle(b, error) || !ledger_find(b->ledger, id, ret, error))
            return false;
        *ret_ended = ret->state == LEDGER_ENDED;
        if (*ret_ended || !watch_wait(watch, deadline_us))
            return true;
    }
}

bool stop_wait(struct broker *b, const char *word, gint64 deadline_us, struct ledger_slice *ret,
               GError **error)
{
    bool ended = false;
    if (!ledger_find(b->ledger, word, ret, error) ||
        !wait_ended(b,
                    (char[LEDGER_ID_BYTES]){ret->id[0], ret->id[1], ret->id[2], ret->id[3], ret->id[4],
                                            ret->id[5], ret->id[6], ret->id[7], 0},
                    deadline_us, ret, &ended, error))
        return false;
    if (ended)
        return true;
    g_set_error(error, STATUS_ERROR, STATUS_TIMED_OUT, "slice %s still runs", ret->id);
    return false;
}

/* What is stopped does not act on a signal, and a command can stop its
 * supervisor: without it nobody would bury the slice. */
static void wake(struct broker *b, const struct ledger_slice *s)
{
    broker_signal(b, s, SIGCONT);
    if (process_alive(&s->holder))
        kill(s->holder.pid, SIGCONT);
}

/* The whole slice. Its supervisor sees the command end and frees it. */
static void kill_all(struct broker *b, const struct ledger_slice *s)
{
    if (s->cgroup[0])
        cgroup_kill(s->cgroup, 5000);
    else
        broker_signal(b, s, SIGKILL);
}

bool stop_slice(struct broker *b, const char *word, uint64_t grace_ms, GError **error)
{
    struct ledger_slice s, last;
    bool ended = false;
    if (!find_live(b, word, &s, error))
        return false;
    /* Who waits at a gate must see the signal's effect. */
    if (s.suspended)
        stop_suspend(b, s.id, false, NULL);
    broker_signal(b, &s, SIGTERM);
    wake(b, &s);
    if (!wait_ended(b, s.id, g_get_monotonic_time() + (gint64)grace_ms * 1000, &last, &ended, error))
        return false;
    if (ended)
        return true;
    kill_all(b, &last);
    wake(b, &last);
    if (!wait_ended(b, s.id, g_get_monotonic_time() + 10 * G_USEC_PER_SEC, &last, &ended, error))
        return false;
    if (!ended)
        g_set_error(error, STATUS_ERROR, STATUS_TIMED_OUT,
                    "slice %s was killed and is not gone after 10 s; a process may hang in the driver (see "
                    "`hami doctor %s`)",
                    s.id, s.id);
    return ended;
}

bool stop_suspend(struct broker *b, const char *word, bool suspended, GError **error)
{
    struct ledger_slice s;
    if (!find_live(b, word, &s, error))
        return false;
    g_autoptr(Files) f = files_of(b->paths, s.id);
    int result = region_set_suspended(f->region, suspended);
    if (result < 0) {
        g_set_error(error, STATUS_ERROR, STATUS_FAILED, "region %s of slice %s: %s; see `hami doctor %s`",
                    f->region, s.id, g_strerror(-result), s.id);
        return false;
    }
    s.suspended = suspended;
    return broker_update(b, &s, suspended ? "suspended" : "resumed", "", error);
}
