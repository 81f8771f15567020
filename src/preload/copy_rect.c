/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of copies of rectangles and boxes, whose descriptors say where their
 * ends are, and of batches. A NULL descriptor is left to the driver to refuse.
 */
#include "preload/copy.h"

/* ---- descriptors ---- */

/* One side of one: where its memory begins, and how far into it the copy does. */
struct corner {
    CUmemorytype type;
    const void *host;
    CUdeviceptr device;
    uint64_t x, y, z, pitch, rows;
};

/* The first byte that is read or written: what lies at the base may be something else. */
static struct copy_end end_of(struct corner c)
{
    uint64_t offset = (c.z * c.rows + c.y) * c.pitch + c.x; /* what overflows the driver refuses */
    switch (c.type) {
    case CU_MEMORYTYPE_HOST:
        return copy_asked((CUdeviceptr)(uintptr_t)c.host + offset);
    case CU_MEMORYTYPE_UNIFIED:
        return copy_asked(c.device + offset);
    default:
        return copy_on_device(); /* or nothing that a driver takes */
    }
}

/* The structures of the two versions differ only in the width of their members,
 * and the 3D ones share the names of the 2D ones. */
#define CORNER_2D(c, side)                                                                                   \
    .type = (c)->side##MemoryType, .host = (c)->side##Host, .device = (c)->side##Device,                     \
    .x = (c)->side##XInBytes, .y = (c)->side##Y,                                                             \
    .pitch = (c)->side##Pitch ? (c)->side##Pitch : (uint64_t)(c)->WidthInBytes + (c)->side##XInBytes
#define CORNER_3D(c, side)                                                                                   \
    CORNER_2D(c, side), .z = (c)->side##Z,                                                                   \
                        .rows = (c)->side##Height ? (c)->side##Height : (uint64_t)(c)->Height + (c)->side##Y
#define END_2D(c, side) (likely(c) ? end_of((struct corner){CORNER_2D(c, side)}) : copy_asked(0))
#define END_3D(c, side) (likely(c) ? end_of((struct corner){CORNER_3D(c, side)}) : copy_asked(0))
#define AREA(c) (likely(c) ? copy_times((c)->WidthInBytes, (c)->Height) : 0)
#define VOLUME(c) (likely(c) ? copy_times(copy_times((c)->WidthInBytes, (c)->Height), (c)->Depth) : 0)

/* ---- 2D ---- */

#define RECT(entry, type, way)                                                                               \
    COPY(entry, (const type *c), (c), COPY_RECT, AREA(c), way, END_2D(c, dst), END_2D(c, src))
#define RECT_ON(entry, type, way)                                                                            \
    COPY(entry, (const type *c, CUstream stream), (c, stream), COPY_RECT, AREA(c), way, END_2D(c, dst),      \
         END_2D(c, src))

RECT(cuMemcpy2D, CUDA_MEMCPY2D_v1, copy_legacy())
RECT(cuMemcpy2D_v2, CUDA_MEMCPY2D, copy_legacy())
RECT(cuMemcpy2D_v2_ptds, CUDA_MEMCPY2D, copy_of_thread())
RECT(cuMemcpy2DUnaligned, CUDA_MEMCPY2D_v1, copy_legacy())
RECT(cuMemcpy2DUnaligned_v2, CUDA_MEMCPY2D, copy_legacy())
RECT(cuMemcpy2DUnaligned_v2_ptds, CUDA_MEMCPY2D, copy_of_thread())
RECT_ON(cuMemcpy2DAsync, CUDA_MEMCPY2D_v1, copy_on(stream))
RECT_ON(cuMemcpy2DAsync_v2, CUDA_MEMCPY2D, copy_on(stream))
RECT_ON(cuMemcpy2DAsync_v2_ptsz, CUDA_MEMCPY2D, copy_on_own(stream))

/* ---- 3D ---- */

#define BOX(entry, type, way)                                                                                \
    COPY(entry, (const type *c), (c), COPY_RECT, VOLUME(c), way, END_3D(c, dst), END_3D(c, src))
#define BOX_ON(entry, type, way)                                                                             \
    COPY(entry, (const type *c, CUstream stream), (c, stream), COPY_RECT, VOLUME(c), way, END_3D(c, dst),    \
         END_3D(c, src))

BOX(cuMemcpy3D, CUDA_MEMCPY3D_v1, copy_legacy())
BOX(cuMemcpy3D_v2, CUDA_MEMCPY3D, copy_legacy())
BOX(cuMemcpy3D_v2_ptds, CUDA_MEMCPY3D, copy_of_thread())
BOX(cuMemcpy3DPeer, CUDA_MEMCPY3D_PEER, copy_legacy())
BOX(cuMemcpy3DPeer_ptds, CUDA_MEMCPY3D_PEER, copy_of_thread())
BOX_ON(cuMemcpy3DAsync, CUDA_MEMCPY3D_v1, copy_on(stream))
BOX_ON(cuMemcpy3DAsync_v2, CUDA_MEMCPY3D, copy_on(stream))
BOX_ON(cuMemcpy3DAsync_v2_ptsz, CUDA_MEMCPY3D, copy_on_own(stream))
BOX_ON(cuMemcpy3DPeerAsync, CUDA_MEMCPY3D_PEER, copy_on(stream))
BOX_ON(cuMemcpy3DPeerAsync_ptsz, CUDA_MEMCPY3D_PEER, copy_on_own(stream))
