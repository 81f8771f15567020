/* SPDX-License-Identifier: Apache-2.0
 *
 * The register of pools. A process has a handful: the default pool of each
 * device, the pool of its graphs, and those it made. They are found by a walk
 * over at most 256 places; a place is never moved, so that a pointer to it
 * stays valid for as long as an allocation names it.
 */
#include "preload/mem_pool.h"

#include "preload/mem_engine.h"

#define POOLS_MAX 256
#define GROWTH_BYTES (UINT64_C(2) << 20)
#define TRIES 16

static struct mem_pool pools[POOLS_MAX];
static _Atomic uint32_t n_pools;
static _Atomic uint32_t register_lock;

static uint64_t round_up(uint64_t n)
{
    return (n + GROWTH_BYTES - 1) / GROWTH_BYTES * GROWTH_BYTES;
}

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

static struct mem_pool *place_free(void)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_relaxed);

    for (uint32_t i = 0; i < n; i++)
        if (atomic_load_explicit(&pools[i].kind, memory_order_acquire) == MEM_POOL_FREE)
            return &pools[i];
    return n < POOLS_MAX ? &pools[n] : NULL;
}

struct mem_pool *mem_pool_add(CUmemoryPool handle, enum mem_pool_kind kind, int device, CUdevice ordinal)
{
    struct mem_pool *p;

    mem_lock(&register_lock);
    p = find(handle, (unsigned)device);
    if (!p && (p = place_free())) {
        p->handle = handle;
        p->device = (uint16_t)(device < 0 ? 0 : device);
        p->ordinal = ordinal;
        p->charged = 0;
        p->held = 0;
        p->claimed = 0;
        atomic_store_explicit(&p->live, 0, memory_order_relaxed);
        atomic_store_explicit(&p->dirty, 0, memory_order_relaxed);
        atomic_store_explicit(&p->kind, (uint8_t)(device < 0 ? MEM_POOL_OTHER : kind), memory_order_release);
        if (p == &pools[atomic_load_explicit(&n_pools, memory_order_relaxed)])
            atomic_fetch_add_explicit(&n_pools, 1, memory_order_release);
    }
    mem_unlock(&register_lock);
    return p;
}

struct mem_pool *mem_pool_graph(unsigned d, CUdevice ordinal)
{
    struct mem_pool *p = find(NULL, d);

    return p || ordinal < 0 ? p : mem_pool_add(NULL, MEM_POOL_GRAPH, (int)d, ordinal);
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
            return mem_pool_add(handle, MEM_POOL_DEVICE, slice_device_of(dev), dev);
    }
    return mem_pool_add(handle, MEM_POOL_DEVICE, ctx_here()->device, ctx_here()->ordinal);
}

struct mem_pool *mem_pool_of(CUmemoryPool handle)
{
    struct mem_pool *p = handle ? find(handle, 0) : NULL;

    return p || !handle ? p : discover(handle);
}

/* ---- what the driver says ---- */

static bool charged_kind(const struct mem_pool *p)
{
    uint8_t kind = atomic_load_explicit(&p->kind, memory_order_relaxed);

    return kind == MEM_POOL_DEVICE || kind == MEM_POOL_GRAPH;
}

static uint64_t charged(struct mem_pool *p)
{
    uint64_t bytes;

    mem_lock(&p->lock);
    bytes = p->charged;
    mem_unlock(&p->lock);
    return bytes;
}

static bool read_reserved(const struct mem_pool *p, uint64_t *ret)
{
    CUstreamCaptureMode mode = mem_quiet_begin();
    cuuint64_t bytes = 0;
    CUresult r;

    if (p->handle)
        r = real.cuMemPoolGetAttribute(p->handle, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &bytes);
    else
        r = real.cuDeviceGetGraphMemAttribute(p->ordinal, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT, &bytes);
    mem_quiet_end(mode);
    *ret = bytes;
    return r == CUDA_SUCCESS && bytes <= MEM_BYTES_MAX;
}

static uint64_t read_used(const struct mem_pool *p)
{
    CUstreamCaptureMode mode = mem_quiet_begin();
    cuuint64_t bytes = 0;
    CUresult r;

    if (p->handle)
        r = real.cuMemPoolGetAttribute(p->handle, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &bytes);
    else
        r = real.cuDeviceGetGraphMemAttribute(p->ordinal, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &bytes);
    mem_quiet_end(mode);
    return r == CUDA_SUCCESS ? bytes : 0;
}

/* One look at the driver, for the allocation that ends with it (none: zeros).
 * `used` is read first: whatever an allocation under way adds after that is
 * among the claims still, so that used + claimed is never less than what the
 * pool has come to hold, however many blocks are freed in between. */
struct look {
    uint32_t version;
    uint64_t used, reserved; /* what the driver says */
    bool used_is_known;
    uint64_t n, taken; /* the claim that ends, and what the ledger holds for it */
};

