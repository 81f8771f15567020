/* SPDX-License-Identifier: Apache-2.0
 *
 * The refusal path and the bookkeeping behind mem_engine.h.
 *
 * A refusal must be cheap when nothing has changed, since programs probe for
 * the largest block that fits, and thorough when something may have: pools may
 * hold unused memory, processes may have died without giving theirs back. The
 * thorough search costs system calls, so each device has a purse of searches:
 * 16 at most, one more every 4 ms. A program that meets its limit now and then
 * always gets the thorough answer; one that hammers on it gets the quick one,
 * about 250 times for each search. The coarse clock that fills the purse is a
 * read of shared kernel memory, not a system call.
 *
 * The limit itself is read anew at each attempt, so a larger grant takes
 * effect at the next call whatever the purse holds.
 */
#include "preload/mem_engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "preload/helper.h"
#include "preload/log.h"
#include "preload/mem_overhead.h"
#include "preload/mem_pool.h"
#include "preload/mem_spill.h"
#include "preload/memory.h"

#define PURSE_MAX 16
#define PURSE_FILL_NS UINT64_C(4000000)
#define LOG_PERIOD_NS UINT64_C(1000000000)

struct mem_table mem_pointers;
struct mem_table mem_arrays;
_Atomic uint32_t mem_unsettled;
_Atomic uint64_t mem_rounding;

static struct refusal {
    _Atomic uint64_t purse_ns; /* when the purse was empty, in past time */
    _Atomic uint64_t logged_ns;
} refusals[REGION_DEVICES];

static uint64_t coarse_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Takes one search out of the purse: purse_ns moves towards now by one fill
 * and never lies further back than a full purse. */
static bool purse_take(struct refusal *f, uint64_t now_ns)
{
    uint64_t oldest_ns = now_ns > PURSE_MAX * PURSE_FILL_NS ? now_ns - PURSE_MAX * PURSE_FILL_NS : 0;
    uint64_t then_ns = atomic_load_explicit(&f->purse_ns, memory_order_relaxed);
    uint64_t next_ns;

    do {
        next_ns = (then_ns < oldest_ns ? oldest_ns : then_ns) + PURSE_FILL_NS;
        if (next_ns > now_ns)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&f->purse_ns, &then_ns, next_ns, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void refused(unsigned d, uint64_t n, uint64_t now_ns)
{
    struct refusal *f = &refusals[d];
    uint64_t last_ns = atomic_load_explicit(&f->logged_ns, memory_order_relaxed);
    uint64_t used;

    ledger_count_oom(&slice.region, d);
    if (last_ns && now_ns - last_ns < LOG_PERIOD_NS)
        return;
    if (!atomic_compare_exchange_strong(&f->logged_ns, &last_ns, now_ns ? now_ns : 1))
        return;
    used = ledger_used(&slice.region, d);
    log_error("Device %u OOM %" PRIu64 " / %" PRIu64, d, n > UINT64_MAX - used ? UINT64_MAX : used + n,
              slice_mem_limit(d));
}

void mem_refused(unsigned d, uint64_t n)
{
    refused(d, n, coarse_ns());
}

static bool search(unsigned d, uint64_t n)
{
    bool taken;
    int saved = errno;

    memory_settle();
    taken = mem_reserve_quietly(d, n);
    if (!taken && region_reclaim(&slice.region) > 0)
        taken = mem_reserve_quietly(d, n);
    if (!taken && mem_pools_trim(d))
        taken = mem_reserve_quietly(d, n);
    errno = saved;
    return taken;
}

CUresult __attribute__((noinline)) mem_reserve_slow(unsigned d, uint64_t n)
{
    struct refusal *f = &refusals[d];
    uint64_t limit = slice_mem_limit(d);
    uint64_t now_ns = coarse_ns();

    if (n <= MEM_BYTES_MAX && n <= (limit ? limit : UINT64_MAX) && purse_take(f, now_ns) && search(d, n))
        return CUDA_SUCCESS;
    refused(d, n, now_ns);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

void __attribute__((noinline)) mem_freed_other(struct mem_table *t, const struct mem_entry *e, CUresult r)
{
    if (r != CUDA_SUCCESS) {
        mem_table_put(t, e, NULL);
        return;
    }
    if (e->flags & MEM_SPILLED)
        mem_spill_freed(e->device, e->bytes, 1);
    if (e->kind == MEM_ASYNC)
        mem_pool_freed_now(e->owner, e->bytes);
    else
        mem_release(e->device, e->bytes);
}

void __attribute__((noinline)) mem_rounding_grew(unsigned d)
{
    uint64_t sum = atomic_exchange_explicit(&mem_rounding, 0, memory_order_relaxed);
    uint64_t limit = slice_mem_limit(d);

    helper_note();
    if (limit && overhead_expect(d, sum) > limit)
        overhead_now(d);
}

/* What a sweep of the tables looks for, and what it found. */
struct gone {
    CUcontext ctx; /* NULL: whatever is on `device` */
    unsigned device;
    uint64_t bytes[REGION_DEVICES];
    uint64_t spilled[REGION_DEVICES];
    uint32_t n_spilled[REGION_DEVICES];
};

static bool belongs(struct mem_entry *e, void *arg)
{
    struct gone *gone = arg;

    if (e->kind != MEM_PLAIN && e->kind != MEM_ARRAY)
        return false;
    if (gone->ctx ? e->owner != gone->ctx : e->device != gone->device)
        return false;
    gone->bytes[e->device] += e->bytes;
    if (e->flags & MEM_SPILLED) {
        gone->spilled[e->device] += e->bytes;
        gone->n_spilled[e->device]++;
    }
    return true;
}

static void sweep(struct gone *gone)
{
    mem_table_sweep(&mem_pointers, belongs, gone);
    mem_table_sweep(&mem_arrays, belongs, gone);
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        mem_release(d, gone->bytes[d]);
        if (gone->n_spilled[d])
            mem_spill_freed(d, gone->spilled[d], gone->n_spilled[d]);
    }
}

void mem_context_gone(CUcontext ctx)
{
    struct gone gone = {.ctx = ctx};

    if (ctx)
        sweep(&gone);
    mem_pools_forget();
}

void mem_device_gone(unsigned d)
{
    struct gone gone = {.device = d};

    sweep(&gone);
    mem_pools_device_gone(d);
}

void mem_engine_after_fork(void)
{
    mem_table_forget(&mem_pointers);
    mem_table_forget(&mem_arrays);
    atomic_store(&mem_unsettled, 0);
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        atomic_store(&refusals[d].purse_ns, 0);
        atomic_store(&refusals[d].logged_ns, 0);
    }
}
