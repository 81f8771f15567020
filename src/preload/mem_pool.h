/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory pools: what is charged for one is what the driver keeps reserved for
 * it (RESERVED_MEM_CURRENT), not what is in use inside it.
 *
 * Invariants:
 *   1. pool.charged is what the ledger holds for the pool; it follows the
 *      driver's figure after each allocation that may have made the pool grow
 *      and at each settlement, as far as 2 allows.
 *   2. charged + held covers what the driver uses in the pool and what is being
 *      asked of it (claimed), rounded up: whether an allocation grows the pool
 *      or finds what others freed, and whether the driver trims it meanwhile,
 *      nothing is taken that the ledger does not hold. A driver that grows a
 *      pool by more than that has the rest reserved right after, or the
 *      allocation undone.
 *   3. A figure read before another thread settled is never applied.
 *   4. A destroyed pool stays charged for all that the driver kept for it until
 *      nothing lives in it.
 *   5. Growth that another thread's reservation covers is left to that thread.
 *   6. The driver is not asked when there is nothing to learn. Before an
 *      allocation: live + claimed is what it uses, to the byte (a block counts
 *      from its allocation to the call that frees it, whatever still runs on
 *      its stream; driver 580 does so), and when the charge covers that and the
 *      new block nothing is missing. After it: a block inside `known` has not
 *      made the pool grow. `known` was part of `reserved` when the driver last
 *      said that figure, and is forgotten as soon as the figure is another one,
 *      or the driver may have trimmed: when the pool was trimmed, one of its
 *      blocks was freed by cuMemFree, a context ended, or a stream, event or
 *      context was waited for and the pool's threshold is one it can pass.
 *   7. While something is known the pool is dirty: whoever waited settles it.
 *   8. What a pool grew by past the limit is charged, but no allocation counts
 *      on it: until the slice is within its limit again those under way in the
 *      pool are undone, for they may lie there, and no new one is asked for.
 */
#ifndef HAMI_PRELOAD_MEM_POOL_H
#define HAMI_PRELOAD_MEM_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/mem_spans.h"

enum mem_pool_kind {
    MEM_POOL_FREE = 0,
    MEM_POOL_DEVICE, /* charged */
    MEM_POOL_OTHER,  /* host memory, imported, or not of this slice: followed, never charged */
    MEM_POOL_GRAPH,  /* a device's memory of graphs; handle is NULL */
    MEM_POOL_DEAD,   /* destroyed, still with live allocations */
};

/* What an allocation that finds room touches is two cache lines. */
struct mem_pool {
    _Alignas(64) _Atomic uint32_t lock;
    _Atomic uint8_t kind; /* enum mem_pool_kind */
    uint8_t was;          /* the kind before its destruction began */
    uint16_t device;
    _Atomic uint32_t dirty; /* as mem_unsettled */
    uint32_t version;       /* of charged; under lock, as all below */
    uint32_t passed;        /* allocations that the driver was not asked about */
    CUdevice ordinal;
    uint64_t charged;
    uint64_t held;    /* reserved by allocations under way, beside charged */
    uint64_t claimed; /* bytes being asked of the driver right now */
    uint64_t live;    /* bytes of the allocations in it that we know */
    CUmemoryPool handle;
    uint64_t reserved; /* what the driver last said it keeps for the pool */
    bool keeps_all;    /* its threshold is above anything: waiting trims nothing */
    uint64_t excess;   /* of charged: what it grew by past the limit */
    struct mem_spans known;
};
_Static_assert(offsetof(struct mem_pool, reserved) == 64, "the figures fill one line");

/* The pool behind a handle, made known when it is new. NULL when there are too
 * many: nothing may be allocated from it then. */
struct mem_pool *mem_pool_of(CUmemoryPool handle);
struct mem_pool *mem_pool_add(CUmemoryPool handle, enum mem_pool_kind kind, int device, CUdevice ordinal);

/* The pool of device d's graphs; made known when ordinal is not -1. */
struct mem_pool *mem_pool_graph(unsigned d, CUdevice ordinal);

/* Before and after an allocation of n bytes: reserve what the pool may have to
 * grow by, then make the charge what the driver says. No call of the driver
 * when there is room and the block at ptr lies in it. */
CUresult mem_pool_reserve(struct mem_pool *p, uint64_t n, uint64_t *ret_reserved);
CUresult mem_pool_commit(struct mem_pool *p, CUdeviceptr ptr, uint64_t n, uint64_t reserved);
void mem_pool_launched(struct mem_pool *p, uint64_t n, uint64_t reserved); /* graphs: never refused */
void mem_pool_cancel(struct mem_pool *p, uint64_t n, uint64_t reserved);

/* Whether it grew past the limit, and the slice was not within it since. */
bool mem_pool_exceeds(struct mem_pool *p);

/* n bytes were freed in stream order, or by a call that waited and may have
 * trimmed the pool. */
void mem_pool_freed(struct mem_pool *p, uint64_t n);
void mem_pool_freed_now(struct mem_pool *p, uint64_t n);

/* Unsettled: looked at when something has been waited for. */
void mem_pool_touch(struct mem_pool *p);
void mem_pool_settle(struct mem_pool *p);
void mem_pool_trimmed(struct mem_pool *p); /* settles at once */

/* Around a change of the pool's attributes. */
void mem_pool_changing(CUmemoryPool handle);
void mem_pool_changed(CUmemoryPool handle, CUresult r);

/* The driver is about to destroy the pool, and has or has not. */
struct mem_pool *mem_pool_detach(CUmemoryPool handle);
void mem_pool_destroyed(struct mem_pool *p, CUresult r);

void mem_pools_touch(void);
void mem_pools_forget(void); /* the driver may have trimmed any of them; touches them */
void mem_pools_settle(void);
bool mem_pools_trim(unsigned d); /* gives unused memory of device d back; true if anything came */
void mem_pools_device_gone(unsigned d);
/* An allocation is under way: the driver may have grown a pool by more than is charged yet. */
bool mem_pools_growing(unsigned d);
void mem_pools_after_fork(void);

#endif
