/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of plain byte ranges: host, device and unified addresses, one device or
 * two, with their per-thread twins and the 32-bit first versions.
 */
#include "copy_job.h"

#include "abi/cuda_api.h"
#include "objects.h"

/* cuMemcpyHtoD and friends: one row of bytes between two addresses. */
static CUresult linear(CUmemorytype dst_type, uint64_t dst, CUmemorytype src_type, uint64_t src,
                       uint64_t bytes, const struct sim_copy_stream *stream)
{
    struct sim_copy_request q = {
        .src = {.type = src_type, .address = src},
        .dst = {.type = dst_type, .address = dst},
        .width = bytes,
        .height = 1,
        .depth = 1,
    };
    return sim_copy(&q, stream);
}

static const struct sim_copy_stream LEGACY = {SIM_COPY_SYNC, NULL, false};
static const struct sim_copy_stream THREAD = {SIM_COPY_SYNC, NULL, true};

static uint64_t host(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* ---- HtoD ---- */

CUresult cuMemcpyHtoD(CUdeviceptr_v1 dst, const void *src, unsigned bytes)
{
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST, host(src), bytes, &LEGACY);
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST, host(src), bytes, &LEGACY);
}

CUresult cuMemcpyHtoD_v2_ptds(CUdeviceptr dst, const void *src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST, host(src), bytes, &THREAD);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr_v1 dst, const void *src, unsigned bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST, host(src), bytes, &where);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST, host(src), bytes, &where);
}

CUresult cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr dst, const void *src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST, host(src), bytes, &where);
}

/* ---- DtoH ---- */

CUresult cuMemcpyDtoH(void *dst, CUdeviceptr_v1 src, unsigned bytes)
{
    return linear(CU_MEMORYTYPE_HOST, host(dst), CU_MEMORYTYPE_DEVICE, src, bytes, &LEGACY);
}

CUresult cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_HOST, host(dst), CU_MEMORYTYPE_DEVICE, src, bytes, &LEGACY);
}

CUresult cuMemcpyDtoH_v2_ptds(void *dst, CUdeviceptr src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_HOST, host(dst), CU_MEMORYTYPE_DEVICE, src, bytes, &THREAD);
}

CUresult cuMemcpyDtoHAsync(void *dst, CUdeviceptr_v1 src, unsigned bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_HOST, host(dst), CU_MEMORYTYPE_DEVICE, src, bytes, &where);
}

CUresult cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_HOST, host(dst), CU_MEMORYTYPE_DEVICE, src, bytes, &where);
}

CUresult cuMemcpyDtoHAsync_v2_ptsz(void *dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return linear(CU_MEMORYTYPE_HOST, host(dst), CU_MEMORYTYPE_DEVICE, src, bytes, &where);
}

/* ---- DtoD ---- */

CUresult cuMemcpyDtoD(CUdeviceptr_v1 dst, CUdeviceptr_v1 src, unsigned bytes)
{
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, bytes, &LEGACY);
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, bytes, &LEGACY);
}

CUresult cuMemcpyDtoD_v2_ptds(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, bytes, &THREAD);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr_v1 dst, CUdeviceptr_v1 src, unsigned bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, bytes, &where);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, bytes, &where);
}

CUresult cuMemcpyDtoDAsync_v2_ptsz(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return linear(CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, bytes, &where);
}

/* ---- unified ---- */

CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_UNIFIED, dst, CU_MEMORYTYPE_UNIFIED, src, bytes, &LEGACY);
}

CUresult cuMemcpy_ptds(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return linear(CU_MEMORYTYPE_UNIFIED, dst, CU_MEMORYTYPE_UNIFIED, src, bytes, &THREAD);
}

CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return linear(CU_MEMORYTYPE_UNIFIED, dst, CU_MEMORYTYPE_UNIFIED, src, bytes, &where);
}

CUresult cuMemcpyAsync_ptsz(CUdeviceptr dst, CUdeviceptr src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return linear(CU_MEMORYTYPE_UNIFIED, dst, CU_MEMORYTYPE_UNIFIED, src, bytes, &where);
}

/* ---- between contexts ---- */

bool sim_context_is(CUcontext handle)
{
    return sim_object_is(handle, SIM_TAG_CONTEXT);
}

static CUresult peer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx, size_t bytes,
                     const struct sim_copy_stream *stream)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_is(dst_ctx) || !sim_context_is(src_ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    return linear(CU_MEMORYTYPE_UNIFIED, dst, CU_MEMORYTYPE_UNIFIED, src, bytes, stream);
}

CUresult cuMemcpyPeer(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx, size_t bytes)
{
    return peer(dst, dst_ctx, src, src_ctx, bytes, &LEGACY);
}

CUresult cuMemcpyPeer_ptds(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                           size_t bytes)
{
    return peer(dst, dst_ctx, src, src_ctx, bytes, &THREAD);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                           size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return peer(dst, dst_ctx, src, src_ctx, bytes, &where);
}

CUresult cuMemcpyPeerAsync_ptsz(CUdeviceptr dst, CUcontext dst_ctx, CUdeviceptr src, CUcontext src_ctx,
                                size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return peer(dst, dst_ctx, src, src_ctx, bytes, &where);
}
