/* SPDX-License-Identifier: Apache-2.0
 *
 * How many bytes the texels of an array take. Pure.
 */
#ifndef HAMI_PRELOAD_MEM_FORMAT_H
#define HAMI_PRELOAD_MEM_FORMAT_H

#include <stdint.h>

#include "abi/cuda.h"

/* Bytes of an array, or of `levels` levels of a mipmapped one (0 is 1, as for
 * the driver, which clamps the number): each level halves width, height and depth, but not layers. 0 for
 * arrays that own no memory (sparse, deferred mapping), unknown formats and channel counts that the driver
 * refuses; UINT64_MAX when the size does not fit. Rows are rounded up to `row_bytes`: 1 for the texels alone,
 * MEM_ARRAY_ROW for what the driver takes at least, whose blocks are 64 bytes wide; the latter is a guess
 * from above for what the former says 0 of, unless the array owns no memory. */
#define MEM_ARRAY_ROW 64
uint64_t mem_array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int levels, unsigned int row_bytes);

#endif
