/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory pools: what is charged for one is what the driver keeps reserved for
 * it (RESERVED_MEM_CURRENT), not what is in use inside it.
 *
 * Invariants:
 *   1. pool.charged is what the ledger holds for the pool; it follows the
 *      driver's figure after each allocation and at each settlement, as far as
 *      2 allows.
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
 */
#ifndef HAMI_PRELOAD_MEM_POOL_H
#define HAMI_PRELOAD_MEM_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"

enum mem_pool_kind {
    MEM_POOL_FREE = 0,
    MEM_POOL_DEVICE, /* charged */
    MEM_POOL_OTHER,  /* host memory, imported, or not of this slice: followed, never charged */
    MEM_POOL_GRAPH,  /* a device's memory of graphs; handle is NULL */
    MEM_POOL_DEAD,   /* destroyed, still with live allocations */
};

struct mem_pool {
    CUmemoryPool handle;
    _Atomic uint32_t lock;
    _Atomic uint8_t kind; /* enum mem_pool_kind */
    uint16_t device;
    CUdevice ordinal;
    uint8_t was;              /* the kind before its destruction began */
    uint64_t charged;         /* under lock, as held and claimed */
    uint64_t held;            /* reserved by allocations under way, beside charged */
    uint64_t claimed;         /* bytes being asked of the driver right now */
    _Atomic uint64_t live;    /* bytes of the allocations in it that we know */
    _Atomic uint32_t version; /* of charged */
    _Atomic uint32_t dirty;
};

/* The pool behind a handle, made known when it is new. NULL when there are too
 * many: the caller then treats each allocation as plain memory. */
struct mem_pool *mem_pool_of(CUmemoryPool handle);
struct mem_pool *mem_pool_add(CUmemoryPool handle, enum mem_pool_kind kind, int device, CUdevice ordinal);

/* The pool of device d's graphs; made known when ordinal is not -1. */
struct mem_pool *mem_pool_graph(unsigned d, CUdevice ordinal);

/* Before and after an allocation of n bytes: reserve what the pool may have to
 * grow by, then make the charge what the driver says. */
CUresult mem_pool_reserve(struct mem_pool *p, uint64_t n, uint64_t *ret_reserved);
CUresult mem_pool_commit(struct mem_pool *p, uint64_t n, uint64_t reserved);
void mem_pool_launched(struct mem_pool *p, uint64_t n, uint64_t reserved); /* graphs: never refused */
void mem_pool_cancel(struct mem_pool *p, uint64_t n, uint64_t reserved);

void mem_pool_freed(struct mem_pool *p, uint64_t n);
void mem_pool_touch(struct mem_pool *p);
void mem_pool_settle(struct mem_pool *p);

/* The driver is about to destroy the pool, and has or has not. */
struct mem_pool *mem_pool_detach(CUmemoryPool handle);
void mem_pool_destroyed(struct mem_pool *p, CUresult r);

void mem_pools_touch(void);
void mem_pools_settle(void);
bool mem_pools_trim(unsigned d); /* gives unused memory of device d back; true if anything came */
void mem_pools_device_gone(unsigned d);
/* An allocation is under way: the driver may have grown a pool by more than is charged yet. */
bool mem_pools_growing(unsigned d);
void mem_pools_after_fork(void);

#endif
