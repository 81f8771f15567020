/* SPDX-License-Identifier: Apache-2.0
 *
 * See inspect.h.
 */
#include "inspect.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

void sim_inspect_refresh(void)
{
    sim_lock();
    sim_reap(1000000);
    uint64_t now = sim_now();
    for (uint32_t d = 0; d < sim_state->profile.n_devices; d++)
        sim_run_device(d, now);
    sim_unlock();
}

size_t sim_inspect_read(struct sim_log_reader *reader, struct sim_interval *ret, size_t n)
{
    if (reader->device >= sim_state->profile.n_devices)
        return 0;
    size_t got = 0;
    sim_lock();
    sim_run_device(reader->device, sim_now());
    const struct sim_log *log = &sim_state->devices[reader->device].log;
    uint64_t end = log->next, kept = end > log->size ? end - log->size : 0;
    if (reader->next < kept) {
        reader->lost += kept - reader->next;
        reader->next = kept;
    }
    while (got < n && reader->next < end)
        ret[got++] = *sim_log_at(log, reader->next++);
    sim_unlock();
    return got;
}

const char *sim_inspect_cgroup(const struct sim_interval *interval)
{
    return sim_state->cgroups[interval->cgroup % SIM_CGROUPS];
}

static uint64_t overlap(uint64_t start, uint64_t end, uint64_t from, uint64_t to)
{
    uint64_t a = start > from ? start : from, b = end < to ? end : to;
    return b > a ? b - a : 0;
}

/* State lock held: what is being served at the moment is not in the log yet. */
static uint64_t running_ns(const struct sim_queue *q, int pid, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t p = q->head; p < q->tail; p++) {
        const struct sim_entry *e = &q->entries[p % SIM_RING];
        if (e->state != SIM_ENTRY_QUEUED || (pid != 0 && sim_state->processes[e->process].pid != pid))
            continue;
        if (q->schedule == SIM_TIME_SLICED) {
            if (q->serving == p)
                sum += overlap(q->slice_from_ns, q->run_ns, from, to);
        } else if (e->start_ns < to) {
            sum += overlap(e->start_ns, e->end_ns, from, to);
        } else if (q->n_servers == 1) {
            break;
        }
    }
    return sum;
}

static uint64_t engine_ns(unsigned device, unsigned part, unsigned engine, int pid, uint64_t from_ns,
                          uint64_t to_ns)
{
    uint64_t sum = 0;
    sim_lock();
    uint64_t now = sim_now();
    if (to_ns > now)
        to_ns = now;
    sim_run_device(device, now);
    const struct sim_device_state *d = &sim_state->devices[device];
    uint64_t end = d->log.next, kept = end > d->log.size ? end - d->log.size : 0;
    for (uint64_t i = end; i > kept; i--) {
        const struct sim_interval *v = sim_log_at(&d->log, i - 1);
        if (v->end_ns + 1000000000 < from_ns)
            break; /* parts and engines are logged a little out of order */
        if (v->engine == engine && (part == UINT32_MAX || v->part == part) && (pid == 0 || v->pid == pid))
            sum += overlap(v->start_ns, v->end_ns, from_ns, to_ns);
    }
    for (uint32_t i = engine; i < d->n_queues; i += 2) {
        const struct sim_queue *q = sim_queue_at(d->first_queue + i);
        if (part == UINT32_MAX || q->part == part)
            sum += running_ns(q, pid, from_ns, to_ns);
    }
    sim_unlock();
    return sum;
}

uint64_t sim_inspect_busy_ns(unsigned device, unsigned part, int pid, uint64_t from_ns, uint64_t to_ns)
{
    return engine_ns(device, part, SIM_LOG_KERNEL, pid, from_ns, to_ns);
}

uint64_t sim_inspect_copy_ns(unsigned device, unsigned part, int pid, uint64_t from_ns, uint64_t to_ns)
{
    return engine_ns(device, part, SIM_LOG_COPY, pid, from_ns, to_ns);
}

size_t sim_inspect_processes(unsigned device, struct sim_process_view *ret, size_t n)
{
    size_t got = 0;
    sim_lock();
    sim_reap(0); /* whoever has ended is not listed any more */
    for (uint32_t i = 0; i < sim_state->n_processes && got < n; i++) {
        const struct sim_process *p = &sim_state->processes[i];
        if (p->used == 0 || (p->contexts[device] == 0 && p->mem_bytes[device] == 0))
            continue;
        struct sim_process_view *v = &ret[got++];
        *v = (struct sim_process_view){.pid = sim_process_visible_pid(p),
                                       .slot = i,
                                       .part = p->part[device],
                                       .contexts = p->contexts[device],
                                       .mem_bytes = p->mem_bytes[device],
                                       .busy_ns = p->busy_ns[device],
                                       .launches = p->launches[device]};
        snprintf(v->cgroup, sizeof(v->cgroup), "%s", sim_state->cgroups[p->cgroup % SIM_CGROUPS]);
    }
    sim_unlock();
    return got;
}

uint64_t sim_inspect_mem_used(unsigned device, unsigned part)
{
    uint64_t sum = 0;
    sim_lock();
    sim_reap(0);
    for (unsigned i = 0; i < SIM_PARTS; i++)
        if (part == UINT32_MAX || part == i)
            sum += sim_state->devices[device].mem_used[i];
    sim_unlock();
    return sum;
}

uint32_t sim_inspect_queued(unsigned device)
{
    uint32_t sum = 0;
    sim_lock();
    sim_run_device(device, sim_now());
    const struct sim_device_state *d = &sim_state->devices[device];
    for (uint32_t i = 0; i < d->n_queues; i += 2) {
        const struct sim_queue *q = sim_queue_at(d->first_queue + i);
        for (uint64_t p = q->head; p < q->tail; p++)
            sum += q->entries[p % SIM_RING].state == SIM_ENTRY_QUEUED;
    }
    sim_unlock();
    return sum;
}

void sim_inspect_halt(bool halted)
{
    atomic_store(&sim_state->halted, halted);
}

void sim_inspect_advance(uint64_t to_ns)
{
    sim_lock();
    if (to_ns > atomic_load(&sim_state->virtual_ns))
        atomic_store(&sim_state->virtual_ns, to_ns);
    atomic_fetch_add(&sim_state->virtual_turn, 1);
    sim_unlock();
    syscall(SYS_futex, &sim_state->virtual_turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
