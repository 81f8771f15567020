/* SPDX-License-Identifier: Apache-2.0
 *
 * Measured = what the driver says this process uses - what it was charged for
 * allocations - what it only borrows from others (imports). A figure taken
 * while allocations came and went is thrown away. It rises at once, in steps
 * of at least 2 MiB, and falls only when three visits in a row agree, so that
 * programs which subtract two readings of free memory see their own
 * allocations and little else.
 */
#include "preload/mem_overhead.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "preload/log.h"
#include "preload/mem_engine.h"
#include "preload/mem_pool.h"
#include "preload/mem_self.h"
#include "preload/mem_share.h"
#include "region/extension.h"

#define STEP_BYTES (UINT64_C(2) << 20)
#define PLAUSIBLE_BYTES (UINT64_C(4) << 30) /* no driver takes more for a context */

/* How many visits in a row have to agree before the charge falls. */
#define FALL_NOW 1
#define FALL_SLOWLY 3

static struct overhead {
    _Atomic uint32_t lock;
    uint32_t falls;
    uint64_t charged;
    bool present;
    _Atomic uint64_t rounded; /* up since the last measurement */
} overheads[REGION_DEVICES];

/* The driver's version in the upper bits keeps a figure of another driver, left
 * in a region that outlived an upgrade, from being used. One bit marks a guess,
 * which a smaller guess or any measurement replaces. */
#define HINT_GUESS (UINT64_C(1) << 47)
#define HINT_BYTES (HINT_GUESS - 1)

static uint64_t hint(unsigned d)
{
    struct region_device *dev = &slice.region.ext->devices[d];
    uint64_t word = atomic_load_explicit(&dev->overhead_hint, memory_order_relaxed);
    int version = 0;

    if (real.cuDriverGetVersion(&version) != CUDA_SUCCESS)
        return 0;
    return word >> 48 == (uint64_t)version % 65536 ? word & (HINT_GUESS | HINT_BYTES) : 0;
}

static uint64_t learned(unsigned d)
{
    uint64_t bytes = hint(d) & HINT_BYTES;

    return bytes <= PLAUSIBLE_BYTES ? bytes : 0; /* the region is writable by its tenants */
}

static void learn(unsigned d, uint64_t bytes, uint64_t guess)
{
    struct region_device *dev = &slice.region.ext->devices[d];
    int version = 0;

    if (real.cuDriverGetVersion(&version) == CUDA_SUCCESS)
        atomic_store_explicit(&dev->overhead_hint, (uint64_t)version << 48 | guess | bytes,
                              memory_order_relaxed);
}

static void publish(unsigned d, uint64_t bytes)
{
    ledger_mark(&slice.region, slice.slot, d, LEDGER_CONTEXT, bytes);
}

/* A context begins whose bytes the ledger has. */
static void enter(unsigned d, uint64_t bytes)
{
    struct overhead *o = &overheads[d];

    mem_lock(&o->lock);
    o->charged += bytes;
    o->present = true;
    bytes = o->charged;
    mem_unlock(&o->lock);
    publish(d, bytes);
}

/* A program that tries again and again is told once a second. */
static bool may_say(void)
{
    static _Atomic int64_t said;
    struct timespec now;
    int64_t last = atomic_load_explicit(&said, memory_order_relaxed);

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (!last || now.tv_sec > last) && atomic_compare_exchange_strong(&said, &last, (int64_t)now.tv_sec);
}

static CUresult reserve(unsigned d, uint64_t bytes, const char *remedy)
{
    CUresult r = bytes ? mem_reserve(d, bytes) : CUDA_SUCCESS;

    if (r != CUDA_SUCCESS && may_say())
        log_error("Device %u: its memory limit leaves no room for another context of %" PRIu64
                  " bytes; raise the limit or %s",
                  d, bytes, remedy);
    return r;
}

CUresult overhead_begin(unsigned d)
{
    uint64_t bytes = learned(d);
    CUresult r = reserve(d, bytes, "run fewer processes");

    if (r == CUDA_SUCCESS)
        enter(d, bytes);
    return r;
}

CUresult overhead_another(unsigned d, uint64_t *ret_reserved)
{
    uint64_t bytes = learned(d);
    CUresult r = reserve(d, bytes, "make fewer contexts");

    *ret_reserved = r == CUDA_SUCCESS ? bytes : 0;
    return r;
}

void overhead_begin_forced(unsigned d)
{
    uint64_t bytes = learned(d);

    mem_charge(d, bytes);
    enter(d, bytes);
}

void overhead_end(unsigned d)
{
    struct overhead *o = &overheads[d];
    uint64_t bytes;

    mem_lock(&o->lock);
    bytes = o->charged;
    o->charged = 0;
    o->present = false;
    o->falls = 0;
    mem_unlock(&o->lock);
    publish(d, 0);
    mem_release(d, bytes);
}

/* Moves the charge to `bytes`. Going up takes whatever the limit says: the
 * driver has taken it already. */
static void settle_at(unsigned d, uint64_t bytes, uint32_t falls)
{
    struct overhead *o = &overheads[d];
    uint64_t up = 0, down = 0;

    mem_lock(&o->lock);
    if (o->present && bytes >= o->charged + (o->charged ? STEP_BYTES : 1)) {
        up = bytes - o->charged;
        o->falls = 0;
    } else if (o->present && bytes + STEP_BYTES <= o->charged) {
        if (++o->falls >= falls) {
            down = o->charged - bytes;
            o->falls = 0;
        }
    } else {
        o->falls = 0;
    }
    o->charged += up - down;
    bytes = o->charged;
    mem_unlock(&o->lock);
    if (up || down)
        publish(d, bytes);
    mem_charge(d, up);
    mem_release(d, down);
}

