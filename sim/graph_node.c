/* SPDX-License-Identifier: Apache-2.0
 *
 * Adding nodes to graphs, and their parameters afterwards. One table-like
 * entry per kind; what they share is in add() and change().
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "graph.h"

/* Adds a node with parameters; removes it again when they are refused. */
static CUresult add(CUgraphNode *ret, CUgraph graph, const CUgraphNode *before, const CUgraphEdgeData *edges,
                    size_t n, CUgraphNodeType type, const union sim_node_params *params)
{
    struct sim_graph *g;
    struct sim_node *node;
    CUresult r = sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    r = sim_node_new(g, type, before, edges, n, &node);
    if (r == CUDA_SUCCESS) {
        r = sim_node_set(node, params);
        if (r != CUDA_SUCCESS)
            sim_node_remove(node);
        else
            *ret = (CUgraphNode)node;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

static CUresult change(CUgraphNode handle, CUgraphNodeType type, const union sim_node_params *params)
{
    struct sim_node *node;
    CUresult r = sim_node_check(handle, type, &node);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    r = sim_node_set(node, params);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

#define PARAMS(field, value) (&(union sim_node_params){.field = (value)})
#define NEED(pointer)                                                                                        \
    if ((pointer) == NULL)                                                                                   \
    return CUDA_ERROR_INVALID_VALUE

static CUDA_KERNEL_NODE_PARAMS kernel_of_v1(const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    CUDA_KERNEL_NODE_PARAMS k = {0};
    memcpy(&k, p, sizeof(*p)); /* the second version only appends */
    return k;
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                                 const CUDA_KERNEL_NODE_PARAMS *p)
{
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_KERNEL, PARAMS(kernel, *p));
}

CUresult cuGraphAddKernelNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                              const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    NEED(p);
    CUDA_KERNEL_NODE_PARAMS k = kernel_of_v1(p);
    return cuGraphAddKernelNode_v2(ret, g, before, n, &k);
}

CUresult cuGraphAddMemcpyNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                              const CUDA_MEMCPY3D *p, CUcontext ctx)
{
    (void)ctx;
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_MEMCPY, PARAMS(copy, *p));
}

CUresult cuGraphAddMemsetNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                              const CUDA_MEMSET_NODE_PARAMS *p, CUcontext ctx)
{
    (void)ctx;
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_MEMSET, PARAMS(set, *p));
}

CUresult cuGraphAddHostNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                            const CUDA_HOST_NODE_PARAMS *p)
{
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_HOST, PARAMS(host, *p));
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                                  CUgraph child)
{
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_GRAPH, PARAMS(child, (struct sim_graph *)child));
}

CUresult cuGraphAddEmptyNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n)
{
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_EMPTY, PARAMS(event, NULL));
}

CUresult cuGraphAddEventRecordNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                                   CUevent e)
{
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_EVENT_RECORD, PARAMS(event, e));
}

CUresult cuGraphAddEventWaitNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n, CUevent e)
{
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_WAIT_EVENT, PARAMS(event, e));
}

CUresult cuGraphAddExternalSemaphoresSignalNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before,
                                                size_t n, const CUDA_EXT_SEM_SIGNAL_NODE_PARAMS *p)
{
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, PARAMS(signal, *p));
}

CUresult cuGraphAddExternalSemaphoresWaitNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before,
                                              size_t n, const CUDA_EXT_SEM_WAIT_NODE_PARAMS *p)
{
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, PARAMS(wait, *p));
}

CUresult cuGraphAddBatchMemOpNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                                  const CUDA_BATCH_MEM_OP_NODE_PARAMS *p)
{
    NEED(p);
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, PARAMS(memop, *p));
}

CUresult cuGraphAddMemAllocNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                                CUDA_MEM_ALLOC_NODE_PARAMS *p)
{
    NEED(p);
    NEED(ret);
    CUresult r = sim_memory_node_new(p);
    if (r != CUDA_SUCCESS)
        return r;
    r = add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_MEM_ALLOC, PARAMS(alloc, *p));
    if (r != CUDA_SUCCESS)
        sim_memory_node_drop(p->dptr);
    return r;
}

CUresult cuGraphAddMemFreeNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                               CUdeviceptr at)
{
    CUresult r = sim_memory_node_check_free(at);
    if (r != CUDA_SUCCESS)
        return r;
    return add(ret, g, before, NULL, n, CU_GRAPH_NODE_TYPE_MEM_FREE, PARAMS(free, at));
}

/* ---- the general form ---- */

static CUresult add_conditional(CUgraphNode *ret, CUgraph graph, const CUgraphNode *before,
                                const CUgraphEdgeData *edges, size_t n, CUDA_CONDITIONAL_NODE_PARAMS *p)
{
    size_t most = sizeof(((struct sim_node *)0)->bodies) / sizeof(CUgraph);
    if (p->size == 0 || p->size > most || (p->type == CU_GRAPH_COND_TYPE_WHILE && p->size != 1) ||
        (p->type == CU_GRAPH_COND_TYPE_IF && p->size > 2))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = add(ret, graph, before, edges, n, CU_GRAPH_NODE_TYPE_CONDITIONAL, PARAMS(conditional, *p));
    if (r != CUDA_SUCCESS)
        return r;
    struct sim_node *node = (struct sim_node *)*ret;
    pthread_mutex_lock(&sim_driver_lock);
    for (unsigned i = 0; i < p->size; i++) {
        struct sim_graph *body = sim_graph_new();
        if (body != NULL)
            body->parent = node->graph;
        node->bodies[i] = (CUgraph)body;
    }
    p->phGraph_out = node->bodies;
    node->params.conditional.phGraph_out = node->bodies;
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

const union sim_node_params *sim_node_specific(const CUgraphNodeParams *p, union sim_node_params *room)
{
    memset(room, 0, sizeof(*room));
    switch ((int)p->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        memcpy(&room->kernel, &p->kernel, sizeof(room->kernel));
        return room;
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        room->copy = p->memcpy.copyParams;
        return room;
    case CU_GRAPH_NODE_TYPE_MEMSET:
        memcpy(&room->set, &p->memset, sizeof(room->set));
        return room;
    case CU_GRAPH_NODE_TYPE_HOST:
        room->host = (CUDA_HOST_NODE_PARAMS){p->host.fn, p->host.userData};
        return room;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        room->child = (struct sim_graph *)p->graph.graph;
        return room;
    case CU_GRAPH_NODE_TYPE_EMPTY:
        return room;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
        room->event = p->eventWait.event;
        return room;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        room->event = p->eventRecord.event;
        return room;
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
        memcpy(&room->signal, &p->extSemSignal, sizeof(room->signal));
        return room;
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
        memcpy(&room->wait, &p->extSemWait, sizeof(room->wait));
        return room;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        memcpy(&room->memop, &p->memOp, sizeof(room->memop));
        return room;
    default:
        return NULL;
    }
}

static CUresult add_any(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, const CUgraphEdgeData *edges,
                        size_t n, CUgraphNodeParams *p)
{
    union sim_node_params room;
    NEED(p);
    if (p->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC) {
        CUDA_MEM_ALLOC_NODE_PARAMS a;
        memcpy(&a, &p->alloc, sizeof(a));
        CUresult r = edges == NULL ? cuGraphAddMemAllocNode(ret, g, before, n, &a) : CUDA_ERROR_INVALID_VALUE;
        if (r == CUDA_SUCCESS)
            p->alloc.dptr = a.dptr;
        return r;
    }
    if (p->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
        return cuGraphAddMemFreeNode(ret, g, before, n, p->free.dptr);
    if (p->type == CU_GRAPH_NODE_TYPE_CONDITIONAL)
        return ret == NULL ? CUDA_ERROR_INVALID_VALUE
                           : add_conditional(ret, g, before, edges, n, &p->conditional);
    const union sim_node_params *s = sim_node_specific(p, &room);
    return s == NULL ? CUDA_ERROR_NOT_SUPPORTED : add(ret, g, before, edges, n, p->type, s);
}

CUresult cuGraphAddNode(CUgraphNode *ret, CUgraph g, const CUgraphNode *before, size_t n,
                        CUgraphNodeParams *p)
{
    return add_any(ret, g, before, NULL, n, p);
}

CUresult cuGraphAddNode_v2(CUgraphNode *ret, CUgraph g, const CUgraphNode *before,
                           const CUgraphEdgeData *edges, size_t n, CUgraphNodeParams *p)
{
    return add_any(ret, g, before, edges, n, p);
}

CUresult cuGraphAddNode_v3(CUgraphNode *ret, CUgraph g, const CUgraphNode *before,
                           const CUgraphEdgeData *edges, size_t n, CUgraphNodeParams *p)
{
    return add_any(ret, g, before, edges, n, p);
}

static CUresult set_any(CUgraphNode node, CUgraphNodeParams *p)
{
    union sim_node_params room;
    NEED(p);
    const union sim_node_params *s = sim_node_specific(p, &room);
    return s == NULL ? CUDA_ERROR_NOT_SUPPORTED : change(node, p->type, s);
}

CUresult cuGraphNodeSetParams(CUgraphNode node, CUgraphNodeParams *p)
{
    return set_any(node, p);
}

CUresult cuGraphNodeSetParams_v2(CUgraphNode node, CUgraphNodeParams *p)
{
    return set_any(node, p);
}

/* ---- parameters of existing nodes: get and set per kind ---- */

#define GET(entry, type, node_type, field)                                                                   \
    CUresult entry(CUgraphNode handle, type *ret)                                                            \
    {                                                                                                        \
        struct sim_node *node;                                                                               \
        NEED(ret);                                                                                           \
        CUresult r = sim_node_check(handle, node_type, &node);                                               \
        if (r == CUDA_SUCCESS && node->blob != NULL)                                                         \
            return CUDA_ERROR_NOT_SUPPORTED;                                                                 \
        if (r == CUDA_SUCCESS)                                                                               \
            memcpy(ret, &node->params.field, sizeof(*ret));                                                  \
        return r;                                                                                            \
    }
#define SET(entry, type, node_type, field)                                                                   \
    CUresult entry(CUgraphNode handle, const type *p)                                                        \
    {                                                                                                        \
        NEED(p);                                                                                             \
        return change(handle, node_type, PARAMS(field, *p));                                                 \
    }

GET(cuGraphKernelNodeGetParams, CUDA_KERNEL_NODE_PARAMS_v1, CU_GRAPH_NODE_TYPE_KERNEL, kernel)
GET(cuGraphKernelNodeGetParams_v2, CUDA_KERNEL_NODE_PARAMS, CU_GRAPH_NODE_TYPE_KERNEL, kernel)
SET(cuGraphKernelNodeSetParams_v2, CUDA_KERNEL_NODE_PARAMS, CU_GRAPH_NODE_TYPE_KERNEL, kernel)
GET(cuGraphMemcpyNodeGetParams, CUDA_MEMCPY3D, CU_GRAPH_NODE_TYPE_MEMCPY, copy)
SET(cuGraphMemcpyNodeSetParams, CUDA_MEMCPY3D, CU_GRAPH_NODE_TYPE_MEMCPY, copy)
GET(cuGraphMemsetNodeGetParams, CUDA_MEMSET_NODE_PARAMS, CU_GRAPH_NODE_TYPE_MEMSET, set)
SET(cuGraphMemsetNodeSetParams, CUDA_MEMSET_NODE_PARAMS, CU_GRAPH_NODE_TYPE_MEMSET, set)
GET(cuGraphHostNodeGetParams, CUDA_HOST_NODE_PARAMS, CU_GRAPH_NODE_TYPE_HOST, host)
SET(cuGraphHostNodeSetParams, CUDA_HOST_NODE_PARAMS, CU_GRAPH_NODE_TYPE_HOST, host)
GET(cuGraphChildGraphNodeGetGraph, CUgraph, CU_GRAPH_NODE_TYPE_GRAPH, child)
GET(cuGraphEventRecordNodeGetEvent, CUevent, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event)
GET(cuGraphEventWaitNodeGetEvent, CUevent, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event)
GET(cuGraphExternalSemaphoresSignalNodeGetParams, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS,
    CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, signal)
SET(cuGraphExternalSemaphoresSignalNodeSetParams, CUDA_EXT_SEM_SIGNAL_NODE_PARAMS,
    CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, signal)
GET(cuGraphExternalSemaphoresWaitNodeGetParams, CUDA_EXT_SEM_WAIT_NODE_PARAMS,
    CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, wait)
SET(cuGraphExternalSemaphoresWaitNodeSetParams, CUDA_EXT_SEM_WAIT_NODE_PARAMS,
    CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, wait)
GET(cuGraphMemAllocNodeGetParams, CUDA_MEM_ALLOC_NODE_PARAMS, CU_GRAPH_NODE_TYPE_MEM_ALLOC, alloc)
GET(cuGraphMemFreeNodeGetParams, CUdeviceptr, CU_GRAPH_NODE_TYPE_MEM_FREE, free)
GET(cuGraphBatchMemOpNodeGetParams, CUDA_BATCH_MEM_OP_NODE_PARAMS, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, memop)
SET(cuGraphBatchMemOpNodeSetParams, CUDA_BATCH_MEM_OP_NODE_PARAMS, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, memop)

CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1 *p)
{
    NEED(p);
    CUDA_KERNEL_NODE_PARAMS k = kernel_of_v1(p);
    return cuGraphKernelNodeSetParams_v2(node, &k);
}

CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent e)
{
    return change(node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, PARAMS(event, e));
}

CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent e)
{
    return change(node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, PARAMS(event, e));
}

CUresult cuGraphNodeGetParams(CUgraphNode handle, CUgraphNodeParams *ret)
{
    struct sim_node *n;
    NEED(ret);
    CUresult r = sim_node_check(handle, (CUgraphNodeType)-1, &n);
    if (r != CUDA_SUCCESS)
        return r;
    if (n->blob != NULL)
        return CUDA_ERROR_NOT_SUPPORTED;
    memset(ret, 0, sizeof(*ret));
    ret->type = n->type;
    if (n->type == CU_GRAPH_NODE_TYPE_MEMCPY)
        ret->memcpy.copyParams = n->params.copy;
    else if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        memcpy(&ret->alloc, &n->params.alloc, sizeof(ret->alloc));
    else
        memcpy(ret->asBytes, &n->params,
               sizeof(n->params) < sizeof(ret->asBytes) ? sizeof(n->params) : sizeof(ret->asBytes));
    return CUDA_SUCCESS;
}

/* ---- attributes of kernel nodes ---- */

static CUresult kernel_attribute(CUgraphNode handle, CUkernelNodeAttrID id, struct sim_node **ret)
{
    if (id < 0 || id >= CU_LAUNCH_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    return sim_node_check(handle, CU_GRAPH_NODE_TYPE_KERNEL, ret);
}

CUresult cuGraphKernelNodeGetAttribute(CUgraphNode handle, CUkernelNodeAttrID id, CUkernelNodeAttrValue *ret)
{
    struct sim_node *n;
    NEED(ret);
    CUresult r = kernel_attribute(handle, id, &n);
    if (r == CUDA_SUCCESS)
        *ret = n->attributes[id];
    return r;
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode handle, CUkernelNodeAttrID id,
                                       const CUkernelNodeAttrValue *p)
{
    struct sim_node *n;
    NEED(p);
    CUresult r = kernel_attribute(handle, id, &n);
    if (r == CUDA_SUCCESS)
        n->attributes[id] = *p;
    return r;
}

CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from)
{
    struct sim_node *a, *b;
    CUresult r = kernel_attribute(to, CU_LAUNCH_ATTRIBUTE_IGNORE, &a);
    if (r == CUDA_SUCCESS)
        r = kernel_attribute(from, CU_LAUNCH_ATTRIBUTE_IGNORE, &b);
    if (r == CUDA_SUCCESS)
        memcpy(a->attributes, b->attributes, sizeof(a->attributes));
    return r;
}
