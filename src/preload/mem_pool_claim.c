/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pool is charged: before an allocation it claims what it asks of the
 * driver, after it, and at each settlement, the charge follows the driver's
 * figure as far as the claims of others allow (mem_pool.h, invariant 2).
 */
#include "preload/mem_engine.h"
#include "preload/mem_pool_private.h"

#define TRIES 16

/* ---- what the driver says ---- */

/* A figure of the pool, by its name for pools and for the memory of graphs. */
static bool read_figure(const struct mem_pool *p, CUmemPool_attribute of_pool, CUgraphMem_attribute of_graphs,
                        uint64_t *ret)
{
    CUstreamCaptureMode mode = mem_quiet_begin();
    cuuint64_t bytes = 0;
    CUresult r = p->handle ? real.cuMemPoolGetAttribute(p->handle, of_pool, &bytes)
                           : real.cuDeviceGetGraphMemAttribute(p->ordinal, of_graphs, &bytes);

    mem_quiet_end(mode);
    *ret = bytes;
    return r == CUDA_SUCCESS;
}

bool mem_pool_reserved_by_driver(const struct mem_pool *p, uint64_t *ret)
{
    return read_figure(p, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT,
                       ret) &&
           *ret <= MEM_BYTES_MAX;
}

static uint64_t read_used(const struct mem_pool *p)
{
    uint64_t bytes;

    return read_figure(p, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &bytes)
               ? bytes
               : 0;
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
    return mem_pool_reserved_by_driver(p, &l->reserved);
}

/* What the pool is charged from now on: what the driver holds, and not less
 * than what the other allocations under way count on. */
static uint64_t new_charge(const struct mem_pool *p, const struct look *l)
{
    uint64_t wanted = p->claimed ? mem_pool_round_up(l->used + p->claimed) : 0;
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

uint64_t mem_pool_charge_of(struct mem_pool *p)
{
    uint64_t bytes;

    mem_lock(&p->lock);
    bytes = p->charged;
    mem_unlock(&p->lock);
    return bytes;
}

/* A pool that reserves more than lives in it may give that back at any later
 * synchronisation, so it stays unsettled. */
void mem_pool_settle(struct mem_pool *p)
{
    bool refused = false;

    /* What is read below is not older than the last touch. */
    (void)atomic_exchange_explicit(&p->dirty, 0, memory_order_acquire);
    if (!mem_pool_is_charged(p))
        return;
    if (!follow(p, 0, 0, false, &refused) ||
        (p->handle &&
         mem_pool_charge_of(p) > mem_pool_round_up(atomic_load_explicit(&p->live, memory_order_relaxed))))
        mem_pool_touch(p);
}

/* ---- an allocation ---- */

/* What the ledger must hold beyond charged and held before n more bytes may be
 * asked for. The rounded size is always enough. */
static uint64_t missing(const struct mem_pool *p, uint64_t used, uint64_t n)
{
    uint64_t wanted = mem_pool_round_up(used + p->claimed + n);
    uint64_t have = p->charged + p->held;
    uint64_t more = wanted > have ? wanted - have : 0;

    return more < mem_pool_round_up(n) ? more : mem_pool_round_up(n);
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
                                                                                     : mem_pool_round_up(n);
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
    if (!mem_pool_is_charged(p) || !n)
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

/* The claim ends, and what was reserved for it is kept in full until the driver
 * says better. */
static void keep(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    mem_lock(&p->lock);
    p->claimed -= n < p->claimed ? n : p->claimed; /* none was entered for a pool that was dead before */
    p->held -= reserved;
    p->charged += reserved;
    atomic_fetch_add_explicit(&p->version, 1, memory_order_relaxed);
    mem_unlock(&p->lock);
}

/* Ends an allocation of n bytes, made or not. */
static bool conclude(struct mem_pool *p, uint64_t n, uint64_t reserved, bool may_refuse)
{
    bool refused = false;

    if (atomic_load_explicit(&p->kind, memory_order_acquire) == MEM_POOL_DEAD) { /* since we asked */
        keep(p, n, reserved);
        mem_pool_dead_shrink(p);
    } else if (mem_pool_is_charged(p) && !follow(p, n, reserved, may_refuse, &refused)) {
        keep(p, n, reserved);
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
