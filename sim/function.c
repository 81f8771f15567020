/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be asked of and set on a function or kernel.
 */
#include "abi/cuda_api.h"
#include "objects.h"

void sim_function_defaults(struct sim_function *f)
{
    f->attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 1024;
    f->attributes[CU_FUNC_ATTRIBUTE_NUM_REGS] = 32;
    f->attributes[CU_FUNC_ATTRIBUTE_PTX_VERSION] = 75;
    f->attributes[CU_FUNC_ATTRIBUTE_BINARY_VERSION] = 75;
    f->attributes[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = 48 << 10;
    f->attributes[CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT] = -1;
}
