/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of the calls that wait for work, and of the end of streams. Before
 * the wait, what the thread launched gets its end mark; afterwards it is
 * measured, the turn is offered to others and the memory engine settles.
 * Nothing is done around calls that would wait without effect: a process that
 * nothing limits pays two loads.
 */
#include "preload/compute.h"
#include "preload/hook.h"
#include "preload/memory.h"
#include "preload/real.h"
#include "preload/throttle.h"

static CUresult waited(CUresult result)
{
    throttle_after_sync();
    if (result == CUDA_SUCCESS)
        memory_settle();
    return result;
}

#define WAITING(call)                                                                                        \
    throttle_before_sync();                                                                                  \
    return waited(call)

HOOK CUresult cuCtxSynchronize(void)
{
    WAITING(real.cuCtxSynchronize());
}

HOOK CUresult cuCtxSynchronize_v2(CUcontext ctx)
{
    WAITING(real.cuCtxSynchronize_v2(ctx));
}

HOOK CUresult cuEventSynchronize(CUevent event)
{
    WAITING(real.cuEventSynchronize(event));
}

HOOK CUresult cuStreamSynchronize(CUstream stream)
{
    WAITING(real.cuStreamSynchronize(stream));
}

HOOK CUresult cuStreamSynchronize_ptsz(CUstream stream)
{
    WAITING(real.cuStreamSynchronize_ptsz(stream));
}

/* A program that polls has nothing to launch meanwhile either. */
static CUresult polled(CUresult result)
{
    if (result == CUDA_SUCCESS)
        waited(result);
    return result;
}

HOOK CUresult cuStreamQuery(CUstream stream)
{
    throttle_before_sync();
    return polled(real.cuStreamQuery(stream));
}

HOOK CUresult cuStreamQuery_ptsz(CUstream stream)
{
    throttle_before_sync();
    return polled(real.cuStreamQuery_ptsz(stream));
}

HOOK CUresult cuStreamDestroy(CUstream stream)
{
    CUresult r;

    compute_stream_ending(stream);
    r = real.cuStreamDestroy(stream);
    memory_stream_ended();
    return r;
}

HOOK CUresult cuStreamDestroy_v2(CUstream stream)
{
    CUresult r;

    compute_stream_ending(stream);
    r = real.cuStreamDestroy_v2(stream);
    memory_stream_ended();
    return r;
}
