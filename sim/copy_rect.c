/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of rectangles and boxes: 2D, 3D and 3D between contexts.
 */
#include "copy_job.h"

#include "abi/cuda_api.h"

static const struct sim_copy_stream LEGACY = {SIM_COPY_SYNC, NULL, false};
static const struct sim_copy_stream THREAD = {SIM_COPY_SYNC, NULL, true};

static uint64_t address(CUmemorytype type, const void *host, CUdeviceptr device)
{
    return type == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)host : device;
}

/* The structures of the two versions differ only in the width of their
 * members, and the 3D ones share the names of the 2D ones. */
#define END_2D(c, side)                                                                                      \
    {                                                                                                        \
        .type = (c)->side##MemoryType,                                                                       \
        .address = address((c)->side##MemoryType, (c)->side##Host, (c)->side##Device),                       \
        .array = (c)->side##Array, .x = (c)->side##XInBytes, .y = (c)->side##Y, .pitch = (c)->side##Pitch    \
    }
#define END_3D(c, side)                                                                                      \
    {                                                                                                        \
        .type = (c)->side##MemoryType,                                                                       \
        .address = address((c)->side##MemoryType, (c)->side##Host, (c)->side##Device),                       \
        .array = (c)->side##Array, .x = (c)->side##XInBytes, .y = (c)->side##Y, .z = (c)->side##Z,           \
        .pitch = (c)->side##Pitch, .height = (c)->side##Height, .lod = (c)->side##LOD                        \
    }
#define REQUEST_2D(c)                                                                                        \
    {                                                                                                        \
        .src = END_2D(c, src), .dst = END_2D(c, dst), .width = (c)->WidthInBytes, .height = (c)->Height,     \
        .depth = 1                                                                                           \
    }
#define REQUEST_3D(c)                                                                                        \
    {                                                                                                        \
        .src = END_3D(c, src), .dst = END_3D(c, dst), .width = (c)->WidthInBytes, .height = (c)->Height,     \
        .depth = (c)->Depth                                                                                  \
    }

static CUresult copy_2d(const CUDA_MEMCPY2D *c, const struct sim_copy_stream *stream)
{
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_copy_request q = REQUEST_2D(c);
    return sim_copy(&q, stream);
}

static CUresult copy_2d_v1(const CUDA_MEMCPY2D_v1 *c, const struct sim_copy_stream *stream)
{
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_copy_request q = REQUEST_2D(c);
    return sim_copy(&q, stream);
}

static CUresult copy_3d(const CUDA_MEMCPY3D *c, const struct sim_copy_stream *stream)
{
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_copy_request q = REQUEST_3D(c);
    return sim_copy(&q, stream);
}

static CUresult copy_3d_v1(const CUDA_MEMCPY3D_v1 *c, const struct sim_copy_stream *stream)
{
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_copy_request q = REQUEST_3D(c);
    return sim_copy(&q, stream);
}

static CUresult copy_peer(const CUDA_MEMCPY3D_PEER *c, const struct sim_copy_stream *stream)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    if ((c->srcMemoryType == CU_MEMORYTYPE_DEVICE && !sim_context_is(c->srcContext)) ||
        (c->dstMemoryType == CU_MEMORYTYPE_DEVICE && !sim_context_is(c->dstContext)))
        return CUDA_ERROR_INVALID_CONTEXT;
    struct sim_copy_request q = REQUEST_3D(c);
    return sim_copy(&q, stream);
}

/* ---- graph nodes ---- */

CUresult sim_memory_check_copy(const CUDA_MEMCPY3D *c)
{
    struct sim_copy_job job;
    if (!c)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_copy_request q = REQUEST_3D(c);
    return sim_copy_check(&q, &job);
}

void sim_memory_copy_work(const CUDA_MEMCPY3D *c, struct sim_work *ret)
{
    struct sim_copy_job job;
    struct sim_copy_request q = REQUEST_3D(c);
    *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
    if (sim_copy_check(&q, &job) == CUDA_SUCCESS && job.width)
        sim_copy_describe(&job, ret);
}

/* ---- 2D ---- */

CUresult cuMemcpy2D(const CUDA_MEMCPY2D_v1 *copy)
{
    return copy_2d_v1(copy, &LEGACY);
}

CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, &LEGACY);
}

CUresult cuMemcpy2D_v2_ptds(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, &THREAD);
}

CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D_v1 *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return copy_2d_v1(copy, &where);
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return copy_2d(copy, &where);
}

CUresult cuMemcpy2DAsync_v2_ptsz(const CUDA_MEMCPY2D *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return copy_2d(copy, &where);
}

/* ---- 2DUnaligned ---- */

CUresult cuMemcpy2DUnaligned(const CUDA_MEMCPY2D_v1 *copy)
{
    return copy_2d_v1(copy, &LEGACY);
}

CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, &LEGACY);
}

CUresult cuMemcpy2DUnaligned_v2_ptds(const CUDA_MEMCPY2D *copy)
{
    return copy_2d(copy, &THREAD);
}

/* ---- 3D ---- */

CUresult cuMemcpy3D(const CUDA_MEMCPY3D_v1 *copy)
{
    return copy_3d_v1(copy, &LEGACY);
}

CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D *copy)
{
    return copy_3d(copy, &LEGACY);
}

CUresult cuMemcpy3D_v2_ptds(const CUDA_MEMCPY3D *copy)
{
    return copy_3d(copy, &THREAD);
}

CUresult cuMemcpy3DAsync(const CUDA_MEMCPY3D_v1 *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return copy_3d_v1(copy, &where);
}

CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return copy_3d(copy, &where);
}

CUresult cuMemcpy3DAsync_v2_ptsz(const CUDA_MEMCPY3D *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return copy_3d(copy, &where);
}

/* ---- 3D between contexts ---- */

CUresult cuMemcpy3DPeer(const CUDA_MEMCPY3D_PEER *copy)
{
    return copy_peer(copy, &LEGACY);
}

CUresult cuMemcpy3DPeer_ptds(const CUDA_MEMCPY3D_PEER *copy)
{
    return copy_peer(copy, &THREAD);
}

CUresult cuMemcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return copy_peer(copy, &where);
}

CUresult cuMemcpy3DPeerAsync_ptsz(const CUDA_MEMCPY3D_PEER *copy, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return copy_peer(copy, &where);
}
