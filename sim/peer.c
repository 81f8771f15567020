/* SPDX-License-Identifier: Apache-2.0
 *
 * What devices are to one another: peer access and its attributes.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

static CUresult pair(CUdevice a, CUdevice b, struct sim_part *x, struct sim_part *y)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    return sim_ordinal_part(a, x) && sim_ordinal_part(b, y) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

/* NVLink, or at least the same PCIe host bridge (NVML level 30); never under MIG. */
static bool reachable(const struct sim_part *x, const struct sim_part *y)
{
    const struct sim_profile *p = &sim_state->profile;
    if (x->device == y->device || x->part > 0 || y->part > 0)
        return false;
    return p->nvlinks[x->device][y->device] > 0 || p->pcie[x->device][y->device] <= 30;
}

CUresult cuDeviceCanAccessPeer(int *ret, CUdevice dev, CUdevice peer)
{
    struct sim_part x, y;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : pair(dev, peer, &x, &y);
    if (r == CUDA_SUCCESS)
        *ret = reachable(&x, &y);
    return r;
}

CUresult cuDeviceGetP2PAttribute(int *ret, CUdevice_P2PAttribute attribute, CUdevice dev, CUdevice peer)
{
    struct sim_part x, y;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : pair(dev, peer, &x, &y);
    if (r != CUDA_SUCCESS)
        return r;
    if (x.device == y.device)
        return CUDA_ERROR_INVALID_DEVICE;
    bool linked = sim_state->profile.nvlinks[x.device][y.device] > 0;
    switch ((int)attribute) {
    case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK:
        *ret = linked ? 0 : 1;
        return CUDA_SUCCESS;
    case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
    case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
        *ret = reachable(&x, &y);
        return CUDA_SUCCESS;
    default: /* atomics need the link */
        *ret = linked && reachable(&x, &y);
        return CUDA_SUCCESS;
    }
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int flags)
{
    struct sim_context *ctx, *other = (struct sim_context *)peer;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_context_valid(other))
        return CUDA_ERROR_INVALID_CONTEXT;
    struct sim_part x = {ctx->device, ctx->part}, y = {other->device, other->part};
    if (!reachable(&x, &y))
        return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
    if ((ctx->peers >> other->device & 1) != 0)
        return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
    ctx->peers |= 1ULL << other->device;
    return CUDA_SUCCESS;
}

CUresult cuCtxDisablePeerAccess(CUcontext peer)
{
    struct sim_context *ctx, *other = (struct sim_context *)peer;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (!sim_context_valid(other))
        return CUDA_ERROR_INVALID_CONTEXT;
    if ((ctx->peers >> other->device & 1) == 0)
        return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
    ctx->peers &= ~(1ULL << other->device);
    return CUDA_SUCCESS;
}

/* ---- further questions about one device ---- */

CUresult cuDeviceGetLuid(char *luid, unsigned int *mask, CUdevice dev)
{
    (void)luid, (void)mask, (void)dev;
    return CUDA_ERROR_NOT_SUPPORTED; /* Windows only */
}

CUresult cuDeviceGetExecAffinitySupport(int *ret, CUexecAffinityType type, CUdevice dev)
{
    struct sim_part part;
    if (ret == NULL || (unsigned)type >= CU_EXEC_AFFINITY_TYPE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = 0; /* only under MPS */
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetTexture1DLinearMaxWidth(size_t *ret, CUarray_format format, unsigned int channels,
                                            CUdevice dev)
{
    struct sim_part part;
    (void)format;
    if (ret == NULL || channels == 0 || channels > 4)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = 268435456;
    return CUDA_SUCCESS;
}

CUresult cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target,
                                    CUflushGPUDirectRDMAWritesScope scope)
{
    struct sim_context *ctx;
    (void)target, (void)scope;
    return sim_current(&ctx);
}
