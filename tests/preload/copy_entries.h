/* SPDX-License-Identifier: Apache-2.0
 *
 * Every entry that copies or sets, called so that both ends lie on a device:
 * those that are named for the host, too, with a device's address as the host's.
 * COPY_ENTRIES(X): X(entry, (arguments)), where p is a struct copy_place.
 */
#ifndef HAMI_TESTS_PRELOAD_COPY_ENTRIES_H
#define HAMI_TESTS_PRELOAD_COPY_ENTRIES_H

#include "support.h"

/* What is copied: bytes of memory, or rows of two arrays. */
struct copy_place {
    CUcontext ctx;
    CUstream stream;
    CUdeviceptr to, from;
    CUarray array_to, array_from;
    size_t bytes, pitch; /* whole rows, of pitch bytes each */
    size_t row;          /* of an array: bytes that are copied */
    CUDA_MEMCPY2D rect;
    CUDA_MEMCPY3D box;
    CUDA_MEMCPY3D_PEER peers;
    CUDA_MEMCPY3D_BATCH_OP op;
    CUmemcpyAttributes attributes;
    size_t first, failed;
};

#define COPY_ENTRIES(X)                                                                                      \
    X(cuMemcpy, (p->to, p->from, p->bytes))                                                                  \
    X(cuMemcpy_ptds, (p->to, p->from, p->bytes))                                                             \
    X(cuMemcpyAsync, (p->to, p->from, p->bytes, p->stream))                                                  \
    X(cuMemcpyAsync_ptsz, (p->to, p->from, p->bytes, NULL))                                                  \
    X(cuMemcpyWithAttributesAsync, (p->to, p->from, p->bytes, &p->attributes, p->stream))                    \
    X(cuMemcpyWithAttributesAsync_ptsz, (p->to, p->from, p->bytes, &p->attributes, NULL))                    \
    X(cuMemcpyDtoD_v2, (p->to, p->from, p->bytes))                                                           \
    X(cuMemcpyDtoD_v2_ptds, (p->to, p->from, p->bytes))                                                      \
    X(cuMemcpyDtoDAsync_v2, (p->to, p->from, p->bytes, p->stream))                                           \
    X(cuMemcpyDtoDAsync_v2_ptsz, (p->to, p->from, p->bytes, NULL))                                           \
    X(cuMemcpyPeer, (p->to, p->ctx, p->from, p->ctx, p->bytes))                                              \
    X(cuMemcpyPeer_ptds, (p->to, p->ctx, p->from, p->ctx, p->bytes))                                         \
    X(cuMemcpyPeerAsync, (p->to, p->ctx, p->from, p->ctx, p->bytes, p->stream))                              \
    X(cuMemcpyPeerAsync_ptsz, (p->to, p->ctx, p->from, p->ctx, p->bytes, NULL))                              \
    X(cuMemcpyHtoD_v2, (p->to, copy_host(p->from), p->bytes))                                                \
    X(cuMemcpyHtoD_v2_ptds, (p->to, copy_host(p->from), p->bytes))                                           \
    X(cuMemcpyHtoDAsync_v2, (p->to, copy_host(p->from), p->bytes, p->stream))                                \
    X(cuMemcpyHtoDAsync_v2_ptsz, (p->to, copy_host(p->from), p->bytes, NULL))                                \
    X(cuMemcpyDtoH_v2, (copy_host(p->to), p->from, p->bytes))                                                \
    X(cuMemcpyDtoH_v2_ptds, (copy_host(p->to), p->from, p->bytes))                                           \
    X(cuMemcpyDtoHAsync_v2, (copy_host(p->to), p->from, p->bytes, p->stream))                                \
    X(cuMemcpyDtoHAsync_v2_ptsz, (copy_host(p->to), p->from, p->bytes, NULL))                                \
    X(cuMemcpyAtoA, (p->array_to, 0, p->array_from, 0, (unsigned)p->row))                                    \
    X(cuMemcpyAtoA_v2, (p->array_to, 0, p->array_from, 0, p->row))                                           \
    X(cuMemcpyAtoA_v2_ptds, (p->array_to, 0, p->array_from, 0, p->row))                                      \
    X(cuMemcpyAtoD_v2, (p->to, p->array_from, 0, p->row))                                                    \
    X(cuMemcpyAtoD_v2_ptds, (p->to, p->array_from, 0, p->row))                                               \
    X(cuMemcpyDtoA_v2, (p->array_to, 0, p->from, p->row))                                                    \
    X(cuMemcpyDtoA_v2_ptds, (p->array_to, 0, p->from, p->row))                                               \
    X(cuMemcpyHtoA, (p->array_to, 0, copy_host(p->from), (unsigned)p->row))                                  \
    X(cuMemcpyHtoA_v2, (p->array_to, 0, copy_host(p->from), p->row))                                         \
    X(cuMemcpyHtoA_v2_ptds, (p->array_to, 0, copy_host(p->from), p->row))                                    \
    X(cuMemcpyHtoAAsync, (p->array_to, 0, copy_host(p->from), (unsigned)p->row, p->stream))                  \
    X(cuMemcpyHtoAAsync_v2, (p->array_to, 0, copy_host(p->from), p->row, p->stream))                         \
    X(cuMemcpyHtoAAsync_v2_ptsz, (p->array_to, 0, copy_host(p->from), p->row, NULL))                         \
    X(cuMemcpyAtoH, (copy_host(p->to), p->array_from, 0, (unsigned)p->row))                                  \
    X(cuMemcpyAtoH_v2, (copy_host(p->to), p->array_from, 0, p->row))                                         \
    X(cuMemcpyAtoH_v2_ptds, (copy_host(p->to), p->array_from, 0, p->row))                                    \
    X(cuMemcpyAtoHAsync, (copy_host(p->to), p->array_from, 0, (unsigned)p->row, p->stream))                  \
    X(cuMemcpyAtoHAsync_v2, (copy_host(p->to), p->array_from, 0, p->row, p->stream))                         \
    X(cuMemcpyAtoHAsync_v2_ptsz, (copy_host(p->to), p->array_from, 0, p->row, NULL))                         \
    X(cuMemcpy2D_v2, (&p->rect))                                                                             \
    X(cuMemcpy2D_v2_ptds, (&p->rect))                                                                        \
    X(cuMemcpy2DAsync_v2, (&p->rect, p->stream))                                                             \
    X(cuMemcpy2DAsync_v2_ptsz, (&p->rect, NULL))                                                             \
    X(cuMemcpy2DUnaligned_v2, (&p->rect))                                                                    \
    X(cuMemcpy2DUnaligned_v2_ptds, (&p->rect))                                                               \
    X(cuMemcpy3D_v2, (&p->box))                                                                              \
    X(cuMemcpy3D_v2_ptds, (&p->box))                                                                         \
    X(cuMemcpy3DAsync_v2, (&p->box, p->stream))                                                              \
    X(cuMemcpy3DAsync_v2_ptsz, (&p->box, NULL))                                                              \
    X(cuMemcpy3DPeer, (&p->peers))                                                                           \
    X(cuMemcpy3DPeer_ptds, (&p->peers))                                                                      \
    X(cuMemcpy3DPeerAsync, (&p->peers, p->stream))                                                           \
    X(cuMemcpy3DPeerAsync_ptsz, (&p->peers, NULL))                                                           \
    X(cuMemcpyBatchAsync,                                                                                    \
      (&p->to, &p->from, &p->bytes, 1, &p->attributes, &p->first, 1, &p->failed, p->stream))                 \
    X(cuMemcpyBatchAsync_ptsz,                                                                               \
      (&p->to, &p->from, &p->bytes, 1, &p->attributes, &p->first, 1, &p->failed, NULL))                      \
    X(cuMemcpyBatchAsync_v2, (&p->to, &p->from, &p->bytes, 1, &p->attributes, &p->first, 1, p->stream))      \
    X(cuMemcpyBatchAsync_v2_ptsz, (&p->to, &p->from, &p->bytes, 1, &p->attributes, &p->first, 1, NULL))      \
    X(cuMemcpy3DBatchAsync, (1, &p->op, &p->failed, 0, p->stream))                                           \
    X(cuMemcpy3DBatchAsync_ptsz, (1, &p->op, &p->failed, 0, NULL))                                           \
    X(cuMemcpy3DBatchAsync_v2, (1, &p->op, 0, p->stream))                                                    \
    X(cuMemcpy3DBatchAsync_v2_ptsz, (1, &p->op, 0, NULL))                                                    \
    X(cuMemcpy3DWithAttributesAsync, (&p->op, 0, p->stream))                                                 \
    X(cuMemcpy3DWithAttributesAsync_ptsz, (&p->op, 0, NULL))                                                 \
    X(cuMemsetD8_v2, (p->to, 0x17, p->bytes))                                                                \
    X(cuMemsetD8_v2_ptds, (p->to, 0x27, p->bytes))                                                           \
    X(cuMemsetD8Async, (p->to, 0x37, p->bytes, p->stream))                                                   \
    X(cuMemsetD8Async_ptsz, (p->to, 0x47, p->bytes, NULL))                                                   \
    X(cuMemsetD16_v2, (p->to, 0x1716, p->bytes / 2))                                                         \
    X(cuMemsetD16_v2_ptds, (p->to, 0x1726, p->bytes / 2))                                                    \
    X(cuMemsetD16Async, (p->to, 0x1736, p->bytes / 2, p->stream))                                            \
    X(cuMemsetD16Async_ptsz, (p->to, 0x1746, p->bytes / 2, NULL))                                            \
    X(cuMemsetD32_v2, (p->to, 0x17161514, p->bytes / 4))                                                     \
    X(cuMemsetD32_v2_ptds, (p->to, 0x17161524, p->bytes / 4))                                                \
    X(cuMemsetD32Async, (p->to, 0x17161534, p->bytes / 4, p->stream))                                        \
    X(cuMemsetD32Async_ptsz, (p->to, 0x17161544, p->bytes / 4, NULL))                                        \
    X(cuMemsetD2D8_v2, (p->to, p->pitch, 0x19, p->pitch - 4, p->bytes / p->pitch))                           \
    X(cuMemsetD2D8_v2_ptds, (p->to, p->pitch, 0x29, p->pitch - 4, p->bytes / p->pitch))                      \
    X(cuMemsetD2D8Async, (p->to, p->pitch, 0x39, p->pitch - 4, p->bytes / p->pitch, p->stream))              \
    X(cuMemsetD2D8Async_ptsz, (p->to, p->pitch, 0x49, p->pitch - 4, p->bytes / p->pitch, NULL))              \
    X(cuMemsetD2D16_v2, (p->to, p->pitch, 0x1918, p->pitch / 2 - 2, p->bytes / p->pitch))                    \
    X(cuMemsetD2D16_v2_ptds, (p->to, p->pitch, 0x1928, p->pitch / 2 - 2, p->bytes / p->pitch))               \
    X(cuMemsetD2D16Async, (p->to, p->pitch, 0x1938, p->pitch / 2 - 2, p->bytes / p->pitch, p->stream))       \
    X(cuMemsetD2D16Async_ptsz, (p->to, p->pitch, 0x1948, p->pitch / 2 - 2, p->bytes / p->pitch, NULL))       \
    X(cuMemsetD2D32_v2, (p->to, p->pitch, 0x19181716, p->pitch / 4 - 1, p->bytes / p->pitch))                \
    X(cuMemsetD2D32_v2_ptds, (p->to, p->pitch, 0x19181726, p->pitch / 4 - 1, p->bytes / p->pitch))           \
    X(cuMemsetD2D32Async, (p->to, p->pitch, 0x19181736, p->pitch / 4 - 1, p->bytes / p->pitch, p->stream))   \
    X(cuMemsetD2D32Async_ptsz, (p->to, p->pitch, 0x19181746, p->pitch / 4 - 1, p->bytes / p->pitch, NULL))

