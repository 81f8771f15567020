/* SPDX-License-Identifier: Apache-2.0
 *
 * Work of one engine group; see queue.h. First in, first out (also over k
 * servers) is computed here at submission; time slicing is in queue_sliced.c.
 */
#include "queue.h"

#include <string.h>

#include "queue_sliced.h"

void sim_queue_init(struct sim_queue *q, uint32_t schedule, uint32_t servers, uint64_t quantum_ns)
{
    q->schedule = schedule;
    q->n_servers = servers < 1 ? 1 : servers > SIM_SERVERS ? SIM_SERVERS : servers;
    q->quantum_ns = quantum_ns != 0 ? quantum_ns : 2000000;
    q->speed_pm = 1000;
    q->head = q->tail = 1;
}

bool sim_queue_full(const struct sim_queue *q, uint16_t process)
{
    return q->tail - q->head >= SIM_RING || q->pending[process] >= SIM_PENDING_MAX;
}

static struct sim_entry *entry_at(struct sim_queue *q, uint64_t position)
{
    return &q->entries[position % SIM_RING];
}

/* Work of duration_ns at the queue's present speed. */
static uint64_t stretched(const struct sim_queue *q, uint64_t duration_ns)
{
    if (q->speed_pm == 1000 || q->speed_pm == 0)
        return duration_ns;
    return (uint64_t)((unsigned __int128)duration_ns * 1000 / q->speed_pm);
}

/* Gives the entry the server that is free first. */
static void place(struct sim_queue *q, struct sim_entry *e)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < q->n_servers; i++)
        if (q->free_ns[i] < q->free_ns[best])
            best = i;
    uint64_t start = e->ready_ns > q->free_ns[best] ? e->ready_ns : q->free_ns[best];
    e->server = (uint16_t)best;
    e->start_ns = start;
    e->end_ns = start + stretched(q, e->duration_ns);
    q->free_ns[best] = e->end_ns;
}

uint64_t sim_queue_push(struct sim_queue *q, const struct sim_push *push)
{
    uint64_t position = q->tail;
    struct sim_entry *e = entry_at(q, position);
    e->state = 0;
    e->position = position;
    e->duration_ns = push->duration_ns;
    e->ready_ns = push->ready_ns;
    e->process = push->process;
    memcpy(e->after, push->after, sizeof(e->after));
    if (q->schedule == SIM_TIME_SLICED) {
        sim_sliced_push(q, e, stretched(q, push->duration_ns));
    } else {
        place(q, e);
    }
    e->state = SIM_ENTRY_QUEUED;
    q->pending[push->process]++;
    q->tail = position + 1;
    return position;
}

void sim_queue_finish(struct sim_queue *q, struct sim_entry *e, uint32_t state)
{
    if (e->state != SIM_ENTRY_QUEUED)
        return;
    e->state = state;
    if (q->pending[e->process] > 0)
        q->pending[e->process]--;
}

void sim_queue_advance_head(struct sim_queue *q)
{
    while (q->head < q->tail && entry_at(q, q->head)->state != SIM_ENTRY_QUEUED)
        q->head++;
}

void sim_queue_run(struct sim_queue *q, uint64_t now, sim_interval_sink sink, void *arg)
{
    if (q->schedule == SIM_TIME_SLICED) {
        sim_sliced_run(q, now, sink, arg);
        return;
    }
    for (uint64_t p = q->head; p < q->tail; p++) {
        struct sim_entry *e = entry_at(q, p);
        if (e->state != SIM_ENTRY_QUEUED)
            continue;
        if (e->end_ns > now) {
            if (q->n_servers == 1)
                break; /* ends grow with positions */
            continue;
        }
        if (sink != NULL && e->end_ns > e->start_ns)
            sink(arg, q, e, e->start_ns, e->end_ns);
        sim_queue_finish(q, e, SIM_ENTRY_DONE);
    }
    sim_queue_advance_head(q);
}

uint64_t sim_queue_end(const struct sim_queue *q, uint64_t position)
{
    if (position >= q->tail || position + SIM_RING < q->tail)
        return 0;
    const struct sim_entry *e = &q->entries[position % SIM_RING];
    if (e->position != position)
        return 0;
    return e->end_ns;
}

uint64_t sim_queue_look_again(const struct sim_queue *q, uint64_t position, uint64_t now)
{
    if (q->schedule == SIM_TIME_SLICED)
        return sim_sliced_look_again(q, position, now);
    return sim_queue_end(q, position);
}

void sim_queue_drop(struct sim_queue *q, uint16_t process, uint64_t now, sim_interval_sink sink, void *arg)
{
    sim_queue_run(q, now, sink, arg);
    if (q->pending[process] == 0)
        return;
    if (q->schedule == SIM_TIME_SLICED)
        sim_sliced_stop_serving(q, process, now, sink, arg);
    for (uint64_t p = q->head; p < q->tail; p++) {
        struct sim_entry *e = entry_at(q, p);
        if (e->state != SIM_ENTRY_QUEUED || e->process != process)
            continue;
        if (q->schedule != SIM_TIME_SLICED && sink != NULL && e->start_ns < now)
            sink(arg, q, e, e->start_ns, now);
        e->end_ns = now;
        sim_queue_finish(q, e, SIM_ENTRY_DROPPED);
    }
    q->pending[process] = 0;
    sim_queue_advance_head(q);
    q->epoch++;
}

void sim_queue_replan(struct sim_queue *q, uint64_t now, sim_ref_end end_of, void *arg)
{
    q->epoch++;
    if (q->schedule == SIM_TIME_SLICED)
        return; /* nothing is planned ahead there */
    for (uint32_t i = 0; i < q->n_servers; i++)
        q->free_ns[i] = 0;
    for (uint64_t p = q->head; p < q->tail; p++) {
        struct sim_entry *e = entry_at(q, p);
        if (e->state == SIM_ENTRY_QUEUED && e->start_ns <= now && e->end_ns > q->free_ns[e->server])
            q->free_ns[e->server] = e->end_ns;
    }
    for (uint64_t p = q->head; p < q->tail; p++) {
        struct sim_entry *e = entry_at(q, p);
        if (e->state != SIM_ENTRY_QUEUED || e->start_ns <= now)
            continue;
        bool known = false;
        uint64_t ready = now;
        for (unsigned i = 0; i < SIM_DEPENDENCIES; i++) {
            uint64_t end = e->after[i] != 0 ? end_of(arg, e->after[i]) : 0;
            known |= e->after[i] != 0;
            if (end > ready)
                ready = end;
        }
        if (known || e->ready_ns < now)
            e->ready_ns = ready;
        place(q, e);
    }
}

void sim_queue_repair(struct sim_queue *q)
{
    memset(q->pending, 0, sizeof(q->pending));
    if (q->head == 0 || q->tail < q->head || q->tail - q->head > SIM_RING)
        q->head = q->tail = q->tail + 1;
    for (uint64_t p = q->head; p < q->tail; p++) {
        struct sim_entry *e = entry_at(q, p);
        if (e->position == p && e->state == SIM_ENTRY_QUEUED && e->process < SIM_PROCESSES)
            q->pending[e->process]++;
        else if (e->state == SIM_ENTRY_QUEUED)
            e->state = SIM_ENTRY_DROPPED;
    }
    sim_queue_advance_head(q);
    q->epoch++;
}
