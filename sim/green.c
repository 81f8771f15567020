/* SPDX-License-Identifier: Apache-2.0
 *
 * Green contexts and the resources they are made from. A green context is a
 * context of its own over the primary context's memory; its share of the SMs
 * only changes how grid-priced kernels are timed (fewer SMs, more waves).
 */
#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

#define GREEN_DEFAULT_STREAM 1u

/* What a descriptor handle points to; freed with the process. */
struct description {
    uint32_t tag;
    uint32_t sm_count;
};

static void sm_resource(CUdevResource *ret, uint32_t sm_count)
{
    memset(ret, 0, sizeof(*ret));
    ret->type = CU_DEV_RESOURCE_TYPE_SM;
    ret->sm.smCount = sm_count;
    ret->sm.minSmPartitionSize = 2;
    ret->sm.smCoscheduledAlignment = 2;
}

CUresult cuDeviceGetDevResource(CUdevice dev, CUdevResource *ret, CUdevResourceType type)
{
    struct sim_part part;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    if (type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    const struct sim_device_profile *d = &sim_state->profile.devices[part.device];
    sm_resource(ret, part.part > 0 ? d->mig[part.part - 1].sm_count : d->sm_count);
    return CUDA_SUCCESS;
}

static CUresult resource_of(const struct sim_context *ctx, CUdevResource *ret, CUdevResourceType type)
{
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_context_valid(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    sm_resource(ret, ctx->sm_count);
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevResource(CUcontext ctx, CUdevResource *ret, CUdevResourceType type)
{
    return resource_of((struct sim_context *)ctx, ret, type);
}

CUresult cuGreenCtxGetDevResource(CUgreenCtx ctx, CUdevResource *ret, CUdevResourceType type)
{
    return resource_of((struct sim_context *)ctx, ret, type);
}

CUresult cuDevSmResourceSplitByCount(CUdevResource *result, unsigned int *groups, const CUdevResource *input,
                                     CUdevResource *rest, unsigned int flags, unsigned int minimum)
{
    (void)flags;
    if (groups == NULL || input == NULL || input->type != CU_DEV_RESOURCE_TYPE_SM)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned each = minimum < 2 ? 2 : (minimum + 1) & ~1u;
    if (each > input->sm.smCount)
        return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    unsigned most = input->sm.smCount / each;
    unsigned n = result == NULL || *groups > most ? most : *groups;
    for (unsigned i = 0; result != NULL && i < n; i++)
        sm_resource(&result[i], each);
    if (rest != NULL)
        sm_resource(rest, input->sm.smCount - n * each);
    *groups = n;
    return CUDA_SUCCESS;
}

CUresult cuDevResourceGenerateDesc(CUdevResourceDesc *ret, CUdevResource *resources, unsigned int n)
{
    if (ret == NULL || resources == NULL || n == 0)
        return CUDA_ERROR_INVALID_VALUE;
    struct description *d = sim_object_new(SIM_TAG_GREEN, sizeof(*d));
    if (d == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (unsigned i = 0; i < n; i++)
        d->sm_count += resources[i].type == CU_DEV_RESOURCE_TYPE_SM ? resources[i].sm.smCount : 0;
    *ret = (CUdevResourceDesc)d;
    return CUDA_SUCCESS;
}

CUresult cuGreenCtxCreate(CUgreenCtx *ret, CUdevResourceDesc desc, CUdevice dev, unsigned int flags)
{
    struct sim_part part;
    struct sim_context *primary;
    const struct description *d = (const struct description *)desc;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (ret == NULL || !sim_object_is(d, SIM_TAG_GREEN) || flags != GREEN_DEFAULT_STREAM)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    struct sim_context *ctx = sim_object_new(SIM_TAG_CONTEXT, sizeof(*ctx));
    if (ctx == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    ctx->green = true;
    ctx->ordinal = dev;
    ctx->api_version = 3020;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = sim_primary_retain(dev, &primary);
    if (r == CUDA_SUCCESS)
        r = sim_context_start(ctx, part);
    pthread_mutex_unlock(&sim_driver_lock);
    if (r != CUDA_SUCCESS) {
        sim_object_free(ctx);
        return r;
    }
    ctx->green_home = primary;
    ctx->sm_count = d->sm_count;
    *ret = (CUgreenCtx)ctx;
    return CUDA_SUCCESS;
}

static bool is_green(CUgreenCtx handle)
{
    const struct sim_context *ctx = (const struct sim_context *)handle;
    return sim_context_valid(ctx) && ctx->green;
}

CUresult cuGreenCtxDestroy(CUgreenCtx handle)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    if (!is_green(handle))
        return CUDA_ERROR_INVALID_CONTEXT;
    CUdevice dev = ctx->ordinal;
    pthread_mutex_lock(&sim_driver_lock);
    sim_context_stop(ctx);
    sim_object_free(ctx);
    pthread_mutex_unlock(&sim_driver_lock);
    return cuDevicePrimaryCtxRelease_v2(dev);
}

CUresult cuCtxFromGreenCtx(CUcontext *ret, CUgreenCtx handle)
{
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_green(handle))
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret = (CUcontext)(void *)handle;
    return CUDA_SUCCESS;
}

CUresult cuGreenCtxGetId(CUgreenCtx handle, unsigned long long *id)
{
    return is_green(handle) ? cuCtxGetId((CUcontext)(void *)handle, id) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuGreenCtxRecordEvent(CUgreenCtx handle, CUevent event)
{
    return is_green(handle) ? cuCtxRecordEvent((CUcontext)(void *)handle, event) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuGreenCtxWaitEvent(CUgreenCtx handle, CUevent event)
{
    return is_green(handle) ? cuCtxWaitEvent((CUcontext)(void *)handle, event) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuGreenCtxStreamCreate(CUstream *ret, CUgreenCtx handle, unsigned int flags, int priority)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    if (ret == NULL || flags != CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_green(handle))
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_stream *s = sim_stream_new(ctx, flags, priority > 0 ? 0 : priority < -5 ? -5 : priority);
    pthread_mutex_unlock(&sim_driver_lock);
    if (s == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUstream)s;
    return CUDA_SUCCESS;
}

static CUresult stream_resource(CUstream handle, bool per_thread, CUdevResource *ret, CUdevResourceType type)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(handle, per_thread, &s);
    return r == CUDA_SUCCESS ? resource_of(s->ctx, ret, type) : r;
}

CUresult cuStreamGetDevResource(CUstream s, CUdevResource *ret, CUdevResourceType type)
{
    return stream_resource(s, false, ret, type);
}

CUresult cuStreamGetDevResource_ptsz(CUstream s, CUdevResource *ret, CUdevResourceType type)
{
    return stream_resource(s, true, ret, type);
}
