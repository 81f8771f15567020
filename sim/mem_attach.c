/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls about memory that already exists: attaching managed memory to streams,
 * and handing a range to other devices as a dma-buf.
 */
#include "abi/cuda_api.h"
#include "copy_job.h"
#include "mem_managed.h"

static CUresult set_attach(struct sim_managed *m, struct sim_page *page, void *arg)
{
    (void)page;
    const unsigned *flags = arg;
    m->attach = *flags;
    return CUDA_SUCCESS;
}

/* A length of zero means the whole allocation, as does its exact size. */
static CUresult attach(CUstream handle, CUdeviceptr dptr, size_t length, unsigned flags, bool per_thread)
{
    struct sim_stream *stream;
    struct sim_range r;
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS)
        rc = sim_stream_resolve(handle, per_thread, &stream);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST && flags != CU_MEM_ATTACH_SINGLE)
        return CUDA_ERROR_INVALID_VALUE;
    if (flags == CU_MEM_ATTACH_SINGLE && !handle && !per_thread)
        return CUDA_ERROR_INVALID_VALUE; /* not to the null stream */
    if (!sim_range_find(dptr, &r) || r.kind != SIM_MEM_MANAGED ||
        (length && (length != r.size || dptr != r.base)))
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_stream_capturing(stream))
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return sim_managed_pages(r.base, r.size, set_attach, &flags);
}

CUresult cuStreamAttachMemAsync(CUstream stream, CUdeviceptr dptr, size_t length, unsigned flags)
{
    return attach(stream, dptr, length, flags, false);
}

CUresult cuStreamAttachMemAsync_ptsz(CUstream stream, CUdeviceptr dptr, size_t length, unsigned flags)
{
    return attach(stream, dptr, length, flags, true);
}

/* No device here takes dma-bufs; arguments are checked as if one did. */
CUresult cuMemGetHandleForAddressRange(void *ret, CUdeviceptr dptr, size_t size, CUmemRangeHandleType type,
                                       unsigned long long flags)
{
    struct sim_range r;
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !size || type != CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD || (flags & ~1ULL))
        return CUDA_ERROR_INVALID_VALUE;
    rc = sim_range_check(dptr, size, false, &r);
    return rc == CUDA_SUCCESS ? CUDA_ERROR_NOT_SUPPORTED : rc;
}
