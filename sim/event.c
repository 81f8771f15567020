/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: a place in a stream's work and the moment at which it was passed.
 */
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "memory.h"
#include "objects.h"

#define FLAGS_KNOWN (CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS)

/* What has completed before now is passed now. */
void sim_event_set(struct sim_event *e, const struct sim_fence *fence)
{
    uint64_t now = sim_now();
    e->fence = *fence;
    if (e->fence.floor_ns < now)
        e->fence.floor_ns = now;
    e->recorded = true;
    if (e->shared != NULL)
        sim_event_publish(e);
}

void sim_event_place(struct sim_event *e, struct sim_stream *s)
{
    struct sim_fence fence;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return;
    sim_stream_before(s, &fence);
    sim_event_set(e, &fence);
    if (e->waiting > 0)
        e->waiting--;
}

void sim_event_join(struct sim_event *e, struct sim_stream *s)
{
    struct sim_fence fence = s->done;
    if (e->shared != NULL)
        sim_event_refresh(e);
    if (!e->recorded)
        return;
    sim_fence_join(&fence, &e->fence);
    s->done = fence;
}

CUresult cuEventCreate(CUevent *ret, unsigned int flags)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL || (flags & ~(unsigned)FLAGS_KNOWN) != 0 ||
        ((flags & CU_EVENT_INTERPROCESS) != 0 && (flags & CU_EVENT_DISABLE_TIMING) == 0))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_event *e = sim_object_new(SIM_TAG_EVENT, sizeof(*e));
    if (e == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    e->ctx = ctx;
    e->flags = flags;
    *ret = (CUevent)e;
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent handle)
{
    struct sim_event *e = (struct sim_event *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    pthread_mutex_lock(&sim_driver_lock);
    free(e->capture_after);
    e->capture_after = NULL;
    if (e->shared != NULL)
        sim_event_unshare(e);
    sim_object_free(e);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent handle)
{
    return cuEventDestroy_v2(handle);
}

static CUresult record(CUevent handle, CUstream stream, unsigned flags, bool per_thread)
{
    struct sim_event *e = (struct sim_event *)handle;
    struct sim_stream *s;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~(unsigned)CU_EVENT_RECORD_EXTERNAL) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (s->ctx->device != e->ctx->device)
        return CUDA_ERROR_INVALID_HANDLE;
    if (sim_stream_capturing(s))
        return sim_capture_event_record(s, e, flags);
    r = sim_capture_legacy_call(s);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    sim_event_leave_capture(e);
    if (sim_must_defer(s)) {
        r = sim_defer(s, &(struct sim_deferred){.kind = SIM_DEFERRED_RECORD, .event = e});
        e->waiting += r == CUDA_SUCCESS;
        e->recorded = true;
    } else {
        struct sim_fence fence;
        sim_stream_before(s, &fence);
        sim_event_set(e, &fence);
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    return record(event, stream, 0, false);
}

CUresult cuEventRecord_ptsz(CUevent event, CUstream stream)
{
    return record(event, stream, 0, true);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    return record(event, stream, flags, false);
}

CUresult cuEventRecordWithFlags_ptsz(CUevent event, CUstream stream, unsigned int flags)
{
    return record(event, stream, flags, true);
}

static CUresult wait_event(CUstream stream, CUevent handle, unsigned flags, bool per_thread)
{
    struct sim_event *e = (struct sim_event *)handle;
    struct sim_stream *s;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if ((flags & ~(unsigned)CU_EVENT_WAIT_EXTERNAL) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (sim_stream_capturing(s) || e->capture_id != 0)
        return sim_capture_event_wait(s, e, flags);
    r = sim_capture_legacy_call(s);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    if (sim_must_defer(s) || e->waiting > 0)
        r = sim_defer(s, &(struct sim_deferred){.kind = SIM_DEFERRED_WAIT, .event = e});
    else
        sim_event_join(e, s);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags)
{
    return wait_event(stream, event, flags, false);
}

CUresult cuStreamWaitEvent_ptsz(CUstream stream, CUevent event, unsigned int flags)
{
    return wait_event(stream, event, flags, true);
}

/* A copy of the event's place, or why there is none. */
static CUresult look(CUevent handle, struct sim_fence *ret, bool *ret_pending)
{
    struct sim_event *e = (struct sim_event *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = sim_capture_asked_event(e);
    if (r == CUDA_SUCCESS)
        r = sim_device_health(e->ctx->device);
    pthread_mutex_lock(&sim_driver_lock);
    if (e->shared != NULL)
        sim_event_refresh(e);
    *ret = e->fence;
    *ret_pending = e->waiting > 0;
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuEventQuery(CUevent event)
{
    struct sim_fence fence;
    bool pending;
    CUresult r = look(event, &fence, &pending);
    if (r != CUDA_SUCCESS)
        return r;
    return pending || !sim_fence_passed(&fence) ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event)
{
    struct sim_fence fence;
    bool pending;
    CUresult r = look(event, &fence, &pending);
    if (r == CUDA_SUCCESS && pending) {
        pthread_mutex_lock(&sim_driver_lock);
        sim_deferred_await((struct sim_event *)event);
        pthread_mutex_unlock(&sim_driver_lock);
        r = look(event, &fence, &pending);
    }
    if (r == CUDA_SUCCESS) {
        sim_fence_wait(&fence);
        sim_memory_synchronized();
    }
    return r;
}

static CUresult elapsed(float *ms, CUevent start, CUevent end)
{
    struct sim_fence fence;
    bool pending;
    uint64_t at[2];
    const CUevent events[2] = {start, end};
    if (ms == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    for (int i = 0; i < 2; i++) {
        CUresult r = look(events[i], &fence, &pending);
        if (r != CUDA_SUCCESS)
            return r;
        const struct sim_event *e = (const struct sim_event *)events[i];
        if (!e->recorded || (e->flags & CU_EVENT_DISABLE_TIMING) != 0)
            return CUDA_ERROR_INVALID_HANDLE;
        if (pending || !sim_fence_passed(&fence))
            return CUDA_ERROR_NOT_READY;
        at[i] = sim_fence_end(&fence);
    }
    *ms = (float)((double)(int64_t)(at[1] - at[0]) / 1e6);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
    return elapsed(ms, start, end);
}

CUresult cuEventElapsedTime_v2(float *ms, CUevent start, CUevent end)
{
    return elapsed(ms, start, end);
}
