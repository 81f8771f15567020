/* SPDX-License-Identifier: Apache-2.0
 *
 * Every entry of contract/cuda.def exists: a weak symbol that answers
 * CUDA_ERROR_NOT_SUPPORTED unless another file of the simulator defines it.
 * The private export tables are refused one and all.
 */
#include <stdio.h>
#include <stdlib.h>

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

CUresult cuGetExportTable(const void **table, const CUuuid *id)
{
    if (table == NULL || id == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *table = NULL;
    if (getenv("HAMI_SIM_DEBUG") != NULL) {
        fprintf(stderr, "simulated CUDA driver: export table refused:");
        for (unsigned i = 0; i < sizeof(id->bytes); i++)
            fprintf(stderr, " %02x", (unsigned char)id->bytes[i]);
        fprintf(stderr, "\n");
    }
    return CUDA_ERROR_NOT_FOUND;
}
