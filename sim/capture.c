/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream capture: which streams take part, where each stands in the graph, and
 * what may not be done meanwhile. A call that is not allowed invalidates the
 * captures that forbid it.
 */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

_Atomic unsigned sim_any_capture; /* how many are in progress */

static struct sim_capture *captures;
static uint64_t next_id = 1;

/* ---- membership; driver lock held ---- */

static bool set_frontier(struct sim_stream *s, const CUgraphNode *nodes, const CUgraphEdgeData *edges,
                         size_t n)
{
    CUgraphNode *copy = calloc(n + 1, sizeof(CUgraphNode));
    CUgraphEdgeData *data = calloc(n + 1, sizeof(*data));
    if (copy == NULL || data == NULL) {
        free(copy);
        free(data);
        return false;
    }
    if (n > 0)
        memcpy(copy, nodes, n * sizeof(CUgraphNode));
    if (n > 0 && edges != NULL)
        memcpy(data, edges, n * sizeof(*data));
    free(s->frontier);
    free(s->frontier_edges);
    s->frontier = copy;
    s->frontier_edges = data;
    s->n_frontier = n;
    return true;
}

static bool join(struct sim_capture *c, struct sim_stream *s, const CUgraphNode *nodes, size_t n)
{
    struct sim_stream **members = realloc(c->members, (c->n_members + 1) * sizeof(struct sim_stream *));
    if (members == NULL)
        return false;
    c->members = members;
    if (!set_frontier(s, nodes, NULL, n))
        return false;
    members[c->n_members++] = s;
    s->capture = c;
    return true;
}

static void leave(struct sim_stream *s)
{
    s->capture = NULL;
    free(s->frontier);
    free(s->frontier_edges);
    s->frontier = NULL;
    s->frontier_edges = NULL;
    s->n_frontier = 0;
}

