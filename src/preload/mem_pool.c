/* SPDX-License-Identifier: Apache-2.0
 *
 * The register of pools. A process has a handful: the default pool of each
 * device, the pool of its graphs, and those it made. They are found by a walk
 * over at most 256 places; a place is never moved, so that a pointer to it
 * stays valid for as long as an allocation names it. What a program makes or
 * makes up never takes the last of them, which are kept for the pools that the
 * driver has by itself: no memory is taken from a pool without a place.
 */
#include "preload/mem_pool.h"

#include "preload/mem_engine.h"
#include "preload/mem_graph.h"
#include "preload/mem_pool_private.h"

#define POOLS_MAX 256
#define POOLS_KEPT (2 * REGION_DEVICES) /* of each device, the default pool and that of graphs */

static struct mem_pool pools[POOLS_MAX];
static _Atomic uint32_t n_pools;
static _Atomic uint32_t register_lock;

/* ---- the register ---- */

static struct mem_pool *find(CUmemoryPool handle, unsigned graph_device)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++) {
        struct mem_pool *p = &pools[i];
        uint8_t kind = atomic_load_explicit(&p->kind, memory_order_acquire);

        if (handle ? p->handle == handle && (kind == MEM_POOL_DEVICE || kind == MEM_POOL_OTHER)
                   : kind == MEM_POOL_GRAPH && p->device == graph_device)
            return p;
    }
    return NULL;
}

/* One of the first `places`. */
static struct mem_pool *place_free(uint32_t places)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_relaxed);

    for (uint32_t i = 0; i < n && i < places; i++)
        if (atomic_load_explicit(&pools[i].kind, memory_order_acquire) == MEM_POOL_FREE)
            return &pools[i];
    return n < places ? &pools[n] : NULL;
}

static bool keeps_all(CUmemoryPool handle)
{
    CUstreamCaptureMode mode = mem_quiet_begin();
    cuuint64_t bytes = 0;

    if (real.cuMemPoolGetAttribute(handle, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes) != CUDA_SUCCESS)
        bytes = 0;
    mem_quiet_end(mode);
    return bytes > MEM_BYTES_MAX;
}

static struct mem_pool *add(CUmemoryPool handle, enum mem_pool_kind kind, int device, CUdevice ordinal,
                            uint32_t places)
{
    struct mem_pool *p = find(handle, (unsigned)device);
    bool keeps;

    if (p)
        return p;
    keeps = handle && device >= 0 && keeps_all(handle);
    mem_lock(&register_lock);
    p = find(handle, (unsigned)device);
    if (!p && (p = place_free(places))) {
        p->handle = handle;
        p->device = (uint16_t)(device < 0 ? 0 : device);
        p->ordinal = ordinal;
        p->charged = 0;
        p->held = 0;
        p->claimed = 0;
        p->live = 0;
        p->reserved = 0;
        p->keeps_all = keeps;
        p->excess = 0;
        p->known.count = 0;
        atomic_fetch_and_explicit(&p->dirty, ~MEM_TOUCHED, memory_order_relaxed);
        atomic_store_explicit(&p->kind, (uint8_t)(device < 0 ? MEM_POOL_OTHER : kind), memory_order_release);
        if (p == &pools[atomic_load_explicit(&n_pools, memory_order_relaxed)])
            atomic_fetch_add_explicit(&n_pools, 1, memory_order_release);
    }
    mem_unlock(&register_lock);
    return p;
}

struct mem_pool *mem_pool_add(CUmemoryPool handle, enum mem_pool_kind kind, int device, CUdevice ordinal)
{
    return add(handle, kind, device, ordinal, POOLS_MAX - POOLS_KEPT);
}

struct mem_pool *mem_pool_graph(unsigned d, CUdevice ordinal)
{
    struct mem_pool *p = find(NULL, d);

    return p || ordinal < 0 ? p : add(NULL, MEM_POOL_GRAPH, (int)d, ordinal, POOLS_MAX);
}

/* A pool we did not see being made is somebody's default pool, or current. */
static struct mem_pool *discover(CUmemoryPool handle)
{
    int n = 0;

