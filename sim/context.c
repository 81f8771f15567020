/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts: one primary per device and process, counted; created ones in all
 * four generations of the call; the thread's stack of current contexts.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "memory.h"
#include "objects.h"

static struct sim_context *primaries[SIM_DEVICES * SIM_MIG_SLICES]; /* by ordinal; made once, kept */
static uint64_t next_id = 1;

#define FLAGS_KNOWN 0x1ffu

bool sim_context_valid(const struct sim_context *ctx)
{
    return sim_object_is(ctx, SIM_TAG_CONTEXT) && ctx->alive;
}

CUdevice sim_context_device(const struct sim_context *ctx)
{
    return ctx->ordinal;
}

CUresult sim_current(struct sim_context **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_context *ctx = sim_context_current();
    if (ctx == NULL)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (!sim_context_valid(ctx))
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    *ret = ctx;
    return CUDA_SUCCESS;
}

static const size_t default_limits[CU_LIMIT_MAX] = {
    [CU_LIMIT_STACK_SIZE] = 1024,
    [CU_LIMIT_PRINTF_FIFO_SIZE] = 1 << 20,
    [CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20,
    [CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2,
    [CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048,
    [CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64,
};

/* Driver lock held. Takes the context's memory and gives it streams. */
CUresult sim_context_start(struct sim_context *ctx, struct sim_part part)
{
    if (sim_device_health(part.device) != CUDA_SUCCESS)
        return CUDA_ERROR_DEVICE_UNAVAILABLE;
    ctx->device = part.device;
    ctx->part = part.part;
    const struct sim_device_profile *d = &sim_state->profile.devices[part.device];
    ctx->sm_count = part.part > 0 ? d->mig[part.part - 1].sm_count : d->sm_count;
    if (!ctx->green) {
        CUresult r = sim_memory_take(part.device, d->context_bytes);
        if (r != CUDA_SUCCESS)
            return r;
    }
    memcpy(ctx->limits, default_limits, sizeof(default_limits));
    ctx->id = next_id++;
    ctx->blocking = (struct sim_fence){.floor_ns = 0};
    ctx->null_stream = sim_stream_new(ctx, 0, 0);
    if (ctx->null_stream == NULL) {
        if (!ctx->green)
            sim_memory_give(part.device, d->context_bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    ctx->null_stream->null = true;
    ctx->alive = true;
    if (!ctx->green)
        sim_self->contexts[part.device]++;
    return CUDA_SUCCESS;
}

/* Driver lock held. Waits for nothing: a context's work dies with it. */
void sim_context_stop(struct sim_context *ctx)
{
    ctx->alive = false;
    while (ctx->streams != NULL)
        sim_stream_free(ctx->streams);
    ctx->null_stream = NULL;
    sim_memory_context_gone(ctx);
    if (ctx->green)
        return;
    sim_self->contexts[ctx->device]--;
    sim_memory_give(ctx->device, sim_state->profile.devices[ctx->device].context_bytes);
}

/* ---- primary contexts ---- */

static CUresult primary_of(CUdevice ordinal, struct sim_context **ret)
{
    struct sim_part part;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_ordinal_part(ordinal, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    if (primaries[ordinal] == NULL) {
        struct sim_context *ctx = sim_object_new(SIM_TAG_CONTEXT, sizeof(*ctx));
        if (ctx == NULL)
            return CUDA_ERROR_OUT_OF_MEMORY;
        ctx->primary = true;
        ctx->ordinal = ordinal;
        ctx->device = part.device;
        ctx->part = part.part;
        primaries[ordinal] = ctx;
    }
    *ret = primaries[ordinal];
    return CUDA_SUCCESS;
}

CUresult sim_primary_retain(CUdevice dev, struct sim_context **ret)
{
    struct sim_context *ctx;
    struct sim_part part;
    CUresult r = primary_of(dev, &ctx);
    if (r == CUDA_SUCCESS && !ctx->alive && sim_ordinal_part(dev, &part)) {
        r = sim_context_start(ctx, part);
        ctx->retained = 0;
        ctx->api_version = 3020;
    }
    if (r != CUDA_SUCCESS)
        return r;
    ctx->retained++;
    *ret = ctx;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *pctx, CUdevice dev)
{
    if (pctx == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_context *ctx = NULL;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = sim_primary_retain(dev, &ctx);
    pthread_mutex_unlock(&sim_driver_lock);
    if (r == CUDA_SUCCESS)
        *pctx = (CUcontext)ctx;
    return r;
}

static CUresult primary_leave(CUdevice dev, bool all)
{
    struct sim_context *ctx;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = primary_of(dev, &ctx);
    if (r == CUDA_SUCCESS && !all && !ctx->alive)
        r = CUDA_ERROR_INVALID_CONTEXT;
    if (r == CUDA_SUCCESS && ctx->alive && (all || --ctx->retained == 0)) {
        sim_context_stop(ctx);
        ctx->retained = 0;
        ctx->flags = 0;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    return primary_leave(dev, false);
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
    return primary_leave(dev, false);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    return primary_leave(dev, true);
}

CUresult cuDevicePrimaryCtxReset(CUdevice dev)
{
    return primary_leave(dev, true);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int *flags, int *active)
{
    struct sim_context *ctx;
    if (flags == NULL || active == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = primary_of(dev, &ctx);
    if (r == CUDA_SUCCESS) {
        *flags = ctx->flags;
        *active = ctx->alive;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags)
{
    struct sim_context *ctx;
    if ((flags & ~FLAGS_KNOWN) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = primary_of(dev, &ctx);
    if (r == CUDA_SUCCESS)
        ctx->flags = flags;
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags)
{
    struct sim_context *ctx;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = primary_of(dev, &ctx);
    bool active = r == CUDA_SUCCESS && ctx->alive;
    pthread_mutex_unlock(&sim_driver_lock);
    return active ? CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE : cuDevicePrimaryCtxSetFlags_v2(dev, flags);
}

/* ---- the thread's stack ---- */

CUresult sim_context_push(struct sim_context *ctx)
{
    struct sim_thread *t = sim_thread_self();
    if (t == NULL || t->depth >= sizeof(t->stack) / sizeof(t->stack[0]))
        return CUDA_ERROR_OUT_OF_MEMORY;
    t->stack[t->depth++] = ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_valid((struct sim_context *)ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    return sim_context_push((struct sim_context *)ctx);
}

CUresult cuCtxPushCurrent(CUcontext ctx)
{
    return cuCtxPushCurrent_v2(ctx);
}

CUresult cuCtxPopCurrent_v2(CUcontext *pctx)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_thread *t = sim_thread_self();
    if (t == NULL || t->depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    struct sim_context *ctx = t->stack[--t->depth];
    if (pctx != NULL)
        *pctx = (CUcontext)ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *pctx)
{
    return cuCtxPopCurrent_v2(pctx);
}

CUresult cuCtxSetCurrent(CUcontext ctx)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_thread *t = sim_thread_self();
    if (t == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (ctx != NULL && !sim_context_valid((struct sim_context *)ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    if (ctx == NULL) {
        t->depth -= t->depth > 0;
        return CUDA_SUCCESS;
    }
    if (t->depth == 0)
        return sim_context_push((struct sim_context *)ctx);
    t->stack[t->depth - 1] = (struct sim_context *)ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *pctx)
{
    if (pctx == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    *pctx = (CUcontext)sim_context_current();
    return CUDA_SUCCESS;
}

/* ---- created contexts ---- */

static CUresult create(CUcontext *pctx, unsigned flags, CUdevice dev, unsigned api_version)
{
    struct sim_part part;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (pctx == NULL || (flags & ~FLAGS_KNOWN) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    struct sim_context *ctx = sim_object_new(SIM_TAG_CONTEXT, sizeof(*ctx));
    if (ctx == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    ctx->ordinal = dev;
    ctx->flags = flags;
    ctx->api_version = api_version;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = sim_context_start(ctx, part);
    pthread_mutex_unlock(&sim_driver_lock);
    bool started = r == CUDA_SUCCESS;
    if (started)
        r = sim_context_push(ctx);
    if (r != CUDA_SUCCESS) {
        pthread_mutex_lock(&sim_driver_lock);
        if (started)
            sim_context_stop(ctx);
        sim_object_free(ctx);
        pthread_mutex_unlock(&sim_driver_lock);
        return r;
    }
    *pctx = (CUcontext)ctx;
    return CUDA_SUCCESS;
}

CUresult cuCtxCreate(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
    return create(pctx, flags, dev, 3010);
}

CUresult cuCtxCreate_v2(CUcontext *pctx, unsigned int flags, CUdevice dev)
{
    return create(pctx, flags, dev, 3020);
}

CUresult cuCtxCreate_v3(CUcontext *pctx, CUexecAffinityParam *affinity, int n, unsigned int flags,
                        CUdevice dev)
{
    if (n < 0 || (n > 0 && affinity == NULL))
        return CUDA_ERROR_INVALID_VALUE;
    if (n > 0) /* only under MPS */
        return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
    return create(pctx, flags, dev, 3020);
}

CUresult cuCtxCreate_v4(CUcontext *pctx, CUctxCreateParams *params, unsigned int flags, CUdevice dev)
{
    if (params != NULL && params->cigParams != NULL)
        return CUDA_ERROR_NOT_SUPPORTED;
    return cuCtxCreate_v3(pctx, params != NULL ? params->execAffinityParams : NULL,
                          params != NULL ? params->numExecAffinityParams : 0, flags, dev);
}

CUresult cuCtxDestroy_v2(CUcontext handle)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_valid(ctx) || ctx->primary)
        return CUDA_ERROR_INVALID_CONTEXT;
    struct sim_thread *t = sim_thread_self();
    if (t != NULL && t->depth > 0 && t->stack[t->depth - 1] == ctx)
        t->depth--;
    pthread_mutex_lock(&sim_driver_lock);
    sim_context_stop(ctx);
    sim_object_free(ctx);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuCtxDestroy(CUcontext ctx)
{
    return cuCtxDestroy_v2(ctx);
}

/* ---- questions ---- */

CUresult cuCtxGetDevice(CUdevice *device)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r == CUDA_SUCCESS && device == NULL)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *device = ctx->ordinal;
    return r;
}

/* A context argument where NULL means the current one. */
static CUresult named(CUcontext handle, struct sim_context **ret)
{
    if (handle == NULL)
        return sim_current(ret);
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_valid((struct sim_context *)handle))
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret = (struct sim_context *)handle;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice_v2(CUdevice *device, CUcontext handle)
{
    struct sim_context *ctx;
    CUresult r = device == NULL ? CUDA_ERROR_INVALID_VALUE : named(handle, &ctx);
    if (r == CUDA_SUCCESS)
        *device = ctx->ordinal;
    return r;
}

CUresult cuCtxGetApiVersion(CUcontext handle, unsigned int *version)
{
    struct sim_context *ctx;
    CUresult r = version == NULL ? CUDA_ERROR_INVALID_VALUE : named(handle, &ctx);
    if (r == CUDA_SUCCESS)
        *version = ctx->api_version;
    return r;
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long *id)
{
    struct sim_context *ctx;
    CUresult r = id == NULL ? CUDA_ERROR_INVALID_VALUE : named(handle, &ctx);
    if (r == CUDA_SUCCESS)
        *id = ctx->id;
    return r;
}

CUresult cuCtxGetFlags(unsigned int *flags)
{
    struct sim_context *ctx;
    CUresult r = flags == NULL ? CUDA_ERROR_INVALID_VALUE : sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        *flags = ctx->flags;
    return r;
}

CUresult cuCtxSetFlags(unsigned int flags)
{
    struct sim_context *ctx;
    CUresult r = (flags & ~FLAGS_KNOWN) != 0 ? CUDA_ERROR_INVALID_VALUE : sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        ctx->flags = flags;
    return r;
}

CUresult cuCtxGetLimit(size_t *value, CUlimit limit)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (value == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (limit < 0 || limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = ctx->limits[limit];
    return CUDA_SUCCESS;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (limit < 0 || limit >= CU_LIMIT_MAX)
        return CUDA_ERROR_UNSUPPORTED_LIMIT;
    ctx->limits[limit] = value;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (least != NULL)
        *least = 0;
    if (greatest != NULL)
        *greatest = -5;
    return CUDA_SUCCESS;
}
