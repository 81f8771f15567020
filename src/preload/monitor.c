/* SPDX-License-Identifier: Apache-2.0
 *
 * The monitor protocol. A monitor counts recent_kernel down, sets it to -1 to
 * block a slice of low priority while one of high priority works, and back to
 * 0 to let it go on; the host's word `suspended` stops everybody.
 *
 * Invariants:
 *   1. The gate is two loads while it is open. It is closed only by the host.
 *   2. A monitor that died while it blocked us does not block us for ever:
 *      after 60 s the block is lifted on trial, and a monitor that lives puts
 *      it back before anything runs. `suspended` has no such limit: only the
 *      host's commands write it, and they undo it.
 *   3. No signal is used; a waiting process can be killed like any other.
 *   4. Publishing never overwrites a block.
 */
#include "preload/monitor.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "preload/hook.h"
#include "preload/log.h"
#include "preload/slice.h"

#define SECOND_NS UINT64_C(1000000000)
#define BLOCK_TRUST_NS (60 * SECOND_NS) /* how long a block counts without a sign of life */
#define TRIAL_NS (6 * SECOND_NS)        /* monitors come by every 5 s */
#define HOST_FRESH_NS (30 * SECOND_NS)
#define WAIT_MIN_NS UINT64_C(1000000)
#define WAIT_MAX_NS UINT64_C(20000000)

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static bool is_blocked(void)
{
    return __atomic_load_n(&slice.region.base->recent_kernel, __ATOMIC_RELAXED) < 0;
}

static bool is_suspended(void)
{
    return slice.region.ext && atomic_load_explicit(&slice.region.ext->suspended, memory_order_relaxed) == 1;
}

static bool host_is_alive(uint64_t now)
{
    uint64_t seen = slice.region.ext ? atomic_load(&slice.region.ext->host_seen_ns) : 0;
    return seen && now - seen < HOST_FRESH_NS;
}

static void set_status(int32_t status)
{
    if (slice.slot >= 0 && slice.slot < REGION_SLOTS - 1)
        __atomic_store_n(&slice.region.base->procs[slice.slot].status, status, __ATOMIC_RELAXED);
}

static void lift_on_trial(void)
{
    int32_t value = __atomic_load_n(&slice.region.base->recent_kernel, __ATOMIC_RELAXED);
    if (value < 0)
        __atomic_compare_exchange_n(&slice.region.base->recent_kernel, &value, 0, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
}

__attribute__((noinline, cold)) static void wait_at_gate(void)
{
    int saved = errno;
    uint64_t since = now_ns(), wait = WAIT_MIN_NS, trial = 0;
    set_status(REGION_SLOT_SUSPENDED);
    for (;;) {
        uint64_t now = now_ns();
        bool blocked = is_blocked();
        if (blocked && trial) /* the monitor lives: its block counts again */
            since = now, trial = 0;
        if (blocked && now - since > BLOCK_TRUST_NS && !host_is_alive(now)) {
            lift_on_trial();
            trial = now;
        }
        if (!blocked && !is_suspended() && (!trial || now - trial > TRIAL_NS))
            break;
        nanosleep(&(struct timespec){.tv_nsec = (long)wait}, NULL);
        wait = wait * 2 > WAIT_MAX_NS ? WAIT_MAX_NS : wait * 2;
    }
    if (trial)
        log_error("launches were blocked for %u s by a monitor that shows no sign of life; going on",
                  (unsigned)((now_ns() - since) / SECOND_NS));
    set_status(REGION_SLOT_RUNNING);
    errno = saved;
}

void slice_gate(void)
{
    if (likely(slice.region.base) && unlikely(is_blocked() || is_suspended()))
        wait_at_gate();
}

void monitor_publish(uint64_t now)
{
    static _Atomic uint64_t last;
    uint64_t before = atomic_load_explicit(&last, memory_order_relaxed);
    struct region_base *base = slice.region.base;
    if (!base || (before && now - before < SECOND_NS))
        return;
    atomic_store_explicit(&last, now, memory_order_relaxed);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    __atomic_store_n(&base->last_kernel_time, (uint64_t)t.tv_sec, __ATOMIC_RELAXED);
    int32_t value = __atomic_load_n(&base->recent_kernel, __ATOMIC_RELAXED);
    while (value >= 0 && value < 2)
        if (__atomic_compare_exchange_n(&base->recent_kernel, &value, 2, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            break;
}
