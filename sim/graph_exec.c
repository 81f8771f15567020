/* SPDX-License-Identifier: Apache-2.0
 *
 * Executable graphs: instantiation in all its forms, update by another graph,
 * and changes of single nodes.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "graph.h"

static unsigned next_exec_id = 1;

/* Which nodes are there decides how a launch goes about it; see graph_launch.c. */
static void classify(struct sim_exec *x)
{
    uint64_t position = 0;
    x->plain = true;
    x->linear = false;
    for (struct sim_node *n = x->graph->first; n != NULL; n = n->next) {
        n->mark = position++;
        x->plain &= n->type == CU_GRAPH_NODE_TYPE_KERNEL || n->type == CU_GRAPH_NODE_TYPE_EMPTY;
        x->linear |= n->type != CU_GRAPH_NODE_TYPE_KERNEL && n->type != CU_GRAPH_NODE_TYPE_EMPTY &&
                     n->type != CU_GRAPH_NODE_TYPE_MEMCPY && n->type != CU_GRAPH_NODE_TYPE_MEMSET &&
                     n->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC && n->type != CU_GRAPH_NODE_TYPE_MEM_FREE;
    }
}

/* Driver lock held. */
static CUresult make_exec(struct sim_graph *g, uint64_t flags, struct sim_exec **ret)
{
    struct sim_exec *x = sim_object_new(SIM_TAG_EXEC, sizeof(*x));
    struct sim_graph *copy = x != NULL ? sim_graph_copy(g) : NULL;
    if (copy == NULL) {
        sim_object_free(x);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (!sim_graph_sort(copy)) {
        sim_graph_free(copy);
        sim_object_free(x);
        return CUDA_ERROR_INVALID_VALUE;
    }
    x->id = next_exec_id++;
    x->graph = copy;
    x->flags = flags;
    x->ctx = sim_context_current();
    classify(x);
    *ret = x;
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *ret, CUgraph graph, uint64_t flags)
{
    struct sim_graph *g;
    struct sim_exec *x;
    CUresult r = ret == NULL || (flags & ~15ULL) != 0 ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    r = g->capturing ? CUDA_ERROR_ILLEGAL_STATE : make_exec(g, flags, &x);
    pthread_mutex_unlock(&sim_driver_lock);
    if (r == CUDA_SUCCESS)
        *ret = (CUgraphExec)x;
    return r;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *ret, CUgraph graph, unsigned long long flags)
{
    return instantiate(ret, graph, flags);
}

CUresult cuGraphInstantiate(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node, char *log, size_t size)
{
    if (error_node != NULL)
        *error_node = NULL;
    if (log != NULL && size > 0)
        log[0] = '\0';
    return instantiate(ret, graph, 0);
}

CUresult cuGraphInstantiate_v2(CUgraphExec *ret, CUgraph graph, CUgraphNode *error_node, char *log,
                               size_t size)
{
    return cuGraphInstantiate(ret, graph, error_node, log, size);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *ret, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *p)
{
    if (p == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = instantiate(ret, graph, p->flags);
    p->hErrNode_out = NULL;
    p->result_out = r == CUDA_SUCCESS               ? CUDA_GRAPH_INSTANTIATE_SUCCESS
                    : r == CUDA_ERROR_INVALID_VALUE ? CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE
                                                    : CUDA_GRAPH_INSTANTIATE_ERROR;
    return r;
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *ret, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *p)
{
    return cuGraphInstantiateWithParams(ret, graph, p);
}

static CUresult check_exec(CUgraphExec exec, struct sim_exec **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(exec, SIM_TAG_EXEC))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (struct sim_exec *)exec;
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    struct sim_exec *x;
    CUresult r = check_exec(exec, &x);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    sim_graph_free(x->graph);
    x->graph = NULL;
    sim_object_free(x);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecGetFlags(CUgraphExec exec, cuuint64_t *flags)
{
    struct sim_exec *x;
    CUresult r = flags == NULL ? CUDA_ERROR_INVALID_VALUE : check_exec(exec, &x);
    if (r == CUDA_SUCCESS)
        *flags = x->flags;
    return r;
}

CUresult cuGraphExecGetId(CUgraphExec exec, unsigned int *id)
{
    struct sim_exec *x;
    CUresult r = id == NULL ? CUDA_ERROR_INVALID_VALUE : check_exec(exec, &x);
    if (r == CUDA_SUCCESS)
        *id = x->id;
    return r;
}

/* ---- update by another graph ---- */

static CUgraphExecUpdateResult same_shape(const struct sim_graph *a, const struct sim_graph *b,
                                          const struct sim_node **ret_at)
{
    const struct sim_node *x = a->first, *y = b->first;
    *ret_at = NULL;
    if (a->n_nodes != b->n_nodes)
        return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    for (; x != NULL && y != NULL; x = x->next, y = y->next) {
        *ret_at = y->origin;
        if (x->type != y->type)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
        if (x->n_before != y->n_before)
            return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        for (size_t i = 0; i < x->n_before; i++)
            if (x->before[i].from->mark != y->before[i].from->mark)
                return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        if (x->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || x->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
            return CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED;
    }
    *ret_at = NULL;
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

/* The new graph takes the old one's place; nodes keep answering to the
 * handles of the graph that the executable was made from. */
static void take_over(struct sim_exec *x, struct sim_graph *with)
{
    struct sim_node *n = with->first;
    for (const struct sim_node *old = x->graph->first; old != NULL && n != NULL;
         old = old->next, n = n->next) {
        n->origin = old->origin;
        n->disabled = old->disabled;
    }
    sim_graph_free(x->graph);
    x->graph = with;
    classify(x);
}

CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    struct sim_exec *x, probe = {.graph = NULL};
    struct sim_graph *g;
    const struct sim_node *at = NULL;
    CUresult r = check_exec(exec, &x);
    if (r == CUDA_SUCCESS)
        r = info == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    probe.graph = sim_graph_copy(g);
    CUgraphExecUpdateResult result = CU_GRAPH_EXEC_UPDATE_ERROR;
    if (probe.graph != NULL && sim_graph_sort(probe.graph)) {
        classify(&probe);
        result = same_shape(x->graph, probe.graph, &at);
    }
    if (result == CU_GRAPH_EXEC_UPDATE_SUCCESS)
        take_over(x, probe.graph);
    else if (probe.graph != NULL)
        sim_graph_free(probe.graph);
    pthread_mutex_unlock(&sim_driver_lock);
    info->result = result;
    info->errorNode = (CUgraphNode)(uintptr_t)at;
    info->errorFromNode = NULL;
    return result == CU_GRAPH_EXEC_UPDATE_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
}

CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *error_node,
                           CUgraphExecUpdateResult *result)
{
    CUgraphExecUpdateResultInfo info = {.result = CU_GRAPH_EXEC_UPDATE_ERROR};
    if (result == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = cuGraphExecUpdate_v2(exec, graph, &info);
    if (r == CUDA_SUCCESS || r == CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE) {
        *result = info.result;
        if (error_node != NULL)
            *error_node = info.errorNode;
    }
    return r;
}

/* ---- single nodes ---- */

/* The executable's own node for a node of the graph it was made from. */
static CUresult exec_node(CUgraphExec exec, CUgraphNode node, CUgraphNodeType type, struct sim_node **ret)
{
    struct sim_exec *x;
    CUresult r = check_exec(exec, &x);
    if (r != CUDA_SUCCESS)
        return r;
    for (struct sim_node *n = x->graph->first; n != NULL; n = n->next) {
        if (n->origin != (struct sim_node *)node)
            continue;
        if (type != (CUgraphNodeType)-1 && n->type != type)
            return CUDA_ERROR_INVALID_VALUE;
        *ret = n;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}

static CUresult change(CUgraphExec exec, CUgraphNode node, CUgraphNodeType type,
                       const union sim_node_params *params)
{
    struct sim_node *n;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = exec_node(exec, node, type, &n);
    if (r == CUDA_SUCCESS)
        r = sim_node_set(n, params);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

#define CHANGE(entry, type, node_type, field)                                                                \
    CUresult entry(CUgraphExec exec, CUgraphNode node, const type *p)                                        \
    {                                                                                                        \
        if (p == NULL)                                                                                       \
            return CUDA_ERROR_INVALID_VALUE;                                                                 \
        return change(exec, node, node_type, &(union sim_node_params){.field = *p});                         \
    }

CHANGE(cuGraphExecKernelNodeSetParams_v2, CUDA_KERNEL_NODE_PARAMS, CU_GRAPH_NODE_TYPE_KERNEL, kernel)
CHANGE(cuGraphExecHostNodeSetParams, CUDA_HOST_NODE_PARAMS, CU_GRAPH_NODE_TYPE_HOST, host)
CHANGE(cuGraphExecBatchMemOpNodeSetParams, CUDA_BATCH_MEM_OP_NODE_PARAMS, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP,
       memop)
CHANGE(cuGraphExecExternalSemaphoresSignalNodeSetParams, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS,
       CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, signal)
CHANGE(cuGraphExecExternalSemaphoresWaitNodeSetParams, CUDA_EXT_SEM_WAIT_NODE_PARAMS,
       CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, wait)

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    CUDA_KERNEL_NODE_PARAMS k = {0};
    if (p == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&k, p, sizeof(*p));
    return cuGraphExecKernelNodeSetParams_v2(exec, node, &k);
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D *p,
                                        CUcontext ctx)
{
    (void)ctx;
    if (p == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    return change(exec, node, CU_GRAPH_NODE_TYPE_MEMCPY, &(union sim_node_params){.copy = *p});
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS *p,
                                        CUcontext ctx)
{
    (void)ctx;
    if (p == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    return change(exec, node, CU_GRAPH_NODE_TYPE_MEMSET, &(union sim_node_params){.set = *p});
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraph child)
{
    return change(exec, node, CU_GRAPH_NODE_TYPE_GRAPH,
                  &(union sim_node_params){.child = (struct sim_graph *)child});
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    return change(exec, node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, &(union sim_node_params){.event = event});
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event)
{
    return change(exec, node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, &(union sim_node_params){.event = event});
}

CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams *p)
{
    union sim_node_params room;
    const union sim_node_params *s = p != NULL ? sim_node_specific(p, &room) : NULL;
    if (p == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    return s == NULL ? CUDA_ERROR_NOT_SUPPORTED : change(exec, node, p->type, s);
}

static bool can_disable(const struct sim_node *n)
{
    return n->type == CU_GRAPH_NODE_TYPE_KERNEL || n->type == CU_GRAPH_NODE_TYPE_MEMCPY ||
           n->type == CU_GRAPH_NODE_TYPE_MEMSET;
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int enabled)
{
    struct sim_node *n;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = exec_node(exec, node, (CUgraphNodeType)-1, &n);
    if (r == CUDA_SUCCESS && !can_disable(n))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        n->disabled = enabled == 0;
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, unsigned int *enabled)
{
    struct sim_node *n;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = enabled == NULL ? CUDA_ERROR_INVALID_VALUE : exec_node(exec, node, (CUgraphNodeType)-1, &n);
    if (r == CUDA_SUCCESS && !can_disable(n))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *enabled = !n->disabled;
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}
