/* SPDX-License-Identifier: Apache-2.0
 *
 * Thrashing: the slice has spilled memory on a device, what its processes hold
 * there is more than the card has, and kernels keep being launched. The driver
 * then moves pages in and out for nearly every kernel. One visit that finds
 * this is counted in the region; the first of a run of them says so on stderr.
 */
#include "preload/mem_spill.h"

#include <errno.h>
#include <inttypes.h>

#include "preload/log.h"
#include "region/extension.h"

static _Atomic uint64_t spilled[REGION_DEVICES]; /* by this process */
static _Atomic uint32_t blocks;                  /* spilled allocations of this process */

static struct region_device *shared(unsigned d)
{
    return &slice.region.ext->devices[d];
}

CUresult mem_spill_alloc(const struct ctx_here *here, CUdeviceptr *ret, size_t n)
{
    CUresult r = real.cuMemAllocManaged(ret, n, CU_MEM_ATTACH_GLOBAL);

    if (r != CUDA_SUCCESS)
        return CUDA_ERROR_OUT_OF_MEMORY;
    real.cuMemAdvise(*ret, n, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, here->ordinal);
    atomic_fetch_add(&spilled[here->device], n);
    atomic_fetch_add(&blocks, 1);
    atomic_fetch_add_explicit(&shared((unsigned)here->device)->spilled, n, memory_order_relaxed);
    return CUDA_SUCCESS;
}

void mem_spill_freed(unsigned d, uint64_t n, uint32_t count)
{
    atomic_fetch_sub(&spilled[d], n);
    atomic_fetch_sub(&blocks, count);
    atomic_fetch_sub_explicit(&shared(d)->spilled, n, memory_order_relaxed);
}

bool mem_is_spilled(CUdeviceptr ptr)
{
    struct mem_entry e;
    CUdeviceptr base = 0;

    if (likely(!atomic_load_explicit(&blocks, memory_order_relaxed)))
        return false;
    if (real.cuPointerGetAttribute(&base, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, ptr) != CUDA_SUCCESS)
        base = ptr;
    return mem_table_get(&mem_pointers, base, &e) && e.flags & MEM_SPILLED;
}

void mem_spill_tick(uint64_t now_ns)
{
    static uint64_t launches[REGION_DEVICES];
    static bool thrashing[REGION_DEVICES];

    (void)now_ns;
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        uint64_t mine = atomic_load_explicit(&spilled[d], memory_order_relaxed);
        uint64_t seen, used;

        if (!mine && !thrashing[d])
            continue;
        seen = atomic_load_explicit(&shared(d)->compute.launches, memory_order_relaxed);
        used = ledger_used(&slice.region, d);
        if (mine && seen != launches[d]) {
            atomic_fetch_add_explicit(&shared(d)->thrash_count, 1, memory_order_relaxed);
            if (!thrashing[d])
                log_warn("Device %u thrashes: %" PRIu64 " of %" PRIu64
                         " bytes are spilled to host memory while kernels run; use less or raise the card",
                         d, mine, used);
            thrashing[d] = true;
        } else if (!mine) {
            thrashing[d] = false;
        }
        launches[d] = seen;
    }
}

void mem_spill_after_fork(void)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        atomic_store(&spilled[d], 0);
    atomic_store(&blocks, 0);
}