/* Addresses of 32 bits: no driver of 64 bits gives any, so these only refuse. */
#define COPY_ENTRIES_V1(X)                                                                                   \
    X(cuMemcpyDtoD, (64, 128, 1 << 20))                                                                      \
    X(cuMemcpyDtoDAsync, (64, 128, 1 << 20, p->stream))                                                      \
    X(cuMemcpyHtoD, (64, copy_host(p->from), 1 << 20))                                                       \
    X(cuMemcpyHtoDAsync, (64, copy_host(p->from), 1 << 20, p->stream))                                       \
    X(cuMemcpyDtoH, (copy_host(p->to), 64, 1 << 20))                                                         \
    X(cuMemcpyDtoHAsync, (copy_host(p->to), 64, 1 << 20, p->stream))                                         \
    X(cuMemcpyAtoD, (64, p->array_from, 0, 1 << 20))                                                         \
    X(cuMemcpyDtoA, (p->array_to, 0, 64, 1 << 20))                                                           \
    X(cuMemcpy2D, (&copy_rect_v1))                                                                           \
    X(cuMemcpy2DAsync, (&copy_rect_v1, p->stream))                                                           \
    X(cuMemcpy2DUnaligned, (&copy_rect_v1))                                                                  \
    X(cuMemcpy3D, (&copy_box_v1))                                                                            \
    X(cuMemcpy3DAsync, (&copy_box_v1, p->stream))                                                            \
    X(cuMemsetD8, (64, 1, 1 << 20))                                                                          \
    X(cuMemsetD16, (64, 1, 1 << 19))                                                                         \
    X(cuMemsetD32, (64, 1, 1 << 18))                                                                         \
    X(cuMemsetD2D8, (64, 1024, 1, 1024, 1024))                                                               \
    X(cuMemsetD2D16, (64, 2048, 1, 1024, 1024))                                                              \
    X(cuMemsetD2D32, (64, 4096, 1, 1024, 1024))

