/* SPDX-License-Identifier: Apache-2.0
 *
 * Private export tables are refused one and all: through them NVIDIA's runtime
 * library authenticates the driver, and that challenge is not answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "abi/cuda_api.h"

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
