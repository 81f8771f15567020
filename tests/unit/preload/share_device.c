/* SPDX-License-Identifier: Apache-2.0
 *
 * The device of the machine in virtual time: one engine, first in, first out or
 * by time slices, and a log of who used it when.
 */
#include <glib.h>

#include "share_world.h"

static void log_stretch(struct device *d, int tenant, uint64_t from, uint64_t to)
{
    if (from == to)
        return;
    if (d->n_log && d->log[d->n_log - 1].tenant == tenant && d->log[d->n_log - 1].to == from) {
        d->log[d->n_log - 1].to = to;
        return;
    }
    g_assert_cmpuint(d->n_log, <, LOG_MAX);
    d->log[d->n_log++] = (struct interval){tenant, from, to};
}

void pass_marks(struct tenant *t, uint64_t at)
{
    struct queue *q = &t->queue;
    while (q->first < q->next) {
        struct job *j = &q->jobs[q->first % JOBS];
        if (j->left > 0 || j->arrived > at)
            return;
        if (j->event >= 0)
            t->events[j->event] = (struct event){true, true, at > j->arrived ? at : j->arrived};
        q->first++;
    }
}

static struct job *head(int i, unsigned device, uint64_t at)
{
    struct tenant *t = &world->tenants[i];
    if (world->setup.tenants[i].device != device || t->queue.first == t->queue.next)
        return NULL;
    struct job *j = &t->queue.jobs[t->queue.first % JOBS];
    return j->arrived <= at ? j : NULL;
}

/* Whose kernel runs at d->at: first come, or the slice's owner. */
static int choose(struct device *d, unsigned number)
{
    int best = NOBODY;
    if (world->setup.slice_ns && d->running != NOBODY && d->at < d->slice_end &&
        head(d->running, number, d->at))
        return d->running;
    for (int k = 1; k <= MACHINE_TENANTS; k++) {
        int i = (d->running + k + MACHINE_TENANTS) % MACHINE_TENANTS;
        struct job *j = head(i, number, d->at);
        if (!j)
            continue;
        if (world->setup.slice_ns) {
            best = i;
            break;
        }
        if (best == NOBODY || j->arrived < head(best, number, d->at)->arrived)
            best = i;
    }
    if (!world->setup.slice_ns && d->running != NOBODY && d->slice_end > d->at &&
        head(d->running, number, d->at))
        best = d->running; /* a kernel that began is not interrupted */
    if (best != d->running || d->at >= d->slice_end)
        d->slice_end = d->at + world->setup.slice_ns;
    d->running = best;
    return best;
}

static uint64_t next_arrival(unsigned number, uint64_t after)
{
    uint64_t next = UINT64_MAX;
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        struct queue *q = &world->tenants[i].queue;
        if (world->setup.tenants[i].device == number && q->first < q->next &&
            q->jobs[q->first % JOBS].arrived > after && q->jobs[q->first % JOBS].arrived < next)
            next = q->jobs[q->first % JOBS].arrived;
    }
    return next;
}

/* A barrier kernel runs until every rank that lives has arrived at its own. */
static bool barrier_open(struct tenant *rank, struct job *job)
{
    rank->barriers += !job->counted;
    job->counted = true;
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        const struct tenant *t = &world->tenants[i];
        if (world->setup.tenants[i].program == RANKS && t->alive && t->barriers < rank->barriers)
            return false;
    }
    return true;
}

void device_run(unsigned number, uint64_t until)
{
    struct device *d = &world->devices[number];
    while (d->at < until) {
        for (int i = 0; i < MACHINE_TENANTS; i++)
            if (world->setup.tenants[i].device == number)
                pass_marks(&world->tenants[i], d->at);
        int i = choose(d, number);
        uint64_t next = next_arrival(number, d->at);
        uint64_t stop = next < until ? next : until;
        if (i == NOBODY) {
            d->at = stop;
            continue;
        }
        struct job *j = head(i, number, d->at);
        if (!world->setup.slice_ns) {
            d->slice_end = UINT64_MAX;
        } else if (d->slice_end > d->at && d->slice_end < stop) {
            stop = d->slice_end;
        }
        uint64_t end = d->at + j->left < stop ? d->at + j->left : stop;
        if (j->event == NOBODY)
            log_stretch(d, i, d->at, end);
        j->left -= end - d->at;
        d->at = end;
        if (j->left == 0 && j->barrier && !barrier_open(&world->tenants[i], j))
            j->left = SPIN; /* spins */
        if (j->left == 0) {
            if (!world->setup.slice_ns)
                d->slice_end = 0;
            world->tenants[i].queue.first += j->event == NOBODY;
            pass_marks(&world->tenants[i], d->at);
        }
    }
}
