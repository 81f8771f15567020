/* SPDX-License-Identifier: Apache-2.0
 *
 * Less used properties of contexts: caches, events of a whole context,
 * profiler switches.
 */
#include "abi/cuda_api.h"
#include "objects.h"

CUresult cuCtxAttach(CUcontext *pctx, unsigned int flags)
{
    struct sim_context *ctx;
    CUresult r = pctx == NULL || flags != 0 ? CUDA_ERROR_INVALID_VALUE : sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    ctx->retained += !ctx->primary;
    pthread_mutex_unlock(&sim_driver_lock);
    *pctx = (CUcontext)ctx;
    return r;
}

/* The last holder's end is the context's. */
CUresult cuCtxDetach(CUcontext handle)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_valid(ctx) || ctx->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&sim_driver_lock);
    bool held = ctx->retained > 0;
    ctx->retained -= held;
    pthread_mutex_unlock(&sim_driver_lock);
    return held ? CUDA_SUCCESS : cuCtxDestroy_v2(handle);
}

CUresult cuCtxGetCacheConfig(CUfunc_cache *ret)
{
    struct sim_context *ctx;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        *ret = (CUfunc_cache)ctx->cache_config;
    return r;
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        ctx->cache_config = (int)config;
    return r;
}

CUresult cuCtxGetSharedMemConfig(CUsharedconfig *ret)
{
    struct sim_context *ctx;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        *ret = (CUsharedconfig)ctx->shared_config;
    return r;
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        ctx->shared_config = (int)config;
    return r;
}

CUresult cuCtxResetPersistingL2Cache(void)
{
    struct sim_context *ctx;
    return sim_current(&ctx);
}

CUresult cuCtxGetExecAffinity(CUexecAffinityParam *ret, CUexecAffinityType type)
{
    struct sim_context *ctx;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if ((unsigned)type >= CU_EXEC_AFFINITY_TYPE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    ret->type = type;
    ret->param.smCount.val = ctx->sm_count;
    return CUDA_SUCCESS;
}

/* Records the event behind everything in the context. */
CUresult cuCtxRecordEvent(CUcontext handle, CUevent event)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    struct sim_event *e = (struct sim_event *)event;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_valid(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = sim_capture_unsafe_context(ctx);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_fence fence = ctx->orphans;
    for (const struct sim_stream *s = ctx->streams; s != NULL; s = s->next)
        sim_fence_join(&fence, &s->done);
    sim_event_leave_capture(e);
    sim_event_set(e, &fence);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

/* Makes all later work of the context wait for the event. */
CUresult cuCtxWaitEvent(CUcontext handle, CUevent event)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    struct sim_event *e = (struct sim_event *)event;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_valid(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = e->capture_id != 0 ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : sim_capture_unsafe_context(ctx);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    sim_deferred_await(e);
    for (struct sim_stream *s = ctx->streams; s != NULL; s = s->next)
        sim_event_join(e, s);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

/* ---- profiler: there is none, so it can always be switched ---- */

CUresult cuProfilerInitialize(const char *config, const char *output, CUoutput_mode mode)
{
    (void)config, (void)output, (void)mode;
    return sim_initialized() ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

CUresult cuProfilerStart(void)
{
    struct sim_context *ctx;
    return sim_current(&ctx);
}

CUresult cuProfilerStop(void)
{
    struct sim_context *ctx;
    return sim_current(&ctx);
}
