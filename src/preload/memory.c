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
    mem_look_begin(&mem_unsettled);
    mem_pools_settle();
    mem_look_end(&mem_unsettled);
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
