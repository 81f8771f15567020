/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pool is charged: before an allocation it claims what it asks of the
 * driver, after it, and at each settlement, the charge follows the driver's
 * figure as far as the claims of others allow (mem_pool.h, invariant 2).
 *
 * An allocation that finds room, in memory the pool is known to have, asks the
 * driver for no figure: it enters its claim and ends it, each under the lock
 * (invariant 6). It needs no look of its own because it changes no charge; who
 * lowers the charge meanwhile sees its claim, or sees in `passed` that it ended,
 * and looks again: the driver may have trimmed what the block was then given.
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
    uint32_t version, passed;
    uint64_t used, reserved; /* what the driver says */
    bool used_is_known;
    bool has_waited;   /* a settlement: the driver has trimmed what is beyond the threshold */
    uint64_t n, taken; /* the claim that ends, and what the ledger holds for it */
    CUdeviceptr ptr;   /* what it became; 0 = nothing, or a graph's */
};

static bool look_at(struct mem_pool *p, struct look *l)
{
    mem_lock(&p->lock);
    l->version = p->version;
    l->passed = p->passed;
    if (l->has_waited && !p->keeps_all)
        p->known.count = 0;
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

/* Others have been faster: what was read may be less than what is now. A figure
 * that lowers nothing is not hurt by allocations that made nothing grow. */
static bool is_stale(const struct mem_pool *p, const struct look *l)
{
    return p->version != l->version || (p->claimed > l->n && !l->used_is_known) ||
           (p->passed != l->passed && l->reserved < p->charged + l->taken);
}

/* Under the lock, with a figure that is not stale. */
static void learn(struct mem_pool *p, const struct look *l)
{
    if (l->reserved != p->reserved)
        p->known.count = 0;
    p->reserved = l->reserved;
    if (l->ptr)
        mem_spans_add(&p->known, l->ptr, l->n, p->reserved);
}

/* Growth that nothing covers is in the ledger now, room or not: the driver holds
 * it. Until the slice is within its limit again nobody may count on that much,
 * and what was under way is undone when it ends: it may lie there. */
static void exceed(struct mem_pool *p, uint64_t more)
{
    mem_charge(p->device, more);
    mem_lock(&p->lock);
    p->excess += more;
    mem_unlock(&p->lock);
}

static void forgive(struct mem_pool *p)
{
    mem_lock(&p->lock);
    p->excess = 0;
    mem_unlock(&p->lock);
}

bool mem_pool_exceeds(struct mem_pool *p)
{
    bool exceeds;

    mem_lock(&p->lock);
    exceeds = p->excess != 0;
    mem_unlock(&p->lock);
    return exceeds;
}

static bool is_over_limit(unsigned d)
{
    uint64_t limit = slice_mem_limit(d);

    return limit && ledger_used(&slice.region, d) > limit;
}

/* Ends the claim and makes the charge what it should be. Growth that nothing
 * covers is reserved. The ledger is not touched under the lock. */
static bool apply(struct mem_pool *p, const struct look *l, bool may_refuse, bool *ret_refused)
{
    uint64_t have, target, more = 0, less = 0, covered = 0;
    bool exceeds;

    mem_lock(&p->lock);
    if (is_stale(p, l)) {
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
    p->version++;
    learn(p, l);
    exceeds = p->excess != 0;
    mem_unlock(&p->lock);
    if (covered || l->ptr)
        mem_pool_touch(p);
    mem_release(p->device, less);
    if (unlikely(exceeds) && !is_over_limit(p->device)) {
        forgive(p);
        exceeds = false;
    }
    if (more && !mem_reserve_quietly(p->device, more)) {
        exceed(p, more);
        exceeds = true;
    }
    *ret_refused = may_refuse && exceeds;
    return true;
}

/* Reads the driver's figures and applies them. False: others were faster each
 * time, and the claim has not ended. */
static bool follow(struct mem_pool *p, struct look *l, bool may_refuse, bool *ret_refused)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (!look_at(p, l))
            return false;
        if (apply(p, l, may_refuse, ret_refused))
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
static bool stays_unsettled(struct mem_pool *p)
{
    bool more;

    mem_lock(&p->lock);
    more = p->handle && (p->known.count || p->charged > mem_pool_round_up(p->live));
    mem_unlock(&p->lock);
    return more;
}

void mem_pool_settle(struct mem_pool *p)
{
    bool refused = false;

    mem_look_begin(&p->dirty);
    if (mem_pool_is_charged(p) &&
        (!follow(p, &(struct look){.has_waited = true}, false, &refused) || stays_unsettled(p)))
        mem_pool_touch(p);
    mem_look_end(&p->dirty);
}

/* ---- an allocation ---- */

/* What allocations may count on. */
static inline uint64_t room(const struct mem_pool *p)
{
    uint64_t have = p->charged + p->held;

    return have > p->excess ? have - p->excess : 0;
}

/* What the ledger must hold beyond charged and held before n more bytes may be
 * asked for. The rounded size is always enough. */
static uint64_t missing(const struct mem_pool *p, uint64_t used, uint64_t n)
{
    uint64_t wanted = mem_pool_round_up(used + p->claimed + n);
    uint64_t have = room(p);
    uint64_t more = wanted > have ? wanted - have : 0;

    return more < mem_pool_round_up(n) ? more : mem_pool_round_up(n);
}

/* Enters the claim when the charge covers it beside all that lives. */
static inline bool claim_room(struct mem_pool *p, uint64_t n)
{
    bool there;

    mem_lock(&p->lock);
    there = !p->excess && mem_pool_round_up(p->live + p->claimed + n) <= room(p) &&
            atomic_load_explicit(&p->kind, memory_order_relaxed) == MEM_POOL_DEVICE;
    if (likely(there))
        p->claimed += n;
    mem_unlock(&p->lock);
    return there;
}

/* Enters the claim when `taken` covers it; else says what would. */
static bool claim(struct mem_pool *p, uint64_t n, uint64_t taken, uint64_t *ret_needed)
{
    struct look before;
    uint64_t used;
    bool entered;

    mem_lock(&p->lock);
    before = (struct look){.version = p->version, .passed = p->passed};
    mem_unlock(&p->lock);
    used = read_used(p);
    mem_lock(&p->lock);
    /* After another's conclusion `used` may lack what that one took. */
    *ret_needed = p->version == before.version && p->passed == before.passed ? missing(p, used, n)
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

/* Whether the pool holds more than the limit allows, still: what was freed on a
 * stream that does not get on is lost for others, and the driver would take as
 * much again for each of them. */
static bool is_stuck(struct mem_pool *p)
{
    if (likely(!mem_pool_exceeds(p)))
        return false;
    mem_pools_trim(p->device);
    return mem_pool_exceeds(p) && is_over_limit(p->device);
}

static CUresult __attribute__((noinline))
reserve_growth(struct mem_pool *p, uint64_t n, uint64_t *ret_reserved)
{
    uint64_t taken = 0, needed = 0;

    if (!mem_pool_is_charged(p))
        return CUDA_SUCCESS;
    if (n > MEM_BYTES_MAX)
        return mem_reserve_slow(p->device, n);
    if (unlikely(is_stuck(p))) {
        mem_refused(p->device, n);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
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

CUresult mem_pool_reserve(struct mem_pool *p, uint64_t n, uint64_t *ret_reserved)
{
    *ret_reserved = 0;
    if (!n || (likely(n <= MEM_BYTES_MAX) && likely(claim_room(p, n))))
        return CUDA_SUCCESS;
    return reserve_growth(p, n, ret_reserved);
}

/* The claim ends, and what was reserved for it is kept in full until the driver
 * says better. */
static void keep(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    mem_lock(&p->lock);
    p->claimed -= n < p->claimed ? n : p->claimed; /* none was entered for a pool that was dead before */
    p->held -= reserved;
    p->charged += reserved;
    p->version++;
    mem_unlock(&p->lock);
}

/* Ends an allocation of n bytes, made (at ptr, if it is no graph's) or not. */
static bool conclude(struct mem_pool *p, CUdeviceptr ptr, uint64_t n, uint64_t reserved, bool may_refuse)
{
    struct look l = {.n = n, .taken = reserved, .ptr = ptr};
    bool refused = false;

    if (atomic_load_explicit(&p->kind, memory_order_acquire) == MEM_POOL_DEAD) { /* since we asked */
        keep(p, n, reserved);
        mem_pool_dead_shrink(p);
    } else if (mem_pool_is_charged(p) && !follow(p, &l, may_refuse, &refused)) {
        keep(p, n, reserved);
        mem_pool_touch(p);
    }
    return !refused;
}

/* Ends a claim of room when the block lies where the pool has memory. */
static inline bool commit_known(struct mem_pool *p, CUdeviceptr ptr, uint64_t n)
{
    bool known;

    mem_lock(&p->lock);
    known = mem_spans_hold(&p->known, ptr, n) && p->claimed >= n && !p->excess &&
            atomic_load_explicit(&p->kind, memory_order_relaxed) == MEM_POOL_DEVICE;
    if (likely(known)) {
        p->claimed -= n;
        p->live += n;
        p->passed++;
    }
    mem_unlock(&p->lock);
    return known;
}

static CUresult __attribute__((noinline))
commit_asking(struct mem_pool *p, CUdeviceptr ptr, uint64_t n, uint64_t reserved)
{
    mem_lock(&p->lock);
    p->live += n;
    mem_unlock(&p->lock);
    return conclude(p, ptr, n, reserved, true) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult mem_pool_commit(struct mem_pool *p, CUdeviceptr ptr, uint64_t n, uint64_t reserved)
{
    if (likely(!reserved) && likely(commit_known(p, ptr, n)))
        return CUDA_SUCCESS;
    return commit_asking(p, ptr, n, reserved);
}

void mem_pool_launched(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    conclude(p, 0, n, reserved, false);
}

/* What was reserved may be what others count on by now, so it is not simply
 * given back. */
void mem_pool_cancel(struct mem_pool *p, uint64_t n, uint64_t reserved)
{
    conclude(p, 0, n, reserved, false);
    mem_pool_touch(p);
}
