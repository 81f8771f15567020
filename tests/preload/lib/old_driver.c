/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver that is older than most of what libvgpu.so wraps: one card and a
 * handful of entries.
 */
#include <string.h>

#include "abi/cuda_api.h"

CUresult cuInit(unsigned int flags)
{
    (void)flags;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    (void)device;
    memset(uuid, 0x42, sizeof *uuid);
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t bytes)
{
    (void)p, (void)bytes;
    return CUDA_ERROR_INVALID_CONTEXT;
}
