/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream-ordered allocations and the wrappers of memory pools.
 *
 * On a stream that is being captured an allocation becomes a node of a graph:
 * the driver reserves its memory when the graph is launched, and it is charged
 * then (mem_graph.c). Here only a size that could never fit is refused.
 */
#include "preload/log.h"
#include "preload/mem_current.h"
#include "preload/mem_engine.h"
#include "preload/mem_graph.h"
#include "preload/mem_pool.h"

static bool capturing(CUstream stream, bool per_thread)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUresult r;

    r = per_thread ? real.cuStreamIsCapturing_ptsz(stream, &status)
                   : real.cuStreamIsCapturing(stream, &status);
    return r == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE;
}

static inline CUresult free_async(CUdeviceptr ptr, CUstream stream, bool per_thread)
{
    return per_thread ? real.cuMemFreeAsync_ptsz(ptr, stream) : real.cuMemFreeAsync(ptr, stream);
}

/* What both allocating entries ask of the driver; pool NULL = the current one. */
static inline CUresult driver_alloc(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream,
                                    bool per_thread)
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

/* The pool grew further than the limit allows, or there is no memory to remember
 * the block: it is undone and the growth given back. */
static CUresult __attribute__((noinline))
undo(struct mem_pool *pool, CUdeviceptr ptr, size_t n, CUstream stream, bool per_thread)
{
    free_async(ptr, stream, per_thread);
    mem_pool_freed(pool, n);
    mem_refused(pool->device, n);
    mem_pools_trim(pool->device);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

static inline __attribute__((always_inline)) CUresult alloc_from(struct mem_pool *pool, CUdeviceptr *ret,
                                                                 size_t n, CUmemoryPool handle,
                                                                 CUstream stream, bool per_thread)
{
    struct mem_entry e = {.bytes = n, .owner = pool, .meta = mem_meta(pool->device, MEM_ASYNC, 0)};
    uint64_t reserved;
    CUdeviceptr ptr = 0;
    CUresult r = mem_pool_reserve(pool, n, &reserved);

    if (unlikely(r != CUDA_SUCCESS))
        return r;
    r = driver_alloc(&ptr, n, handle, stream, per_thread);
    if (unlikely(r != CUDA_SUCCESS)) {
        mem_pool_cancel(pool, n, reserved);
        return r;
    }
    e.key = ptr;
    r = mem_pool_commit(pool, ptr, n, reserved);
    if (unlikely(r != CUDA_SUCCESS || !mem_record(&mem_pointers, &e)))
        return undo(pool, ptr, n, stream, per_thread);
    *ret = ptr;
    return CUDA_SUCCESS;
}

/* A pool that nobody follows would be memory without a limit. */
static CUresult __attribute__((noinline)) too_many_pools(void)
{
    static _Atomic bool said;

    if (!atomic_exchange(&said, true))
        log_error("more memory pools than can be limited: destroy those that are not used");
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* A copy for each entry, without the questions that its name answers. */
static inline __attribute__((always_inline)) CUresult
alloc_async(CUdeviceptr *ret, size_t n, CUmemoryPool handle, CUstream stream, bool per_thread)
{
    struct mem_pool *pool;
    CUresult r = mem_enter();

    if (unlikely(r != CUDA_SUCCESS))
        return r == MEM_PASS ? driver_alloc(ret, n, handle, stream, per_thread) : r;
    slice_gate();
    if (unlikely(!ret || !n))
        return driver_alloc(ret, n, handle, stream, per_thread);
    if (unlikely(mem_capturing()) && capturing(stream, per_thread))
        return alloc_captured(ret, n, handle, stream, per_thread);
    pool = handle ? mem_pool_of(handle) : mem_current_pool(stream, per_thread);
    if (unlikely(!pool && handle))
        return too_many_pools();
    if (unlikely(!pool || atomic_load_explicit(&pool->kind, memory_order_relaxed) == MEM_POOL_OTHER))
        return driver_alloc(ret, n, handle, stream, per_thread);
    return alloc_from(pool, ret, n, handle, stream, per_thread);
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

static CUresult __attribute__((noinline)) free_captured(CUdeviceptr ptr, CUstream stream, bool per_thread)
{
    CUgraph graph = captured_graph(stream, per_thread);
    CUresult r = free_async(ptr, stream, per_thread);

    if (r == CUDA_SUCCESS && graph)
        mem_graph_frees(graph, ptr);
    return r;
}

/* A pointer that is not in the table may be a graph's: its memory is looked at
 * at the next settlement. */
static inline __attribute__((always_inline)) CUresult release_async(CUdeviceptr ptr, CUstream stream,
                                                                    bool per_thread)
{
    struct mem_entry e;
    bool found;
    CUresult r;

    if (unlikely(!mem_active() || !ptr))
        return free_async(ptr, stream, per_thread);
    if (unlikely(mem_capturing()) && capturing(stream, per_thread))
        return free_captured(ptr, stream, per_thread);
    found = mem_table_take(&mem_pointers, ptr, &e);
    r = free_async(ptr, stream, per_thread);
    if (likely(found && r == CUDA_SUCCESS && e.kind == MEM_ASYNC))
        mem_pool_freed(e.owner, e.bytes);
    else if (found)
        mem_freed(&mem_pointers, &e, r);
    else if (r == CUDA_SUCCESS)
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

/* Managed memory counts in full wherever it is now, as that of cuMemAllocManaged
 * does: on the device that is current where its location names none. */
static int device_of_pool(CUmemAllocationType type, const CUmemLocation *l, CUdevice *ret_ordinal)
{
    int device = device_of(l, ret_ordinal);

    if (device >= 0 || type != CU_MEM_ALLOCATION_TYPE_MANAGED)
        return device;
    *ret_ordinal = ctx_here()->device >= 0 ? ctx_here()->ordinal : 0;
    return slice_device_of(*ret_ordinal);
}

HOOK CUresult cuMemPoolCreate(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    CUresult r = mem_enter();
    CUmemoryPool pool = NULL;
    CUdevice ordinal;
    int device;

    if (r != CUDA_SUCCESS && r != MEM_PASS)
        return r;
    if (!ret || !mem_active())
        return real.cuMemPoolCreate(ret, props);
    r = real.cuMemPoolCreate(&pool, props);
    if (r != CUDA_SUCCESS)
        return r;
    device = device_of_pool(props->allocType, &props->location, &ordinal);
    if (!mem_pool_add(pool, MEM_POOL_DEVICE, device, ordinal)) {
        real.cuMemPoolDestroy(pool);
        return too_many_pools();
    }
    *ret = pool;
    return r;
}

HOOK CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    struct mem_pool *p = mem_active() ? mem_pool_detach(pool) : NULL;
    CUresult r = real.cuMemPoolDestroy(pool);

    ctx_forget(); /* it may have been a current one */
    if (p)
        mem_pool_destroyed(p, r);
    return r;
}

HOOK CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    CUresult r = real.cuMemPoolTrimTo(pool, keep);
    struct mem_pool *p = r == CUDA_SUCCESS && mem_active() ? mem_pool_of(pool) : NULL;

    if (p)
        mem_pool_trimmed(p);
    return r;
}

HOOK CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    CUresult r;

    if (!mem_active())
        return real.cuMemPoolSetAttribute(pool, attribute, value);
    mem_pool_changing(pool);
    r = real.cuMemPoolSetAttribute(pool, attribute, value);
    mem_pool_changed(pool, r);
    return r;
}

/* The pool is made known while its device is: an explicit pool of another
 * process or of the host must not be taken for a device's own later on. */
HOOK CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool)
{
    CUresult r = real.cuDeviceSetMemPool(dev, pool);

    ctx_forget();
    if (r == CUDA_SUCCESS && mem_active())
        mem_pool_of(pool);
    return r;
}

HOOK CUresult cuMemSetMemPool(CUmemLocation *location, CUmemAllocationType type, CUmemoryPool pool)
{
    CUresult r = real.cuMemSetMemPool(location, type, pool);
    CUdevice ordinal = 0;
    int device;

    ctx_forget();
    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    device = device_of_pool(type, location, &ordinal);
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