static uint64_t overhead_charged(unsigned d)
{
    uint64_t bytes;

    mem_lock(&overheads[d].lock);
    bytes = overheads[d].charged;
    mem_unlock(&overheads[d].lock);
    return bytes;
}

/* The driver's figure for this process less what it asked for. */
static bool measure(unsigned d, uint64_t *ret)
{
    uint64_t before = ledger_operations(&slice.region, slice.slot, d);
    uint64_t held = ledger_held(&slice.region, slice.slot, d);
    uint64_t asked = held - overhead_charged(d) + share_borrowed(d);
    uint64_t used;

    /* What the overflow slot holds is that of many processes. */
    if (slice.slot == REGION_SLOTS - 1 || mem_pools_growing(d) || !mem_self_used(d, &used) ||
        ledger_operations(&slice.region, slice.slot, d) != before)
        return false;
    *ret = used > asked ? used - asked : 0;
    return *ret <= MEM_BYTES_MAX;
}

uint64_t overhead_expect(unsigned d, uint64_t n)
{
    uint64_t sum = atomic_fetch_add_explicit(&overheads[d].rounded, n, memory_order_relaxed) + n;

    return ledger_used(&slice.region, d) + (sum <= MEM_BYTES_MAX ? sum : MEM_BYTES_MAX);
}

/* Another thread that asks may have been stopped half way. */
#define WAITS 200
static bool used_by_us(unsigned d, uint64_t *ret)
{
    static const struct timespec moment = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < WAITS; i++) {
        if (mem_self_used(d, ret))
            return true;
        if (!mem_self_is_asked())
            return false;
        nanosleep(&moment, NULL);
    }
    return false;
}

/* Bytes are in the ledger before the driver is asked for them and until it has
 * freed them, so the larger of two looks around the driver's figure is not less
 * than what it was asked for: what is left is rounding, however busy others are. */
void overhead_now(unsigned d)
{
    uint64_t before, after, used;
    int saved = errno;

    if (slice.slot != REGION_SLOTS - 1 && ctx_count(d)) {
        before = ledger_held(&slice.region, slice.slot, d) - overhead_charged(d) + share_borrowed(d);
        if (used_by_us(d, &used)) {
            atomic_store_explicit(&overheads[d].rounded, 0, memory_order_relaxed);
            after = ledger_held(&slice.region, slice.slot, d) - overhead_charged(d) + share_borrowed(d);
            before = before > after ? before : after;
            if (used > before && used - before > overhead_charged(d) && used <= MEM_BYTES_MAX)
                settle_at(d, used - before, FALL_SLOWLY);
        }
    }
    errno = saved;
}

/* Without the management library: all that is used of the card, less all that
 * the slice was charged for others. Too much when other tenants use the card or
 * when several processes make their first contexts at once, so the smallest
 * plausible figure is kept. Too little is no context's: the driver has just
 * taken more for another thread's rows than was reserved for them. */
static bool guess(unsigned d, CUcontext ctx, uint64_t *ret)
{
    size_t free_bytes = 0, total = 0;
    CUstreamCaptureMode mode;
    CUcontext popped;
    CUresult r;
    uint64_t used = ledger_used(&slice.region, d), others;

    if (!ctx)
        return false;
    mode = mem_quiet_begin();
    r = real.cuCtxPushCurrent_v2(ctx);
    if (r == CUDA_SUCCESS) {
        r = real.cuMemGetInfo_v2(&free_bytes, &total);
        real.cuCtxPopCurrent_v2(&popped);
    }
    mem_quiet_end(mode);
    others = used - overhead_charged(d);
    if (r != CUDA_SUCCESS || free_bytes > total || ledger_used(&slice.region, d) != used ||
        total - free_bytes <= others || mem_pools_growing(d))
        return false;
    *ret = total - free_bytes - others;
    return *ret >= STEP_BYTES && *ret <= PLAUSIBLE_BYTES;
}

void overhead_measure(unsigned d, CUcontext ctx)
{
    int saved = errno;
    uint64_t known = hint(d), bytes;

    if (!known || known & HINT_GUESS) {
        if (measure(d, &bytes)) { /* nothing, or too much: another look will tell, a guess would not */
            if (bytes && bytes <= PLAUSIBLE_BYTES) {
                learn(d, bytes, 0);
                settle_at(d, bytes, FALL_NOW);
            }
        } else if (guess(d, ctx, &bytes) && (!known || bytes < (known & HINT_BYTES))) {
            learn(d, bytes, HINT_GUESS);
            settle_at(d, bytes, FALL_NOW);
        }
    }
    errno = saved;
}

/* Managed memory is charged in full and may not be resident: what that hides
 * must not lower the share of one context. */
static void measure_again(unsigned d, uint32_t falls)
{
    uint64_t bytes;

    if (!ctx_count(d) || !measure(d, &bytes))
        return;
    atomic_store_explicit(&overheads[d].rounded, 0, memory_order_relaxed);
    settle_at(d, bytes > learned(d) ? bytes : learned(d), falls);
}

void overhead_changed(unsigned d)
{
    int saved = errno;

    measure_again(d, FALL_NOW);
    errno = saved;
}

void overhead_tick(void)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        measure_again(d, FALL_SLOWLY);
}

bool overhead_falls(void)
{
    bool falls = false;

    for (unsigned d = 0; d < REGION_DEVICES && !falls; d++) {
        mem_lock(&overheads[d].lock);
        falls = overheads[d].falls > 0;
        mem_unlock(&overheads[d].lock);
    }
    return falls;
}

void overhead_after_fork(void)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        overheads[d] = (struct overhead){0};
}
