/* SPDX-License-Identifier: Apache-2.0
 *
 * What the rest of the library calls: settlement, the helper thread's visit,
 * and the child of a fork.
 */
#include "preload/memory.h"

#include <errno.h>

#include "preload/mem_engine.h"
#include "preload/mem_graph.h"
#include "preload/mem_overhead.h"
#include "preload/mem_pool.h"
#include "preload/mem_self.h"
#include "preload/mem_share.h"
#include "preload/mem_spill.h"
#include "preload/mem_vmm.h"

void memory_settle(void)
{
    int saved;

    if (likely(!atomic_load_explicit(&mem_unsettled, memory_order_relaxed)) || !mem_active())
        return;
    saved = errno;
    /* Exchanged, not stored: a store may take effect behind the looks at the pools, and undo the touch of one
     * that they came too early to see. */
    atomic_exchange_explicit(&mem_unsettled, 0, memory_order_acquire);
    mem_pools_settle();
    errno = saved;
}

void memory_stream_ended(void)
{
    ctx_forget();
}

void memory_tick(uint64_t now_ns)
{
    if (!mem_active())
        return;
    overhead_tick();
    mem_spill_tick(now_ns);
}

bool memory_watches(void)
{
    return atomic_load_explicit(&mem_shared, memory_order_relaxed) || overhead_falls();
}

void memory_after_fork(void)
{
    mem_engine_after_fork();
    mem_pools_after_fork();
    mem_graph_after_fork();
    mem_vmm_after_fork();
    mem_spill_after_fork();
    share_after_fork();
    overhead_after_fork();
    mem_self_after_fork();
    ctx_after_fork();
}
