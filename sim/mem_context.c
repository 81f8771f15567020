/* SPDX-License-Identifier: Apache-2.0
 *
 * What belongs to a context: everything allocated in it goes with it. Module
 * globals are allocated here too.
 */
#include <string.h>

#include "mem_array.h"
#include "mem_share.h"
#include "objects.h"

/* Frees what the context allocated. Pools, reservations and graph memory
 * belong to the device; shared blocks are closed by their own table. */
static void free_of_context(struct sim_arena *a, struct sim_block *b, void *arg)
{
    if (b->ctx != arg)
        return;
    switch (b->kind) {
    case SIM_MEM_MANAGED:
        sim_managed_gone(a, b);
        break;
    case SIM_MEM_HOST:
        sim_host_free_locked(a, b);
        return;
    case SIM_MEM_ARRAY:
    case SIM_MEM_SPARSE:
        sim_object_free(b->owner); /* its handle is stale from now on */
        break;
    case SIM_MEM_PLAIN:
    case SIM_MEM_GLOBAL:
    case SIM_MEM_EXTERNAL:
        break;
    default:
        return;
    }
    sim_arena_free_locked(a, b);
}

static void sweep_arena(struct sim_arena *a, void *arg)
{
    pthread_mutex_lock(&a->lock);
    sim_arena_blocks(a, free_of_context, arg);
    pthread_mutex_unlock(&a->lock);
}

void sim_memory_context_gone(struct sim_context *ctx)
{
    sim_registered_context_gone(ctx);
    sim_share_context_gone(ctx);
    sim_arena_each(sweep_arena, ctx);
}

/* ---- module globals ---- */

CUdeviceptr sim_memory_global(struct sim_context *ctx, size_t bytes)
{
    struct sim_arena *a = sim_arena(sim_context_device(ctx));
    struct sim_request q = {
        .kind = SIM_MEM_GLOBAL, .size = bytes, .physical = true, .real = true, .ctx = ctx};
    struct sim_block *b;
    if (!a || sim_arena_alloc(a, &q, &b) != CUDA_SUCCESS)
        return 0;
    memset((void *)(uintptr_t)b->base, 0, bytes);
    return b->base;
}

void sim_memory_global_free(CUdeviceptr address)
{
    struct sim_arena *a = sim_arena_at(address);
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, address);
    if (b && b->base == address && b->kind == SIM_MEM_GLOBAL)
        sim_arena_free_locked(a, b);
    pthread_mutex_unlock(&a->lock);
}
