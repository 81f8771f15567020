/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: order of work within one, between the legacy stream and the
 * blocking ones, and waiting for it.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "memory.h"
#include "objects.h"

static uint64_t next_id = 1;

/* ---- objects ---- */

struct sim_stream *sim_stream_new(struct sim_context *ctx, unsigned flags, int priority)
{
    struct sim_stream *s = sim_object_new(SIM_TAG_STREAM, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->ctx = ctx;
    s->flags = flags;
    s->priority = priority;
    s->id = next_id++;
    s->next = ctx->streams;
    ctx->streams = s;
    return s;
}

void sim_stream_free(struct sim_stream *s)
{
    sim_deferred_forget(s);
    sim_capture_forget(s);
    for (struct sim_stream **p = &s->ctx->streams; *p != NULL; p = &(*p)->next) {
        if (*p == s) {
            *p = s->next;
            break;
        }
    }
    sim_object_free(s);
}

/* ---- order ---- */

static bool blocking(const struct sim_stream *s)
{
    return s->null || (s->flags & CU_STREAM_NON_BLOCKING) == 0;
}

void sim_stream_before(const struct sim_stream *s, struct sim_fence *ret)
{
    *ret = s->done;
    if (s->null)
        sim_fence_join(ret, &s->ctx->blocking);
    else if (blocking(s) && s->ctx->null_stream != NULL)
        sim_fence_join(ret, &s->ctx->null_stream->done);
}

void sim_stream_after(struct sim_stream *s, const struct sim_fence *fence)
{
    s->done = *fence;
    if (blocking(s))
        sim_fence_join(&s->ctx->blocking, fence);
}

CUresult sim_submit_fence(struct sim_stream *s, const struct sim_work *work, struct sim_fence *fence,
                          uint64_t *ret_retry_ns)
{
    if (work->engine != SIM_ENGINE_NONE)
        return sim_engine_push(s->ctx->device, s->ctx->part, work->engine, work->duration_ns, fence,
                               ret_retry_ns);
    if (work->duration_ns > 0) {
        uint64_t end = sim_fence_end(fence), now = sim_now();
        fence->floor_ns = (end > now ? end : now) + work->duration_ns;
    }
    return CUDA_SUCCESS;
}

static CUresult submit_locked(struct sim_stream *s, const struct sim_work *work, bool *ret_effect,
                              uint64_t *ret_retry_ns)
{
    struct sim_fence fence;
    *ret_effect = false;
    if (sim_must_defer(s))
        return sim_defer(s, &(struct sim_deferred){.kind = SIM_DEFERRED_WORK, .work = *work});
    sim_stream_before(s, &fence);
    CUresult r = sim_submit_fence(s, work, &fence, ret_retry_ns);
    if (r == CUDA_SUCCESS) {
        sim_stream_after(s, &fence);
        *ret_effect = work->effect != NULL;
    }
    return r;
}

CUresult sim_submit(struct sim_stream *stream, const struct sim_work *work)
{
    for (;;) {
        bool effect;
        uint64_t retry = 0;
        pthread_mutex_lock(&sim_driver_lock);
        CUresult r = sim_object_is(stream, SIM_TAG_STREAM) ? submit_locked(stream, work, &effect, &retry)
                                                           : CUDA_ERROR_INVALID_HANDLE;
        pthread_mutex_unlock(&sim_driver_lock);
        if (r == CUDA_ERROR_NOT_READY) { /* the channel is full */
            sim_sleep_until(retry);
            continue;
        }
        if (r == CUDA_SUCCESS && effect)
            work->effect(work->arg);
        return r;
    }
}

CUresult sim_stream_wait(struct sim_stream *stream)
{
    struct sim_fence fence;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = sim_device_health(stream->ctx->device);
    if (r == CUDA_SUCCESS) {
        sim_deferred_drain(stream);
        if (sim_object_is(stream, SIM_TAG_STREAM))
            sim_stream_before(stream, &fence);
        else
            r = CUDA_ERROR_INVALID_HANDLE;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    if (r == CUDA_SUCCESS) {
        sim_fence_wait(&fence);
        sim_memory_synchronized();
    }
    return r;
}

/* ---- handles ---- */

static struct sim_stream *thread_stream(struct sim_context *ctx)
{
    struct sim_thread *t = sim_thread_self();
    if (t == NULL)
        return NULL;
    for (unsigned i = 0; i < t->n_own; i++) {
        if (!sim_object_is(t->own[i], SIM_TAG_STREAM) || !t->own[i]->per_thread)
            t->own[i--] = t->own[--t->n_own];
        else if (t->own[i]->ctx == ctx)
            return t->own[i];
    }
    if (t->n_own == sizeof(t->own) / sizeof(t->own[0]))
        return NULL;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_stream *s = sim_stream_new(ctx, 0, 0);
    if (s != NULL)
        s->per_thread = true;
    pthread_mutex_unlock(&sim_driver_lock);
    if (s != NULL)
        t->own[t->n_own++] = s;
    return s;
}

CUresult sim_stream_resolve(CUstream handle, bool per_thread, struct sim_stream **ret)
{
    struct sim_context *ctx;
    uintptr_t word = (uintptr_t)handle;
    if (word > 2) {
        if (!sim_initialized())
            return CUDA_ERROR_NOT_INITIALIZED;
        if (!sim_object_is(handle, SIM_TAG_STREAM))
            return CUDA_ERROR_INVALID_HANDLE;
        *ret = (struct sim_stream *)handle;
        return CUDA_SUCCESS;
    }
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    *ret = word == 2 || (word == 0 && per_thread) ? thread_stream(ctx) : ctx->null_stream;
    return *ret != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* ---- entries ---- */

CUresult cuStreamCreateWithPriority(CUstream *ret, unsigned int flags, int priority)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL || (flags & ~(unsigned)CU_STREAM_NON_BLOCKING) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (priority > 0 || priority < -5) /* clamped, as documented */
        priority = priority > 0 ? 0 : -5;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_stream *s = sim_stream_new(ctx, flags, priority);
    pthread_mutex_unlock(&sim_driver_lock);
    if (s == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUstream)s;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *ret, unsigned int flags)
{
    return cuStreamCreateWithPriority(ret, flags, 0);
}

/* Work already submitted goes on; the driver frees the stream behind it. */
CUresult cuStreamDestroy_v2(CUstream handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_stream *s = (struct sim_stream *)handle;
    if (!sim_object_is(s, SIM_TAG_STREAM) || s->null || s->per_thread)
        return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture != NULL)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    pthread_mutex_lock(&sim_driver_lock);
    sim_deferred_drain(s);
    if (sim_object_is(s, SIM_TAG_STREAM)) {
        sim_fence_join(&s->ctx->orphans, &s->done);
        sim_stream_free(s);
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream handle)
{
    return cuStreamDestroy_v2(handle);
}

static CUresult synchronize(CUstream handle, bool per_thread)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(handle, per_thread, &s);
    if (r == CUDA_SUCCESS)
        r = sim_capture_unsafe_stream(s);
    return r == CUDA_SUCCESS ? sim_stream_wait(s) : r;
}

CUresult cuStreamSynchronize(CUstream handle)
{
    return synchronize(handle, false);
}

CUresult cuStreamSynchronize_ptsz(CUstream handle)
{
    return synchronize(handle, true);
}

static CUresult query(CUstream handle, bool per_thread)
{
    struct sim_stream *s;
    struct sim_fence fence;
    CUresult r = sim_stream_resolve(handle, per_thread, &s);
    if (r == CUDA_SUCCESS)
        r = sim_capture_unsafe_stream(s);
    if (r == CUDA_SUCCESS)
        r = sim_device_health(s->ctx->device);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    bool behind = sim_must_defer(s);
    sim_stream_before(s, &fence);
    pthread_mutex_unlock(&sim_driver_lock);
    return behind || !sim_fence_passed(&fence) ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream handle)
{
    return query(handle, false);
}

CUresult cuStreamQuery_ptsz(CUstream handle)
{
    return query(handle, true);
}

CUresult sim_context_wait(struct sim_context *ctx)
{
    struct sim_fence fence = ctx->orphans;
    CUresult r = sim_device_health(ctx->device);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    for (struct sim_stream *s = ctx->streams; s != NULL;) {
        if (s->first_deferred != NULL) {
            sim_deferred_drain(s);
            s = ctx->streams; /* the list may have changed */
            continue;
        }
        s = s->next;
    }
    for (struct sim_stream *s = ctx->streams; s != NULL; s = s->next)
        sim_fence_join(&fence, &s->done);
    pthread_mutex_unlock(&sim_driver_lock);
    sim_fence_wait(&fence);
    sim_memory_synchronized();
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r == CUDA_SUCCESS)
        r = sim_capture_unsafe_context(ctx);
    return r == CUDA_SUCCESS ? sim_context_wait(ctx) : r;
}

CUresult cuCtxSynchronize_v2(CUcontext handle)
{
    struct sim_context *ctx = (struct sim_context *)handle;
    if (handle == NULL)
        return cuCtxSynchronize();
    if (!sim_context_valid(ctx))
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult r = sim_capture_unsafe_context(ctx);
    return r == CUDA_SUCCESS ? sim_context_wait(ctx) : r;
}
