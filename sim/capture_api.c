/* SPDX-License-Identifier: Apache-2.0
 *
 * The entries that begin, end, steer and look at captures.
 */
#include "abi/cuda_api.h"
#include "capture.h"

static CUresult begin(CUstream stream, bool per_thread, CUstreamCaptureMode mode, CUgraph into,
                      const CUgraphNode *before, size_t n)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if ((unsigned)mode > CU_STREAM_CAPTURE_MODE_RELAXED || (n > 0 && before == NULL))
        return CUDA_ERROR_INVALID_VALUE;
    if (s->null)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture != NULL)
        return CUDA_ERROR_ILLEGAL_STATE;
    for (size_t i = 0; i < n; i++)
        if (!sim_object_is(before[i], SIM_TAG_NODE) ||
            ((const struct sim_node *)before[i])->graph != (struct sim_graph *)into)
            return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    r = sim_capture_begin(s, mode, (struct sim_graph *)into, before, n);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuStreamBeginCapture(CUstream s)
{
    return begin(s, false, CU_STREAM_CAPTURE_MODE_GLOBAL, NULL, NULL, 0);
}

CUresult cuStreamBeginCapture_ptsz(CUstream s)
{
    return begin(s, true, CU_STREAM_CAPTURE_MODE_GLOBAL, NULL, NULL, 0);
}

CUresult cuStreamBeginCapture_v2(CUstream s, CUstreamCaptureMode mode)
{
    return begin(s, false, mode, NULL, NULL, 0);
}

CUresult cuStreamBeginCapture_v2_ptsz(CUstream s, CUstreamCaptureMode mode)
{
    return begin(s, true, mode, NULL, NULL, 0);
}

static CUresult begin_to_graph(CUstream s, bool per_thread, CUgraph g, const CUgraphNode *before, size_t n,
                               CUstreamCaptureMode mode)
{
    struct sim_graph *graph;
    CUresult r = sim_graph_check(g, &graph);
    if (r == CUDA_SUCCESS && graph->capturing)
        r = CUDA_ERROR_ILLEGAL_STATE;
    return r == CUDA_SUCCESS ? begin(s, per_thread, mode, g, before, n) : r;
}

CUresult cuStreamBeginCaptureToGraph(CUstream s, CUgraph g, const CUgraphNode *before,
                                     const CUgraphEdgeData *edges, size_t n, CUstreamCaptureMode mode)
{
    (void)edges;
    return begin_to_graph(s, false, g, before, n, mode);
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream s, CUgraph g, const CUgraphNode *before,
                                          const CUgraphEdgeData *edges, size_t n, CUstreamCaptureMode mode)
{
    (void)edges;
    return begin_to_graph(s, true, g, before, n, mode);
}

static CUresult end(CUstream stream, bool per_thread, CUgraph *ret)
{
    struct sim_stream *s;
    CUgraph g = NULL;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    r = sim_capture_end(s, &g);
    pthread_mutex_unlock(&sim_driver_lock);
    *ret = g;
    return r;
}

CUresult cuStreamEndCapture(CUstream s, CUgraph *ret)
{
    return end(s, false, ret);
}

CUresult cuStreamEndCapture_ptsz(CUstream s, CUgraph *ret)
{
    return end(s, true, ret);
}

/* ---- looking ---- */

struct view {
    CUstreamCaptureStatus *status;
    cuuint64_t *id;
    CUgraph *graph;
    const CUgraphNode **nodes;
    const CUgraphEdgeData **edges;
    size_t *n;
};

static CUresult look(CUstream stream, bool per_thread, const struct view *v)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (v->status == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    r = sim_capture_legacy_look(s);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    const struct sim_capture *c = s->capture;
    *v->status = c == NULL    ? CU_STREAM_CAPTURE_STATUS_NONE
                 : c->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                              : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (c != NULL && v->id != NULL)
        *v->id = c->id;
    if (c != NULL && v->graph != NULL)
        *v->graph = (CUgraph)c->graph;
    if (c != NULL && v->nodes != NULL)
        *v->nodes = s->frontier;
    if (c != NULL && v->edges != NULL)
        *v->edges = s->frontier_edges;
    if (c != NULL && v->n != NULL)
        *v->n = s->n_frontier;
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream s, CUstreamCaptureStatus *status)
{
    return look(s, false, &(struct view){.status = status});
}

CUresult cuStreamIsCapturing_ptsz(CUstream s, CUstreamCaptureStatus *status)
{
    return look(s, true, &(struct view){.status = status});
}

CUresult cuStreamGetCaptureInfo(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return look(s, false, &(struct view){.status = status, .id = id});
}

CUresult cuStreamGetCaptureInfo_ptsz(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id)
{
    return look(s, true, &(struct view){.status = status, .id = id});
}

CUresult cuStreamGetCaptureInfo_v2(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *g,
                                   const CUgraphNode **nodes, size_t *n)
{
    return look(s, false, &(struct view){status, id, g, nodes, NULL, n});
}

CUresult cuStreamGetCaptureInfo_v2_ptsz(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *g,
                                        const CUgraphNode **nodes, size_t *n)
{
    return look(s, true, &(struct view){status, id, g, nodes, NULL, n});
}

CUresult cuStreamGetCaptureInfo_v3(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *g,
                                   const CUgraphNode **nodes, const CUgraphEdgeData **edges, size_t *n)
{
    return look(s, false, &(struct view){status, id, g, nodes, edges, n});
}

CUresult cuStreamGetCaptureInfo_v3_ptsz(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *g,
                                        const CUgraphNode **nodes, const CUgraphEdgeData **edges, size_t *n)
{
    return look(s, true, &(struct view){status, id, g, nodes, edges, n});
}

/* ---- steering ---- */

#define SET_DEPENDENCIES 1u

static CUresult steer(CUstream stream, bool per_thread, CUgraphNode *nodes, const CUgraphEdgeData *edges,
                      size_t n, unsigned flags)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if ((n > 0 && nodes == NULL) || flags > SET_DEPENDENCIES)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    if (s->capture == NULL)
        r = CUDA_ERROR_ILLEGAL_STATE;
    else if (s->capture->invalid)
        r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else
        r = sim_capture_set_frontier(s, nodes, edges, n, flags != SET_DEPENDENCIES);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream s, CUgraphNode *nodes, size_t n, unsigned int flags)
{
    return steer(s, false, nodes, NULL, n, flags);
}

CUresult cuStreamUpdateCaptureDependencies_ptsz(CUstream s, CUgraphNode *nodes, size_t n, unsigned int flags)
{
    return steer(s, true, nodes, NULL, n, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream s, CUgraphNode *nodes, const CUgraphEdgeData *edges,
                                              size_t n, unsigned int flags)
{
    return steer(s, false, nodes, edges, n, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2_ptsz(CUstream s, CUgraphNode *nodes,
                                                   const CUgraphEdgeData *edges, size_t n, unsigned int flags)
{
    return steer(s, true, nodes, edges, n, flags);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    struct sim_thread *t = sim_thread_self();
    if (mode == NULL || (unsigned)*mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_INVALID_VALUE;
    if (t == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    CUstreamCaptureMode old = t->capture_mode;
    t->capture_mode = *mode;
    *mode = old;
    return CUDA_SUCCESS;
}
