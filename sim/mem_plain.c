/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain device memory: cuMemAlloc, cuMemAllocPitch, cuMemFree, the queries of
 * free memory and address ranges, and their 32-bit first versions. Those hand
 * out addresses below 4 GiB from a small space of their own, as the driver did
 * when device pointers had 32 bits.
 */
#include "mem.h"

#include "abi/cuda_api.h"
#include "mem_bytes.h"

#define PITCH_ALIGN 512ULL
#define PITCH_MAX 2147483647ULL

/* ---- allocation ---- */

static CUresult plain_alloc(CUdeviceptr *ret, uint64_t size, bool low)
{
    struct sim_context *ctx;
    CUdevice device;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !size)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = low ? sim_arena_low(device) : sim_arena(device);
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct sim_request q = {.kind = SIM_MEM_PLAIN, .size = size, .physical = true, .ctx = ctx};
    struct sim_block *b;
    rc = sim_arena_alloc(a, &q, &b);
    if (rc == CUDA_SUCCESS)
        *ret = b->base;
    return rc;
}

CUresult cuMemAlloc_v2(CUdeviceptr *dptr, size_t bytes)
{
    return plain_alloc(dptr, bytes, false);
}

/* Element sizes other than 4, 8 and 16 are refused, as documented. */
static CUresult pitch_of(uint64_t width, uint64_t height, unsigned element, uint64_t *ret_pitch,
                         uint64_t *ret_size)
{
    if (!width || !height || (element != 4 && element != 8 && element != 16))
        return CUDA_ERROR_INVALID_VALUE;
    if (width > PITCH_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t pitch = sim_round_up(width, PITCH_ALIGN);
    if (__builtin_mul_overflow(pitch, height, ret_size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret_pitch = pitch;
    return CUDA_SUCCESS;
}

static CUresult pitch_alloc(CUdeviceptr *ret, uint64_t *ret_pitch, uint64_t width, uint64_t height,
                            unsigned element, bool low)
{
    struct sim_context *ctx;
    CUdevice device;
    uint64_t pitch, size;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc == CUDA_SUCCESS)
        rc = pitch_of(width, height, element, &pitch, &size);
    if (rc == CUDA_SUCCESS)
        rc = plain_alloc(ret, size, low);
    if (rc == CUDA_SUCCESS)
        *ret_pitch = pitch;
    return rc;
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *dptr, size_t *ret_pitch, size_t width, size_t height,
                            unsigned element)
{
    uint64_t pitch;
    CUdeviceptr address;
    if (!dptr || !ret_pitch)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = pitch_alloc(&address, &pitch, width, height, element, false);
    if (rc == CUDA_SUCCESS) {
        *dptr = address;
        *ret_pitch = pitch;
    }
    return rc;
}

/* ---- free ---- */

/* What cuMemFree accepts besides its own. */
static bool freed_by_mem_free(const struct sim_block *b)
{
    return b->kind == SIM_MEM_PLAIN || b->kind == SIM_MEM_MANAGED || b->kind == SIM_MEM_POOLED ||
           b->kind == SIM_MEM_GRAPH || b->kind == SIM_MEM_EXTERNAL;
}

CUresult cuMemFree_v2(CUdeviceptr dptr)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!dptr)
        return CUDA_SUCCESS;
    if (!sim_context_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult rc = sim_capture_unsafe_call();
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_arena *a = sim_arena_at(dptr);
    if (!a)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, dptr);
    if (!b || b->base != dptr || !freed_by_mem_free(b)) {
        rc = CUDA_ERROR_INVALID_VALUE;
    } else if (b->kind == SIM_MEM_PLAIN || b->kind == SIM_MEM_EXTERNAL) {
        sim_arena_free_locked(a, b);
    } else if (b->kind == SIM_MEM_MANAGED) {
        sim_managed_gone(a, b);
        sim_arena_free_locked(a, b);
    } else if (b->kind == SIM_MEM_POOLED) {
        rc = sim_pool_free(a, b);
    } else {
        rc = sim_graph_block_free(b);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- queries ---- */

CUresult cuMemGetInfo_v2(size_t *ret_free, size_t *ret_total)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_context *ctx = sim_context_current();
    if (!ctx)
        return CUDA_ERROR_INVALID_CONTEXT;
    size_t total;
    CUdevice device = sim_context_device(ctx);
    sim_bytes_sweep();
    CUresult rc = cuDeviceTotalMem_v2(&total, device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (ret_free)
        *ret_free = sim_memory_free((unsigned)sim_device(device));
    if (ret_total)
        *ret_total = total;
    return CUDA_SUCCESS;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr *ret_base, size_t *ret_size, CUdeviceptr dptr)
{
    struct sim_range r;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!sim_range_find(dptr, &r) || (r.kind == SIM_MEM_HOST && r.registered))
        return CUDA_ERROR_NOT_FOUND;
    if (ret_base)
        *ret_base = r.base;
    if (ret_size)
        *ret_size = r.size;
    return CUDA_SUCCESS;
}

/* ---- the first, 32-bit versions ---- */

CUresult cuMemAlloc(CUdeviceptr_v1 *dptr, unsigned bytes)
{
    CUdeviceptr address;
    CUresult rc = plain_alloc(dptr ? &address : NULL, bytes, true);
    if (rc == CUDA_SUCCESS)
        *dptr = (CUdeviceptr_v1)address;
    return rc;
}

CUresult cuMemAllocPitch(CUdeviceptr_v1 *dptr, unsigned *ret_pitch, unsigned width, unsigned height,
                         unsigned element)
{
    uint64_t pitch;
    CUdeviceptr address;
    if (!dptr || !ret_pitch)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = pitch_alloc(&address, &pitch, width, height, element, true);
    if (rc == CUDA_SUCCESS) {
        *dptr = (CUdeviceptr_v1)address;
        *ret_pitch = (unsigned)pitch;
    }
    return rc;
}

CUresult cuMemFree(CUdeviceptr_v1 dptr)
{
    return cuMemFree_v2(dptr);
}

static unsigned clamp32(size_t n)
{
    return n > UINT32_MAX ? UINT32_MAX : (unsigned)n;
}

CUresult cuMemGetInfo(unsigned *ret_free, unsigned *ret_total)
{
    size_t free_bytes, total;
    CUresult rc = cuMemGetInfo_v2(&free_bytes, &total);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (ret_free)
        *ret_free = clamp32(free_bytes);
    if (ret_total)
        *ret_total = clamp32(total);
    return CUDA_SUCCESS;
}

CUresult cuMemGetAddressRange(CUdeviceptr_v1 *ret_base, unsigned *ret_size, CUdeviceptr_v1 dptr)
{
    CUdeviceptr base;
    size_t size;
    CUresult rc = cuMemGetAddressRange_v2(&base, &size, dptr);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (ret_base)
        *ret_base = (CUdeviceptr_v1)base;
    if (ret_size)
        *ret_size = clamp32(size);
    return CUDA_SUCCESS;
}
