/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream-ordered allocations and the wrappers of memory pools.
 *
 * On a stream that is being captured an allocation becomes a node of a graph:
 * the driver reserves its memory when the graph is launched, and it is charged
 * then (mem_graph.c). Here only a size that could never fit is refused.
 */
#include "preload/mem_engine.h"
#include "preload/mem_graph.h"
#include "preload/mem_pool.h"

static bool capturing(CUstream stream, bool per_thread)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUresult r;

    if (likely(!mem_capturing()))
        return false;
    r = per_thread ? real.cuStreamIsCapturing_ptsz(stream, &status)
                   : real.cuStreamIsCapturing(stream, &status);
    return r == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE;
}

static CUresult free_async(CUdeviceptr ptr, CUstream stream, bool per_thread)
{
    return per_thread ? real.cuMemFreeAsync_ptsz(ptr, stream) : real.cuMemFreeAsync(ptr, stream);
}

/* One allocation under way. */
struct async_alloc {
    struct mem_pool *pool;
    uint64_t n, reserved;
    CUstream stream;
    bool per_thread;
};

/* MEM_PASS when there is nothing to account. */
static CUresult begin(struct async_alloc *a, struct mem_pool *pool)
{
    a->pool = pool;
    if (!pool || atomic_load_explicit(&pool->kind, memory_order_relaxed) == MEM_POOL_OTHER)
        return MEM_PASS;
    return mem_pool_reserve(pool, a->n, &a->reserved);
}

static CUresult finish(const struct async_alloc *a, CUresult r, CUdeviceptr ptr, CUdeviceptr *ret)
{
    struct mem_entry e = {.key = ptr, .bytes = a->n, .owner = a->pool, .kind = MEM_ASYNC};

    if (r != CUDA_SUCCESS) {
        mem_pool_cancel(a->pool, a->n, a->reserved);
        return r;
    }
    e.device = a->pool->device;
    r = mem_pool_commit(a->pool, a->n, a->reserved);
    if (r == CUDA_SUCCESS && !mem_record(&mem_pointers, &e))
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (r == CUDA_SUCCESS) {
        *ret = ptr;
        return r;
    }
    /* The pool grew further than the limit allows, or there is no memory to
     * remember the block: undo it and give the growth back. */
    free_async(ptr, a->stream, a->per_thread);
    mem_pool_freed(a->pool, a->n);
    mem_refused(a->pool->device, a->n);
    mem_pools_trim(a->pool->device);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* The pool that cuMemAllocAsync takes from: the current one of the stream's
 * device. */
static struct mem_pool *current_pool(CUstream stream, bool per_thread)
{
    struct ctx_here h = ctx_of_stream(stream, per_thread);
    CUmemoryPool handle = NULL;

    if (h.device < 0 || real.cuDeviceGetMemPool(&handle, h.ordinal) != CUDA_SUCCESS)
        return NULL;
    return mem_pool_of(handle);
}

/* Whether an allocation goes on: MEM_PASS to the driver as it is, SUCCESS with
 * accounting, else refused. */
static CUresult enter(CUdeviceptr *ret, size_t n)
{
    CUresult r = mem_enter();

    if (r != CUDA_SUCCESS)
        return r;
    slice_gate();
    return ret && n ? CUDA_SUCCESS : MEM_PASS;
}

/* What both allocating entries ask of the driver; pool NULL = the current one. */
static CUresult driver_alloc(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream, bool per_thread)
{
    if (pool)
        return per_thread ? real.cuMemAllocFromPoolAsync_ptsz(ret, n, pool, stream)
                          : real.cuMemAllocFromPoolAsync(ret, n, pool, stream);
    return per_thread ? real.cuMemAllocAsync_ptsz(ret, n, stream) : real.cuMemAllocAsync(ret, n, stream);
}

static CUgraph captured_graph(CUstream stream, bool per_thread)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUgraph graph = NULL;
    CUresult r = per_thread ? real.cuStreamGetCaptureInfo_v2_ptsz(stream, &status, NULL, &graph, NULL, NULL)
                            : real.cuStreamGetCaptureInfo_v2(stream, &status, NULL, &graph, NULL, NULL);

    return r == CUDA_SUCCESS && status == CU_STREAM_CAPTURE_STATUS_ACTIVE ? graph : NULL;
}

/* The allocation becomes a node of the graph under capture. */
static CUresult alloc_captured(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream,
                               bool per_thread)
{
    struct ctx_here h = ctx_of_stream(stream, per_thread);
    CUresult r = mem_graph_admit(h.device, h.ordinal, n);

    if (r != CUDA_SUCCESS)
        return r;
    r = driver_alloc(ret, n, pool, stream, per_thread);
    if (r == CUDA_SUCCESS && h.device >= 0)
        mem_graph_allocates(captured_graph(stream, per_thread), *ret, n, (unsigned)h.device);
    return r;
}

