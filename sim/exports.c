/* SPDX-License-Identifier: Apache-2.0
 *
 * Every entry of contract/cuda.def exists: a weak symbol that answers
 * CUDA_ERROR_NOT_SUPPORTED unless another file of the simulator defines it.
 * No strong definition may stand in this file: it would fight with its alias.
 */
#include "abi/cuda_api.h"

CUresult sim_not_supported(void);

__attribute__((used)) CUresult sim_not_supported(void)
{
    return CUDA_ERROR_NOT_SUPPORTED;
}

/* Aliases by the assembler: in C the alias would need the prototype of its target. */
#define CUDA(symbol, base, since, stream, class, types)                                                      \
    __asm__(".weak " #symbol "\n.type " #symbol ", %function\n.set " #symbol ", sim_not_supported\n");
#include "cuda.def"
#undef CUDA