    if (real.cuDeviceGetCount(&n) != CUDA_SUCCESS)
        n = 0;
    for (CUdevice dev = 0; dev < n; dev++) {
        CUmemoryPool candidate = NULL;

        if ((real.cuDeviceGetDefaultMemPool(&candidate, dev) == CUDA_SUCCESS && candidate == handle) ||
            (real.cuDeviceGetMemPool(&candidate, dev) == CUDA_SUCCESS && candidate == handle))
            return add(handle, MEM_POOL_DEVICE, slice_device_of(dev), dev, POOLS_MAX);
    }
    return mem_pool_add(handle, MEM_POOL_DEVICE, ctx_here()->device, ctx_here()->ordinal);
}

struct mem_pool *mem_pool_of(CUmemoryPool handle)
{
    struct mem_pool *p = handle ? find(handle, 0) : NULL;

    return p || !handle ? p : discover(handle);
}

/* ---- the end of a pool ---- */

/* What the driver keeps for a dead pool it no longer says: one block of each of
 * its pieces is enough to keep them all, so the charge stays until none lives.
 * The place is free once none is under way either. */
void mem_pool_dead_shrink(struct mem_pool *p)
{
    unsigned d = p->device;
    uint64_t less = 0;

    mem_lock(&p->lock);
    /* Another thread's free may have ended it, and the place be another's. */
    if (atomic_load_explicit(&p->kind, memory_order_relaxed) == MEM_POOL_DEAD && !p->live) {
        less = p->charged;
        p->charged = 0;
        if (!p->claimed)
            atomic_store_explicit(&p->kind, MEM_POOL_FREE, memory_order_release);
    }
    mem_unlock(&p->lock);
    mem_release(d, less);
}

/* Who finds the mark set may leave it: what cleared it would be a settlement
 * that has yet to ask the driver, and whoever set it sets mem_unsettled next.
 * So a loop of allocations and frees does not write the line that all share. */
void mem_pool_touch(struct mem_pool *p)
{
    if (likely(atomic_load_explicit(&p->dirty, memory_order_acquire) & MEM_TOUCHED))
        return;
    atomic_fetch_or_explicit(&p->dirty, MEM_TOUCHED, memory_order_release);
    atomic_fetch_or_explicit(&mem_unsettled, MEM_TOUCHED, memory_order_release);
}

/* Whether the pool is dead is looked at under the lock: either this thread sees
 * that, or whoever destroys the pool sees what is left in it. */
static inline bool shrink_live(struct mem_pool *p, uint64_t n, bool forget)
{
    bool dead;

    mem_lock(&p->lock);
    p->live -= n < p->live ? n : p->live;
    if (forget)
        p->known.count = 0;
    dead = atomic_load_explicit(&p->kind, memory_order_relaxed) == MEM_POOL_DEAD;
    mem_unlock(&p->lock);
    if (unlikely(dead))
        mem_pool_dead_shrink(p);
    return !dead;
}

void mem_pool_freed(struct mem_pool *p, uint64_t n)
{
    if (likely(shrink_live(p, n, false)))
        mem_pool_touch(p);
}

void mem_pool_freed_now(struct mem_pool *p, uint64_t n)
{
    if (shrink_live(p, n, true))
        mem_pool_settle(p);
}

static void forget(struct mem_pool *p)
{
    mem_lock(&p->lock);
    p->known.count = 0;
    mem_unlock(&p->lock);
}

void mem_pool_trimmed(struct mem_pool *p)
{
    forget(p);
    mem_pool_settle(p);
}

static void set_keeps(struct mem_pool *p, bool keeps)
{
    mem_lock(&p->lock);
    p->keeps_all = keeps;
    mem_unlock(&p->lock);
}

/* Another thread may wait for something before we come to know the outcome. */
void mem_pool_changing(CUmemoryPool handle)
{
    struct mem_pool *p = handle ? find(handle, 0) : NULL;

    if (p)
        set_keeps(p, false);
}