static bool look_at(struct mem_pool *p, struct look *l)
{
    l->version = atomic_load_explicit(&p->version, memory_order_acquire);
    mem_lock(&p->lock);
    l->used_is_known = p->claimed > l->n;
    mem_unlock(&p->lock);
    l->used = l->used_is_known ? read_used(p) : 0;
    return read_reserved(p, &l->reserved);
}

/* What the pool is charged from now on: what the driver holds, and not less
 * than what the other allocations under way count on. */
static uint64_t new_charge(const struct mem_pool *p, const struct look *l)
{
    uint64_t wanted = p->claimed ? round_up(l->used + p->claimed) : 0;
    uint64_t have = p->charged + l->taken;

    wanted = wanted > p->held ? wanted - p->held : 0;
    if (wanted > have)
        wanted = have;
    return l->reserved > wanted ? l->reserved : wanted;
}

/* Ends the claim and makes the charge what it should be. Growth that nothing
 * covers is reserved when it may be refused, else charged. The ledger is not
 * touched under the lock. */
static bool apply(struct mem_pool *p, const struct look *l, bool may_refuse, bool *ret_refused)
{
    uint64_t have, target, more = 0, less = 0, covered = 0;

    mem_lock(&p->lock);
    if (atomic_load_explicit(&p->version, memory_order_relaxed) != l->version ||
        (p->claimed > l->n && !l->used_is_known)) {
        mem_unlock(&p->lock);
        return false;
    }
    p->claimed -= l->n;
    p->held -= l->taken;
    have = p->charged + l->taken;
    target = new_charge(p, l);
    if (target > have) {
        more = target - have;
        covered = more < p->held ? more : p->held;
        more -= covered;
    } else {
        less = have - target;
    }
    p->charged = target - covered;
    atomic_store_explicit(&p->version, l->version + 1, memory_order_relaxed);
    mem_unlock(&p->lock);
    if (covered)
        mem_pool_touch(p);
    mem_release(p->device, less);
    *ret_refused = more && may_refuse && !mem_reserve_quietly(p->device, more);
    if (more && (!may_refuse || *ret_refused))
        mem_charge(p->device, more); /* the driver holds it, if only until the caller has undone it */
    return true;
}

/* Reads the driver's figures and applies them. False: others were faster each
 * time, and the claim has not ended. */
static bool follow(struct mem_pool *p, uint64_t n, uint64_t taken, bool may_refuse, bool *ret_refused)
{
    struct look l = {.n = n, .taken = taken};

    for (unsigned i = 0; i < TRIES; i++) {
        if (!look_at(p, &l))
            return false;
        if (apply(p, &l, may_refuse, ret_refused))
            return true;
    }
    return false;
}

/* A pool that reserves more than lives in it may give that back at any later
 * synchronisation, so it stays unsettled. */
void mem_pool_settle(struct mem_pool *p)
{
    bool refused = false;

    atomic_store_explicit(&p->dirty, 0, memory_order_relaxed);
    if (!charged_kind(p))
        return;
    if (!follow(p, 0, 0, false, &refused) ||
        (p->handle && charged(p) > round_up(atomic_load_explicit(&p->live, memory_order_relaxed))))
        mem_pool_touch(p);
}

void mem_pool_touch(struct mem_pool *p)
{
    atomic_store_explicit(&p->dirty, 1, memory_order_relaxed);
    atomic_store_explicit(&mem_unsettled, 1, memory_order_release);
}

/* ---- an allocation ---- */

/* What the ledger must hold beyond charged and held before n more bytes may be
 * asked for. The rounded size is always enough. */
static uint64_t missing(const struct mem_pool *p, uint64_t used, uint64_t n)
{
    uint64_t wanted = round_up(used + p->claimed + n);
    uint64_t have = p->charged + p->held;
    uint64_t more = wanted > have ? wanted - have : 0;

    return more < round_up(n) ? more : round_up(n);
}

/* Enters the claim when `taken` covers it; else says what would. */
static bool claim(struct mem_pool *p, uint64_t n, uint64_t taken, uint64_t *ret_needed)
{
    uint32_t version = atomic_load_explicit(&p->version, memory_order_acquire);
    uint64_t used = read_used(p);
    bool entered;

    mem_lock(&p->lock);
    /* After another's conclusion `used` may lack what that one took. */
    *ret_needed = atomic_load_explicit(&p->version, memory_order_relaxed) == version ? missing(p, used, n)
                                                                                     : round_up(n);
    entered = *ret_needed <= taken;
    if (entered) {
        p->claimed += n;
        p->held += taken;
    }
    mem_unlock(&p->lock);
    return entered;
}

/* Another thread's allocation may be counted as used and as claimed, for a
 * moment: look again before refusing. */
static bool claim_quietly(struct mem_pool *p, uint64_t n, uint64_t *taken, uint64_t *ret_needed)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (claim(p, n, *taken, ret_needed))
            return true;
        if (mem_reserve_quietly(p->device, *ret_needed - *taken))
            *taken = *ret_needed;
    }
    return false;
}