static CUresult alloc_async(CUdeviceptr *ret, size_t n, CUmemoryPool handle, CUstream stream, bool per_thread)
{
    struct async_alloc a = {.n = n, .stream = stream, .per_thread = per_thread};
    CUdeviceptr ptr = 0;
    CUresult r = enter(ret, n);

    if (r == CUDA_SUCCESS && capturing(stream, per_thread))
        return alloc_captured(ret, n, handle, stream, per_thread);
    if (r == CUDA_SUCCESS)
        r = begin(&a, handle ? mem_pool_of(handle) : current_pool(stream, per_thread));
    if (r == MEM_PASS)
        return driver_alloc(ret, n, handle, stream, per_thread);
    if (r != CUDA_SUCCESS)
        return r;
    r = driver_alloc(&ptr, n, handle, stream, per_thread);
    return finish(&a, r, ptr, ret);
}

HOOK CUresult cuMemAllocAsync(CUdeviceptr *ret, size_t n, CUstream stream)
{
    return alloc_async(ret, n, NULL, stream, false);
}

HOOK CUresult cuMemAllocAsync_ptsz(CUdeviceptr *ret, size_t n, CUstream stream)
{
    return alloc_async(ret, n, NULL, stream, true);
}

HOOK CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream)
{
    if (!pool)
        return real.cuMemAllocFromPoolAsync(ret, n, pool, stream);
    return alloc_async(ret, n, pool, stream, false);
}

HOOK CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream)
{
    if (!pool)
        return real.cuMemAllocFromPoolAsync_ptsz(ret, n, pool, stream);
    return alloc_async(ret, n, pool, stream, true);
}

/* ---- free ---- */

/* A pointer that is not in the table may be a graph's: its memory is looked at
 * at the next settlement. */
static CUresult release_async(CUdeviceptr ptr, CUstream stream, bool per_thread)
{
    CUresult r;

    if (!mem_active() || !ptr)
        return free_async(ptr, stream, per_thread);
    if (capturing(stream, per_thread)) {
        CUgraph graph = captured_graph(stream, per_thread);
        r = free_async(ptr, stream, per_thread);
        if (r == CUDA_SUCCESS && graph)
            mem_graph_frees(graph, ptr);
        return r;
    }
    r = MEM_FREE(&mem_pointers, ptr, free_async(ptr, stream, per_thread));
    if (r == CUDA_SUCCESS)
        mem_graph_touch();
    return r;
}

HOOK CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream stream)
{
    return release_async(ptr, stream, false);
}

HOOK CUresult cuMemFreeAsync_ptsz(CUdeviceptr ptr, CUstream stream)
{
    return release_async(ptr, stream, true);
}

/* ---- pools ---- */

/* Region device of a location; -1 for host memory. */
static int device_of(const CUmemLocation *l, CUdevice *ret_ordinal)
{
    *ret_ordinal = 0;
    if (l->type == CU_MEM_LOCATION_TYPE_DEVICE)
        *ret_ordinal = l->id;
    else if (l->type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN)
        *ret_ordinal = l->localized.deviceId;
    else
        return -1;
    return slice_device_of(*ret_ordinal);
}

HOOK CUresult cuMemPoolCreate(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    CUresult r = mem_enter();
    CUdevice ordinal;
    int device;

    if (r != CUDA_SUCCESS && r != MEM_PASS)
        return r;
    r = real.cuMemPoolCreate(ret, props);
    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    device = device_of(&props->location, &ordinal);
    mem_pool_add(*ret, MEM_POOL_DEVICE, device, ordinal);
    return r;
}

HOOK CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    struct mem_pool *p = mem_active() ? mem_pool_detach(pool) : NULL;
    CUresult r = real.cuMemPoolDestroy(pool);

    if (p)
        mem_pool_destroyed(p, r);
    return r;
}

HOOK CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    CUresult r = real.cuMemPoolTrimTo(pool, keep);
    struct mem_pool *p = r == CUDA_SUCCESS && mem_active() ? mem_pool_of(pool) : NULL;

    if (p)
        mem_pool_settle(p);
    return r;
}

HOOK CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    CUresult r = real.cuMemPoolSetAttribute(pool, attribute, value);
    struct mem_pool *p = r == CUDA_SUCCESS && mem_active() ? mem_pool_of(pool) : NULL;

    if (p)
        mem_pool_touch(p); /* a lower release threshold gives memory back at the next sync point */
    return r;
}

/* The pool is made known while its device is: an explicit pool of another
 * process or of the host must not be taken for a device's own later on. */
HOOK CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool)
{
    CUresult r = real.cuDeviceSetMemPool(dev, pool);

    if (r == CUDA_SUCCESS && mem_active())
        mem_pool_of(pool);
    return r;
}

HOOK CUresult cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool)
{
    CUresult r = real.cuMemSetMemPool(location, type, pool);
    CUdevice ordinal = 0;
    int device;

    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    device = device_of(location, &ordinal);
    mem_pool_add(pool, MEM_POOL_DEVICE, device, ordinal);
    return r;
}

/* An imported pool is charged to the process that made it. */
HOOK CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *ret, void *handle,
                                                 CUmemAllocationHandleType type, unsigned long long flags)
{
    CUresult r = real.cuMemPoolImportFromShareableHandle(ret, handle, type, flags);

    if (r == CUDA_SUCCESS && mem_active())
        mem_pool_add(*ret, MEM_POOL_OTHER, -1, 0);
    return r;
}

HOOK CUresult cuMemPoolImportPointer(CUdeviceptr *ret, CUmemoryPool pool, CUmemPoolPtrExportData *data)
{
    return real.cuMemPoolImportPointer(ret, pool, data);
}
