/* SPDX-License-Identifier: Apache-2.0
 *
 * See mem_graph.h. A pool's figures are guarded by the lock of its device's
 * arena.
 */
#include "mem_graph.h"

#include <string.h>

#include "abi/cuda_api.h"

struct graph_pool {
    uint64_t used, used_high, reserved, reserved_high;
};

static struct graph_pool graph_pools[128]; /* by ordinal */

/* ---- nodes ---- */

CUresult sim_memory_node_new(CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!params || !params->bytesize || params->poolProps.allocType != CU_MEM_ALLOCATION_TYPE_PINNED ||
        params->poolProps.handleTypes != CU_MEM_HANDLE_TYPE_NONE ||
        params->poolProps.location.type != CU_MEM_LOCATION_TYPE_DEVICE)
        return CUDA_ERROR_INVALID_VALUE;
    CUdevice device = params->poolProps.location.id;
    if (device < 0 || (unsigned)device >= sim_device_count())
        return CUDA_ERROR_INVALID_DEVICE;
    struct sim_arena *a = sim_arena(device);
    struct sim_request q = {.kind = SIM_MEM_GRAPH, .size = params->bytesize, .ctx = sim_context_current()};
    struct sim_block *b;
    CUresult rc = a ? sim_arena_alloc(a, &q, &b) : CUDA_ERROR_OUT_OF_MEMORY;
    if (rc == CUDA_SUCCESS)
        params->dptr = b->base;
    return rc;
}

/* The block of a node; lock held. */
static struct sim_block *node_at(struct sim_arena *a, CUdeviceptr address)
{
    struct sim_block *b = sim_arena_find(a, address);
    return b && b->kind == SIM_MEM_GRAPH && b->base == address ? b : NULL;
}

CUresult sim_graph_block_free(struct sim_block *b)
{
    struct graph_pool *p = &graph_pools[b->device];
    if (!b->flags)
        return CUDA_ERROR_INVALID_VALUE; /* not allocated by any launch */
    b->flags = 0;
    p->used -= b->span;
    return CUDA_SUCCESS;
}

static CUresult block_alloc(struct sim_arena *a, struct sim_block *b)
{
    struct graph_pool *p = &graph_pools[b->device];
    if (b->flags)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t used = p->used + b->span;
    if (used > p->reserved) {
        CUresult rc = sim_mem_take(a, used - p->reserved);
        if (rc != CUDA_SUCCESS)
            return rc;
        p->reserved = used;
        if (used > p->reserved_high)
            p->reserved_high = used;
    }
    p->used = used;
    if (used > p->used_high)
        p->used_high = used;
    b->flags = 1;
    return CUDA_SUCCESS;
}

static CUresult with_node(CUdeviceptr address, CUresult (*what)(struct sim_arena *, struct sim_block *))
{
    struct sim_arena *a = sim_arena_at(address);
    if (!a)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = node_at(a, address);
    CUresult rc = b ? what(a, b) : CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static CUresult block_free(struct sim_arena *a, struct sim_block *b)
{
    (void)a;
    return sim_graph_block_free(b);
}

static CUresult block_known(struct sim_arena *a, struct sim_block *b)
{
    (void)a, (void)b;
    return CUDA_SUCCESS;
}

static CUresult block_drop(struct sim_arena *a, struct sim_block *b)
{
    if (b->flags)
        sim_graph_block_free(b);
    sim_arena_free_locked(a, b);
    return CUDA_SUCCESS;
}

CUresult sim_memory_node_alloc(CUdeviceptr address)
{
    return with_node(address, block_alloc);
}

CUresult sim_memory_node_free(CUdeviceptr address)
{
    return with_node(address, block_free);
}

CUresult sim_memory_node_check_free(CUdeviceptr address)
{
    return with_node(address, block_known);
}

void sim_memory_node_drop(CUdeviceptr address)
{
    with_node(address, block_drop);
}

void sim_graph_run_alloc(const void *params, struct sim_work *ret)
{
    const CUDA_MEM_ALLOC_NODE_PARAMS *p = params;
    sim_memory_node_alloc(p->dptr);
    *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
}

void sim_graph_run_free(const void *params, struct sim_work *ret)
{
    CUdeviceptr address;
    memcpy(&address, params, sizeof address);
    sim_memory_node_free(address);
    *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
}

/* ---- the pool of a device ---- */

static CUresult check(CUdevice device, const void *value)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (device < 0 || (unsigned)device >= sim_device_count())
        return CUDA_ERROR_INVALID_DEVICE;
    return value ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void *value)
{
    CUresult rc = check(device, value);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (attribute > CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena(device);
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&a->lock);
    const struct graph_pool *p = &graph_pools[device];
    uint64_t figures[] = {p->used, p->used_high, p->reserved, p->reserved_high};
    pthread_mutex_unlock(&a->lock);
    memcpy(value, &figures[attribute], sizeof figures[0]);
    return CUDA_SUCCESS;
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attribute, void *value)
{
    uint64_t v;
    CUresult rc = check(device, value);
    if (rc != CUDA_SUCCESS)
        return rc;
    memcpy(&v, value, sizeof v);
    if (v ||
        (attribute != CU_GRAPH_MEM_ATTR_USED_MEM_HIGH && attribute != CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena(device);
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&a->lock);
    struct graph_pool *p = &graph_pools[device];
    if (attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH)
        p->used_high = p->used;
    else
        p->reserved_high = p->reserved;
    pthread_mutex_unlock(&a->lock);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGraphMemTrim(CUdevice device)
{
    CUresult rc = check(device, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_arena *a = sim_arena(device);
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&a->lock);
    struct graph_pool *p = &graph_pools[device];
    if (p->reserved > p->used)
        sim_mem_give(a, p->reserved - p->used);
    p->reserved = p->used;
    pthread_mutex_unlock(&a->lock);
    return CUDA_SUCCESS;
}
