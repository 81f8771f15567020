/* SPDX-License-Identifier: Apache-2.0
 *
 * Running an executable graph: every node is given to its engine behind the
 * nodes it depends on, so that branches overlap where the machine has engines
 * for them. A graph with nodes that only a stream can order (host functions,
 * event waits, conditionals, child graphs) is played into the stream one node
 * after another.
 */
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "graph.h"

static CUresult play(struct sim_graph *g, struct sim_stream *s);

/* What a kernel, copy or set node does. */
static void work_of(const struct sim_node *n, struct sim_stream *s, struct sim_work *ret)
{
    *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
    if (n->run != NULL) {
        n->run(n->blob, ret);
    } else if (n->type == CU_GRAPH_NODE_TYPE_KERNEL) {
        if (atomic_load_explicit(&sim_null_model, memory_order_relaxed))
            return;
        ret->engine = SIM_ENGINE_COMPUTE;
        ret->duration_ns = n->kernel_ns;
        atomic_fetch_add_explicit(&sim_self->launches[s->ctx->device], 1, memory_order_relaxed);
    } else if (n->type == CU_GRAPH_NODE_TYPE_MEMCPY) {
        sim_memory_copy_work(&n->params.copy, ret);
    } else if (n->type == CU_GRAPH_NODE_TYPE_MEMSET) {
        sim_memory_set_work(&n->params.set, ret);
    }
}

