/* SPDX-License-Identifier: Apache-2.0
 *
 * The older way to share device memory between processes.
 */
#include <string.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "mem_share.h"

CUresult cuIpcGetMemHandle(CUipcMemHandle *ret, CUdeviceptr dptr)
{
    struct sim_context *ctx;
    CUdevice device;
    struct sim_share_token token;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_arena *a = sim_arena_at(dptr);
    if (!ret || !a)
        return CUDA_ERROR_INVALID_VALUE;
    rc = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, dptr);
    if (b && b->kind == SIM_MEM_PLAIN)
        rc = sim_share_export(a, b, SIM_SHARE_IPC, &token) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_unlock(&a->lock);
    if (rc == CUDA_SUCCESS) {
        memset(ret, 0, sizeof *ret);
        memcpy(ret, &token, sizeof token);
    }
    return rc;
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *ret, CUipcMemHandle handle, unsigned flags)
{
    struct sim_context *ctx;
    CUdevice device;
    struct sim_share_token token;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || (flags & ~(unsigned)CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&token, &handle, sizeof token);
    if (token.kind != SIM_SHARE_IPC)
        return CUDA_ERROR_INVALID_HANDLE;
    if (token.magic == SIM_SHARE_MAGIC && token.pid == (int32_t)getpid())
        return CUDA_ERROR_INVALID_CONTEXT; /* not in the process that made it */
    return sim_share_open(&token, ctx, ret);
}

CUresult cuIpcOpenMemHandle(CUdeviceptr *ret, CUipcMemHandle handle, unsigned flags)
{
    return cuIpcOpenMemHandle_v2(ret, handle, flags);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr dptr)
{
    struct sim_context *ctx;
    CUdevice device;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    return sim_share_close(dptr) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
