/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of every CUDA driver entry, expanded from contract/cuda.def, so
 * that a wrapper or a simulated entry whose signature is wrong does not build.
 */
#ifndef HAMI_ABI_CUDA_API_H
#define HAMI_ABI_CUDA_API_H

#include "abi/cuda.h"

#define CUDA(symbol, base, since, stream, class, types) CUresult symbol types;
#include "cuda.def"
#undef CUDA

#endif