void mem_pool_changed(CUmemoryPool handle, CUresult r)
{
    struct mem_pool *p = r == CUDA_SUCCESS ? mem_pool_of(handle) : handle ? find(handle, 0) : NULL;

    if (!p)
        return;
    set_keeps(p, keeps_all(handle));
    mem_pool_touch(p); /* a lower one gives memory back at the next sync point */
}

static void trim(struct mem_pool *p)
{
    CUstreamCaptureMode mode = mem_quiet_begin();

    if (p->handle) {
        real.cuMemPoolTrimTo(p->handle, 0);
    } else {
        real.cuDeviceGraphMemTrim(p->ordinal);
        mem_graph_trimmed(p->device);
    }
    mem_quiet_end(mode);
    mem_pool_trimmed(p);
}

static bool is_used(struct mem_pool *p)
{
    bool used;

    mem_lock(&p->lock);
    used = p->live != 0;
    mem_unlock(&p->lock);
    return used;
}

/* The last look: what nobody uses goes with the pool. */
struct mem_pool *mem_pool_detach(CUmemoryPool handle)
{
    struct mem_pool *p = handle ? find(handle, 0) : NULL;

    if (p && mem_pool_is_charged(p) && is_used(p))
        trim(p);
    mem_lock(&register_lock);
    p = handle ? find(handle, 0) : NULL;
    if (p) {
        p->was = atomic_load(&p->kind);
        atomic_store(&p->kind, MEM_POOL_DEAD); /* its handle may be given to a new pool at once */
    }
    mem_unlock(&register_lock);
    return p;
}

void mem_pool_destroyed(struct mem_pool *p, CUresult r)
{
    if (r != CUDA_SUCCESS) {
        atomic_store(&p->kind, p->was);
        mem_pool_touch(p);
    } else {
        mem_pool_dead_shrink(p);
    }
}

/* ---- all of them ---- */

void mem_pools_touch(void)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (mem_pool_is_charged(&pools[i]))
            mem_pool_touch(&pools[i]);
}

void mem_pools_forget(void)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        forget(&pools[i]);
    mem_pools_touch();
}

void mem_pools_settle(void)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (atomic_load_explicit(&pools[i].dirty, memory_order_relaxed))
            mem_pool_settle(&pools[i]);
}

bool mem_pools_trim(unsigned d)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);
    bool any = false;

    for (uint32_t i = 0; i < n; i++) {
        struct mem_pool *p = &pools[i];
        uint64_t before;

        if (!mem_pool_is_charged(p) || p->device != d || !(before = mem_pool_charge_of(p)))
            continue;
        trim(p);
        any = any || mem_pool_charge_of(p) < before;
    }
    return any;
}

static void set_empty(struct mem_pool *p)
{
    uint64_t less;

    mem_lock(&p->lock);
    less = p->charged;
    p->charged = 0;
    p->reserved = 0;
    p->known.count = 0;
    p->version++;
    mem_unlock(&p->lock);
    mem_release(p->device, less);
}

/* No context is left on the device: what the driver does not say is gone. */
void mem_pools_device_gone(unsigned d)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);
    uint64_t reserved;

    for (uint32_t i = 0; i < n; i++)
        if (mem_pool_is_charged(&pools[i]) && pools[i].device == d &&
            !mem_pool_reserved_by_driver(&pools[i], &reserved))
            set_empty(&pools[i]);
        else if (mem_pool_is_charged(&pools[i]) && pools[i].device == d)
            mem_pool_trimmed(&pools[i]);
}

bool mem_pools_growing(unsigned d)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);
    bool growing = false;

    for (uint32_t i = 0; i < n && !growing; i++) {
        struct mem_pool *p = &pools[i];

        if (!mem_pool_is_charged(p) || p->device != d)
            continue;
        mem_lock(&p->lock);
        growing = p->held != 0 || p->claimed != 0;
        mem_unlock(&p->lock);
    }
    return growing;
}

void mem_pools_after_fork(void)
{
    for (uint32_t i = 0; i < POOLS_MAX; i++)
        pools[i] = (struct mem_pool){0};
    atomic_store(&n_pools, 0);
    atomic_store(&register_lock, 0);
}