/* Nodes that change memory on the host's side at once. */
static CUresult memory_node(const struct sim_node *n)
{
    if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        return sim_memory_node_alloc(n->params.alloc.dptr);
    if (n->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
        return sim_memory_node_free(n->params.free);
    return CUDA_SUCCESS;
}

/* ---- played into the stream ---- */

static CUresult play_conditional(struct sim_node *n, struct sim_stream *s)
{
    const CUDA_CONDITIONAL_NODE_PARAMS *c = &n->params.conditional;
    unsigned value = sim_conditional_value(c->handle);
    unsigned body = 0;
    if (c->type == CU_GRAPH_COND_TYPE_SWITCH)
        body = value;
    else if (value == 0) /* a WHILE body runs once: no kernel would ever end the loop */
        body = c->type == CU_GRAPH_COND_TYPE_IF && c->size > 1 ? 1 : c->size;
    return body < c->size && n->bodies[body] != NULL ? play((struct sim_graph *)n->bodies[body], s)
                                                     : CUDA_SUCCESS;
}

static CUresult play_event(struct sim_node *n, struct sim_stream *s)
{
    if (n->type == CU_GRAPH_NODE_TYPE_EVENT_RECORD)
        return cuEventRecord(n->params.event, (CUstream)s);
    return cuStreamWaitEvent((CUstream)s, n->params.event, 0);
}

static CUresult play_node(struct sim_node *n, struct sim_stream *s)
{
    struct sim_work work;
    switch ((int)n->type) {
    case CU_GRAPH_NODE_TYPE_HOST:
        return sim_stream_host(s, n->params.host.fn, n->params.host.userData);
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return play(n->params.child, s);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        return play_event(n, s);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        return memory_node(n);
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return sim_stream_memops(s, n->params.memop.paramArray, n->params.memop.count);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        return play_conditional(n, s);
    case CU_GRAPH_NODE_TYPE_EMPTY:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
        return CUDA_SUCCESS;
    default:
        work_of(n, s, &work);
        return sim_submit(s, &work);
    }
}

static CUresult play(struct sim_graph *g, struct sim_stream *s)
{
    CUresult r = CUDA_SUCCESS;
    for (struct sim_node *n = g->first; n != NULL && r == CUDA_SUCCESS; n = n->next)
        if (!n->disabled)
            r = play_node(n, s);
    return r;
}

/* ---- given to the engines with the graph's own order ---- */

static CUresult push(struct sim_stream *s, const struct sim_work *work, struct sim_fence *fence)
{
    for (;;) {
        uint64_t retry = 0;
        pthread_mutex_lock(&sim_driver_lock);
        CUresult r = sim_submit_fence(s, work, fence, &retry);
        pthread_mutex_unlock(&sim_driver_lock);
        if (r != CUDA_ERROR_NOT_READY)
            return r;
        sim_sleep_until(retry);
    }
}

/* What the node has to wait for: its dependencies, or else the stream. Nodes
 * of an executable graph carry their position in `mark`. */
static struct sim_fence fence_before(const struct sim_node *n, const struct sim_fence *fences,
                                     const struct sim_fence *base)
{
    struct sim_fence f = {.floor_ns = 0};
    for (size_t i = 0; i < n->n_before; i++)
        sim_fence_join(&f, &fences[n->before[i].from->mark]);
    return n->n_before > 0 ? f : *base;
}

static CUresult push_all(struct sim_exec *x, struct sim_stream *s)
{
    struct sim_fence base, all = {.floor_ns = 0};
    struct sim_fence *fences = calloc(x->graph->n_nodes + 1, sizeof(*fences));
    if (fences == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&sim_driver_lock);
    sim_stream_before(s, &base);
    sim_fence_join(&base, &x->last);
    pthread_mutex_unlock(&sim_driver_lock);
    all = base;
    CUresult r = CUDA_SUCCESS;
    for (struct sim_node *n = x->graph->first; n != NULL && r == CUDA_SUCCESS; n = n->next) {
        struct sim_fence *f = &fences[n->mark];
        struct sim_work work;
        *f = fence_before(n, fences, &base);
        if (n->disabled)
            continue;
        r = memory_node(n);
        work_of(n, s, &work);
        if (r == CUDA_SUCCESS)
            r = push(s, &work, f);
        if (r == CUDA_SUCCESS && work.effect != NULL)
            work.effect(work.arg);
        sim_fence_join(&all, f);
    }
    free(fences);
    pthread_mutex_lock(&sim_driver_lock);
    x->last = all;
    if (sim_object_is(s, SIM_TAG_STREAM))
        sim_stream_after(s, &all);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

static void free_leftovers(const struct sim_graph *g)
{
    for (const struct sim_node *n = g->first; n != NULL; n = n->next)
        if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
            (void)sim_memory_node_free(n->params.alloc.dptr); /* refused when it is free already */
}

CUresult sim_exec_launch(struct sim_exec *x, struct sim_stream *s)
{
    if (x->plain && atomic_load_explicit(&sim_null_model, memory_order_relaxed))
        return CUDA_SUCCESS;
    CUresult r = sim_device_health(s->ctx->device);
    if (r != CUDA_SUCCESS)
        return r;
    if ((x->flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0)
        free_leftovers(x->graph);
    pthread_mutex_lock(&sim_driver_lock);
    bool linear = x->linear || sim_must_defer(s);
    pthread_mutex_unlock(&sim_driver_lock);
    return linear ? play(x->graph, s) : push_all(x, s);
}

static CUresult launch(CUgraphExec exec, CUstream stream, bool per_thread)
{
    struct sim_stream *s;
    struct sim_exec *x = (struct sim_exec *)exec;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(x, SIM_TAG_EXEC))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (sim_stream_capturing(s)) {
        struct sim_node *n;
        return sim_capture_node(s, CU_GRAPH_NODE_TYPE_GRAPH, &(union sim_node_params){.child = x->graph}, &n);
    }
    r = sim_capture_legacy_call(s);
    return r == CUDA_SUCCESS ? sim_exec_launch(x, s) : r;
}

CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    return launch(exec, stream, false);
}

CUresult cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream)
{
    return launch(exec, stream, true);
}

static CUresult upload(CUgraphExec exec, CUstream stream, bool per_thread)
{
    struct sim_stream *s;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(exec, SIM_TAG_EXEC))
        return CUDA_ERROR_INVALID_VALUE;
    return sim_stream_resolve(stream, per_thread, &s);
}

CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    return upload(exec, stream, false);
}

CUresult cuGraphUpload_ptsz(CUgraphExec exec, CUstream stream)
{
    return upload(exec, stream, true);
}
