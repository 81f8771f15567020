/* SPDX-License-Identifier: Apache-2.0
 *
 * User objects: counted things whose destructor runs when nobody, no graph
 * included, needs them any more. And the handles of conditional nodes, which
 * are counted numbers too.
 */
#include <stdio.h>
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "graph.h"

CUresult cuUserObjectCreate(CUuserObject *ret, void *arg, CUhostFn destroy, unsigned int references,
                            unsigned int flags)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (ret == NULL || destroy == NULL || references == 0 || references > 0x7fffffff ||
        flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_user_object *o = sim_object_new(SIM_TAG_USER_OBJECT, sizeof(*o));
    if (o == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    o->destroy = destroy;
    o->arg = arg;
    o->references = references;
    *ret = (CUuserObject)o;
    return CUDA_SUCCESS;
}

CUresult cuUserObjectRetain(CUuserObject object, unsigned int count)
{
    struct sim_user_object *o = (struct sim_user_object *)object;
    if (!sim_object_is(o, SIM_TAG_USER_OBJECT) || count == 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    o->references += count;
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

/* Driver lock held on entry and exit, not while the destructor runs. */
static CUresult drop(struct sim_user_object *o, uint32_t count)
{
    if (count > o->references)
        return CUDA_ERROR_INVALID_VALUE;
    o->references -= count;
    if (o->references > 0)
        return CUDA_SUCCESS;
    CUhostFn destroy = o->destroy;
    void *arg = o->arg;
    sim_object_free(o);
    pthread_mutex_unlock(&sim_driver_lock);
    destroy(arg);
    pthread_mutex_lock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuUserObjectRelease(CUuserObject object, unsigned int count)
{
    struct sim_user_object *o = (struct sim_user_object *)object;
    if (!sim_object_is(o, SIM_TAG_USER_OBJECT) || count == 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = drop(o, count);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

void sim_user_objects_release(struct sim_graph *g)
{
    struct sim_owned *owned = g->owned;
    size_t n = g->n_owned;
    g->owned = NULL;
    g->n_owned = 0;
    for (size_t i = 0; i < n; i++)
        if (sim_object_is(owned[i].object, SIM_TAG_USER_OBJECT))
            drop(owned[i].object, owned[i].count);
    free(owned);
}

CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned int count, unsigned int flags)
{
    struct sim_graph *g;
    struct sim_user_object *o = (struct sim_user_object *)object;
    CUresult r = sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    if (!sim_object_is(o, SIM_TAG_USER_OBJECT) || count == 0 ||
        (flags & ~(unsigned)CU_GRAPH_USER_OBJECT_MOVE) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_owned *owned = realloc(g->owned, (g->n_owned + 1) * sizeof(*owned));
    if (owned != NULL) {
        g->owned = owned;
        owned[g->n_owned++] = (struct sim_owned){o, count};
        if ((flags & CU_GRAPH_USER_OBJECT_MOVE) == 0)
            o->references += count;
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return owned != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned int count)
{
    struct sim_graph *g;
    CUresult r = sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    r = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    for (size_t i = 0; i < g->n_owned && r != CUDA_SUCCESS; i++) {
        if (g->owned[i].object != (struct sim_user_object *)object || g->owned[i].count < count)
            continue;
        g->owned[i].count -= count;
        if (g->owned[i].count == 0)
            g->owned[i] = g->owned[--g->n_owned];
        r = drop((struct sim_user_object *)object, count);
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

#define ASSIGN_DEFAULT 1u

/* ---- conditional handles: the number carries its default value ---- */

CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle *ret, CUgraph graph, CUcontext ctx,
                                        unsigned int value, unsigned int flags)
{
    static _Atomic uint32_t next = 1;
    struct sim_graph *g;
    (void)ctx;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    uint32_t initial = (flags & ASSIGN_DEFAULT) != 0 ? value : 0;
    *ret = (CUgraphConditionalHandle)atomic_fetch_add(&next, 1) << 32 | initial;
    return CUDA_SUCCESS;
}

unsigned sim_conditional_value(CUgraphConditionalHandle handle)
{
    return (unsigned)(handle & 0xffffffffu);
}

/* ---- a picture for people ---- */

CUresult cuGraphDebugDotPrint(CUgraph graph, const char *path, unsigned int flags)
{
    struct sim_graph *g;
    (void)flags;
    CUresult r = path == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return CUDA_ERROR_OPERATING_SYSTEM;
    pthread_mutex_lock(&sim_driver_lock);
    fprintf(f, "digraph graph_%u {\n", g->id);
    for (const struct sim_node *n = g->first; n != NULL; n = n->next) {
        fprintf(f, "n%u [label=\"%u: type %d\"]\n", n->id, n->id, (int)n->type);
        for (size_t i = 0; i < n->n_before; i++)
            fprintf(f, "n%u -> n%u\n", n->before[i].from->id, n->id);
    }
    fprintf(f, "}\n");
    pthread_mutex_unlock(&sim_driver_lock);
    return fclose(f) == 0 ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}
