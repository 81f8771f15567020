/* SPDX-License-Identifier: Apache-2.0
 *
 * What mem_pool.c (the register) and mem_pool_claim.c (the charge) share.
 */
#ifndef HAMI_PRELOAD_MEM_POOL_PRIVATE_H
#define HAMI_PRELOAD_MEM_POOL_PRIVATE_H

#include "preload/mem_pool.h"

/* Drivers grow a pool in steps of this, or of more (driver 580: 32 MiB). */
#define MEM_POOL_GROWTH_BYTES MEM_SPAN_BYTES

static inline uint64_t mem_pool_round_up(uint64_t n)
{
    return (n + MEM_POOL_GROWTH_BYTES - 1) / MEM_POOL_GROWTH_BYTES * MEM_POOL_GROWTH_BYTES;
}

static inline bool mem_pool_is_charged(const struct mem_pool *p)
{
    uint8_t kind = atomic_load_explicit(&p->kind, memory_order_relaxed);

    return kind == MEM_POOL_DEVICE || kind == MEM_POOL_GRAPH;
}

/* What the driver keeps for the pool; false: it does not say. */
bool mem_pool_reserved_by_driver(const struct mem_pool *p, uint64_t *ret);

uint64_t mem_pool_charge_of(struct mem_pool *p);

/* After anything that a dead pool may have shrunk by. */
void mem_pool_dead_shrink(struct mem_pool *p);

#endif
