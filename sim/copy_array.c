/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies between arrays and byte ranges, and between arrays. They read an array
 * as one sequence of rows.
 */
#include "copy_job.h"

#include "abi/cuda_api.h"

static const struct sim_copy_stream LEGACY = {SIM_COPY_SYNC, NULL, false};
static const struct sim_copy_stream THREAD = {SIM_COPY_SYNC, NULL, true};

static uint64_t host(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

static struct sim_copy_end plain(CUmemorytype type, uint64_t address)
{
    return (struct sim_copy_end){.type = type, .address = address};
}

/* An offset into an array is a row and a place in it; a copy stays in the row. */
static struct sim_copy_end inside(CUarray array, uint64_t offset)
{
    struct sim_copy_end e = {.type = CU_MEMORYTYPE_ARRAY, .array = array, .x = offset};
    const struct sim_array *a = sim_array_of(array);
    if (a && a->row_bytes && a->rows > 1) {
        e.x = offset % a->row_bytes;
        e.y = offset / a->row_bytes;
    }
    return e;
}

static CUresult move(struct sim_copy_end dst, struct sim_copy_end src, uint64_t bytes,
                     const struct sim_copy_stream *stream)
{
    struct sim_copy_request q = {.src = src, .dst = dst, .width = bytes, .height = 1, .depth = 1};
    return sim_copy(&q, stream);
}

CUresult cuMemcpyDtoA(CUarray dst, unsigned at, CUdeviceptr_v1 src, unsigned bytes)
{
    return move(inside(dst, at), plain(CU_MEMORYTYPE_DEVICE, src), bytes, &LEGACY);
}

CUresult cuMemcpyDtoA_v2(CUarray dst, size_t at, CUdeviceptr src, size_t bytes)
{
    return move(inside(dst, at), plain(CU_MEMORYTYPE_DEVICE, src), bytes, &LEGACY);
}

CUresult cuMemcpyDtoA_v2_ptds(CUarray dst, size_t at, CUdeviceptr src, size_t bytes)
{
    return move(inside(dst, at), plain(CU_MEMORYTYPE_DEVICE, src), bytes, &THREAD);
}

CUresult cuMemcpyAtoD(CUdeviceptr_v1 dst, CUarray src, unsigned at, unsigned bytes)
{
    return move(plain(CU_MEMORYTYPE_DEVICE, dst), inside(src, at), bytes, &LEGACY);
}

CUresult cuMemcpyAtoD_v2(CUdeviceptr dst, CUarray src, size_t at, size_t bytes)
{
    return move(plain(CU_MEMORYTYPE_DEVICE, dst), inside(src, at), bytes, &LEGACY);
}

CUresult cuMemcpyAtoD_v2_ptds(CUdeviceptr dst, CUarray src, size_t at, size_t bytes)
{
    return move(plain(CU_MEMORYTYPE_DEVICE, dst), inside(src, at), bytes, &THREAD);
}

CUresult cuMemcpyHtoA(CUarray dst, unsigned at, const void *src, unsigned bytes)
{
    return move(inside(dst, at), plain(CU_MEMORYTYPE_HOST, host(src)), bytes, &LEGACY);
}

CUresult cuMemcpyHtoA_v2(CUarray dst, size_t at, const void *src, size_t bytes)
{
    return move(inside(dst, at), plain(CU_MEMORYTYPE_HOST, host(src)), bytes, &LEGACY);
}

CUresult cuMemcpyHtoA_v2_ptds(CUarray dst, size_t at, const void *src, size_t bytes)
{
    return move(inside(dst, at), plain(CU_MEMORYTYPE_HOST, host(src)), bytes, &THREAD);
}

CUresult cuMemcpyHtoAAsync(CUarray dst, unsigned at, const void *src, unsigned bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return move(inside(dst, at), plain(CU_MEMORYTYPE_HOST, host(src)), bytes, &where);
}

CUresult cuMemcpyHtoAAsync_v2(CUarray dst, size_t at, const void *src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return move(inside(dst, at), plain(CU_MEMORYTYPE_HOST, host(src)), bytes, &where);
}

CUresult cuMemcpyHtoAAsync_v2_ptsz(CUarray dst, size_t at, const void *src, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return move(inside(dst, at), plain(CU_MEMORYTYPE_HOST, host(src)), bytes, &where);
}

CUresult cuMemcpyAtoH(void *dst, CUarray src, unsigned at, unsigned bytes)
{
    return move(plain(CU_MEMORYTYPE_HOST, host(dst)), inside(src, at), bytes, &LEGACY);
}

CUresult cuMemcpyAtoH_v2(void *dst, CUarray src, size_t at, size_t bytes)
{
    return move(plain(CU_MEMORYTYPE_HOST, host(dst)), inside(src, at), bytes, &LEGACY);
}

CUresult cuMemcpyAtoH_v2_ptds(void *dst, CUarray src, size_t at, size_t bytes)
{
    return move(plain(CU_MEMORYTYPE_HOST, host(dst)), inside(src, at), bytes, &THREAD);
}

CUresult cuMemcpyAtoHAsync(void *dst, CUarray src, unsigned at, unsigned bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return move(plain(CU_MEMORYTYPE_HOST, host(dst)), inside(src, at), bytes, &where);
}

CUresult cuMemcpyAtoHAsync_v2(void *dst, CUarray src, size_t at, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, false};
    return move(plain(CU_MEMORYTYPE_HOST, host(dst)), inside(src, at), bytes, &where);
}

CUresult cuMemcpyAtoHAsync_v2_ptsz(void *dst, CUarray src, size_t at, size_t bytes, CUstream stream)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, true};
    return move(plain(CU_MEMORYTYPE_HOST, host(dst)), inside(src, at), bytes, &where);
}

CUresult cuMemcpyAtoA(CUarray dst, unsigned dst_at, CUarray src, unsigned src_at, unsigned bytes)
{
    return move(inside(dst, dst_at), inside(src, src_at), bytes, &LEGACY);
}

CUresult cuMemcpyAtoA_v2(CUarray dst, size_t dst_at, CUarray src, size_t src_at, size_t bytes)
{
    return move(inside(dst, dst_at), inside(src, src_at), bytes, &LEGACY);
}

CUresult cuMemcpyAtoA_v2_ptds(CUarray dst, size_t dst_at, CUarray src, size_t src_at, size_t bytes)
{
    return move(inside(dst, dst_at), inside(src, src_at), bytes, &THREAD);
}
