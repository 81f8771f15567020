/* SPDX-License-Identifier: Apache-2.0
 *
 * Sets of 1, 2 and 4 byte patterns, in one row or many, with their twins.
 */
#include "copy_job.h"

#include "abi/cuda_api.h"

static CUresult set(uint64_t dst, uint64_t pitch, uint32_t value, uint8_t element, uint64_t width,
                    uint64_t height, const struct sim_copy_stream *stream)
{
    struct sim_copy_job job;
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS)
        rc = sim_set_check(dst, pitch, value, element, width, height, &job);
    return rc == CUDA_SUCCESS ? sim_copy_start(&job, stream) : rc;
}

static const struct sim_copy_stream LEGACY = {SIM_COPY_SYNC, NULL, false};
static const struct sim_copy_stream THREAD = {SIM_COPY_SYNC, NULL, true};

CUresult cuMemsetD8(CUdeviceptr_v1 dst, unsigned char value, unsigned count)
{
    return set(dst, 0, value, 1, count, 1, &LEGACY);
}

CUresult cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t count)
{
    return set(dst, 0, value, 1, count, 1, &LEGACY);
}

CUresult cuMemsetD8_v2_ptds(CUdeviceptr dst, unsigned char value, size_t count)
{
    return set(dst, 0, value, 1, count, 1, &THREAD);
}

CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return set(dst, 0, value, 1, count, 1, &where);
}

CUresult cuMemsetD8Async_ptsz(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return set(dst, 0, value, 1, count, 1, &where);
}

CUresult cuMemsetD2D8(CUdeviceptr_v1 dst, unsigned pitch, unsigned char value, unsigned width,
                      unsigned height)
{
    return set(dst, pitch, value, 1, width, height, &LEGACY);
}

CUresult cuMemsetD2D8_v2(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height)
{
    return set(dst, pitch, value, 1, width, height, &LEGACY);
}

CUresult cuMemsetD2D8_v2_ptds(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height)
{
    return set(dst, pitch, value, 1, width, height, &THREAD);
}

CUresult cuMemsetD2D8Async(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return set(dst, pitch, value, 1, width, height, &where);
}

CUresult cuMemsetD2D8Async_ptsz(CUdeviceptr dst, size_t pitch, unsigned char value, size_t width,
                                size_t height, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return set(dst, pitch, value, 1, width, height, &where);
}

CUresult cuMemsetD16(CUdeviceptr_v1 dst, unsigned short value, unsigned count)
{
    return set(dst, 0, value, 2, count, 1, &LEGACY);
}

CUresult cuMemsetD16_v2(CUdeviceptr dst, unsigned short value, size_t count)
{
    return set(dst, 0, value, 2, count, 1, &LEGACY);
}

CUresult cuMemsetD16_v2_ptds(CUdeviceptr dst, unsigned short value, size_t count)
{
    return set(dst, 0, value, 2, count, 1, &THREAD);
}

CUresult cuMemsetD16Async(CUdeviceptr dst, unsigned short value, size_t count, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return set(dst, 0, value, 2, count, 1, &where);
}

CUresult cuMemsetD16Async_ptsz(CUdeviceptr dst, unsigned short value, size_t count, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return set(dst, 0, value, 2, count, 1, &where);
}

CUresult cuMemsetD2D16(CUdeviceptr_v1 dst, unsigned pitch, unsigned short value, unsigned width,
                       unsigned height)
{
    return set(dst, pitch, value, 2, width, height, &LEGACY);
}

CUresult cuMemsetD2D16_v2(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width, size_t height)
{
    return set(dst, pitch, value, 2, width, height, &LEGACY);
}

CUresult cuMemsetD2D16_v2_ptds(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width,
                               size_t height)
{
    return set(dst, pitch, value, 2, width, height, &THREAD);
}

CUresult cuMemsetD2D16Async(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width, size_t height,
                            CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return set(dst, pitch, value, 2, width, height, &where);
}

CUresult cuMemsetD2D16Async_ptsz(CUdeviceptr dst, size_t pitch, unsigned short value, size_t width,
                                 size_t height, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return set(dst, pitch, value, 2, width, height, &where);
}

CUresult cuMemsetD32(CUdeviceptr_v1 dst, unsigned value, unsigned count)
{
    return set(dst, 0, value, 4, count, 1, &LEGACY);
}

CUresult cuMemsetD32_v2(CUdeviceptr dst, unsigned value, size_t count)
{
    return set(dst, 0, value, 4, count, 1, &LEGACY);
}

CUresult cuMemsetD32_v2_ptds(CUdeviceptr dst, unsigned value, size_t count)
{
    return set(dst, 0, value, 4, count, 1, &THREAD);
}

CUresult cuMemsetD32Async(CUdeviceptr dst, unsigned value, size_t count, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return set(dst, 0, value, 4, count, 1, &where);
}

CUresult cuMemsetD32Async_ptsz(CUdeviceptr dst, unsigned value, size_t count, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return set(dst, 0, value, 4, count, 1, &where);
}

CUresult cuMemsetD2D32(CUdeviceptr_v1 dst, unsigned pitch, unsigned value, unsigned width, unsigned height)
{
    return set(dst, pitch, value, 4, width, height, &LEGACY);
}

CUresult cuMemsetD2D32_v2(CUdeviceptr dst, size_t pitch, unsigned value, size_t width, size_t height)
{
    return set(dst, pitch, value, 4, width, height, &LEGACY);
}

CUresult cuMemsetD2D32_v2_ptds(CUdeviceptr dst, size_t pitch, unsigned value, size_t width, size_t height)
{
    return set(dst, pitch, value, 4, width, height, &THREAD);
}

CUresult cuMemsetD2D32Async(CUdeviceptr dst, size_t pitch, unsigned value, size_t width, size_t height,
                            CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return set(dst, pitch, value, 4, width, height, &where);
}

CUresult cuMemsetD2D32Async_ptsz(CUdeviceptr dst, size_t pitch, unsigned value, size_t width, size_t height,
                                 CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return set(dst, pitch, value, 4, width, height, &where);
}

/* ---- graph nodes ---- */

CUresult sim_memory_check_set(const CUDA_MEMSET_NODE_PARAMS *n)
{
    struct sim_copy_job job;
    if (!n || (n->elementSize != 1 && n->elementSize != 2 && n->elementSize != 4))
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t pitch = n->height > 1 ? n->pitch : 0;
    return sim_set_check(n->dst, pitch, n->value, (uint8_t)n->elementSize, n->width, n->height, &job);
}

void sim_memory_set_work(const CUDA_MEMSET_NODE_PARAMS *n, struct sim_work *ret)
{
    struct sim_copy_job job;
    uint64_t pitch = n->height > 1 ? n->pitch : 0;
    *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
    if (sim_set_check(n->dst, pitch, n->value, (uint8_t)n->elementSize, n->width, n->height, &job) ==
            CUDA_SUCCESS &&
        job.width)
        sim_copy_describe(&job, ret);
}
