/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of sets: the compute engine writes, wherever the memory is.
 */
#include "preload/copy.h"

/* ---- in a row ---- */

#define ROW(entry, address, value, count, element, way)                                                      \
    COPY_WITHIN(entry, (address dst, value v, count n), (dst, v, n), COPY_SET, copy_times(n, element), way)
#define ROW_ON(entry, value, element, way)                                                                   \
    COPY_WITHIN(entry, (CUdeviceptr dst, value v, size_t n, CUstream stream), (dst, v, n, stream), COPY_SET, \
                copy_times(n, element), way)

ROW(cuMemsetD8, CUdeviceptr_v1, unsigned char, unsigned, 1, copy_legacy())
ROW(cuMemsetD8_v2, CUdeviceptr, unsigned char, size_t, 1, copy_legacy())
ROW(cuMemsetD8_v2_ptds, CUdeviceptr, unsigned char, size_t, 1, copy_of_thread())
ROW_ON(cuMemsetD8Async, unsigned char, 1, copy_on(stream))
ROW_ON(cuMemsetD8Async_ptsz, unsigned char, 1, copy_on_own(stream))

ROW(cuMemsetD16, CUdeviceptr_v1, unsigned short, unsigned, 2, copy_legacy())
ROW(cuMemsetD16_v2, CUdeviceptr, unsigned short, size_t, 2, copy_legacy())
ROW(cuMemsetD16_v2_ptds, CUdeviceptr, unsigned short, size_t, 2, copy_of_thread())
ROW_ON(cuMemsetD16Async, unsigned short, 2, copy_on(stream))
ROW_ON(cuMemsetD16Async_ptsz, unsigned short, 2, copy_on_own(stream))

ROW(cuMemsetD32, CUdeviceptr_v1, unsigned, unsigned, 4, copy_legacy())
ROW(cuMemsetD32_v2, CUdeviceptr, unsigned, size_t, 4, copy_legacy())
ROW(cuMemsetD32_v2_ptds, CUdeviceptr, unsigned, size_t, 4, copy_of_thread())
ROW_ON(cuMemsetD32Async, unsigned, 4, copy_on(stream))
ROW_ON(cuMemsetD32Async_ptsz, unsigned, 4, copy_on_own(stream))

/* ---- in rows ---- */

#define AREA(width, height, element) copy_times(copy_times(width, height), element)
#define ROWS(entry, address, size, value, element, way)                                                      \
    COPY_WITHIN(entry, (address dst, size pitch, value v, size width, size height),                          \
                (dst, pitch, v, width, height), COPY_SET_RECT, AREA(width, height, element), way)
#define ROWS_ON(entry, value, element, way)                                                                  \
    COPY_WITHIN(entry,                                                                                       \
                (CUdeviceptr dst, size_t pitch, value v, size_t width, size_t height, CUstream stream),      \
                (dst, pitch, v, width, height, stream), COPY_SET_RECT, AREA(width, height, element), way)

ROWS(cuMemsetD2D8, CUdeviceptr_v1, unsigned, unsigned char, 1, copy_legacy())
ROWS(cuMemsetD2D8_v2, CUdeviceptr, size_t, unsigned char, 1, copy_legacy())
ROWS(cuMemsetD2D8_v2_ptds, CUdeviceptr, size_t, unsigned char, 1, copy_of_thread())
ROWS_ON(cuMemsetD2D8Async, unsigned char, 1, copy_on(stream))
ROWS_ON(cuMemsetD2D8Async_ptsz, unsigned char, 1, copy_on_own(stream))

ROWS(cuMemsetD2D16, CUdeviceptr_v1, unsigned, unsigned short, 2, copy_legacy())
ROWS(cuMemsetD2D16_v2, CUdeviceptr, size_t, unsigned short, 2, copy_legacy())
ROWS(cuMemsetD2D16_v2_ptds, CUdeviceptr, size_t, unsigned short, 2, copy_of_thread())
ROWS_ON(cuMemsetD2D16Async, unsigned short, 2, copy_on(stream))
ROWS_ON(cuMemsetD2D16Async_ptsz, unsigned short, 2, copy_on_own(stream))

ROWS(cuMemsetD2D32, CUdeviceptr_v1, unsigned, unsigned, 4, copy_legacy())
ROWS(cuMemsetD2D32_v2, CUdeviceptr, size_t, unsigned, 4, copy_legacy())
ROWS(cuMemsetD2D32_v2_ptds, CUdeviceptr, size_t, unsigned, 4, copy_of_thread())
ROWS_ON(cuMemsetD2D32Async, unsigned, 4, copy_on(stream))
ROWS_ON(cuMemsetD2D32Async_ptsz, unsigned, 4, copy_on_own(stream))
