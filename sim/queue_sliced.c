/* SPDX-License-Identifier: Apache-2.0
 *
 * See queue_sliced.h. `run_ns` is the moment up to which the past has been
 * played; each step serves one entry until it ends, its process's quantum
 * ends, or the asked moment comes.
 */
#include "queue_sliced.h"

static struct sim_entry *entry_at(struct sim_queue *q, uint64_t position)
{
    return &q->entries[position % SIM_RING];
}

void sim_sliced_push(struct sim_queue *q, struct sim_entry *e, uint64_t work_ns)
{
    e->left_ns = work_ns;
    e->start_ns = 0;
    e->end_ns = UINT64_MAX;
    e->server = 0;
    if (q->head == q->tail && q->run_ns < e->ready_ns)
        q->run_ns = e->ready_ns; /* idle until now: nothing to play */
}

/* The first queued entry of every process is its candidate. Returns the
 * candidate of the first process from `first` on (cyclic by process number) that
 * is ready by now, or NULL with *ret_wake the moment at which one becomes ready. */
static struct sim_entry *next_candidate(struct sim_queue *q, uint32_t first, uint64_t now, uint64_t *ret_wake)
{
    uint64_t seen[SIM_PROCESSES / 64] = {0};
    struct sim_entry *best = NULL;
    uint32_t best_rank = UINT32_MAX;
    *ret_wake = UINT64_MAX;
    for (uint64_t p = q->head; p < q->tail; p++) {
        struct sim_entry *e = entry_at(q, p);
        if (e->state != SIM_ENTRY_QUEUED || (seen[e->process / 64] >> (e->process % 64)) & 1)
            continue;
        seen[e->process / 64] |= 1ULL << (e->process % 64);
        if (e->ready_ns > now) {
            if (e->ready_ns < *ret_wake)
                *ret_wake = e->ready_ns;
            continue;
        }
        uint32_t rank = (e->process + SIM_PROCESSES - first) % SIM_PROCESSES;
        if (rank < best_rank) {
            best_rank = rank;
            best = e;
        }
    }
    return best;
}

static void flush_slice(struct sim_queue *q, struct sim_entry *e, uint64_t now, sim_interval_sink sink,
                        void *arg)
{
    if (sink != NULL && now > q->slice_from_ns)
        sink(arg, q, e, q->slice_from_ns, now);
    q->slice_from_ns = now;
}

/* Chooses what runs next at run_ns; false when nothing can before *ret_wake. */
static bool dispatch(struct sim_queue *q, uint32_t last, uint64_t *ret_wake)
{
    bool slice_left = q->slice_end_ns > q->run_ns;
    uint32_t first = slice_left ? last : (last + 1) % SIM_PROCESSES;
    struct sim_entry *e = next_candidate(q, first, q->run_ns, ret_wake);
    if (e == NULL)
        return false;
    if (e->process != last || !slice_left)
        q->slice_end_ns = q->run_ns + q->quantum_ns;
    if (e->start_ns == 0)
        e->start_ns = q->run_ns;
    q->slice_from_ns = q->run_ns;
    q->serving = e->position;
    return true;
}

void sim_sliced_run(struct sim_queue *q, uint64_t now, sim_interval_sink sink, void *arg)
{
    uint32_t last = (uint32_t)q->free_ns[0]; /* the process served last */
    while (q->run_ns < now) {
        uint64_t wake;
        if (q->serving == 0 && !dispatch(q, last, &wake)) {
            q->run_ns = wake < now ? wake : now;
            continue;
        }
        struct sim_entry *e = entry_at(q, q->serving);
        uint64_t stop = q->run_ns + e->left_ns;
        if (stop > q->slice_end_ns)
            stop = q->slice_end_ns;
        if (stop > now)
            stop = now;
        last = e->process;
        q->free_ns[0] = last;
        e->left_ns -= stop - q->run_ns;
        q->run_ns = stop;
        if (e->left_ns == 0) {
            e->end_ns = stop;
            flush_slice(q, e, stop, sink, arg);
            sim_queue_finish(q, e, SIM_ENTRY_DONE);
            q->serving = 0;
            sim_queue_advance_head(q);
        } else if (stop == q->slice_end_ns) {
            flush_slice(q, e, stop, sink, arg);
            q->serving = 0;
        }
    }
}

/* Own work in front of and including the position, and for every other
 * process the same number of turns at most. */
uint64_t sim_sliced_look_again(const struct sim_queue *q, uint64_t position, uint64_t now)
{
    if (position >= q->tail || position + SIM_RING < q->tail)
        return 0;
    const struct sim_entry *target = &q->entries[position % SIM_RING];
    if (target->position != position || target->state != SIM_ENTRY_QUEUED)
        return target->position == position ? target->end_ns : 0;
    uint64_t own = 0, others = 0;
    for (uint64_t p = q->head; p < q->tail; p++) {
        const struct sim_entry *e = &q->entries[p % SIM_RING];
        if (e->state != SIM_ENTRY_QUEUED)
            continue;
        if (e->process != target->process)
            others += e->left_ns;
        else if (p <= position)
            own += e->left_ns;
    }
    uint64_t turns = own / q->quantum_ns * q->quantum_ns;
    uint64_t at = now + own + (others < turns ? others : turns);
    return at > now ? at : now + 1000;
}

void sim_sliced_stop_serving(struct sim_queue *q, uint16_t process, uint64_t now, sim_interval_sink sink,
                             void *arg)
{
    if (q->serving == 0 || entry_at(q, q->serving)->process != process)
        return;
    flush_slice(q, entry_at(q, q->serving), now, sink, arg);
    q->serving = 0;
}