static void end(struct sim_capture *c)
{
    for (size_t i = 0; i < c->n_members; i++)
        leave(c->members[i]);
    for (struct sim_capture **p = &captures; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    c->graph->capturing = false;
    free(c->members);
    free(c);
    atomic_fetch_sub(&sim_any_capture, 1);
}

static struct sim_capture *capture_with(uint64_t id)
{
    for (struct sim_capture *c = captures; c != NULL; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

void sim_capture_forget(struct sim_stream *s)
{
    struct sim_capture *c = s->capture;
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->n_members; i++)
        if (c->members[i] == s)
            c->members[i--] = c->members[--c->n_members];
    leave(s);
    c->invalid = true;
    if (c->origin == s) {
        struct sim_graph *g = c->into_existing ? NULL : c->graph;
        end(c);
        if (g != NULL)
            sim_graph_free(g);
    }
}

/* ---- what may not be done ---- */

bool sim_stream_capturing(const struct sim_stream *s)
{
    return s->capture != NULL;
}

static bool forbids(const struct sim_capture *c, const struct sim_thread *t)
{
    if (c->owner == t)
        return c->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
    return t->capture_mode == CU_STREAM_CAPTURE_MODE_GLOBAL && c->mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
}

CUresult sim_capture_unsafe_call(void)
{
    if (atomic_load_explicit(&sim_any_capture, memory_order_relaxed) == 0)
        return CUDA_SUCCESS;
    const struct sim_thread *t = sim_thread_self();
    CUresult r = CUDA_SUCCESS;
    if (t == NULL || t->capture_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&sim_driver_lock);
    for (struct sim_capture *c = captures; c != NULL; c = c->next) {
        if (!forbids(c, t))
            continue;
        c->invalid = true;
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

static bool blocking(const struct sim_stream *s)
{
    return (s->flags & CU_STREAM_NON_BLOCKING) == 0;
}

/* The legacy stream waits for every blocking stream: not for one that captures. */
static CUresult legacy(const struct sim_stream *s, bool invalidate)
{
    CUresult r = CUDA_SUCCESS;
    if (atomic_load_explicit(&sim_any_capture, memory_order_relaxed) == 0 || !s->null)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&sim_driver_lock);
    for (const struct sim_stream *o = s->ctx->streams; o != NULL; o = o->next) {
        if (o->capture == NULL || !blocking(o))
            continue;
        o->capture->invalid |= invalidate;
        r = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult sim_capture_legacy_call(const struct sim_stream *s)
{
    return legacy(s, true);
}

CUresult sim_capture_legacy_look(const struct sim_stream *s)
{
    return legacy(s, false);
}

CUresult sim_capture_unsafe_stream(const struct sim_stream *s)
{
    if (s->capture == NULL)
        return sim_capture_legacy_call(s);
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r =
        s->capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    s->capture->invalid = true;
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult sim_capture_unsafe_context(const struct sim_context *ctx)
{
    CUresult r = CUDA_SUCCESS;
    if (atomic_load_explicit(&sim_any_capture, memory_order_relaxed) == 0)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&sim_driver_lock);
    for (struct sim_capture *c = captures; c != NULL; c = c->next) {
        if (c->origin->ctx != ctx)
            continue;
        c->invalid = true;
        r = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult sim_capture_asked_event(const struct sim_event *e)
{
    if (e->capture_id == 0)
        return sim_capture_unsafe_call();
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_capture *c = capture_with(e->capture_id);
    if (c != NULL)
        c->invalid = true;
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_ERROR_CAPTURED_EVENT;
}

/* ---- nodes ---- */

CUresult sim_capture_node(struct sim_stream *s, CUgraphNodeType type, const union sim_node_params *params,
                          struct sim_node **ret)
{
    CUresult r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_capture *c = s->capture;
    if (c != NULL && !c->invalid) {
        r = sim_node_new(c->graph, type, s->frontier, NULL, s->n_frontier, ret);
        if (r == CUDA_SUCCESS && params != NULL)
            r = sim_node_set(*ret, params);
        CUgraphNode handle = (CUgraphNode)*ret;
        if (r != CUDA_SUCCESS || !set_frontier(s, &handle, NULL, 1))
            c->invalid = true;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult sim_capture_kernel(struct sim_stream *s, struct sim_function *f, const unsigned grid[3],
                            const unsigned block[3], unsigned shared, void **parameters, void **extra)
{
    struct sim_node *n;
    union sim_node_params p = {.kernel = {.func = (CUfunction)f,
                                          .gridDimX = grid[0],
                                          .gridDimY = grid[1],
                                          .gridDimZ = grid[2],
                                          .blockDimX = block[0],
                                          .blockDimY = block[1],
                                          .blockDimZ = block[2],
                                          .sharedMemBytes = shared,
                                          .kernelParams = parameters,
                                          .extra = extra,
                                          .ctx = (CUcontext)s->ctx}};
    return sim_capture_node(s, CU_GRAPH_NODE_TYPE_KERNEL, &p, &n);
}

CUresult sim_capture_add(struct sim_stream *stream, CUgraphNodeType type, const void *params, size_t size,
                         void (*run)(const void *params, struct sim_work *ret))
{
    struct sim_node *n;
    union sim_node_params own = {.event = NULL};
    if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_MEM_FREE) {
        if (size > sizeof(own))
            return CUDA_ERROR_INVALID_VALUE;
        memcpy(&own, params, size);
        return sim_capture_node(stream, type, &own, &n);
    }
    void *blob = malloc(size > 0 ? size : 1);
    if (blob == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(blob, params, size);
    CUresult r = sim_capture_node(stream, type, NULL, &n);
    if (r != CUDA_SUCCESS) {
        free(blob);
        return r;
    }
    n->blob = blob;
    n->blob_size = size;
    n->run = run;
    return CUDA_SUCCESS;
}

/* ---- events ---- */

void sim_event_leave_capture(struct sim_event *e)
{
    e->capture_id = 0;
    free(e->capture_after);
    e->capture_after = NULL;
    e->n_capture_after = 0;
}

CUresult sim_capture_event_record(struct sim_stream *s, struct sim_event *e, unsigned flags)
{
    struct sim_node *n;
    if ((flags & CU_EVENT_RECORD_EXTERNAL) != 0)
        return sim_capture_node(s, CU_GRAPH_NODE_TYPE_EVENT_RECORD,
                                &(union sim_node_params){.event = (CUevent)e}, &n);
    CUresult r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    pthread_mutex_lock(&sim_driver_lock);
    if (s->capture != NULL && !s->capture->invalid) {
        CUgraphNode *after = calloc(s->n_frontier + 1, sizeof(CUgraphNode));
        r = after != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
        if (after != NULL) {
            if (s->n_frontier > 0)
                memcpy(after, s->frontier, s->n_frontier * sizeof(CUgraphNode));
            sim_event_leave_capture(e);
            e->capture_after = after;
            e->n_capture_after = s->n_frontier;
            e->capture_id = s->capture->id;
        }
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

/* Adds what the event stands for to what the stream's next node comes after. */
static CUresult add_to_frontier(struct sim_stream *s, const CUgraphNode *nodes, size_t n)
{
    CUgraphNode *all = calloc(s->n_frontier + n + 1, sizeof(CUgraphNode));
    if (all == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    size_t have = s->n_frontier;
    if (have > 0)
        memcpy(all, s->frontier, have * sizeof(CUgraphNode));
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t j = 0; j < have; j++)
            known |= all[j] == nodes[i];
        if (!known)
            all[have++] = nodes[i];
    }
    bool done = set_frontier(s, all, NULL, have);
    free(all);
    return done ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult wait_locked(struct sim_stream *s, struct sim_event *e)
{
    struct sim_capture *from = capture_with(e->capture_id), *mine = s->capture;
    if (mine != NULL && mine->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (from == NULL) { /* not of a capture in progress */
        if (mine != NULL)
            mine->invalid = true;
        return mine != NULL ? CUDA_ERROR_STREAM_CAPTURE_ISOLATION : CUDA_ERROR_CAPTURED_EVENT;
    }
    if (from->invalid)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (mine == NULL) {
        if (s->null) {
            from->invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
        }
        return join(from, s, e->capture_after, e->n_capture_after) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (mine != from) {
        mine->invalid = from->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    return add_to_frontier(s, e->capture_after, e->n_capture_after);
}

CUresult sim_capture_event_wait(struct sim_stream *s, struct sim_event *e, unsigned flags)
{
    struct sim_node *n;
    if ((flags & CU_EVENT_WAIT_EXTERNAL) != 0 && sim_stream_capturing(s))
        return sim_capture_node(s, CU_GRAPH_NODE_TYPE_WAIT_EVENT,
                                &(union sim_node_params){.event = (CUevent)e}, &n);
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = wait_locked(s, e);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

/* ---- begin, end, look; driver lock held (capture_api.c) ---- */

CUresult sim_capture_begin(struct sim_stream *s, CUstreamCaptureMode mode, struct sim_graph *into,
                           const CUgraphNode *before, size_t n)
{
    struct sim_capture *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    c->graph = into != NULL ? into : sim_graph_new();
    if (c->graph == NULL || !join(c, s, before, n)) {
        if (into == NULL && c->graph != NULL)
            sim_graph_free(c->graph);
        free(c);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    c->into_existing = into != NULL;
    c->graph->capturing = true;
    c->mode = mode;
    c->id = next_id++;
    c->owner = sim_thread_self();
    c->origin = s;
    c->next = captures;
    captures = c;
    atomic_fetch_add(&sim_any_capture, 1);
    return CUDA_SUCCESS;
}

/* Every stream that joined must have been waited for by the origin again. */
static bool all_joined(const struct sim_capture *c)
{
    size_t n = 0;
    uint64_t mark = sim_graph_new_mark();
    struct sim_node **list = calloc(c->graph->n_nodes + 1, sizeof(struct sim_node *));
    if (list == NULL)
        return false;
    for (struct sim_node *node = c->graph->first; node != NULL; node = node->next)
        list[n++] = node;
    for (size_t i = 0; i < c->origin->n_frontier; i++)
        ((struct sim_node *)c->origin->frontier[i])->mark = mark;
    for (size_t i = n; i > 0; i--) /* a captured node comes after what it depends on */
        for (size_t j = 0; list[i - 1]->mark == mark && j < list[i - 1]->n_before; j++)
            list[i - 1]->before[j].from->mark = mark;
    free(list);
    for (size_t i = 0; i < c->n_members; i++)
        for (size_t j = 0; j < c->members[i]->n_frontier; j++)
            if (((struct sim_node *)c->members[i]->frontier[j])->mark != mark)
                return false;
    return true;
}

CUresult sim_capture_end(struct sim_stream *s, CUgraph *ret)
{
    struct sim_capture *c = s->capture;
    CUresult r = CUDA_SUCCESS;
    if (c == NULL)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (c->origin != s) {
        c->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    if (c->owner != sim_thread_self() && c->mode != CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (c->invalid)
        r = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else if (!all_joined(c))
        r = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    struct sim_graph *g = c->graph;
    bool existing = c->into_existing;
    end(c);
    if (r != CUDA_SUCCESS && !existing)
        sim_graph_free(g);
    *ret = r == CUDA_SUCCESS ? (CUgraph)g : NULL;
    return r;
}

CUresult sim_capture_set_frontier(struct sim_stream *s, const CUgraphNode *nodes,
                                  const CUgraphEdgeData *edges, size_t n, bool add)
{
    for (size_t i = 0; i < n; i++) {
        const struct sim_node *node = (const struct sim_node *)nodes[i];
        if (!sim_object_is(node, SIM_TAG_NODE) || node->graph != s->capture->graph)
            return CUDA_ERROR_INVALID_VALUE;
    }
    if (add)
        return add_to_frontier(s, nodes, n);
    return set_frontier(s, nodes, edges, n) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
