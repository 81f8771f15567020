/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain, pitched and managed allocations, and cuMemFree.
 *
 * What is charged is what was asked for, to the byte; what the driver rounds
 * up shows in its own account of the process and is charged as overhead
 * (mem_overhead.h). A pitched allocation is asked for in rows whose length only
 * the driver knows: the usual 512-byte alignment is reserved first and put
 * right by the pitch that comes back.
 */
#include "preload/mem_engine.h"
#include "preload/mem_spill.h"

#define PITCH_ALIGN 512

/* Puts an allocation that the driver made into the table. When there is no
 * memory for that, the allocation is undone as if the card had been full. */
static inline CUresult record(const struct ctx_here *here, CUdeviceptr ptr, uint64_t n, uint8_t flags)
{
    struct mem_entry e = {.key = ptr,
                          .bytes = n,
                          .owner = here->ctx,
                          .meta = mem_meta((uint16_t)here->device, MEM_PLAIN, flags)};

    if (likely(mem_record(&mem_pointers, &e))) {
        mem_note_rounding((unsigned)here->device, n, 0);
        return CUDA_SUCCESS;
    }
    real.cuMemFree_v2(ptr);
    mem_release((unsigned)here->device, n);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

HOOK CUresult cuMemAlloc_v2(CUdeviceptr *ret, size_t n)
{
    const struct ctx_here *here;
    CUdeviceptr ptr = 0;
    uint8_t flags = 0;
    CUresult r = mem_enter_here(&here);

    if (unlikely(r == MEM_PASS || !ret || !n))
        return real.cuMemAlloc_v2(ret, n);
    if (likely(r == CUDA_SUCCESS))
        r = mem_reserve((unsigned)here->device, n);
    if (unlikely(r != CUDA_SUCCESS))
        return r;
    r = real.cuMemAlloc_v2(&ptr, n);
    if (unlikely(r == CUDA_ERROR_OUT_OF_MEMORY && slice.oversubscribe)) {
        r = mem_spill_alloc(here, &ptr, n);
        flags = MEM_SPILLED;
    }
    if (unlikely(r != CUDA_SUCCESS)) {
        mem_release((unsigned)here->device, n);
        return r;
    }
    r = record(here, ptr, n, flags);
    if (likely(r == CUDA_SUCCESS))
        *ret = ptr;
    return r;
}

HOOK CUresult cuMemAlloc(CUdeviceptr_v1 *ret, unsigned int n)
{
    const struct ctx_here *here;
    CUdeviceptr_v1 ptr = 0;
    CUresult r = mem_enter_here(&here);

    if (r == MEM_PASS || !ret || !n)
        return real.cuMemAlloc(ret, n);
    if (r == CUDA_SUCCESS)
        r = mem_reserve((unsigned)here->device, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuMemAlloc(&ptr, n);
    if (r != CUDA_SUCCESS) {
        mem_release((unsigned)here->device, n);
        return r;
    }
    r = record(here, ptr, n, 0);
    if (r == CUDA_SUCCESS)
        *ret = ptr;
    return r;
}

HOOK CUresult cuMemAllocManaged(CUdeviceptr *ret, size_t n, unsigned int flags)
{
    const struct ctx_here *here;
    CUdeviceptr ptr = 0;
    CUresult r = mem_enter_here(&here);

    if (r == MEM_PASS || !ret || !n)
        return real.cuMemAllocManaged(ret, n, flags);
    if (r == CUDA_SUCCESS)
        r = mem_reserve((unsigned)here->device, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuMemAllocManaged(&ptr, n, flags);
    if (r != CUDA_SUCCESS) {
        mem_release((unsigned)here->device, n);
        return r;
    }
    r = record(here, ptr, n, 0);
    if (r == CUDA_SUCCESS)
        *ret = ptr;
    return r;
}

/* ---- pitched ---- */

/* width * height rounded up to whole aligned rows; MEM_BYTES_MAX + 1 when that
 * is more than any card has. */
static uint64_t pitch_bytes(uint64_t width, uint64_t height)
{
    uint64_t row, n;

    if (width > MEM_BYTES_MAX)
        return MEM_BYTES_MAX + 1;
    row = (width + PITCH_ALIGN - 1) / PITCH_ALIGN * PITCH_ALIGN;
    return __builtin_mul_overflow(row, height, &n) ? MEM_BYTES_MAX + 1 : n;
}

/* The reservation becomes what the driver took. */
static CUresult pitch_settle(const struct ctx_here *here, CUdeviceptr ptr, uint64_t reserved, uint64_t taken)
{
    CUresult r = CUDA_SUCCESS;

    if (taken > reserved)
        r = mem_reserve((unsigned)here->device, taken - reserved);
    else
        mem_release((unsigned)here->device, reserved - taken);
    if (r == CUDA_SUCCESS)
        return record(here, ptr, taken, 0);
    real.cuMemFree_v2(ptr);
    mem_release((unsigned)here->device, reserved);
    return r;
}

HOOK CUresult cuMemAllocPitch_v2(CUdeviceptr *ret, size_t *ret_pitch, size_t width, size_t height,
                                 unsigned int element)
{
    const struct ctx_here *here;
    CUdeviceptr ptr = 0;
    size_t pitch = 0;
    uint64_t n = pitch_bytes(width, height);
    CUresult r = mem_enter_here(&here);

    if (r == MEM_PASS || !ret || !ret_pitch || !n)
        return real.cuMemAllocPitch_v2(ret, ret_pitch, width, height, element);
    if (r == CUDA_SUCCESS)
        r = mem_reserve((unsigned)here->device, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuMemAllocPitch_v2(&ptr, &pitch, width, height, element);
    if (r != CUDA_SUCCESS) {
        mem_release((unsigned)here->device, n);
        return r;
    }
    r = pitch_settle(here, ptr, n, (uint64_t)pitch * height);
    if (r == CUDA_SUCCESS) {
        *ret = ptr;
        *ret_pitch = pitch;
    }
    return r;
}

HOOK CUresult cuMemAllocPitch(CUdeviceptr_v1 *ret, unsigned int *ret_pitch, unsigned int width,
                              unsigned int height, unsigned int element)
{
    const struct ctx_here *here;
    CUdeviceptr_v1 ptr = 0;
    unsigned int pitch = 0;
    uint64_t n = pitch_bytes(width, height);
    CUresult r = mem_enter_here(&here);

    if (r == MEM_PASS || !ret || !ret_pitch || !n)
        return real.cuMemAllocPitch(ret, ret_pitch, width, height, element);
    if (r == CUDA_SUCCESS)
        r = mem_reserve((unsigned)here->device, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuMemAllocPitch(&ptr, &pitch, width, height, element);
    if (r != CUDA_SUCCESS) {
        mem_release((unsigned)here->device, n);
        return r;
    }
    r = pitch_settle(here, ptr, n, (uint64_t)pitch * height);
    if (r == CUDA_SUCCESS) {
        *ret = ptr;
        *ret_pitch = pitch;
    }
    return r;
}

/* ---- free ---- */

HOOK CUresult cuMemFree_v2(CUdeviceptr ptr)
{
    if (unlikely(!mem_active() || !ptr))
        return real.cuMemFree_v2(ptr);
    return MEM_FREE(&mem_pointers, ptr, real.cuMemFree_v2(ptr));
}

HOOK CUresult cuMemFree(CUdeviceptr_v1 ptr)
{
    if (!mem_active() || !ptr)
        return real.cuMemFree(ptr);
    return MEM_FREE(&mem_pointers, ptr, real.cuMemFree(ptr));
}