static const CUDA_MEMCPY2D_v1 copy_rect_v1 = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                                              .srcDevice = 64,
                                              .srcPitch = 1024,
                                              .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                                              .dstDevice = 64,
                                              .dstPitch = 1024,
                                              .WidthInBytes = 1024,
                                              .Height = 1024};
static const CUDA_MEMCPY3D_v1 copy_box_v1 = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                                             .srcDevice = 64,
                                             .srcPitch = 1024,
                                             .srcHeight = 1024,
                                             .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                                             .dstDevice = 64,
                                             .dstPitch = 1024,
                                             .dstHeight = 1024,
                                             .WidthInBytes = 1024,
                                             .Height = 1024,
                                             .Depth = 1};

/* A device's address, given as one of the host. */
static inline void *copy_host(CUdeviceptr address)
{
    return (void *)(uintptr_t)address;
}

typedef CUresult copy_call(struct copy_place *p);

#define COPY_CALL(entry, arguments)                                                                          \
    static CUresult copy_by_##entry(struct copy_place *p)                                                    \
    {                                                                                                        \
        (void)p;                                                                                             \
        return kit_cuda()->entry arguments;                                                                  \
    }
COPY_ENTRIES(COPY_CALL)
COPY_ENTRIES_V1(COPY_CALL)
#undef COPY_CALL

