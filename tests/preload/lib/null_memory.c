/* SPDX-License-Identifier: Apache-2.0
 *
 * The null driver's memory: addresses and handles that are numbers, with
 * nothing behind them. What was freed last is given out first, as real
 * allocators do.
 */
#include <stdbool.h>
#include <string.h>

#include "abi/cuda_api.h"

#define STEP (UINT64_C(2) << 20)
#define MEMORY (UINT64_C(16) << 30)

struct numbers {
    uint64_t next, last;
};

static struct numbers addresses = {UINT64_C(0x7f0000000000), 0};
static struct numbers handles = {UINT64_C(0x5500000000), 0};
static struct numbers graphs = {UINT64_C(0x5600000000), 0};

static uint64_t take(struct numbers *n, uint64_t step)
{
    uint64_t number = n->last ? n->last : (n->next += step);
    n->last = 0;
    return number;
}

static CUresult give(struct numbers *n, uint64_t number)
{
    n->last = number;
    return CUDA_SUCCESS;
}

static CUresult took(CUdeviceptr *ret)
{
    *ret = take(&addresses, 512);
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *ret, size_t n)
{
    (void)n;
    return took(ret);
}

CUresult cuMemAllocManaged(CUdeviceptr *ret, size_t n, unsigned int flags)
{
    (void)n, (void)flags;
    return took(ret);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *ret, size_t *ret_pitch, size_t width, size_t height,
                            unsigned int element)
{
    (void)height, (void)element;
    *ret_pitch = (width + 511) / 512 * 512;
    return took(ret);
}

CUresult cuMemFree_v2(CUdeviceptr ptr)
{
    return give(&addresses, ptr);
}

CUresult cuMemGetInfo_v2(size_t *ret_free, size_t *ret_total)
{
    *ret_free = MEMORY;
    *ret_total = MEMORY;
    return CUDA_SUCCESS;
}

/* ---- arrays ---- */

CUresult cuArrayCreate_v2(CUarray *ret, const CUDA_ARRAY_DESCRIPTOR *d)
{
    (void)d;
    *ret = (CUarray)(uintptr_t)take(&handles, 256);
    return CUDA_SUCCESS;
}

CUresult cuArrayDestroy(CUarray array)
{
    return give(&handles, (uintptr_t)array);
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *ret, const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int levels)
{
    (void)d, (void)levels;
    *ret = (CUmipmappedArray)(uintptr_t)take(&handles, 256);
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
    return give(&handles, (uintptr_t)array);
}

/* ---- pools: what was reserved once stays so ---- */

static uint64_t pool_used, pool_reserved;

CUresult cuDeviceGetMemPool(CUmemoryPool *ret, CUdevice dev)
{
    (void)dev;
    *ret = (CUmemoryPool)(uintptr_t)8192;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *ret, CUdevice dev)
{
    (void)dev;
    *ret = (CUmemoryPool)(uintptr_t)8192;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolCreate(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    (void)props;
    *ret = (CUmemoryPool)(uintptr_t)12288;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    (void)pool;
    *(cuuint64_t *)value = attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT ? pool_used : pool_reserved;
    return CUDA_SUCCESS;
}

/* No entry calls another: the call would be one that a preloaded library sees. */
static CUresult took_from_pool(CUdeviceptr *ret, size_t n)
{
    pool_used += n;
    pool_reserved = pool_used > pool_reserved ? (pool_used + STEP - 1) / STEP * STEP : pool_reserved;
    return took(ret);
}

CUresult cuMemAllocAsync(CUdeviceptr *ret, size_t n, CUstream stream)
{
    (void)stream;
    return took_from_pool(ret, n);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream)
{
    (void)pool, (void)stream;
    return took_from_pool(ret, n);
}

/* All blocks of the tests have the same size. */
CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream stream)
{
    (void)stream;
    pool_used -= pool_used < 512 ? pool_used : 512;
    return give(&addresses, ptr);
}

/* ---- handles and mappings ---- */

static CUdeviceptr mapped_at;
static size_t mapped_bytes;

CUresult cuMemCreate(CUmemGenericAllocationHandle *ret, size_t n, const CUmemAllocationProp *prop,
                     unsigned long long flags)
{
    (void)n, (void)prop, (void)flags;
    *ret = take(&handles, 256);
    return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle h)
{
    return give(&handles, h);
}

CUresult cuMemMap(CUdeviceptr ptr, size_t n, size_t offset, CUmemGenericAllocationHandle h,
                  unsigned long long flags)
{
    (void)offset, (void)h, (void)flags;
    mapped_at = ptr;
    mapped_bytes = n;
    return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t n)
{
    (void)ptr, (void)n;
    return CUDA_SUCCESS;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *ret_base, size_t *ret_size, CUdeviceptr ptr)
{
    bool mapped = ptr - mapped_at < mapped_bytes;
    *ret_base = mapped ? mapped_at : ptr;
    *ret_size = mapped ? mapped_bytes : 512;
    return CUDA_SUCCESS;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret, void *address)
{
    (void)address;
    *ret = handles.next;
    return CUDA_SUCCESS;
}

/* ---- between processes ---- */

CUresult cuMemExportToShareableHandle(void *ret, CUmemGenericAllocationHandle h,
                                      CUmemAllocationHandleType type, unsigned long long flags)
{
    (void)h, (void)type, (void)flags;
    *(int *)ret = 3;
    return CUDA_SUCCESS;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret, void *handle,
                                        CUmemAllocationHandleType type)
{
    (void)handle, (void)type;
    *ret = take(&handles, 256);
    return CUDA_SUCCESS;
}

CUresult cuIpcGetMemHandle(CUipcMemHandle *ret, CUdeviceptr ptr)
{
    (void)ptr;
    memset(ret, 0, sizeof *ret);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *ret, CUipcMemHandle handle, unsigned int flags)
{
    (void)handle, (void)flags;
    return took(ret);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr ptr)
{
    return give(&addresses, ptr);
}

/* ---- graphs ---- */

CUresult cuGraphCreate(CUgraph *ret, unsigned int flags)
{
    (void)flags;
    *ret = (CUgraph)(uintptr_t)take(&graphs, 256);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    return give(&graphs, (uintptr_t)graph);
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                                CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
    (void)graph, (void)after, (void)n_after;
    *ret = (CUgraphNode)(uintptr_t)64;
    return took(&params->dptr);
}

CUresult cuGraphAddMemFreeNode(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                               CUdeviceptr ptr)
{
    (void)graph, (void)after, (void)n_after;
    *ret = (CUgraphNode)(uintptr_t)64;
    return give(&addresses, ptr);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *ret, CUgraph graph, unsigned long long flags)
{
    (void)flags;
    *ret = (CUgraphExec)graph;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    (void)exec;
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    (void)exec, (void)stream;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice dev, CUgraphMem_attribute attribute, void *value)
{
    (void)dev, (void)attribute;
    *(cuuint64_t *)value = 0;
    return CUDA_SUCCESS;
}
