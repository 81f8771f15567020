/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream-ordered allocation and the calls that choose a device's pool.
 */
#include "abi/cuda_api.h"
#include "copy_job.h"
#include "mem_graph.h"
#include "mem_pool.h"

/* ---- choosing ---- */

static CUresult check_device(CUdevice device)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    return device >= 0 && (unsigned)device < sim_device_count() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static CUresult hand_out(struct sim_pool *p, CUmemoryPool *ret)
{
    if (!p)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUmemoryPool)(void *)p;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *ret, CUdevice device)
{
    CUresult rc = check_device(device);
    if (rc != CUDA_SUCCESS)
        return rc;
    return ret ? hand_out(sim_pool_default(device), ret) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *ret, CUdevice device)
{
    CUresult rc = check_device(device);
    if (rc != CUDA_SUCCESS)
        return rc;
    return ret ? hand_out(sim_pool_current(device), ret) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle)
{
    CUresult rc = check_device(device);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_pool *p = sim_pool_of(handle);
    return p ? sim_pool_make_current(device, p) : CUDA_ERROR_INVALID_VALUE;
}

/* The device (or -1 for the host) of a location argument. */
static CUresult location_device(const CUmemLocation *l, CUmemAllocationType type, CUdevice *ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!l || (type != CU_MEM_ALLOCATION_TYPE_PINNED && type != CU_MEM_ALLOCATION_TYPE_MANAGED))
        return CUDA_ERROR_INVALID_VALUE;
    if (type == CU_MEM_ALLOCATION_TYPE_MANAGED)
        return CUDA_ERROR_NOT_SUPPORTED;
    switch (l->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        *ret = l->id;
        return check_device(l->id);
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
        *ret = SIM_HOST_ARENA;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool *ret, CUmemLocation *location, CUmemAllocationType type)
{
    CUdevice device;
    CUresult rc = location_device(location, type, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    return ret ? hand_out(sim_pool_default(device), ret) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetMemPool(CUmemoryPool *ret, CUmemLocation *location, CUmemAllocationType type)
{
    CUdevice device;
    CUresult rc = location_device(location, type, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    return ret ? hand_out(sim_pool_current(device), ret) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool handle)
{
    CUdevice device;
    CUresult rc = location_device(location, type, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_pool *p = sim_pool_of(handle);
    return p ? sim_pool_make_current(device, p) : CUDA_ERROR_INVALID_VALUE;
}

/* ---- allocating ---- */

/* While the stream is captured the allocation becomes a node of the graph. */
static CUresult alloc_captured(CUdeviceptr *ret, uint64_t size, const struct sim_pool *p,
                               struct sim_stream *stream)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {.bytesize = size};
    params.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    params.poolProps.location = p->props.location;
    CUresult rc = sim_memory_node_new(&params);
    if (rc != CUDA_SUCCESS)
        return rc;
    rc = sim_capture_add(stream, CU_GRAPH_NODE_TYPE_MEM_ALLOC, &params, sizeof params, sim_graph_run_alloc);
    if (rc == CUDA_SUCCESS)
        *ret = params.dptr;
    else
        sim_memory_node_drop(params.dptr);
    return rc;
}

static CUresult alloc_async(CUdeviceptr *ret, uint64_t size, CUmemoryPool *pool, CUstream handle,
                            bool per_thread)
{
    struct sim_stream *stream;
    struct sim_block *b;
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS)
        rc = sim_stream_resolve(handle, per_thread, &stream);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_pool *p =
        pool ? sim_pool_of(*pool) : sim_pool_current(sim_context_device(sim_context_current()));
    if (!p || !ret || !size || p->imported)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_stream_capturing(stream))
        return alloc_captured(ret, size, p, stream);
    rc = sim_pool_alloc(p, size, &b);
    if (rc == CUDA_SUCCESS)
        *ret = b->base;
    return rc;
}

CUresult cuMemAllocAsync(CUdeviceptr *dptr, size_t bytes, CUstream stream)
{
    return alloc_async(dptr, bytes, NULL, stream, false);
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr *dptr, size_t bytes, CUstream stream)
{
    return alloc_async(dptr, bytes, NULL, stream, true);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *dptr, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    return alloc_async(dptr, bytes, &pool, stream, false);
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *dptr, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    return alloc_async(dptr, bytes, &pool, stream, true);
}

/* ---- freeing ---- */

static CUresult free_now(CUdeviceptr dptr)
{
    struct sim_arena *a = sim_arena_at(dptr);
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    if (!a)
        return rc;
    if (sim_pool_forget_import(dptr))
        return CUDA_SUCCESS;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, dptr);
    if (b && b->base == dptr && b->kind == SIM_MEM_POOLED)
        rc = sim_pool_free(a, b);
    else if (b && b->base == dptr && b->kind == SIM_MEM_GRAPH)
        rc = sim_graph_block_free(b);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static CUresult free_async(CUdeviceptr dptr, CUstream handle, bool per_thread)
{
    struct sim_stream *stream;
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS)
        rc = sim_stream_resolve(handle, per_thread, &stream);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!sim_stream_capturing(stream))
        return free_now(dptr);
    rc = sim_memory_node_check_free(dptr);
    return rc == CUDA_SUCCESS
               ? sim_capture_add(stream, CU_GRAPH_NODE_TYPE_MEM_FREE, &dptr, sizeof dptr, sim_graph_run_free)
               : rc;
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream stream)
{
    return free_async(dptr, stream, false);
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr dptr, CUstream stream)
{
    return free_async(dptr, stream, true);
}
