/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools: growing, cutting, trimming, and the pool each device uses.
 */
#include "mem_pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "objects.h"

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER; /* taken before any arena's */
static struct sim_pool *pools;                                 /* all of the process */
static struct sim_pool *defaults[130], *currents[130];         /* [device + 1] */
static _Atomic bool something_freed;

struct sim_pool *sim_pool_of(CUmemoryPool handle)
{
    struct sim_pool *p = (struct sim_pool *)(void *)handle;
    return sim_object_is(p, SIM_TAG_POOL) && !p->doomed ? p : NULL;
}

uint64_t sim_pool_handle_types(const void *pool)
{
    return ((const struct sim_pool *)pool)->props.handleTypes;
}

/* ---- segments; the arena's lock held ---- */

static CUresult segment_add(struct sim_pool *p, bool real, uint64_t bytes)
{
    struct sim_segment *s = malloc(sizeof *s);
    struct sim_request q = {.kind = SIM_MEM_SEGMENT,
                            .size = bytes,
                            .physical = p->arena->device >= 0,
                            .counted = !real,
                            .real = real,
                            .owner = p};
    if (!s)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUresult rc = sim_arena_alloc_locked(p->arena, &q, &s->block);
    if (rc != CUDA_SUCCESS) {
        free(s);
        return rc;
    }
    struct sim_block *b = s->block;
    b->nested = sim_region_new(b->base, b->span, SIM_SMALL_SHIFT);
    if (!b->nested || !sim_space_add(&p->spaces[real], b->nested)) {
        if (b->nested)
            sim_region_free(b->nested);
        b->nested = NULL;
        sim_arena_free_locked(p->arena, b);
        free(s);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    b->nested->owner = b;
    s->next = p->segments;
    p->segments = s;
    p->reserved += b->span;
    if (p->reserved > p->reserved_high)
        p->reserved_high = p->reserved;
    return CUDA_SUCCESS;
}

uint64_t sim_pool_trim(struct sim_pool *p, uint64_t keep)
{
    uint64_t gone = 0;
    for (struct sim_segment **at = &p->segments, *s; (s = *at) && p->reserved > keep;) {
        struct sim_block *b = s->block;
        if (!sim_region_unused(b->nested)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        sim_space_remove(&p->spaces[b->real], b->nested);
        sim_region_free(b->nested);
        b->nested = NULL;
        p->reserved -= b->span;
        gone += b->span;
        sim_arena_free_locked(p->arena, b);
        free(s);
    }
    return gone;
}

static CUresult grow_to(struct sim_pool *p, bool real, uint64_t bytes)
{
    if (p->props.maxSize && (bytes > p->props.maxSize || p->reserved > p->props.maxSize - bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    return segment_add(p, real, bytes);
}

/* Grows in large steps, and in exact ones when memory is short; what the pool
 * holds without need is given back before giving up. */
static CUresult grow(struct sim_pool *p, bool real, uint64_t size)
{
    if (size > UINT64_MAX / 4)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t exact = sim_round_up(size, SIM_CHUNK);
    CUresult rc = CUDA_ERROR_OUT_OF_MEMORY;
    if (exact < SIM_POOL_STEP)
        rc = grow_to(p, real, SIM_POOL_STEP);
    if (rc == CUDA_ERROR_OUT_OF_MEMORY)
        rc = grow_to(p, real, exact);
    if (rc == CUDA_ERROR_OUT_OF_MEMORY && sim_pool_trim(p, 0))
        rc = grow_to(p, real, exact);
    return rc;
}

static CUresult cut(struct sim_pool *p, uint64_t size, struct sim_block **ret)
{
    bool real = size <= sim_machine()->real_bytes_max;
    struct sim_block *b = sim_space_take(&p->spaces[real], size, 1U << SIM_SMALL_SHIFT);
    if (!b) {
        CUresult rc = grow(p, real, size);
        if (rc != CUDA_SUCCESS)
            return rc;
        b = sim_space_take(&p->spaces[real], size, 1U << SIM_SMALL_SHIFT);
        if (!b)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    b->kind = SIM_MEM_POOLED;
    b->size = size;
    b->ctx = NULL;
    b->owner = p;
    b->nested = NULL;
    b->bytes = NULL;
    b->device = p->arena->device;
    b->charged = -1;
    b->real = real;
    b->dirty = b->sync_memops = false;
    b->flags = 0;
    b->id = sim_block_id();
    p->live++;
    p->used += b->span;
    if (p->used > p->used_high)
        p->used_high = p->used;
    *ret = b;
    return CUDA_SUCCESS;
}

/* Other pools of the device hold memory that nobody uses: it goes first. */
static bool trim_others(struct sim_arena *a)
{
    uint64_t gone = 0;
    pthread_mutex_lock(&pools_lock);
    pthread_mutex_lock(&a->lock);
    for (struct sim_pool *p = pools; p; p = p->next)
        if (p->arena == a)
            gone += sim_pool_trim(p, 0);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_unlock(&pools_lock);
    return gone > 0;
}

CUresult sim_pool_alloc(struct sim_pool *p, uint64_t size, struct sim_block **ret)
{
    pthread_mutex_lock(&p->arena->lock);
    CUresult rc = cut(p, size, ret);
    pthread_mutex_unlock(&p->arena->lock);
    if (rc != CUDA_ERROR_OUT_OF_MEMORY || !trim_others(p->arena))
        return rc;
    pthread_mutex_lock(&p->arena->lock);
    rc = cut(p, size, ret);
    pthread_mutex_unlock(&p->arena->lock);
    return rc;
}

CUresult sim_pool_free(struct sim_arena *a, struct sim_block *b)
{
    struct sim_pool *p = b->owner;
    (void)a;
    p->used -= b->span;
    p->live--;
    sim_space_put(&p->spaces[b->real], b);
    if (p->doomed)
        sim_pool_trim(p, 0);
    atomic_store_explicit(&something_freed, true, memory_order_relaxed);
    return CUDA_SUCCESS;
}

void sim_memory_synchronized(void)
{
    if (!atomic_load_explicit(&something_freed, memory_order_relaxed))
        return;
    atomic_store_explicit(&something_freed, false, memory_order_relaxed);
    pthread_mutex_lock(&pools_lock);
    for (struct sim_pool *p = pools; p; p = p->next) {
        if (p->imported)
            continue;
        pthread_mutex_lock(&p->arena->lock);
        if (p->reserved > p->threshold)
            sim_pool_trim(p, p->threshold);
        pthread_mutex_unlock(&p->arena->lock);
    }
    pthread_mutex_unlock(&pools_lock);
}

/* ---- life ---- */

static CUresult check_props(const CUmemPoolProps *props, CUdevice *ret_device)
{
    unsigned types = (unsigned)props->handleTypes;
    if (types & ~(unsigned)(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR | CU_MEM_HANDLE_TYPE_FABRIC))
        return CUDA_ERROR_INVALID_VALUE;
    if (types & CU_MEM_HANDLE_TYPE_FABRIC || props->allocType == CU_MEM_ALLOCATION_TYPE_MANAGED)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    switch (props->location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        if (props->location.id < 0 || (unsigned)props->location.id >= sim_device_count())
            return CUDA_ERROR_INVALID_DEVICE;
        *ret_device = props->location.id;
        return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
        *ret_device = SIM_HOST_ARENA;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static CUresult pool_new_locked(const CUmemPoolProps *props, struct sim_pool **ret)
{
    CUdevice device;
    CUresult rc = check_props(props, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_arena *a = sim_arena(device);
    struct sim_space *spaces = calloc(2, sizeof *spaces);
    struct sim_pool *p = a && spaces ? sim_object_new(SIM_TAG_POOL, sizeof *p) : NULL;
    if (!p) {
        free(spaces);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    p->spaces = spaces;
    p->arena = a;
    p->props = *props;
    p->identity_fd = -1;
    sim_space_init(&p->spaces[0], SIM_SMALL_SHIFT);
    sim_space_init(&p->spaces[1], SIM_SMALL_SHIFT);
    for (unsigned i = 0; i < 3; i++)
        p->reuse[i] = 1;
    p->next = pools;
    pools = p;
    *ret = p;
    return CUDA_SUCCESS;
}

CUresult sim_pool_new(const CUmemPoolProps *props, struct sim_pool **ret)
{
    pthread_mutex_lock(&pools_lock);
    CUresult rc = pool_new_locked(props, ret);
    pthread_mutex_unlock(&pools_lock);
    return rc;
}

CUresult cuMemPoolCreate(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    struct sim_pool *p;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || !props)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = sim_pool_new(props, &p);
    if (rc == CUDA_SUCCESS)
        *ret = (CUmemoryPool)(void *)p;
    return rc;
}

/* A destroyed pool keeps what is still allocated; its descriptor is small and
 * stays, so that late frees and stale handles are recognised. */
CUresult cuMemPoolDestroy(CUmemoryPool handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || p->is_default)
        return CUDA_ERROR_INVALID_VALUE;
    sim_pool_not_current(p);
    pthread_mutex_lock(&p->arena->lock);
    p->doomed = true;
    sim_pool_trim(p, 0);
    if (p->identity_fd >= 0)
        close(p->identity_fd);
    p->identity_fd = -1;
    pthread_mutex_unlock(&p->arena->lock);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || p->imported)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&p->arena->lock);
    sim_pool_trim(p, keep);
    pthread_mutex_unlock(&p->arena->lock);
    return CUDA_SUCCESS;
}

/* ---- which pool a device uses ---- */

static struct sim_pool *default_locked(CUdevice device)
{
    if (!defaults[device + 1]) {
        CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED};
        props.location.type = device >= 0 ? CU_MEM_LOCATION_TYPE_DEVICE : CU_MEM_LOCATION_TYPE_HOST;
        props.location.id = device >= 0 ? device : 0;
        if (pool_new_locked(&props, &defaults[device + 1]) != CUDA_SUCCESS)
            return NULL;
        defaults[device + 1]->is_default = true;
    }
    return defaults[device + 1];
}

struct sim_pool *sim_pool_default(CUdevice device)
{
    pthread_mutex_lock(&pools_lock);
    struct sim_pool *p = default_locked(device);
    pthread_mutex_unlock(&pools_lock);
    return p;
}

struct sim_pool *sim_pool_current(CUdevice device)
{
    struct sim_pool *p = __atomic_load_n(&currents[device + 1], __ATOMIC_ACQUIRE);
    return p ? p : sim_pool_default(device);
}

CUresult sim_pool_make_current(CUdevice device, struct sim_pool *pool)
{
    if (pool->arena->device != device || pool->imported)
        return CUDA_ERROR_INVALID_VALUE;
    __atomic_store_n(&currents[device + 1], pool, __ATOMIC_RELEASE);
    return CUDA_SUCCESS;
}

void sim_pool_not_current(struct sim_pool *pool)
{
    struct sim_pool **slot = &currents[pool->arena->device + 1], *expected = pool;
    __atomic_compare_exchange_n(slot, &expected, NULL, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