CUresult mem_pool_reserve(struct mem_pool *p, uint64_t n, uint64_t *ret_reserved)
{
    uint64_t taken = 0, needed = 0;

    *ret_reserved = 0;
    if (!charged_kind(p) || !n)
        return CUDA_SUCCESS;
    if (n > MEM_BYTES_MAX)
        return mem_reserve_slow(p->device, n);
    if (!claim_quietly(p, n, &taken, &needed)) {
        /* The search gives back what pools can spare, ours too: what is needed
         * is another figure after it. */
        if (mem_reserve(p->device, needed - taken) == CUDA_SUCCESS)
            taken = needed;
        if (taken != needed || !claim_quietly(p, n, &taken, &needed)) {
            mem_release(p->device, taken);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    *ret_reserved = taken;
    return CUDA_SUCCESS;
}

/* Ends an allocation of n bytes, made or not. */
static bool conclude(struct mem_pool *p, uint64_t n, uint64_t reserved, bool may_refuse)
{
    bool refused = false;

    if (!charged_kind(p)) { /* destroyed meanwhile: what lives in it is charged by size */
        mem_release(p->device, reserved);
        return true;
    }
    if (!follow(p, n, reserved, may_refuse, &refused)) {
        mem_lock(&p->lock); /* kept in full until the driver says better */
        p->claimed -= n;
        p->held -= reserved;
        p->charged += reserved;
        atomic_fetch_add_explicit(&p->version, 1, memory_order_relaxed);
        mem_unlock(&p->lock);
        mem_pool_touch(p);
    }
    return !refused;
}

CUresult mem_pool_commit(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    atomic_fetch_add(&p->live, n);
    return conclude(p, n, reserved, true) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

void mem_pool_launched(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    conclude(p, n, reserved, false);
}

/* What was reserved may be what others count on by now, so it is not simply
 * given back. */
void mem_pool_cancel(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    conclude(p, n, reserved, false);
    mem_pool_touch(p);
}

/* A dead pool shrinks with its allocations, for the driver no longer says. */
static void dead_shrink(struct mem_pool *p, uint64_t live)
{
    uint64_t target = round_up(live);
    uint64_t less = 0;

    mem_lock(&p->lock);
    if (p->charged > target) {
        less = p->charged - target;
        p->charged = target;
    }
    mem_unlock(&p->lock);
    mem_release(p->device, less);
    if (!live)
        atomic_store_explicit(&p->kind, MEM_POOL_FREE, memory_order_release);
}

void mem_pool_freed(struct mem_pool *p, uint64_t n)
{
    uint64_t live = atomic_fetch_sub(&p->live, n) - n;

    if (atomic_load_explicit(&p->kind, memory_order_acquire) == MEM_POOL_DEAD)
        dead_shrink(p, live);
    else
        mem_pool_touch(p);
}

/* ---- the end of a pool ---- */

struct mem_pool *mem_pool_detach(CUmemoryPool handle)
{
    struct mem_pool *p;

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
        dead_shrink(p, atomic_load(&p->live));
    }
}

/* ---- all of them ---- */

void mem_pools_touch(void)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (charged_kind(&pools[i]))
            mem_pool_touch(&pools[i]);
}

void mem_pools_settle(void)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (atomic_load_explicit(&pools[i].dirty, memory_order_relaxed))
            mem_pool_settle(&pools[i]);
}

static void trim(struct mem_pool *p)
{
    CUstreamCaptureMode mode = mem_quiet_begin();

    if (p->handle)
        real.cuMemPoolTrimTo(p->handle, 0);
    else
        real.cuDeviceGraphMemTrim(p->ordinal);
    mem_quiet_end(mode);
    mem_pool_settle(p);
}

bool mem_pools_trim(unsigned d)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);
    bool any = false;

    for (uint32_t i = 0; i < n; i++) {
        struct mem_pool *p = &pools[i];
        uint64_t before;

        if (!charged_kind(p) || p->device != d || !(before = charged(p)))
            continue;
        trim(p);
        any = any || charged(p) < before;
    }
    return any;
}

static void set_empty(struct mem_pool *p)
{
    uint64_t less;

    mem_lock(&p->lock);
    less = p->charged;
    p->charged = 0;
    atomic_fetch_add_explicit(&p->version, 1, memory_order_relaxed);
    mem_unlock(&p->lock);
    mem_release(p->device, less);
}

/* No context is left on the device: what the driver does not say is gone. */
void mem_pools_device_gone(unsigned d)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);
    uint64_t reserved;

    for (uint32_t i = 0; i < n; i++)
        if (charged_kind(&pools[i]) && pools[i].device == d && !read_reserved(&pools[i], &reserved))
            set_empty(&pools[i]);
        else if (charged_kind(&pools[i]) && pools[i].device == d)
            mem_pool_settle(&pools[i]);
}

bool mem_pools_growing(unsigned d)
{
    uint32_t n = atomic_load_explicit(&n_pools, memory_order_acquire);
    bool growing = false;

    for (uint32_t i = 0; i < n && !growing; i++) {
        struct mem_pool *p = &pools[i];

        if (!charged_kind(p) || p->device != d)
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
