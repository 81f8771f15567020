/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver that is older than most of what libvgpu.so wraps: one card, or
 * OLD_DRIVER_CARDS of them, and a handful of entries.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"

static int cards(void)
{
    const char *text = getenv("OLD_DRIVER_CARDS");
    return text ? atoi(text) : 1;
}

CUresult cuInit(unsigned int flags)
{
    (void)flags;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    *count = cards();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    *device = ordinal;
    return ordinal >= 0 && ordinal < cards() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device)
{
    memset(uuid, 0x42 + device, sizeof *uuid);
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t bytes)
{
    (void)p, (void)bytes;
    return CUDA_ERROR_INVALID_CONTEXT;
}
