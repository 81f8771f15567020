/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of copies of bytes in a row: between addresses, arrays, contexts, and
 * batches of them. See copy.h for what is gated.
 */
#include "preload/copy.h"

/* ---- within devices, as the name says ---- */

#define BYTES_V1 CUdeviceptr_v1 dst, CUdeviceptr_v1 src, unsigned bytes
#define BYTES CUdeviceptr dst, CUdeviceptr src, size_t bytes

COPY_WITHIN(cuMemcpyDtoD, (BYTES_V1), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyDtoD_v2, (BYTES), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyDtoD_v2_ptds, (BYTES), (dst, src, bytes), COPY_LINEAR, bytes, copy_of_thread())
COPY_WITHIN(cuMemcpyDtoDAsync, (BYTES_V1, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
            copy_on(stream))
COPY_WITHIN(cuMemcpyDtoDAsync_v2, (BYTES, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
            copy_on(stream))
COPY_WITHIN(cuMemcpyDtoDAsync_v2_ptsz, (BYTES, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR,
            bytes, copy_on_own(stream))

#define PEERS CUdeviceptr dst, CUcontext to, CUdeviceptr src, CUcontext from, size_t bytes

COPY_WITHIN(cuMemcpyPeer, (PEERS), (dst, to, src, from, bytes), COPY_PEER, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyPeer_ptds, (PEERS), (dst, to, src, from, bytes), COPY_PEER, bytes, copy_of_thread())
COPY_WITHIN(cuMemcpyPeerAsync, (PEERS, CUstream stream), (dst, to, src, from, bytes, stream), COPY_PEER,
            bytes, copy_on(stream))
COPY_WITHIN(cuMemcpyPeerAsync_ptsz, (PEERS, CUstream stream), (dst, to, src, from, bytes, stream), COPY_PEER,
            bytes, copy_on_own(stream))

/* ---- wherever the addresses lie ---- */

COPY(cuMemcpy, (BYTES), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy(), copy_asked(dst),
     copy_asked(src))
COPY(cuMemcpy_ptds, (BYTES), (dst, src, bytes), COPY_LINEAR, bytes, copy_of_thread(), copy_asked(dst),
     copy_asked(src))
COPY(cuMemcpyAsync, (BYTES, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes, copy_on(stream),
     copy_asked(dst), copy_asked(src))
COPY(cuMemcpyAsync_ptsz, (BYTES, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on_own(stream), copy_asked(dst), copy_asked(src))
COPY(cuMemcpyWithAttributesAsync, (BYTES, CUmemcpyAttributes *attributes, CUstream stream),
     (dst, src, bytes, attributes, stream), COPY_LINEAR, bytes, copy_on(stream), copy_asked(dst),
     copy_asked(src))
COPY(cuMemcpyWithAttributesAsync_ptsz, (BYTES, CUmemcpyAttributes *attributes, CUstream stream),
     (dst, src, bytes, attributes, stream), COPY_LINEAR, bytes, copy_on_own(stream), copy_asked(dst),
     copy_asked(src))

/* ---- to and from the host, by name ---- */

#define DOWN_V1 CUdeviceptr_v1 dst, const void *src, unsigned bytes
#define DOWN CUdeviceptr dst, const void *src, size_t bytes

COPY(cuMemcpyHtoD, (DOWN_V1), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy(), copy_on_device(),
     copy_asked_host(src))
COPY(cuMemcpyHtoD_v2, (DOWN), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy(), copy_on_device(),
     copy_asked_host(src))
COPY(cuMemcpyHtoD_v2_ptds, (DOWN), (dst, src, bytes), COPY_LINEAR, bytes, copy_of_thread(), copy_on_device(),
     copy_asked_host(src))
COPY(cuMemcpyHtoDAsync, (DOWN_V1, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on(stream), copy_on_device(), copy_asked_host(src))
COPY(cuMemcpyHtoDAsync_v2, (DOWN, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on(stream), copy_on_device(), copy_asked_host(src))
COPY(cuMemcpyHtoDAsync_v2_ptsz, (DOWN, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on_own(stream), copy_on_device(), copy_asked_host(src))

#define UP_V1 void *dst, CUdeviceptr_v1 src, unsigned bytes
#define UP void *dst, CUdeviceptr src, size_t bytes

COPY(cuMemcpyDtoH, (UP_V1), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy(), copy_asked_host(dst),
     copy_on_device())
COPY(cuMemcpyDtoH_v2, (UP), (dst, src, bytes), COPY_LINEAR, bytes, copy_legacy(), copy_asked_host(dst),
     copy_on_device())
COPY(cuMemcpyDtoH_v2_ptds, (UP), (dst, src, bytes), COPY_LINEAR, bytes, copy_of_thread(),
     copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyDtoHAsync, (UP_V1, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on(stream), copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyDtoHAsync_v2, (UP, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on(stream), copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyDtoHAsync_v2_ptsz, (UP, CUstream stream), (dst, src, bytes, stream), COPY_LINEAR, bytes,
     copy_on_own(stream), copy_asked_host(dst), copy_on_device())

/* ---- arrays ---- */

#define WITHIN_V1 CUarray dst, unsigned at, CUarray src, unsigned from, unsigned bytes
#define WITHIN CUarray dst, size_t at, CUarray src, size_t from, size_t bytes

COPY_WITHIN(cuMemcpyAtoA, (WITHIN_V1), (dst, at, src, from, bytes), COPY_ARRAY, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyAtoA_v2, (WITHIN), (dst, at, src, from, bytes), COPY_ARRAY, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyAtoA_v2_ptds, (WITHIN), (dst, at, src, from, bytes), COPY_ARRAY, bytes, copy_of_thread())
COPY_WITHIN(cuMemcpyAtoD, (CUdeviceptr_v1 dst, CUarray src, unsigned from, unsigned bytes),
            (dst, src, from, bytes), COPY_ARRAY, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyAtoD_v2, (CUdeviceptr dst, CUarray src, size_t from, size_t bytes),
            (dst, src, from, bytes), COPY_ARRAY, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyAtoD_v2_ptds, (CUdeviceptr dst, CUarray src, size_t from, size_t bytes),
            (dst, src, from, bytes), COPY_ARRAY, bytes, copy_of_thread())
COPY_WITHIN(cuMemcpyDtoA, (CUarray dst, unsigned at, CUdeviceptr_v1 src, unsigned bytes),
            (dst, at, src, bytes), COPY_ARRAY, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyDtoA_v2, (CUarray dst, size_t at, CUdeviceptr src, size_t bytes), (dst, at, src, bytes),
            COPY_ARRAY, bytes, copy_legacy())
COPY_WITHIN(cuMemcpyDtoA_v2_ptds, (CUarray dst, size_t at, CUdeviceptr src, size_t bytes),
            (dst, at, src, bytes), COPY_ARRAY, bytes, copy_of_thread())

#define TO_ARRAY_V1 CUarray dst, unsigned at, const void *src, unsigned bytes
#define TO_ARRAY CUarray dst, size_t at, const void *src, size_t bytes

COPY(cuMemcpyHtoA, (TO_ARRAY_V1), (dst, at, src, bytes), COPY_ARRAY, bytes, copy_legacy(), copy_on_device(),
     copy_asked_host(src))
COPY(cuMemcpyHtoA_v2, (TO_ARRAY), (dst, at, src, bytes), COPY_ARRAY, bytes, copy_legacy(), copy_on_device(),
     copy_asked_host(src))
COPY(cuMemcpyHtoA_v2_ptds, (TO_ARRAY), (dst, at, src, bytes), COPY_ARRAY, bytes, copy_of_thread(),
     copy_on_device(), copy_asked_host(src))
COPY(cuMemcpyHtoAAsync, (TO_ARRAY_V1, CUstream stream), (dst, at, src, bytes, stream), COPY_ARRAY, bytes,
     copy_on(stream), copy_on_device(), copy_asked_host(src))
COPY(cuMemcpyHtoAAsync_v2, (TO_ARRAY, CUstream stream), (dst, at, src, bytes, stream), COPY_ARRAY, bytes,
     copy_on(stream), copy_on_device(), copy_asked_host(src))
COPY(cuMemcpyHtoAAsync_v2_ptsz, (TO_ARRAY, CUstream stream), (dst, at, src, bytes, stream), COPY_ARRAY, bytes,
     copy_on_own(stream), copy_on_device(), copy_asked_host(src))

#define FROM_ARRAY_V1 void *dst, CUarray src, unsigned from, unsigned bytes
#define FROM_ARRAY void *dst, CUarray src, size_t from, size_t bytes

COPY(cuMemcpyAtoH, (FROM_ARRAY_V1), (dst, src, from, bytes), COPY_ARRAY, bytes, copy_legacy(),
     copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyAtoH_v2, (FROM_ARRAY), (dst, src, from, bytes), COPY_ARRAY, bytes, copy_legacy(),
     copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyAtoH_v2_ptds, (FROM_ARRAY), (dst, src, from, bytes), COPY_ARRAY, bytes, copy_of_thread(),
     copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyAtoHAsync, (FROM_ARRAY_V1, CUstream stream), (dst, src, from, bytes, stream), COPY_ARRAY, bytes,
     copy_on(stream), copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyAtoHAsync_v2, (FROM_ARRAY, CUstream stream), (dst, src, from, bytes, stream), COPY_ARRAY, bytes,
     copy_on(stream), copy_asked_host(dst), copy_on_device())
COPY(cuMemcpyAtoHAsync_v2_ptsz, (FROM_ARRAY, CUstream stream), (dst, src, from, bytes, stream), COPY_ARRAY,
     bytes, copy_on_own(stream), copy_asked_host(dst), copy_on_device())
