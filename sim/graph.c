/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs as data: nodes, edges, copies, and questions about them.
 */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"

static unsigned next_graph_id = 1;

/* ---- objects; driver lock held ---- */

struct sim_graph *sim_graph_new(void)
{
    struct sim_graph *g = sim_object_new(SIM_TAG_GRAPH, sizeof(*g));
    if (g != NULL)
        g->id = next_graph_id++;
    return g;
}

static void free_node(struct sim_node *n)
{
    sim_node_clear(n);
    free(n->before);
    n->before = NULL;
    sim_object_free(n);
}

void sim_graph_free(struct sim_graph *g)
{
    while (g->first != NULL) {
        struct sim_node *n = g->first;
        g->first = n->next;
        free_node(n);
    }
    sim_user_objects_release(g);
    sim_object_free(g);
}

static bool add_edge(struct sim_node *to, struct sim_node *from, const CUgraphEdgeData *data)
{
    struct sim_edge *edges = realloc(to->before, (to->n_before + 1) * sizeof(*edges));
    if (edges == NULL)
        return false;
    to->before = edges;
    edges[to->n_before] = (struct sim_edge){.from = from};
    if (data != NULL)
        edges[to->n_before].data = *data;
    to->n_before++;
    return true;
}

static bool has_edge(const struct sim_node *to, const struct sim_node *from)
{
    for (size_t i = 0; i < to->n_before; i++)
        if (to->before[i].from == from)
            return true;
    return false;
}

static void append(struct sim_graph *g, struct sim_node *n)
{
    n->graph = g;
    n->id = g->next_node_id++;
    if (g->last != NULL)
        g->last->next = n;
    else
        g->first = n;
    g->last = n;
    g->n_nodes++;
}

