/* SPDX-License-Identifier: Apache-2.0
 *
 * IPC and external memory. The process that made the memory is charged for it
 * until it frees it; who opens it is not, so that ranks which map each other's
 * buffers are not charged for all of them. What is borrowed is remembered, so
 * that the driver's figure for this process is not mistaken for overhead.
 *
 * An allocation that was spilled to managed memory cannot be shared between
 * processes; the answer is the driver's for managed memory.
 */
#include "preload/mem_share.h"

#include "preload/mem_engine.h"
#include "preload/mem_spill.h"

static struct mem_table borrowed; /* key = address or handle, bytes, device */
static _Atomic uint64_t sums[REGION_DEVICES];

uint64_t share_borrowed(unsigned d)
{
    return atomic_load_explicit(&sums[d], memory_order_relaxed);
}

static void borrow(uint64_t key, uint64_t n)
{
    const struct ctx_here *here = ctx_here();
    struct mem_entry e = {.key = key, .bytes = n, .device = (uint16_t)here->device};
    struct mem_entry old = {0};

    if (here->device < 0 || !mem_table_put(&borrowed, &e, &old))
        return;
    if (old.key)
        atomic_fetch_sub_explicit(&sums[old.device], old.bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&sums[e.device], n, memory_order_relaxed);
}

static CUresult returned(const struct mem_entry *e, bool known, CUresult r)
{
    if (known && r == CUDA_SUCCESS)
        atomic_fetch_sub_explicit(&sums[e->device], e->bytes, memory_order_relaxed);
    else if (known)
        mem_table_put(&borrowed, e, NULL);
    return r;
}

static CUresult opened(CUresult r, const CUdeviceptr *ret)
{
    CUdeviceptr base;
    size_t n = 0;

    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    if (real.cuMemGetAddressRange_v2(&base, &n, *ret) == CUDA_SUCCESS)
        borrow(*ret, n);
    return r;
}

HOOK CUresult cuIpcGetMemHandle(CUipcMemHandle *ret, CUdeviceptr ptr)
{
    if (unlikely(mem_active() && mem_is_spilled(ptr)))
        return CUDA_ERROR_INVALID_VALUE;
    return real.cuIpcGetMemHandle(ret, ptr);
}

HOOK CUresult cuIpcOpenMemHandle(CUdeviceptr *ret, CUipcMemHandle handle, unsigned int flags)
{
    return opened(real.cuIpcOpenMemHandle(ret, handle, flags), ret);
}

HOOK CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *ret, CUipcMemHandle handle, unsigned int flags)
{
    return opened(real.cuIpcOpenMemHandle_v2(ret, handle, flags), ret);
}

HOOK CUresult cuIpcCloseMemHandle(CUdeviceptr ptr)
{
    struct mem_entry e;
    bool known = mem_active() && mem_table_take(&borrowed, ptr, &e);

    return returned(&e, known, real.cuIpcCloseMemHandle(ptr));
}

HOOK CUresult cuImportExternalMemory(CUexternalMemory *ret, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *desc)
{
    CUresult r = real.cuImportExternalMemory(ret, desc);

    if (r == CUDA_SUCCESS && mem_active())
        borrow((uintptr_t)*ret, desc->size);
    return r;
}

HOOK CUresult cuDestroyExternalMemory(CUexternalMemory memory)
{
    struct mem_entry e;
    bool known = mem_active() && mem_table_take(&borrowed, (uintptr_t)memory, &e);

    return returned(&e, known, real.cuDestroyExternalMemory(memory));
}

void share_after_fork(void)
{
    mem_table_forget(&borrowed);
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        atomic_store(&sums[d], 0);
}
