/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of stream capture. Only the number of open captures is kept: while
 * it is not zero every launch asks the driver whether its stream is being
 * captured, and calls of ours are made in relaxed mode.
 *
 * Invariants:
 *   1. The count goes up before the driver is asked to begin, and down again
 *      when it refused: no launch slips between.
 *   2. A capture ends with cuStreamEndCapture even when it was invalidated. A
 *      stream destroyed while it captures leaves the count too high, which
 *      costs time and never correctness.
 */
#include <stdatomic.h>

#include "preload/compute.h"
#include "preload/hook.h"
#include "preload/lane.h"
#include "preload/real.h"
#include "preload/throttle.h"

static _Atomic uint32_t captures;

bool compute_capturing(void)
{
    return atomic_load_explicit(&captures, memory_order_relaxed) != 0;
}

/* What was launched so far is measured before the stream turns into a graph;
 * everybody's credit is void. */
static void begin(CUstream stream)
{
    atomic_fetch_add(&captures, 1);
    atomic_fetch_add(&lane_stamp, 1);
    compute_stream_ending(stream);
}

static void drop_one(void)
{
    uint32_t n = atomic_load(&captures);
    while (n && !atomic_compare_exchange_weak(&captures, &n, n - 1))
        ;
}

static CUresult begun(CUresult result)
{
    if (result != CUDA_SUCCESS)
        drop_one();
    return result;
}

#define BEGIN(call)                                                                                          \
    begin(stream);                                                                                           \
    return begun(call)

HOOK CUresult cuStreamBeginCapture(CUstream stream)
{
    BEGIN(real.cuStreamBeginCapture(stream));
}

HOOK CUresult cuStreamBeginCapture_ptsz(CUstream stream)
{
    BEGIN(real.cuStreamBeginCapture_ptsz(stream));
}

HOOK CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    BEGIN(real.cuStreamBeginCapture_v2(stream, mode));
}

HOOK CUresult cuStreamBeginCapture_v2_ptsz(CUstream stream, CUstreamCaptureMode mode)
{
    BEGIN(real.cuStreamBeginCapture_v2_ptsz(stream, mode));
}

HOOK CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode *nodes,
                                          const CUgraphEdgeData *edges, size_t n, CUstreamCaptureMode mode)
{
    BEGIN(real.cuStreamBeginCaptureToGraph(stream, graph, nodes, edges, n, mode));
}

HOOK CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream stream, CUgraph graph, const CUgraphNode *nodes,
                                               const CUgraphEdgeData *edges, size_t n,
                                               CUstreamCaptureMode mode)
{
    BEGIN(real.cuStreamBeginCaptureToGraph_ptsz(stream, graph, nodes, edges, n, mode));
}

HOOK CUresult cuStreamBeginRecaptureToGraph(CUstream stream, CUstreamCaptureMode mode, CUgraph graph,
                                            CUgraphRecaptureCallback callback, void *data)
{
    BEGIN(real.cuStreamBeginRecaptureToGraph(stream, mode, graph, callback, data));
}

HOOK CUresult cuStreamBeginRecaptureToGraph_ptsz(CUstream stream, CUstreamCaptureMode mode, CUgraph graph,
                                                 CUgraphRecaptureCallback callback, void *data)
{
    BEGIN(real.cuStreamBeginRecaptureToGraph_ptsz(stream, mode, graph, callback, data));
}

/* Errors that mean "there was no capture to end". */
static CUresult ended(CUresult result)
{
    if (result == CUDA_SUCCESS || result == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED ||
        result == CUDA_ERROR_STREAM_CAPTURE_UNJOINED || result == CUDA_ERROR_STREAM_CAPTURE_UNMATCHED)
        drop_one();
    return result;
}

HOOK CUresult cuStreamEndCapture(CUstream stream, CUgraph *ret)
{
    return ended(real.cuStreamEndCapture(stream, ret));
}

HOOK CUresult cuStreamEndCapture_ptsz(CUstream stream, CUgraph *ret)
{
    return ended(real.cuStreamEndCapture_ptsz(stream, ret));
}
