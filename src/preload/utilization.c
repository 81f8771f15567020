/* SPDX-License-Identifier: Apache-2.0
 *
 * See utilization.h. Where launches are gated, the device time that was
 * measured for them; else the management library's samples of this process.
 *
 * Invariants:
 *   1. While the process works the figure is never 0 for the mere lack of a
 *      sample: the driver takes one up to a second late.
 *   2. Only the own slot is written, only by the helper.
 */
#include "preload/utilization.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "preload/mem_self.h"
#include "preload/slice.h"
#include "region/extension.h"

#define LOOK_NS UINT64_C(1000000000)
#define SILENT_MAX 2 /* looks without a sample after which the process is idle */

static uint64_t looked_ns;
static bool active; /* something was submitted since */
static bool shows;  /* a figure is not 0 */
static struct seen {
    uint64_t busy_ns;
    uint32_t silent;
} seen[REGION_DEVICES];

static uint64_t measured(struct seen *s, uint64_t busy_ns, uint64_t span_ns)
{
    uint64_t used = busy_ns > s->busy_ns ? busy_ns - s->busy_ns : 0;
    s->busy_ns = busy_ns;
    uint64_t percent = used / (span_ns / 100);
    return used && !percent ? 1 : percent < 100 ? percent : 100;
}

/* The driver's figure, or the last one while it has none to tell. */
static uint64_t sampled(struct seen *s, unsigned d, uint64_t before)
{
    uint64_t percent = 0;
    if (mem_self_sm_percent(d, &percent)) {
        s->silent = 0;
        return percent < 100 ? percent : 100;
    }
    return s->silent < SILENT_MAX && ++s->silent ? before : 0;
}

bool utilization_publish(uint64_t now_ns, bool worked)
{
    uint64_t span = now_ns - looked_ns;
    active |= worked;
    if (slice.slot < 0 || slice.slot >= REGION_SLOTS - 1 || span < LOOK_NS)
        return shows;
    bool first = looked_ns == 0;
    looked_ns = now_ns;
    shows = false;
    for (unsigned d = 0; d < slice.n_devices && d < REGION_DEVICES; d++) {
        uint64_t *figure = &slice.region.base->procs[slice.slot].device_util[d].sm;
        uint64_t busy = atomic_load_explicit(&slice.region.ext->members[slice.slot].compute[d].busy_ns,
                                             memory_order_relaxed);
        uint64_t percent = measured(&seen[d], busy, span);
        if (!percent && active && !first)
            percent = sampled(&seen[d], d, __atomic_load_n(figure, __ATOMIC_RELAXED));
        __atomic_store_n(figure, percent, __ATOMIC_RELAXED);
        shows |= percent != 0;
    }
    active = false;
    return shows;
}

void utilization_after_fork(void)
{
    looked_ns = 0;
    shows = false;
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        seen[d] = (struct seen){0};
}