#define COPY_ROW(entry, arguments) {#entry, copy_by_##entry},
static const struct copy_entry {
    const char *name;
    copy_call *call;
} copy_entries[] = {COPY_ENTRIES(COPY_ROW)}, copy_entries_v1[] = {COPY_ENTRIES_V1(COPY_ROW)};
#undef COPY_ROW

static inline copy_call *copy_call_of(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(copy_entries); i++)
        if (g_str_equal(copy_entries[i].name, name))
            return copy_entries[i].call;
    for (gsize i = 0; i < G_N_ELEMENTS(copy_entries_v1); i++)
        if (g_str_equal(copy_entries_v1[i].name, name))
            return copy_entries_v1[i].call;
    exit(95);
}

/* Everything of a place that follows from its addresses, sizes and types. */
static inline void copy_describe(struct copy_place *p, CUmemorytype type)
{
    p->attributes = (CUmemcpyAttributes){.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM};
    p->rect = (CUDA_MEMCPY2D){.srcMemoryType = type,
                              .srcHost = copy_host(p->from),
                              .srcDevice = p->from,
                              .srcPitch = p->pitch,
                              .dstMemoryType = type,
                              .dstHost = copy_host(p->to),
                              .dstDevice = p->to,
                              .dstPitch = p->pitch,
                              .WidthInBytes = p->pitch - 4,
                              .Height = p->bytes / p->pitch};
    p->box = (CUDA_MEMCPY3D){.srcMemoryType = type,
                             .srcHost = copy_host(p->from),
                             .srcDevice = p->from,
                             .srcPitch = p->pitch,
                             .srcHeight = p->rect.Height / 2,
                             .dstMemoryType = type,
                             .dstHost = copy_host(p->to),
                             .dstDevice = p->to,
                             .dstPitch = p->pitch,
                             .dstHeight = p->rect.Height / 2,
                             .WidthInBytes = p->pitch - 4,
                             .Height = p->rect.Height / 2,
                             .Depth = 2};
    p->peers = (CUDA_MEMCPY3D_PEER){.srcMemoryType = type,
                                    .srcHost = copy_host(p->from),
                                    .srcDevice = p->from,
                                    .srcContext = p->ctx,
                                    .srcPitch = p->pitch,
                                    .srcHeight = p->rect.Height / 2,
                                    .dstMemoryType = type,
                                    .dstHost = copy_host(p->to),
                                    .dstDevice = p->to,
                                    .dstContext = p->ctx,
                                    .dstPitch = p->pitch,
                                    .dstHeight = p->rect.Height / 2,
                                    .WidthInBytes = p->pitch - 4,
                                    .Height = p->rect.Height / 2,
                                    .Depth = 2};
    p->op = (CUDA_MEMCPY3D_BATCH_OP){.src = {.type = CU_MEMCPY_OPERAND_TYPE_POINTER, .op.ptr.ptr = p->from},
                                     .dst = {.type = CU_MEMCPY_OPERAND_TYPE_POINTER, .op.ptr.ptr = p->to},
                                     .extent = {p->bytes, 1, 1},
                                     .srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM};
}

/* On device 0: n bytes of memory in rows of pitch bytes, arrays of 8 rows of
 * row bytes. Ends the process with status 94 when that fails. */
static inline struct copy_place copy_place_new(size_t n, size_t pitch, size_t row, CUmemorytype type)
{
    struct copy_place p = {.bytes = n, .pitch = pitch, .row = row};
    CUDA_ARRAY_DESCRIPTOR texels = {
        .Width = row / 16, .Height = 8, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    const struct real_cuda *cu = kit_cuda();
    p.ctx = kit_context(0);
    if (cu->cuMemAlloc_v2(&p.to, n) || cu->cuMemAlloc_v2(&p.from, n) ||
        cu->cuArrayCreate_v2(&p.array_to, &texels) || cu->cuArrayCreate_v2(&p.array_from, &texels) ||
        cu->cuStreamCreate(&p.stream, CU_STREAM_NON_BLOCKING))
        exit(94);
    copy_describe(&p, type);
    return p;
}

#endif