CUresult sim_node_new(struct sim_graph *g, CUgraphNodeType type, const CUgraphNode *before,
                      const CUgraphEdgeData *edges, size_t n, struct sim_node **ret)
{
    if (n > 0 && before == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        const struct sim_node *b = (const struct sim_node *)before[i];
        if (!sim_object_is(b, SIM_TAG_NODE) || b->graph != g)
            return CUDA_ERROR_INVALID_VALUE;
        for (size_t j = 0; j < i; j++)
            if (before[j] == before[i])
                return CUDA_ERROR_INVALID_VALUE;
    }
    struct sim_node *node = sim_object_new(SIM_TAG_NODE, sizeof(*node));
    if (node == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    node->type = type;
    for (size_t i = 0; i < n; i++) {
        if (!add_edge(node, (struct sim_node *)before[i], edges != NULL ? &edges[i] : NULL)) {
            free_node(node);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    append(g, node);
    *ret = node;
    return CUDA_SUCCESS;
}

static void cut_edges_from(struct sim_graph *g, const struct sim_node *from)
{
    for (struct sim_node *n = g->first; n != NULL; n = n->next)
        for (size_t i = 0; i < n->n_before; i++)
            if (n->before[i].from == from)
                n->before[i--] = n->before[--n->n_before];
}

void sim_node_remove(struct sim_node *node)
{
    struct sim_graph *g = node->graph;
    struct sim_node *previous = NULL;
    for (struct sim_node *n = g->first; n != NULL && n != node; n = n->next)
        previous = n;
    if (previous != NULL)
        previous->next = node->next;
    else
        g->first = node->next;
    if (g->last == node)
        g->last = previous;
    g->n_nodes--;
    cut_edges_from(g, node);
    free_node(node);
}

CUresult sim_graph_check(CUgraph graph, struct sim_graph **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(graph, SIM_TAG_GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (struct sim_graph *)graph;
    return CUDA_SUCCESS;
}

#define ANY_TYPE ((CUgraphNodeType)-1)

CUresult sim_node_check(CUgraphNode node, CUgraphNodeType type, struct sim_node **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_node *n = (struct sim_node *)node;
    if (!sim_object_is(n, SIM_TAG_NODE) || (type != ANY_TYPE && n->type != type))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = n;
    return CUDA_SUCCESS;
}

/* ---- order ---- */

uint64_t sim_graph_new_mark(void)
{
    static uint64_t mark;
    return ++mark;
}

static bool ready(const struct sim_node *n, uint64_t round)
{
    for (size_t i = 0; i < n->n_before; i++)
        if (n->before[i].from->mark != round)
            return false;
    return true;
}

/* Moves nodes to a new list in dependency order, keeping the order of creation
 * where there is a choice.  */
bool sim_graph_sort(struct sim_graph *g)
{
    uint64_t round = sim_graph_new_mark();
    struct sim_node *first = NULL, **tail = &first, *last = NULL;
    size_t moved = 0;
    for (bool progress = true; progress && g->first != NULL;) {
        progress = false;
        for (struct sim_node **p = &g->first; *p != NULL;) {
            struct sim_node *n = *p;
            if (!ready(n, round)) {
                p = &n->next;
                continue;
            }
            *p = n->next;
            n->next = NULL;
            n->mark = round;
            *tail = last = n;
            tail = &n->next;
            moved++;
            progress = true;
        }
    }
    bool cycle = g->first != NULL;
    *tail = g->first;
    if (!cycle)
        g->last = last;
    g->first = first;
    return !cycle && moved == g->n_nodes;
}

static struct sim_node *copy_of(const struct sim_graph *copy, const struct sim_node *origin)
{
    for (struct sim_node *n = copy->first; n != NULL; n = n->next)
        if (n->origin == origin)
            return n;
    return NULL;
}

struct sim_graph *sim_graph_copy(const struct sim_graph *g)
{
    struct sim_graph *c = sim_graph_new();
    if (c == NULL)
        return NULL;
    for (struct sim_node *n = g->first; n != NULL; n = n->next) {
        struct sim_node *made;
        if (sim_node_new(c, n->type, NULL, NULL, 0, &made) != CUDA_SUCCESS ||
            sim_node_copy_params(made, n) != CUDA_SUCCESS) {
            sim_graph_free(c);
            return NULL;
        }
        made->origin = n;
        made->id = n->id;
        made->disabled = n->disabled;
        n->copy = made;
    }
    struct sim_node *made = c->first;
    for (struct sim_node *n = g->first; n != NULL; n = n->next, made = made->next) {
        for (size_t i = 0; i < n->n_before; i++) {
            if (!add_edge(made, n->before[i].from->copy, &n->before[i].data)) {
                sim_graph_free(c);
                return NULL;
            }
        }
    }
    c->next_node_id = g->next_node_id;
    return c;
}

/* ---- entries: graphs ---- */

CUresult cuGraphCreate(CUgraph *ret, unsigned int flags)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (ret == NULL || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_graph *g = sim_graph_new();
    pthread_mutex_unlock(&sim_driver_lock);
    if (g == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUgraph)g;
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    struct sim_graph *g;
    CUresult r = sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    if (g->parent != NULL || g->capturing)
        return CUDA_ERROR_ILLEGAL_STATE;
    pthread_mutex_lock(&sim_driver_lock);
    sim_graph_free(g);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphClone(CUgraph *ret, CUgraph graph)
{
    struct sim_graph *g;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    for (const struct sim_node *n = g->first; n != NULL; n = n->next)
        if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || n->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
            return CUDA_ERROR_NOT_SUPPORTED; /* memory nodes cannot be cloned */
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_graph *c = sim_graph_copy(g);
    pthread_mutex_unlock(&sim_driver_lock);
    if (c == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUgraph)c;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeFindInClone(CUgraphNode *ret, CUgraphNode original, CUgraph clone)
{
    struct sim_graph *g;
    struct sim_node *n;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(clone, &g);
    if (r == CUDA_SUCCESS)
        r = sim_node_check(original, ANY_TYPE, &n);
    if (r != CUDA_SUCCESS)
        return r;
    *ret = (CUgraphNode)copy_of(g, n);
    return *ret != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphGetId(CUgraph graph, unsigned int *id)
{
    struct sim_graph *g;
    CUresult r = id == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r == CUDA_SUCCESS)
        *id = g->id;
    return r;
}

/* The list protocol: a NULL array asks for the number; a larger array is
 * filled up with NULL, and the number says how many there are. */
static CUresult hand_out(const struct sim_node *const *nodes, size_t have, CUgraphNode *ret, size_t *n)
{
    if (n == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    size_t room = *n;
    if (ret != NULL)
        for (size_t i = 0; i < room; i++)
            ret[i] = i < have ? (CUgraphNode)(uintptr_t)nodes[i] : NULL;
    *n = ret == NULL || room > have ? have : room;
    return CUDA_SUCCESS;
}

static CUresult list_nodes(CUgraph graph, bool roots, CUgraphNode *ret, size_t *n)
{
    struct sim_graph *g;
    CUresult r = sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    const struct sim_node **list = calloc(g->n_nodes + 1, sizeof(struct sim_node *));
    size_t have = 0;
    for (struct sim_node *node = g->first; list != NULL && node != NULL; node = node->next)
        if (!roots || node->n_before == 0)
            list[have++] = node;
    r = list != NULL ? hand_out(list, have, ret, n) : CUDA_ERROR_OUT_OF_MEMORY;
    free(list);
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    return list_nodes(graph, false, nodes, n);
}

CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    return list_nodes(graph, true, nodes, n);
}

/* ---- entries: edges ---- */

static CUresult list_edges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *data,
                           size_t *n)
{
    struct sim_graph *g;
    CUresult r = n == NULL ? CUDA_ERROR_INVALID_VALUE : sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS)
        return r;
    if ((from == NULL) != (to == NULL))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    size_t have = 0;
    for (struct sim_node *node = g->first; node != NULL; node = node->next) {
        for (size_t i = 0; i < node->n_before; i++, have++) {
            if (from == NULL || have >= *n)
                continue;
            from[have] = (CUgraphNode)node->before[i].from;
            to[have] = (CUgraphNode)node;
            if (data != NULL)
                data[have] = node->before[i].data;
        }
    }
    for (size_t i = have; from != NULL && i < *n; i++)
        from[i] = to[i] = NULL;
    *n = from == NULL || *n > have ? have : *n;
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuGraphGetEdges(CUgraph graph, CUgraphNode *from, CUgraphNode *to, size_t *n)
{
    return list_edges(graph, from, to, NULL, n);
}

CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode *from, CUgraphNode *to, CUgraphEdgeData *data,
                            size_t *n)
{
    return list_edges(graph, from, to, data, n);
}

static CUresult dependencies(CUgraphNode node, CUgraphNode *ret, CUgraphEdgeData *data, size_t *n)
{
    struct sim_node *at;
    CUresult r = n == NULL ? CUDA_ERROR_INVALID_VALUE : sim_node_check(node, ANY_TYPE, &at);
    if (r != CUDA_SUCCESS)
        return r;
    size_t have = at->n_before, room = *n;
    for (size_t i = 0; ret != NULL && i < room; i++) {
        ret[i] = i < have ? (CUgraphNode)at->before[i].from : NULL;
        if (data != NULL && i < have)
            data[i] = at->before[i].data;
    }
    *n = ret == NULL || room > have ? have : room;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode *ret, size_t *n)
{
    return dependencies(node, ret, NULL, n);
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode *ret, CUgraphEdgeData *data, size_t *n)
{
    return dependencies(node, ret, data, n);
}

static CUresult dependents(CUgraphNode node, CUgraphNode *ret, CUgraphEdgeData *data, size_t *n)
{
    struct sim_node *at;
    CUresult r = n == NULL ? CUDA_ERROR_INVALID_VALUE : sim_node_check(node, ANY_TYPE, &at);
    if (r != CUDA_SUCCESS)
        return r;
    size_t have = 0, room = *n;
    pthread_mutex_lock(&sim_driver_lock);
    for (struct sim_node *o = at->graph->first; o != NULL; o = o->next) {
        for (size_t i = 0; i < o->n_before; i++) {
            if (o->before[i].from != at)
                continue;
            if (ret != NULL && have < room) {
                ret[have] = (CUgraphNode)o;
                if (data != NULL)
                    data[have] = o->before[i].data;
            }
            have++;
        }
    }
    pthread_mutex_unlock(&sim_driver_lock);
    for (size_t i = have; ret != NULL && i < room; i++)
        ret[i] = NULL;
    *n = ret == NULL || room > have ? have : room;
    return CUDA_SUCCESS;
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode *ret, size_t *n)
{
    return dependents(node, ret, NULL, n);
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode *ret, CUgraphEdgeData *data, size_t *n)
{
    return dependents(node, ret, data, n);
}

static CUresult change_edges(CUgraph graph, const CUgraphNode *from, const CUgraphNode *to,
                             const CUgraphEdgeData *data, size_t n, bool add)
{
    struct sim_graph *g;
    CUresult r = sim_graph_check(graph, &g);
    if (r != CUDA_SUCCESS || n == 0)
        return r;
    if (from == NULL || to == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    for (size_t i = 0; i < n && r == CUDA_SUCCESS; i++) {
        struct sim_node *a = (struct sim_node *)from[i], *b = (struct sim_node *)to[i];
        if (!sim_object_is(a, SIM_TAG_NODE) || !sim_object_is(b, SIM_TAG_NODE) || a->graph != g ||
            b->graph != g || a == b || has_edge(b, a) == add)
            r = CUDA_ERROR_INVALID_VALUE;
        else if (add && !add_edge(b, a, data != NULL ? &data[i] : NULL))
            r = CUDA_ERROR_OUT_OF_MEMORY;
        for (size_t j = 0; r == CUDA_SUCCESS && !add && j < b->n_before; j++)
            if (b->before[j].from == a)
                b->before[j--] = b->before[--b->n_before];
    }
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

CUresult cuGraphAddDependencies(CUgraph g, const CUgraphNode *from, const CUgraphNode *to, size_t n)
{
    return change_edges(g, from, to, NULL, n, true);
}

CUresult cuGraphAddDependencies_v2(CUgraph g, const CUgraphNode *from, const CUgraphNode *to,
                                   const CUgraphEdgeData *data, size_t n)
{
    return change_edges(g, from, to, data, n, true);
}

CUresult cuGraphRemoveDependencies(CUgraph g, const CUgraphNode *from, const CUgraphNode *to, size_t n)
{
    return change_edges(g, from, to, NULL, n, false);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph g, const CUgraphNode *from, const CUgraphNode *to,
                                      const CUgraphEdgeData *data, size_t n)
{
    return change_edges(g, from, to, data, n, false);
}

/* ---- entries: nodes ---- */

CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType *type)
{
    struct sim_node *n;
    CUresult r = type == NULL ? CUDA_ERROR_INVALID_VALUE : sim_node_check(node, ANY_TYPE, &n);
    if (r == CUDA_SUCCESS)
        *type = n->type;
    return r;
}

CUresult cuGraphNodeGetContainingGraph(CUgraphNode node, CUgraph *graph)
{
    struct sim_node *n;
    CUresult r = graph == NULL ? CUDA_ERROR_INVALID_VALUE : sim_node_check(node, ANY_TYPE, &n);
    if (r == CUDA_SUCCESS)
        *graph = (CUgraph)n->graph;
    return r;
}

CUresult cuGraphNodeGetLocalId(CUgraphNode node, unsigned int *id)
{
    struct sim_node *n;
    CUresult r = id == NULL ? CUDA_ERROR_INVALID_VALUE : sim_node_check(node, ANY_TYPE, &n);
    if (r == CUDA_SUCCESS)
        *id = n->id;
    return r;
}

CUresult cuGraphNodeGetToolsId(CUgraphNode node, unsigned long long *id)
{
    struct sim_node *n;
    CUresult r = id == NULL ? CUDA_ERROR_INVALID_VALUE : sim_node_check(node, ANY_TYPE, &n);
    if (r == CUDA_SUCCESS)
        *id = (unsigned long long)n->graph->id << 32 | n->id;
    return r;
}

CUresult cuGraphDestroyNode(CUgraphNode node)
{
    struct sim_node *n;
    CUresult r = sim_node_check(node, ANY_TYPE, &n);
    if (r != CUDA_SUCCESS)
        return r;
    if (n->type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || n->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
        return CUDA_ERROR_NOT_SUPPORTED;
    pthread_mutex_lock(&sim_driver_lock);
    sim_node_remove(n);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}
