/* SPDX-License-Identifier: Apache-2.0
 *
 * Pinned host memory allocated by the driver. It never takes device memory,
 * except on machines whose device memory is system memory.
 */
#include "mem.h"

#include "abi/cuda_api.h"

enum {
    HOST_PORTABLE = 1,
    HOST_DEVICEMAP = 2,
    HOST_WRITECOMBINED = 4,
    HOST_FLAGS = HOST_PORTABLE | HOST_DEVICEMAP | HOST_WRITECOMBINED
};

bool sim_is_unified(CUdevice device)
{
    int machine = sim_device(device);
    return machine >= 0 && machine < SIM_DEVICES && sim_machine()->devices[machine].unified_memory;
}

bool sim_shares_host_memory(void)
{
    struct sim_context *ctx = sim_context_current();
    return ctx && sim_is_unified(sim_context_device(ctx));
}

static CUresult host_alloc(void **ret, uint64_t size, unsigned flags)
{
    struct sim_context *ctx;
    CUdevice device;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !size || (flags & ~(unsigned)HOST_FLAGS))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena(SIM_HOST_ARENA);
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    bool charge = sim_is_unified(device);
    if (charge) {
        rc = sim_memory_take((unsigned)sim_device(device), size);
        if (rc != CUDA_SUCCESS)
            return rc;
    }
    struct sim_request q = {.kind = SIM_MEM_HOST, .size = size, .align = 4096, .real = true, .ctx = ctx};
    struct sim_block *b;
    pthread_mutex_lock(&a->lock);
    rc = sim_arena_alloc_locked(a, &q, &b);
    if (rc == CUDA_SUCCESS) {
        b->flags = flags;
        b->charged = charge ? device : -1;
    }
    pthread_mutex_unlock(&a->lock);
    if (rc == CUDA_SUCCESS)
        *ret = (void *)(uintptr_t)b->base;
    else if (charge)
        sim_memory_give((unsigned)sim_device(device), size);
    return rc;
}

CUresult cuMemAllocHost_v2(void **ret, size_t bytes)
{
    return host_alloc(ret, bytes, HOST_PORTABLE);
}

CUresult cuMemAllocHost(void **ret, unsigned bytes)
{
    return host_alloc(ret, bytes, HOST_PORTABLE);
}

CUresult cuMemHostAlloc(void **ret, size_t bytes, unsigned flags)
{
    return host_alloc(ret, bytes, flags);
}

void sim_host_free_locked(struct sim_arena *a, struct sim_block *b)
{
    if (b->charged >= 0)
        sim_memory_give((unsigned)sim_device(b->charged), b->size);
    b->dirty = true; /* the program wrote it: let large ones go */
    sim_arena_free_locked(a, b);
}

CUresult cuMemFreeHost(void *p)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!p)
        return CUDA_SUCCESS;
    if (!sim_context_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult rc = sim_capture_unsafe_call();
    if (rc != CUDA_SUCCESS)
        return rc;
    uint64_t address = (uint64_t)(uintptr_t)p;
    struct sim_arena *a = sim_arena_at(address);
    if (!a || a->device != SIM_HOST_ARENA)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, address);
    if (b && b->base == address && b->kind == SIM_MEM_HOST)
        sim_host_free_locked(a, b);
    else
        rc = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_unlock(&a->lock);
    return rc;
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *ret, void *p, unsigned flags)
{
    struct sim_range r;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!ret || !p || flags || !sim_range_find((uint64_t)(uintptr_t)p, &r))
        return CUDA_ERROR_INVALID_VALUE;
    if (r.kind != SIM_MEM_HOST && r.kind != SIM_MEM_MANAGED)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CUdeviceptr)(uintptr_t)p;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr_v1 *ret, void *p, unsigned flags)
{
    CUdeviceptr address;
    CUresult rc = cuMemHostGetDevicePointer_v2(&address, p, flags);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || address > UINT32_MAX) /* does not fit the old pointers */
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CUdeviceptr_v1)address;
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned *ret, void *p)
{
    struct sim_range r;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || !p || !sim_range_find((uint64_t)(uintptr_t)p, &r) || r.kind != SIM_MEM_HOST)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = r.flags;
    return CUDA_SUCCESS;
}
