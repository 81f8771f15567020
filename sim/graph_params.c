/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of graph nodes: copied when they are given, with all that they
 * point to, and freed with the node.
 */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

static void *copy_array(const void *from, size_t n, size_t size)
{
    void *to = n > 0 && from != NULL ? malloc(n * size) : NULL;
    if (to != NULL)
        memcpy(to, from, n * size);
    return to;
}

static void forget(const void *owned)
{
    free((void *)(uintptr_t)owned);
}

static CUresult set_kernel(struct sim_node *node, const CUDA_KERNEL_NODE_PARAMS *k)
{
    struct sim_function *f = sim_function_of(k->func != NULL ? k->func : (CUfunction)(void *)k->kern);
    if (f == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t blocks = (uint64_t)k->gridDimX * k->gridDimY * k->gridDimZ;
    if (blocks == 0 || k->blockDimX == 0 || k->blockDimY == 0 || k->blockDimZ == 0 ||
        (k->kernelParams != NULL && k->extra != NULL))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_context *ctx = sim_context_current();
    node->params.kernel = *k;
    node->params.kernel.func = (CUfunction)f;
    node->kernel_ns = sim_kernel_ns(f, blocks, k->kernelParams, k->extra,
                                    ctx != NULL ? ctx->sm_count : sim_machine()->devices[0].sm_count);
    if (f->from_parameter && k->kernelParams != NULL) { /* the only parameter whose size is known */
        memcpy(&node->first_parameter, k->kernelParams[0], sizeof(node->first_parameter));
        node->parameter_list[0] = &node->first_parameter;
        node->params.kernel.kernelParams = node->parameter_list;
    }
    return CUDA_SUCCESS;
}

static CUresult set_semaphores(struct sim_node *node, const union sim_node_params *p)
{
    CUDA_EXT_SEM_SIGNAL_NODE_PARAMS *s = &node->params.signal;
    if (node->type == CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT) {
        CUDA_EXT_SEM_WAIT_NODE_PARAMS *w = &node->params.wait;
        *w = p->wait;
        w->extSemArray = copy_array(w->extSemArray, w->numExtSems, sizeof(*w->extSemArray));
        w->paramsArray = copy_array(w->paramsArray, w->numExtSems, sizeof(*w->paramsArray));
        return CUDA_SUCCESS;
    }
    *s = p->signal;
    s->extSemArray = copy_array(s->extSemArray, s->numExtSems, sizeof(*s->extSemArray));
    s->paramsArray = copy_array(s->paramsArray, s->numExtSems, sizeof(*s->paramsArray));
    return CUDA_SUCCESS;
}

static CUresult set_child(struct sim_node *node, struct sim_graph *child)
{
    if (!sim_object_is(child, SIM_TAG_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_graph *copy = sim_graph_copy(child);
    if (copy == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    copy->parent = node->graph;
    if (node->params.child != NULL)
        sim_graph_free(node->params.child);
    node->params.child = copy;
    return CUDA_SUCCESS;
}

static CUresult set_memops(struct sim_node *node, const CUDA_BATCH_MEM_OP_NODE_PARAMS *p)
{
    if (p->count > 256 || (p->count > 0 && p->paramArray == NULL))
        return CUDA_ERROR_INVALID_VALUE;
    void *copy = copy_array(p->paramArray, p->count, sizeof(*p->paramArray));
    if (copy == NULL && p->count > 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    forget(node->params.memop.paramArray);
    node->params.memop = *p;
    node->params.memop.paramArray = copy;
    return CUDA_SUCCESS;
}

CUresult sim_node_set(struct sim_node *node, const union sim_node_params *p)
{
    CUresult r = CUDA_SUCCESS;
    switch ((int)node->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        return set_kernel(node, &p->kernel);
    case CU_GRAPH_NODE_TYPE_MEMCPY:
        r = sim_memory_check_copy(&p->copy);
        node->params.copy = p->copy;
        node->run = NULL;
        return r;
    case CU_GRAPH_NODE_TYPE_MEMSET:
        r = sim_memory_check_set(&p->set);
        node->params.set = p->set;
        node->run = NULL;
        return r;
    case CU_GRAPH_NODE_TYPE_HOST:
        if (p->host.fn == NULL)
            return CUDA_ERROR_INVALID_VALUE;
        node->params.host = p->host;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        return set_child(node, p->child);
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
        if (!sim_object_is(p->event, SIM_TAG_EVENT))
            return CUDA_ERROR_INVALID_VALUE;
        node->params.event = p->event;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
        return set_semaphores(node, p);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        node->address_users = malloc(sizeof(*node->address_users));
        if (node->address_users == NULL)
            return CUDA_ERROR_OUT_OF_MEMORY;
        *node->address_users = 1;
        node->params.alloc = p->alloc;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
        node->params.free = p->free;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return set_memops(node, &p->memop);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        node->params.conditional = p->conditional;
        return CUDA_SUCCESS;
    default:
        return node->type == CU_GRAPH_NODE_TYPE_EMPTY ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
    }
}

void sim_node_clear(struct sim_node *node)
{
    free(node->blob);
    node->blob = NULL;
    switch ((int)node->type) {
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        if (node->address_users != NULL && --*node->address_users == 0) {
            free(node->address_users);
            sim_memory_node_drop(node->params.alloc.dptr);
        }
        node->address_users = NULL;
        break;
    case CU_GRAPH_NODE_TYPE_GRAPH:
        if (node->params.child != NULL)
            sim_graph_free(node->params.child);
        break;
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
        forget(node->params.signal.extSemArray);
        forget(node->params.signal.paramsArray);
        break;
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
        forget(node->params.wait.extSemArray);
        forget(node->params.wait.paramsArray);
        break;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        forget(node->params.memop.paramArray);
        break;
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        for (size_t i = 0; i < sizeof(node->bodies) / sizeof(node->bodies[0]); i++)
            if (node->bodies[i] != NULL)
                sim_graph_free((struct sim_graph *)node->bodies[i]);
        break;
    default:
        break;
    }
    memset(&node->params, 0, sizeof(node->params));
}

static CUresult copy_bodies(struct sim_node *into, const struct sim_node *from)
{
    for (size_t i = 0; i < sizeof(from->bodies) / sizeof(from->bodies[0]); i++) {
        if (from->bodies[i] == NULL)
            continue;
        struct sim_graph *body = sim_graph_copy((struct sim_graph *)from->bodies[i]);
        if (body == NULL)
            return CUDA_ERROR_OUT_OF_MEMORY;
        body->parent = into->graph;
        into->bodies[i] = (CUgraph)body;
    }
    into->params.conditional = from->params.conditional;
    into->params.conditional.phGraph_out = into->bodies;
    return CUDA_SUCCESS;
}

CUresult sim_node_copy_params(struct sim_node *into, const struct sim_node *from)
{
    memcpy(into->attributes, from->attributes, sizeof(into->attributes));
    into->run = from->run;
    into->kernel_ns = from->kernel_ns;
    if (from->blob != NULL) {
        into->blob = copy_array(from->blob, from->blob_size, 1);
        into->blob_size = from->blob_size;
        return into->blob != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    }
    switch ((int)from->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        into->params.kernel = from->params.kernel;
        into->first_parameter = from->first_parameter;
        into->parameter_list[0] = &into->first_parameter;
        if (from->params.kernel.kernelParams == from->parameter_list)
            into->params.kernel.kernelParams = into->parameter_list;
        return CUDA_SUCCESS;
    case CU_GRAPH_NODE_TYPE_GRAPH:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL:
    case CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT:
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
        return sim_node_set(into, &from->params);
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        return copy_bodies(into, from);
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
        into->params = from->params;
        into->address_users = from->address_users;
        ++*into->address_users;
        return CUDA_SUCCESS;
    default:
        into->params = from->params;
        return CUDA_SUCCESS;
    }
}
