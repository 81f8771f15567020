/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries: the driver answers first, then its figures are replaced by the
 * slice's. A query is never refused because the slice is over its limit, an
 * argument that is NULL stays NULL for the driver to judge, and outputs change
 * only on success.
 */
#include "preload/mem_engine.h"
#include "preload/mem_spill.h"
#include "preload/memory.h"

struct memory_figures memory_figures(unsigned d, uint64_t phys_total, uint64_t phys_free)
{
    uint64_t limit = slice_mem_limit(d);
    uint64_t used = ledger_used_by_living(&slice.region, d);
    struct memory_figures f;

    if (!limit) {
        f.total = phys_total;
        f.free = phys_free;
        f.used = phys_total > phys_free ? phys_total - phys_free : 0;
        return f;
    }
    f.total = limit < phys_total || slice.oversubscribe ? limit : phys_total;
    f.used = used;
    f.free = f.total > used ? f.total - used : 0;
    if (!slice.oversubscribe && f.free > phys_free)
        f.free = phys_free;
    return f;
}

HOOK CUresult cuMemGetInfo_v2(size_t *ret_free, size_t *ret_total)
{
    size_t free_bytes = 0, total = 0;
    struct memory_figures f;
    const struct ctx_here *here;
    CUresult r = mem_enter();

    if (unlikely(r != CUDA_SUCCESS))
        return real.cuMemGetInfo_v2(ret_free, ret_total);
    r = real.cuMemGetInfo_v2(&free_bytes, &total);
    if (unlikely(r != CUDA_SUCCESS))
        return r;
    here = ctx_here();
    if (likely(here->device >= 0)) {
        memory_settle();
        f = memory_figures((unsigned)here->device, total, free_bytes);
        free_bytes = f.free;
        total = f.total;
    }
    if (ret_free)
        *ret_free = free_bytes;
    if (ret_total)
        *ret_total = total;
    return r;
}

static unsigned int clamp32(uint64_t n)
{
    return n > UINT32_MAX ? UINT32_MAX : (unsigned int)n;
}

HOOK CUresult cuMemGetInfo(unsigned int *ret_free, unsigned int *ret_total)
{
    unsigned int free_bytes = 0, total = 0;
    struct memory_figures f;
    const struct ctx_here *here;
    CUresult r = mem_enter();

    if (r != CUDA_SUCCESS)
        return real.cuMemGetInfo(ret_free, ret_total);
    r = real.cuMemGetInfo(&free_bytes, &total);
    if (r != CUDA_SUCCESS)
        return r;
    here = ctx_here();
    if (here->device >= 0) {
        memory_settle();
        f = memory_figures((unsigned)here->device, total, free_bytes);
        free_bytes = clamp32(f.free);
        total = clamp32(f.total);
    }
    if (ret_free)
        *ret_free = free_bytes;
    if (ret_total)
        *ret_total = total;
    return r;
}

HOOK CUresult cuDeviceTotalMem_v2(size_t *ret, CUdevice dev)
{
    CUresult r = real.cuDeviceTotalMem_v2(ret, dev);
    int device;

    if (r == CUDA_SUCCESS && mem_enter() == CUDA_SUCCESS && (device = slice_device_of(dev)) >= 0)
        *ret = memory_figures((unsigned)device, *ret, *ret).total;
    return r;
}

HOOK CUresult cuDeviceTotalMem(unsigned int *ret, CUdevice dev)
{
    CUresult r = real.cuDeviceTotalMem(ret, dev);
    int device;

    if (r == CUDA_SUCCESS && mem_enter() == CUDA_SUCCESS && (device = slice_device_of(dev)) >= 0)
        *ret = clamp32(memory_figures((unsigned)device, *ret, *ret).total);
    return r;
}

/* What was asked for as device memory looks like device memory. */
HOOK CUresult cuPointerGetAttribute(void *ret, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    CUresult r = real.cuPointerGetAttribute(ret, attribute, ptr);

    if (unlikely(r == CUDA_SUCCESS && attribute == CU_POINTER_ATTRIBUTE_IS_MANAGED && mem_active() &&
                 mem_is_spilled(ptr)))
        *(unsigned int *)ret = 0;
    return r;
}

HOOK CUresult cuPointerGetAttributes(unsigned int n, CUpointer_attribute *attributes, void **data,
                                     CUdeviceptr ptr)
{
    CUresult r = real.cuPointerGetAttributes(n, attributes, data, ptr);

    if (likely(r != CUDA_SUCCESS || !mem_active() || !mem_is_spilled(ptr)))
        return r;
    for (unsigned int i = 0; i < n; i++)
        if (attributes[i] == CU_POINTER_ATTRIBUTE_IS_MANAGED && data[i])
            *(unsigned int *)data[i] = 0;
    return r;
}
